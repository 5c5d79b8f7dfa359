"""What counts as a mutating call, and what it is called."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from tests.crash.mutating_calls import Call, Kill, System, Trail, When, mutation_of_appliance, purpose_in_kubernetes

GROUP = "https://127.0.0.1:1/apis/failover.ossea.io/v1alpha1"
LEASE = "https://127.0.0.1:1/apis/coordination.k8s.io/v1/namespaces/fec/leases"
EVENTS = "https://127.0.0.1:1/apis/events.k8s.io/v1/namespaces/dr/events"
TAKEN = {"holderIdentity": "a", "acquireTime": "1", "renewTime": "1"}


@pytest.mark.parametrize(
    ("method", "path", "form", "named"),
    [
        ("POST", "/client/api", {"command": "revertSnapshot", "id": "1"}, (System.OSSEA, "revertSnapshot")),
        ("POST", "/client/api", {"command": "listVolumes"}, None),
        ("POST", "/client/api", {"command": "queryAsyncJobResult"}, None),
        ("GET", "/api/v1/volumes/1/device", None, None),
        ("POST", "/api/v1/volumes/1/detach", None, (System.DAEMON, "detach")),
        ("POST", "/api/v1/exports", None, (System.DAEMON, "exports")),
        ("DELETE", "/api/v1/volumes/1/attachments/2", None, (System.DAEMON, "DELETE /api/v1/volumes/1/attachments/2")),
    ],
)
def test_requests_to_the_appliance(
    method: str, path: str, form: dict[str, str] | None, named: tuple[System, str] | None
) -> None:
    request = httpx.Request(method, f"http://127.0.0.1:1{path}", data=form)
    assert mutation_of_appliance(request) == named


@pytest.mark.parametrize(
    ("method", "url", "body", "named"),
    [
        ("POST", LEASE, {}, "lease created"),
        ("PUT", f"{LEASE}/x", TAKEN, "lease taken over"),
        ("PUT", f"{LEASE}/x", {**TAKEN, "renewTime": "2"}, "lease renewed"),
        ("PUT", f"{LEASE}/x", {**TAKEN, "holderIdentity": ""}, "lease released"),
        ("POST", EVENTS, {}, "event created"),
        ("PATCH", f"{EVENTS}/x", {}, "event repeated"),
        ("PATCH", f"{GROUP}/appliances/x/status", {}, "status of appliance"),
        ("PATCH", f"{GROUP}/namespaces/dr/failedexecutioncleanups/x/status", {}, "status of cleanup"),
        ("DELETE", f"{GROUP}/namespaces/dr/failedexecutioncleanups/x", {}, "DELETE failedexecutioncleanups"),
    ],
)
def test_requests_to_kubernetes(method: str, url: str, body: dict[str, str], named: str) -> None:
    assert purpose_in_kubernetes(method, url, {"spec": body, "metadata": {}}) == named


@pytest.mark.parametrize(("finalizers", "named"), [(["a"], "set on"), ([], "removed from")])
def test_finalizers(finalizers: list[str], named: str) -> None:
    url = f"{GROUP}/namespaces/dr/failedexecutioncleanups/x"
    assert purpose_in_kubernetes("PATCH", url, {"metadata": {"finalizers": finalizers}}) == f"finalizer {named} cleanup"


def test_kill_is_met_by_name_or_number_at_its_moment_only() -> None:
    call = Call(17, System.DAEMON, "detach", 2)
    assert Kill("daemon detach#2", When.AFTER).meets(call, When.AFTER)
    assert Kill(17, When.BEFORE).meets(call, When.BEFORE)
    assert not Kill(17, When.BEFORE).meets(call, When.AFTER)
    assert not Kill("daemon detach#1", When.AFTER).meets(call, When.AFTER)


@pytest.mark.parametrize(
    ("moments", "also"),
    [
        ([(1, "before"), (1, "after"), (2, "before")], 1),
        ([(1, "before"), (2, "before"), (1, "after"), (3, "before")], None),
        ([(1, "before"), (1, "after")], None),
        ([(1, "before")], None),
    ],
)
def test_death_before_a_call_is_one_after_the_answer_before_it_unless_another_call_is_in_flight(
    tmp_path: Path, moments: list[tuple[int, str]], also: int | None
) -> None:
    trail = Trail(tmp_path / "calls")
    lines = ({"number": n, "system": "daemon", "what": "detach", "occurrence": n, "when": when} for n, when in moments)
    trail.path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    found = trail.answered_last
    assert (found and found.number) == also
