"""Every route in the name of every kind of person: the real API server decides."""

from __future__ import annotations

import json
import uuid
from typing import Any, Final

import httpx
import pytest

from development.stand import Stand
from tests.console.conftest import Console
from tests.console.people import user_name

pytestmark = pytest.mark.timeout(400)

STALLED: Final = f"stalled-{uuid.uuid4().hex[:6]}"
"""A VM whose test VM runs, and the cleanup of it."""

READERS: Final = {"viewer", "clerk", "user", "waiver"}
PLANNERS: Final = {"planner", "user", "waiver"}
CHANGERS: Final = {"clerk", "user", "waiver"}
USERS: Final = {"user", "waiver"}
PEOPLE: Final = ("stranger", "viewer", "planner", "clerk", "user", "waiver")
HERE: Final = "namespace={namespace}"

ACTS: Final[tuple[tuple[str, str, Any, set[str]], ...]] = (
    ("GET", "/vms", None, PLANNERS),
    ("GET", "/vms?appliance={appliance}", None, PLANNERS),
    ("GET", "/vms/{vm}/plan?appliance={appliance}", None, PLANNERS),
    ("GET", f"/cleanups?{HERE}", None, READERS),
    ("GET", f"/cleanups/{{vm}}?{HERE}", None, READERS),
    ("GET", f"/cleanups/{{vm}}/report?{HERE}", None, READERS),
    ("GET", f"/cleanups/{{vm}}/events?{HERE}", None, READERS),
    ("POST", f"/cleanups/{{vm}}/suspend?{HERE}", None, CHANGERS),
    # The brake may be pulled by anybody who may change cleanups; to go on takes the right on the Appliance.
    ("POST", f"/cleanups/{{vm}}/resume?{HERE}", None, USERS),
    ("POST", f"/cleanups/{{vm}}/rerun?{HERE}", None, USERS),
    ("POST", f"/failover/{{vm}}/cleanup-failed?{HERE}&appliance={{appliance}}", None, USERS),
)


@pytest.fixture(scope="module")
def stalled(stand: Stand) -> str:
    """A cleanup that needs a person."""
    return needing_a_person(stand, STALLED)


def needing_a_person(stand: Stand, vm_name: str) -> str:
    stand.build("F28", vm_name)
    stand.apply_cleanup(vm_name, vm_name)
    stand.wait_for_reason(vm_name, "RunningTestVM")
    return vm_name


def send(
    console: Console, person: str | None, method: str, path: str, body: Any = None, *, vm: str = STALLED
) -> httpx.Response:
    stand = console.stand
    target = path.format(namespace=stand.namespace, appliance=stand.appliance, vm=vm)
    with console.client(person) as client:
        return client.request(method, target, json=body)


@pytest.mark.parametrize(("method", "path", "body", "allowed"), ACTS, ids=[f"{act[0]} {act[1]}" for act in ACTS])
def test_who_may_do_what(console: Console, stalled: str, method: str, path: str, body: Any, allowed: set[str]) -> None:
    seen = {}
    for person in PEOPLE:
        if path.endswith("/resume?" + HERE):
            # There must be something to resume.
            assert send(console, "clerk", "POST", f"/cleanups/{{vm}}/suspend?{HERE}").status_code == 200
        answer = send(console, person, method, path, body)
        seen[person] = answer.status_code
        if answer.status_code == 403:
            assert answer.json()["remedy"], answer.text
    refused = {person for person, status in seen.items() if status == 403}
    assert refused == set(PEOPLE) - allowed, seen
    # A cleanup that needs a person is refused for another reason, and that is no matter of rights.
    assert {seen[person] for person in allowed} <= {200, 409}, seen


def test_a_waiver_takes_a_right_of_its_own(console: Console) -> None:
    # One of its own: another test may have suspended the common one.
    stalled = needing_a_person(console.stand, f"waived-{uuid.uuid4().hex[:6]}")
    waiver = {"reason": "RunningTestVM", "object": "job", "note": "ticket 4711"}
    path = f"/cleanups/{{vm}}/waive?{HERE}"
    refused = send(console, "user", "POST", path, waiver, vm=stalled)
    assert (refused.status_code, "fec-waiver" in refused.json()["remedy"]) == (403, True), refused.text
    assert "may not waive RunningTestVM" in refused.json()["error"]
    assert send(console, "waiver", "POST", path, waiver, vm=stalled).status_code == 200
    console.stand.wait_for(stalled, "Ready")
    stored = console.stand.cleanup(stalled)
    assert stored["spec"]["note"] == "ticket 4711"
    assert stored["status"]["waiversUsed"][0]["reason"] == "RunningTestVM"


def test_what_is_placed_names_who_asked(console: Console) -> None:
    vm_name = f"asked-{uuid.uuid4().hex[:6]}"
    console.stand.build("F11", vm_name)
    with console.client("user") as client:
        assert client.post(f"/failover/{vm_name}/cleanup-failed").status_code == 200
        (item,) = client.get("/cleanups", params={"q": vm_name}).json()["items"]
    stored = console.stand.cleanup(item["name"])
    assert stored["spec"]["requestedBy"] == user_name(console.stand, "user")


def test_a_plan_is_approved_only_as_it_was_read(console: Console) -> None:
    stand, vm_name = console.stand, f"planned-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name)
    stand.apply_cleanup(vm_name, vm_name, mode="Plan")
    stand.wait_for_reason(vm_name, "PlanReady")
    path = f"/cleanups/{vm_name}/approve?{HERE}"
    with console.client("user") as client:
        stand.wait_until(
            lambda: client.get(f"/vms/{vm_name}/plan").json()["cleanup"], what="the plan names the cleanup of the job"
        )
        shown = client.get(f"/vms/{vm_name}/plan").json()
    assert shown["plan_hash"] == stand.cleanup(vm_name)["status"]["planHash"]
    assert shown["cleanup"]["name"] == vm_name
    other = send(console, "user", "POST", path, {"plan_hash": "0" * 32})
    assert (other.status_code, other.json()["reason"]) == (409, "NotPossible")
    assert stand.requests(about=built) == []
    assert send(console, "clerk", "POST", path, {"plan_hash": shown["plan_hash"]}).status_code == 403
    assert send(console, "user", "POST", path, {"plan_hash": shown["plan_hash"]}).status_code == 200
    stand.wait_for(vm_name, "Ready")
    assert stand.holders(built) == {stand.oma_vm_id}


def test_cards_tell_what_the_scan_tells(console: Console) -> None:
    stand, vm_name = console.stand, f"card-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name)
    stand.wait_until(lambda: _card(console, vm_name).get("state") == "stuck", what="the card is stuck")
    card = _card(console, vm_name)
    assert card["incident"]["job_id"] == built["failover_job_id"]
    assert card["incident"]["last_step"] == "Preparing Drivers for Compatibility"
    stand.wait_until(lambda: _stuck(stand, vm_name), what="the scan has found it")
    assert card["stuck_since"] == _stuck(stand, vm_name)[0]["stuckSince"]


def _card(console: Console, vm_name: str) -> dict[str, Any]:
    """The card of a VM; an empty one until the console has looked again."""
    with console.client("planner") as client:
        found: list[dict[str, Any]] = client.get("/vms", params={"q": vm_name}).json()["items"]
    return found[0] if found else {}


def _stuck(stand: Stand, vm_name: str) -> list[dict[str, Any]]:
    status = json.loads(stand.kubectl("get", "appliance", stand.appliance, "-o", "json")).get("status", {})
    return [job for job in status.get("stuck", []) if job["vmName"] == vm_name]
