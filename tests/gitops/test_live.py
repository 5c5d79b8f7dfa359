"""The same judgements on cleanups as they are now on a real API server, by kubectl itself, and what an action of Argo CD leads to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from development.cleanup_states import STATES, busy_states
from development.stand import Stand
from tests.cluster.observed import condition
from tests.gitops import argocd
from tests.gitops.flux import flux_health
from tests.gitops.kstatus import kstatus
from tests.gitops.shipped import ARGOCD_HEALTH, ARGOCD_OFFERED, FLUX, KSTATUS, OBJECTS, ready_of

pytestmark = pytest.mark.timeout(180)


def waits(stand: Stand, name: str) -> bool:
    """Whether `kubectl wait --for=condition=Ready` ends at once."""
    command = ("wait", "--for=condition=Ready", "--timeout=1s", f"fec/{name}")
    return stand.control_plane.kubectl(f"--namespace={stand.namespace}", *command, check=False).returncode == 0


def assert_judged(name: str, body: dict[str, Any]) -> None:
    """As the tables say; and the shipped object still is what such a cleanup looks like."""
    assert kstatus(body) == KSTATUS[name]["status"]
    assert flux_health(body) == FLUX[name]["status"]
    assert argocd.health(body)[0] == ARGOCD_HEALTH[name]["status"]
    assert argocd.offered(body) == set(ARGOCD_OFFERED[name]["offered"])
    assert {(c["type"], c["status"], c["reason"]) for c in body["status"]["conditions"]} == {
        (c["type"], c["status"], c["reason"]) for c in OBJECTS[name]["status"]["conditions"]
    }


@pytest.mark.parametrize("name", STATES)
def test_a_cleanup_in_this_state_is_judged_as_the_tables_say(stand: Stand, name: str) -> None:
    body = STATES[name](stand, name)
    assert_judged(name, body)
    if name != "retrying":  # lasts seconds only
        assert waits(stand, name) is KSTATUS[name]["wait"]


def test_states_that_pass_are_judged_as_the_tables_say(stand: Stand) -> None:
    found = busy_states(stand)
    for name, body in found.items():
        # Which goals hold in the middle depends on the moment.
        assert ready_of(body)["reason"] == ready_of(OBJECTS[name])["reason"]
        assert kstatus(body) == KSTATUS[name]["status"]
        assert flux_health(body) == FLUX[name]["status"]
        assert argocd.health(body)[0] == ARGOCD_HEALTH[name]["status"]
        assert argocd.offered(body) == set(ARGOCD_OFFERED[name]["offered"])
    assert found["queued"]["status"]["queuePosition"] == 1
    stand.wait_until_gone("working")
    queued = stand.wait_for("queued", "Ready")
    assert condition(queued, "Ready") == ("True", "Cleaned")
    assert "queuePosition" not in queued["status"]


def act(stand: Stand, action: str, name: str) -> None:
    """What Argo CD does when somebody presses the button: it patches what the script changed."""
    body = stand.cleanup(name)
    assert action in argocd.offered(body)
    stand.kubectl("patch", f"fec/{name}", "--type=merge", "-p", json.dumps(argocd.patch_of(action, body)))


def test_suspend_and_resume_from_argo_cd(stand: Stand) -> None:
    stand.latency(revertSnapshot=3.0)
    try:
        built = stand.build("F11", "buttons1", disks=2)
        stand.apply_cleanup("buttons1", "buttons1")
        stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
        act(stand, "suspend", "buttons1")
        assert argocd.health(stand.wait_for("buttons1", "Suspended"))[0] == "Suspended"
    finally:
        stand.latency(revertSnapshot=0.0)
    act(stand, "resume", "buttons1")
    assert argocd.health(stand.wait_for("buttons1", "Ready"))[0] == "Healthy"


def test_a_plan_is_approved_from_argo_cd_and_carried_out_once(stand: Stand) -> None:
    built = stand.build("F24", "buttons2", disks=2)
    stand.apply_cleanup("buttons2", "buttons2", mode="Plan")
    planned = stand.wait_for("buttons2", "Planned")
    act(stand, "approve", "buttons2")
    cleaned = stand.wait_for("buttons2", "Ready")
    assert condition(cleaned, "Ready") == ("True", "Cleaned")
    assert cleaned["status"]["plan"] == planned["status"]["plan"]
    objects = {action["object"] for action in planned["status"]["plan"]}
    assert all(set(request["object_ids"]) & objects for request in stand.requests(about=built))
    assert argocd.offered(cleaned) == {"re-run"}


def test_a_run_is_asked_for_again_from_argo_cd(stand: Stand) -> None:
    stand.build("R12", "buttons3")
    stand.apply_cleanup("buttons3", "buttons3")
    stand.wait_for("buttons3", "Ready")
    act(stand, "re-run", "buttons3")
    token = stand.cleanup("buttons3")["metadata"]["annotations"]["failover.ossea.io/requestedAt"]
    body = stand.wait_until_handled("buttons3", token)
    assert kstatus(body) == "Current"
