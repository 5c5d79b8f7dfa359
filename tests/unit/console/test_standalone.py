"""The console on an appliance without Kubernetes: the same cards, plans and contract, by a token file."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from failed_execution_cleanup.console.identity import Credential, Unauthenticated
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.console.standalone import standalone
from failed_execution_cleanup.console.token_file import TokenFile, UnusableTokenFile
from tests.unit.client.cluster import appliance_body
from tests.unit.console.cluster import SETTINGS, client
from tests.unit.console.test_page_routes import hidden_fields, visit
from tests.unit.run.engine import VM, Engine, engine

TOKEN = "token-of-the-appliance"


def token_file(directory: Path, text: str | None = None, mode: int = 0o600) -> Path:
    path = directory / "tokens"
    digest = hashlib.sha256(TOKEN.encode()).hexdigest()
    path.write_text(text if text is not None else f"# who may\n\nnight shift:{digest}\n")
    path.chmod(mode)
    return path


@asynccontextmanager
async def alone(directory: Path, row: str, **spec: Any) -> AsyncIterator[tuple[Engine, Services]]:
    async with engine(directory, row, disks=1) as run:
        body = appliance_body()
        settle = {"quietSeconds": 1, "revertQuietSeconds": 2, "revertSecondsPerGiB": 0}
        body["spec"] |= {"volumeDaemon": {"url": run.appliance.daemon_url}, "settle": settle, **spec}
        body["spec"]["limits"] = {"requestsPerSecond": 200}
        del body["status"]
        secret = {
            "kind": "Secret",
            "metadata": {"name": "oma-database"},
            "stringData": {"url": run.appliance.database_url},
        }
        path = directory / "appliance.yaml"
        path.write_text(yaml.safe_dump_all([body, secret]))
        yield run, standalone(path, token_file(directory), None, SETTINGS)


async def test_a_vm_is_cleaned_up_by_this_process(tmp_path: Path) -> None:
    async with alone(tmp_path, "F11") as (run, services), client(services, TOKEN) as http:
        (card,) = (await http.get("/vms")).json()["items"]
        plan = (await http.get(f"/vms/{VM}/plan")).json()
        answer = await http.post(
            f"/failover/{VM}/cleanup-failed", json={"plan_hash": plan["plan_hash"], "note": "4711"}
        )
        assert (answer.status_code, answer.json()["success"]) == (200, True), answer.text
        assert run.left_over() == []
    assert (card["vm_name"], card["state"], card["cleanup"]) == (VM, "stuck", None)
    assert len(plan["actions"]) > 3


async def test_a_refusal_is_told_as_with_a_cluster(tmp_path: Path) -> None:
    async with alone(tmp_path, "F28") as (run, services), client(services, TOKEN) as http:
        answer = await http.post(f"/failover/{VM}/cleanup-failed")
        unknown = await http.post("/failover/nobody/cleanup-failed")
        waive = {"waive": [{"reason": "RunningTestVM", "object": "job"}]}
        forbidden = await http.post(f"/failover/{VM}/cleanup-failed", json=waive)
        assert run.appliance.journal.requests() == []
    assert (answer.status_code, answer.json()["reason"]) == (409, "RunningTestVM")
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "UnknownVM")
    assert (forbidden.status_code, forbidden.json()["reason"]) == (409, "NotPermitted")


async def test_who_does_not_wait_leaves_the_cleanup_going(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with alone(tmp_path, "F11") as (run, services), client(services, TOKEN) as http:
        late = await http.post(f"/failover/{VM}/cleanup-failed", headers={"Prefer": "wait=0"})
        again = await http.post(f"/failover/{VM}/cleanup-failed")
        assert (late.status_code, again.status_code) == (504, 200), late.text
        assert run.left_over() == []
        assert len(run.appliance.journal.requests("revertSnapshot")) == 1
    assert [record.message for record in caplog.records].count("Cleanup begun") == 1


async def test_the_end_of_the_process_hands_the_claim_over(tmp_path: Path) -> None:
    async with alone(tmp_path, "F11") as (run, services), client(services, TOKEN) as http:
        await http.post(f"/failover/{VM}/cleanup-failed", headers={"Prefer": "wait=0"})
        assert services.runs is not None
        await services.runs.leave(30)
        assert [task.get_name() for task in asyncio.all_tasks() if task.get_name().startswith("cleanup of")] == []
        await run.run()
        assert run.left_over() == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/cleanups"),
        ("GET", "/cleanups/x?namespace=dr"),
        ("POST", "/cleanups/x/suspend?namespace=dr"),
        ("GET", "/cleanups/x/events?namespace=dr"),
        ("GET", "/cleanups/x/report?namespace=dr"),
    ],
)
async def test_what_is_about_resources_is_not_there(tmp_path: Path, method: str, path: str) -> None:
    async with alone(tmp_path, "F11") as (_, services):
        async with client(services, TOKEN) as http:
            answer = await http.request(method, path)
        async with client(services, "guessed") as http:
            stranger = await http.request(method, path)
    assert (answer.status_code, answer.json()["reason"]) == (501, "NoCluster")
    assert "fec local" in answer.json()["remedy"]
    assert stranger.status_code == 401


async def test_a_token_of_the_file_is_its_name(tmp_path: Path) -> None:
    tokens = TokenFile.read(token_file(tmp_path))
    assert (await tokens.caller(Credential.of(TOKEN))).user.name == "night shift"
    with pytest.raises(Unauthenticated):
        await tokens.caller(Credential.of("guessed"))


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        (None, 0o640, "chmod 600"),
        (None, 0o604, "chmod 600"),
        ("", 0o600, "holds no token"),
        ("night shift:plain-token", 0o600, "line 1"),
        ("# x\n\n:" + "0" * 64, 0o600, "line 3"),
        ("x:" + "0" * 63, 0o600, "line 1"),
    ],
)
def test_a_file_that_is_no_token_file_is_refused(tmp_path: Path, text: str | None, mode: int, told: str) -> None:
    path = token_file(tmp_path, text, mode)
    with pytest.raises(UnusableTokenFile, match=told) as refused:
        TokenFile.read(path)
    assert "plain-token" not in str(refused.value)


def test_a_credential_of_systemd_is_read_whatever_its_mode_looks_like(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = token_file(tmp_path, mode=0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "of another service"))
    with pytest.raises(UnusableTokenFile, match="chmod 600"):
        TokenFile.read(path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert TokenFile.read(path).knows(Credential.of(TOKEN))


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnusableTokenFile, match="cannot be read"):
        TokenFile.read(tmp_path / "none")


async def test_the_pages_have_a_vm_cleaned_up_by_this_process(tmp_path: Path) -> None:
    async with alone(tmp_path, "F11") as (run, services), visit(services, TOKEN) as http:
        listed = await http.get("/vms")
        (address,) = re.findall(r'action="(/vms/default/[^"]+/cleanup)"', listed.text)
        form = hidden_fields((await http.get(address)).text)
        answer = await http.post(address, data={**form, "note": "4711"})
        assert (answer.status_code, f"{answer.headers['Location']}/cleanup") == (303, address)
        async with client(services, TOKEN) as program:
            assert (
                await program.post(f"/failover/{VM}/cleanup-failed")
            ).status_code == 200  # it waits for the same run
        assert run.left_over() == []
        history = await http.get("/history")
    assert 'href="/history"' not in listed.text
    assert (history.status_code, "without Kubernetes" in history.text) == (501, True)
