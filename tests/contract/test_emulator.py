"""What only the emulator promises: bounded memory, bookmarks on time, refusals, and its process."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from development.processes import Process
from kubernetes_emulator import Emulator, emulator
from tests.contract.api_server import CRDS, GROUP, ROOT, Cleanups

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@asynccontextmanager
async def client(running: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=running.url, trust_env=False, timeout=20) as http:
        yield http


async def create_leases(http: httpx.AsyncClient, *names: str) -> None:
    for name in names:
        (await http.post(LEASES, json={"metadata": {"name": name}})).raise_for_status()


async def read_watch(http: httpx.AsyncClient, count: int, **parameters: str) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = []
    async with http.stream("GET", LEASES, params={"watch": "true", **parameters}) as response:
        async for line in response.aiter_lines():
            events.append(json.loads(line))
            if len(events) == count:
                break
    return events


async def test_a_watch_from_before_the_remembered_changes_gets_410() -> None:
    async with emulator(history=3) as running, client(running) as http:
        since = (await http.get(LEASES)).json()["metadata"]["resourceVersion"]
        await create_leases(http, "a", "b", "c")
        assert [event["type"] for event in await read_watch(http, 3, resourceVersion=since)] == ["ADDED"] * 3
        await create_leases(http, "d")
        (event,) = await read_watch(http, 1, resourceVersion=since)
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_chunked_list_from_before_the_remembered_changes_can_go_on_with_newer_ones() -> None:
    async with emulator(history=3) as running, client(running) as http:
        await create_leases(http, "a", "c")
        token = (await http.get(LEASES, params={"limit": "1"})).json()["metadata"]["continue"]
        await create_leases(http, "b", "d", "e", "f")
        refusal = await http.get(LEASES, params={"limit": "1", "continue": token})
        assert (refusal.status_code, refusal.json()["reason"]) == (410, "Expired")
        token = refusal.json()["metadata"]["continue"]
        rest = (await http.get(LEASES, params={"continue": token})).json()["items"]
        assert [item["metadata"]["name"] for item in rest] == ["b", "c", "d", "e", "f"]


async def test_bookmarks_tell_the_version_reached_whatever_changed() -> None:
    async with emulator(bookmark_seconds=0.01) as running, client(running) as http:
        listed = (await http.get(LEASES)).json()["metadata"]["resourceVersion"]
        await http.post("/api/v1/namespaces", json={"metadata": {"name": "dr"}})
        (event,) = await read_watch(http, 1, resourceVersion=listed, allowWatchBookmarks="true")
        reached = str(int(listed) + 1)
        assert event == {
            "type": "BOOKMARK",
            "object": {
                "kind": "Lease",
                "apiVersion": "coordination.k8s.io/v1",
                "metadata": {"resourceVersion": reached},
            },
        }


async def test_no_bookmark_comes_unasked() -> None:
    async with emulator(bookmark_seconds=0.01) as running, client(running) as http:
        listed = (await http.get(LEASES)).json()["metadata"]["resourceVersion"]
        assert await read_watch(http, 1, resourceVersion=listed, timeoutSeconds="1") == []


async def test_a_watch_ends_with_its_client() -> None:
    async with emulator() as running:
        before = asyncio.all_tasks()
        async with client(running) as http, http.stream("GET", LEASES, params={"watch": "1"}) as response:
            assert response.status_code == 200
            assert len(asyncio.all_tasks()) > len(before)
        await asyncio.gather(*asyncio.all_tasks() - before, return_exceptions=True)


async def test_an_open_watch_does_not_keep_the_emulator_from_ending() -> None:
    async with emulator() as running:
        http = httpx.AsyncClient(base_url=running.url, trust_env=False)
        request = http.build_request("GET", LEASES, params={"watch": "1"})
        response = await http.send(request, stream=True)
    with pytest.raises(httpx.RemoteProtocolError):
        await response.aread()
    await http.aclose()


@pytest.mark.parametrize("parameter", ["labelSelector", "fieldSelector", "dryRun", "sendInitialEvents"])
async def test_what_it_cannot_do_it_refuses(parameter: str) -> None:
    async with emulator() as running, client(running) as http:
        answer = await http.get(LEASES, params={parameter: "x"})
        assert (answer.status_code, answer.json()["message"]) == (
            400,
            f"the emulator cannot do what {parameter} asks for",
        )


@pytest.mark.parametrize("path", ["/api/v1/namespaces/default", LEASES])
async def test_deletions_it_cannot_do_are_not_allowed(path: str) -> None:
    async with emulator() as running, client(running) as http:
        answer = await http.delete(path)
        assert (answer.status_code, answer.json()["reason"]) == (405, "MethodNotAllowed")


async def test_a_definition_can_be_changed_while_its_kind_is_served() -> None:
    async with emulator(crds=CRDS) as running, client(running) as http:
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/failedexecutioncleanups.failover.ossea.io"
        definition = (await http.get(path)).json()
        properties = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
        properties["spec"]["properties"]["note"]["default"] = "by default"
        replaced = (await http.put(path, json=definition)).json()
        assert replaced["metadata"]["generation"] == 2
        body = {"metadata": {"name": "a"}, "spec": {"vmName": "a", "applianceRef": {"name": "default"}}}
        created = await http.post(f"{GROUP}/namespaces/default/failedexecutioncleanups", json=body)
        assert created.json()["spec"]["note"] == "by default"


def test_the_process_serves_the_definitions_of_a_directory_and_ends_at_sigterm(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    process = Process.start(
        "emulator",
        [sys.executable, "-m", "kubernetes_emulator", "--ready-file", ready, "--crds", CRDS],
        log=tmp_path / "emulator.log",
        env={**os.environ, "PYTHONPATH": str(ROOT / "simulators")},
    )
    try:
        process.wait_until(ready.exists, seconds=30)
        address = json.loads(ready.read_text())
        kubeconfig = json.loads(Path(address["kubeconfig"]).read_text())
        assert kubeconfig["clusters"][0]["cluster"] == {"server": address["url"]}
        with httpx.Client(base_url=address["url"], trust_env=False) as http:
            Cleanups(http, "default").create("pgtest1")
            with http.stream("GET", LEASES, params={"watch": "1"}):
                process.terminate()
                assert process.wait(seconds=20) == 0
        assert process.log.read_text() == ""
    finally:
        process.stop()
