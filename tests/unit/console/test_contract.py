"""The product's contract over HTTP: placed once, waited for, and answered by how it ended. An operator is played by the tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from failed_execution_cleanup.console.requests import Preferences
from tests.unit.client.cluster import ready
from tests.unit.console.cluster import SETTINGS, ConsoleCluster, client, services, with_appliance
from tests.unit.run.engine import Engine, engine

PATH: Final = "/failover/pgtest1/cleanup-failed"


@asynccontextmanager
async def appliance(directory: Path, row: str = "F11", **spec: Any) -> AsyncIterator[tuple[Engine, ConsoleCluster]]:
    async with engine(directory, row, disks=1) as run:
        cluster = ConsoleCluster()
        with_appliance(cluster, run, **spec)
        yield run, cluster


async def post(cluster: ConsoleCluster, *, seconds: float = 900, path: str = PATH, **named: Any) -> httpx.Response:
    running = services(cluster, SETTINGS.model_copy(update={"wait_seconds": seconds}))
    async with client(running) as http:
        return await http.post(path, **named)


async def until(holds: Callable[[], object]) -> None:
    """Wait until something holds that tells nobody."""
    async with asyncio.timeout(30):
        while not holds():  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)


async def played(cluster: ConsoleCluster, reason: str, status: str = "False") -> str:
    """Write one verdict for the cleanup once it is there, as an operator would; returns its name."""
    await until(lambda: cluster.names)
    (name,) = cluster.names
    body = cluster.stored(name)
    requested = body["metadata"].get("annotations", {}).get("failover.ossea.io/requestedAt")
    handled = {"lastHandledRequest": requested} if requested else {}
    told = ready(reason, status, f"told {reason}", **handled)
    cluster.status(name, {**told, "observedGeneration": body["metadata"]["generation"]})
    return name


@pytest.mark.parametrize(
    ("reason", "status", "code"),
    [
        ("Cleaned", "True", 200),
        ("RunningTestVM", "False", 409),
        ("DetachFailing", "False", 500),
        ("Suspended", "False", 409),
    ],
)
async def test_the_answer_follows_from_the_end(tmp_path: Path, reason: str, status: str, code: int) -> None:
    async with appliance(tmp_path) as (run, cluster):
        if reason == "Suspended":
            await post(cluster, seconds=0)
            (name,) = cluster.names
            body = cluster.stored(name)
            body["metadata"]["annotations"] = {"failover.ossea.io/suspended": "true"}
            cluster.put(body)
        answer, _ = await asyncio.gather(post(cluster), played(cluster, reason, status))
        body = answer.json()
        stored = cluster.stored(cluster.names[0])["spec"]
    assert (answer.status_code, body["vm_name"]) == (code, "pgtest1")
    if code == 200:
        assert body["success"] is True
        assert set(body) == {"success", "message", "vm_name", "timestamp"}
    else:
        assert (body["success"], body["reason"], body["error"]) == (False, reason, f"told {reason}")
        assert "/api/v1/cleanups/" in answer.headers["Location"]
    assert stored["failoverJobID"] == run.built.failover_job_id
    assert stored["requestedBy"] == "alice"


async def test_to_ask_twice_waits_for_the_same_cleanup(tmp_path: Path) -> None:
    async with appliance(tmp_path) as (_, cluster):
        running = services(cluster)
        waiting = ("fec_console_open_streams", {"kind": "waiting"})
        async with client(running) as http:
            asked = [asyncio.create_task(http.post(PATH)) for _ in range(2)]
            await until(lambda: running.metrics.registry.get_sample_value(*waiting) == 2)
            name = await played(cluster, "Cleaned", "True")
            assert [(await task).status_code for task in asked] == [200, 200]
        assert cluster.names == [name]


@pytest.mark.parametrize(("reason", "status"), [("Cleaned", "True"), ("RunningTestVM", "False")])
async def test_one_that_has_ended_is_asked_for_one_more_run(tmp_path: Path, reason: str, status: str) -> None:
    async with appliance(tmp_path) as (_, cluster):
        await asyncio.gather(post(cluster), played(cluster, reason, status))
        again = asyncio.create_task(post(cluster))
        await until(lambda: cluster.patches)
        await played(cluster, "AlreadyClean", "True")
        assert (await again).status_code == 200
    (patch,) = cluster.patches
    assert list(patch["metadata"]["annotations"]) == ["failover.ossea.io/requestedAt"]


async def test_what_is_asked_for_beside_the_vm_is_in_the_cleanup(tmp_path: Path) -> None:
    wanted = {"note": "ticket 4711", "waive": [{"reason": "RunningTestVM", "object": "job"}], "plan_hash": "a" * 32}
    async with appliance(tmp_path) as (_, cluster):
        await post(cluster, seconds=0, json=wanted)
        stored = cluster.stored(cluster.names[0])
    assert stored["spec"]["note"] == "ticket 4711"
    assert stored["spec"]["waive"] == [{"reason": "RunningTestVM", "object": "job"}]
    assert stored["metadata"]["annotations"] == {"failover.ossea.io/approvedPlan": "a" * 32}


async def test_who_does_not_wait_is_told_where_to_look(tmp_path: Path) -> None:
    async with appliance(tmp_path) as (_, cluster):
        answer = await post(cluster, headers={"Prefer": "respond-async"})
        late = await post(cluster, seconds=0)
    body = answer.json()
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (202, "respond-async")
    assert answer.headers["Location"] == body["status_url"]
    assert body["status_url"].endswith(f"/{body['cleanup']['name']}?namespace=dr")
    assert (late.status_code, late.json()["reason"]) == (504, "Queued")
    assert "goes on" in late.json()["remedy"]


@pytest.mark.parametrize(
    ("spec", "query", "answer"),
    [
        ({"allowedNamespaces": ["dr"]}, "", "dr"),
        ({"allowedNamespaces": []}, "", "failed-execution-cleanup"),
        ({"allowedNamespaces": ["dr", "other"], "detection": {"namespace": "other"}}, "", "other"),
        ({"allowedNamespaces": ["dr", "other"]}, "?namespace=other", "other"),
        ({"allowedNamespaces": ["dr", "other"]}, "", None),
    ],
)
async def test_where_a_cleanup_is_placed(tmp_path: Path, spec: dict[str, Any], query: str, answer: str | None) -> None:
    async with appliance(tmp_path, **spec) as (_, cluster):
        told = await post(cluster, path=PATH + query, seconds=0)
        places = [cluster.stored(name)["metadata"]["namespace"] for name in cluster.names]
    if answer is None:
        assert (told.status_code, told.json()["reason"], places) == (409, "NamespaceNeeded", [])
        assert "dr, other" in told.json()["remedy"]
    else:
        assert places == [answer]


async def test_whoever_may_not_use_the_appliance_places_nothing(tmp_path: Path) -> None:
    async with appliance(tmp_path) as (_, cluster), client(services(cluster), "token-of-bob") as http:
        answer = await http.post(PATH)
    assert (answer.status_code, answer.json()["reason"]) == (403, "Forbidden")
    assert "fec-appliance-user" in answer.json()["remedy"]
    assert (cluster.names, cluster.bearers) == ([], [])


@pytest.mark.parametrize(
    ("header", "preferences"),
    [
        ("", Preferences()),
        ("respond-async", Preferences(respond_async=True)),
        ("Respond-Async, wait=10", Preferences(respond_async=True, wait_seconds=10)),
        ("wait=0", Preferences(wait_seconds=0)),
        ("handling=lenient; x=1, wait=soon", Preferences()),
    ],
)
def test_preferences_are_read_as_the_rfc_wants(header: str, preferences: Preferences) -> None:
    assert Preferences.of(header) == preferences
