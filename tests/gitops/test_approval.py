"""Plan and approve on a real API server and a database: exactly what was approved is done, and anything else waits again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from development.stand import Stand
from tests.cluster.observed import assert_replica, condition, message
from tests.gitops.kstatus import kstatus

pytestmark = pytest.mark.timeout(180)
KIND_OF = {
    "detach": "detach",
    "attach": "attach",
    "revertSnapshot": "revert",
    "deleteSnapshot": "delete-snapshot",
    "stopVirtualMachine": "stop-vm",
    "destroyVirtualMachine": "destroy-vm",
    "expungeVirtualMachine": "expunge-vm",
}


def planned(cleanup: dict[str, Any]) -> set[tuple[str, str]]:
    return {(action["action"], action["object"]) for action in cleanup["status"]["plan"]}


def done(stand: Stand, built: dict[str, Any]) -> set[tuple[str, str]]:
    """What the appliance was asked for, in the words of a plan."""
    return {(KIND_OF[r["command"]], r["object_ids"][0]) for r in stand.requests(about=built)}


@pytest.fixture
def slow_reverts(stand: Stand) -> Iterator[None]:
    stand.latency(revertSnapshot=3.0)
    yield
    stand.latency(revertSnapshot=0.0)


@pytest.mark.parametrize("mode", ["Plan", "Execute"])
def test_an_approved_plan_is_carried_out_and_stays_in_the_status(stand: Stand, mode: str) -> None:
    name = f"approved-{mode.lower()}"
    built = stand.build("F19", name, disks=2)
    stand.apply_cleanup(name, name, mode="Plan")
    plan = stand.wait_for(name, "Planned")
    stand.annotate(name, approvedPlan=plan["status"]["planHash"])
    stand.apply_cleanup(name, name, mode=mode)
    cleanup = stand.wait_for(name, "Ready")
    assert condition(cleanup, "Ready") == ("True", "Cleaned")
    assert condition(cleanup, "Planned")[0] == "absent"
    assert cleanup["status"]["planHash"] == plan["status"]["planHash"]
    assert done(stand, built) <= planned(plan)
    assert_replica(stand, built)
    assert cleanup["status"]["history"][0]["result"] == "Cleaned"


def test_another_digest_touches_nothing_and_says_what_was_not_approved(stand: Stand) -> None:
    built = stand.build("F11", "unapproved1", disks=2)
    stand.apply_cleanup("unapproved1", "unapproved1", mode="Plan")
    stand.wait_for("unapproved1", "Planned")
    stand.annotate("unapproved1", approvedPlan="0" * 32)
    stand.apply_cleanup("unapproved1", "unapproved1", mode="Execute")
    cleanup = stand.wait_for_reason("unapproved1", "AwaitingApproval")
    assert kstatus(cleanup) == "Failed"
    assert "detach" in message(cleanup)
    assert "finalizers" not in cleanup["metadata"]
    assert stand.requests(about=built) == []

    stand.annotate("unapproved1", approvedPlan=cleanup["status"]["planHash"])
    assert condition(stand.wait_for("unapproved1", "Ready"), "Ready") == ("True", "Cleaned")
    assert done(stand, built) <= planned(cleanup)


def test_a_plan_that_changed_after_it_was_approved_is_not_begun(stand: Stand) -> None:
    built = stand.build("F24", "outdated1", disks=2)
    stand.apply_cleanup("outdated1", "outdated1", mode="Plan")
    plan = stand.wait_for("outdated1", "Planned")
    stand.act("set_state", object_id=built["destination_vm_id"], state="Running")
    waiver = {"reason": "RunningTestVM", "object": "job"}
    job = built["failover_job_id"]
    stand.annotate("outdated1", approvedPlan=plan["status"]["planHash"])
    stand.apply_cleanup("outdated1", "outdated1", mode="Execute", failoverJobID=job, waive=[waiver])
    cleanup = stand.wait_for_reason("outdated1", "AwaitingApproval")
    assert stand.requests(about=built) == []
    assert ("stop-vm", built["destination_vm_id"]) in planned(cleanup) - planned(plan)

    stand.annotate("outdated1", approvedPlan=cleanup["status"]["planHash"])
    assert condition(stand.wait_for("outdated1", "Ready"), "Ready") == ("True", "Cleaned")
    assert done(stand, built) <= planned(cleanup)


@pytest.mark.usefixtures("slow_reverts")
def test_what_turns_up_in_the_middle_waits_for_a_new_approval_with_every_volume_home(stand: Stand) -> None:
    built = stand.build("F24", "midway1", disks=2)
    stand.apply_cleanup("midway1", "midway1", mode="Plan")
    plan = stand.wait_for("midway1", "Planned")
    stand.annotate("midway1", approvedPlan=plan["status"]["planHash"])
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
    stand.act("set_state", object_id=built["destination_vm_id"], state="Running")
    waiver = {"reason": "RunningTestVM", "object": "job"}
    job = built["failover_job_id"]
    stand.apply_cleanup("midway1", "midway1", mode="Plan", failoverJobID=job, waive=[waiver])
    cleanup = stand.wait_for_reason("midway1", "AwaitingApproval")
    assert stand.holders(built) == {stand.oma_vm_id}
    assert done(stand, built) <= planned(plan)
    assert {action for action, _ in planned(cleanup)} >= {"stop-vm", "destroy-vm"}

    stand.annotate("midway1", approvedPlan=cleanup["status"]["planHash"])
    assert condition(stand.wait_for("midway1", "Ready"), "Ready") == ("True", "Cleaned")
    assert done(stand, built) <= planned(plan) | planned(cleanup)
    assert_replica(stand, built)


@pytest.mark.usefixtures("slow_reverts")
def test_going_back_to_plan_in_the_middle_stops_and_shows_what_is_left(stand: Stand) -> None:
    built = stand.build("F11", "back1", disks=2)
    stand.apply_cleanup("back1", "back1")
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
    stand.apply_cleanup("back1", "back1", mode="Plan")
    plan = stand.wait_for_reason("back1", "PlanReady")
    assert condition(plan, "Ready") == ("False", "PlanReady")
    assert plan["status"]["plan"]
    before = stand.requests(about=built)
    stand.annotate("back1", approvedPlan=plan["status"]["planHash"])
    assert condition(stand.wait_for("back1", "Ready"), "Ready") == ("True", "Cleaned")
    since = {(KIND_OF[r["command"]], r["object_ids"][0]) for r in stand.requests(about=built)[len(before) :]}
    assert since <= planned(plan)
    assert_replica(stand, built)


def test_a_plan_names_every_action_and_what_is_not_needed_and_why(stand: Stand) -> None:
    stand.build("F11", "reasons1", disks=1)
    stand.apply_cleanup("reasons1", "reasons1", mode="Plan")
    cleanup = stand.wait_for("reasons1", "Planned")
    assert all(action["why"] and action["object"] for action in cleanup["status"]["plan"])
    phases = {phase["name"]: phase for phase in cleanup["status"]["phases"]}
    needed = {action["phase"] for action in cleanup["status"]["plan"]}
    unneeded = phases.keys() - needed
    assert unneeded == {"cleanup-test-vm"}
    assert {(phases[name]["state"], phases[name]["reason"]) for name in unneeded} == {("Skipped", "NoTestVM")}
    assert "Not needed: cleanup-test-vm (the failed job left no VM)" in message(cleanup)
