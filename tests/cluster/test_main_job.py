"""The main job: a stuck test failover is cleaned by `kubectl apply`, with the operator's own rights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from development.stand import Stand
from tests.cluster.observed import Built, assert_replica, condition, message

pytestmark = pytest.mark.timeout(150)

PHASES = ["detach-volumes", "cleanup-snapshots", "reattach-volumes", "cleanup-test-vm", "database-cleanup"]
GOALS = ["VolumesAttached", "SnapshotsRemoved", "TestVMRemoved", "ContextReady"]


def phases(cleanup: Mapping[str, Any]) -> dict[str, str]:
    return {phase["name"]: phase["state"] for phase in cleanup["status"]["phases"]}


def commands_of(stand: Stand, built: Built) -> dict[str, list[str]]:
    """What was asked for each volume, in order; a request about its snapshot counts."""
    asked: dict[str, list[str]] = {volume_id: [] for volume_id in built["volume_ids"]}
    for request in stand.requests(about=built):
        for volume_id, commands in asked.items():
            if {volume_id, built["snapshot_ids"].get(volume_id)} & set(request["object_ids"]):
                commands.append(request["command"])
    return asked


def context_status(stand: Stand, built: Built) -> str:
    statement = "SELECT current_status FROM vm_replication_contexts WHERE context_id = :context"
    (row,) = stand.rows(statement, context=built["vm"]["context_id"])
    return str(row["current_status"])


def tracking_status(stand: Stand, job_id: str) -> str:
    (row,) = stand.rows("SELECT status FROM job_tracking WHERE id = :job", job=job_id)
    return str(row["status"])


def running_steps(stand: Stand, built: Built) -> list[dict[str, Any]]:
    return stand.rows(
        "SELECT s.name FROM job_steps s JOIN job_tracking t ON t.id = s.job_id"
        " WHERE t.context_id = :context AND s.status = 'running'",
        context=built["vm"]["context_id"],
    )


def without_finalizer(stand: Stand, name: str) -> bool:
    return not stand.cleanup(name)["metadata"].get("finalizers")


def half_cleared(stand: Stand, built: Built) -> list[dict[str, Any]]:
    """Rows that name a snapshot without its time and status, which the product's screens cannot show."""
    return stand.rows(
        "SELECT volume_id FROM ossea_volumes WHERE vm_context_id = :context AND snapshot_id <> ''"
        " AND (snapshot_status IS NULL OR snapshot_created_at IS NULL)",
        context=built["vm"]["context_id"],
    )


def test_a_hung_driver_injection_is_cleaned(either_stand: Stand) -> None:
    stand = either_stand
    built = stand.build("F11", "pgtest1", disks=3)
    stand.apply_cleanup("pgtest1", "pgtest1")
    torn: list[dict[str, Any]] = []

    def ready() -> bool:
        torn.extend(half_cleared(stand, built))
        return stand.ready("pgtest1")[0] == "True"

    stand.wait_until(ready, what="Ready")
    cleanup = stand.wait_for("pgtest1", "Ready")

    assert torn == []
    assert_replica(stand, built)
    assert set(map(tuple, commands_of(stand, built).values())) == {
        ("detach", "revertSnapshot", "deleteSnapshot", "attach")
    }
    assert len(stand.requests(about=built)) == 4 * 3
    assert all(request["executed"] for request in stand.requests(about=built))

    assert condition(cleanup, "Ready") == ("True", "Cleaned")
    assert {condition(cleanup, goal) for goal in GOALS} == {("True", "GoalReached")}
    assert phases(cleanup) == dict.fromkeys(PHASES, "Completed") | {"cleanup-test-vm": "Skipped"}
    assert list(phases(cleanup)) == PHASES
    completed = [phase for phase in cleanup["status"]["phases"] if phase["state"] == "Completed"]
    assert all(phase["startedAt"] <= phase["completedAt"] for phase in completed)
    stand.wait_until(lambda: without_finalizer(stand, "pgtest1"), what="the finalizer is gone")


def test_a_cleanup_closes_the_rows_and_is_a_job_in_the_appliances_log(either_stand: Stand) -> None:
    stand = either_stand
    built = stand.build("F11", "rows1", disks=3)
    stand.apply_cleanup("rows1", "rows1")
    cleanup = stand.wait_for("rows1", "Ready")

    job_id, failed_id = cleanup["status"]["cleanupJobID"], built["failover_job_id"]
    (job,) = stand.rows("SELECT * FROM job_tracking WHERE id = :job", job=job_id)
    assert (job["job_type"], job["operation"]) == ("cleanup", "failed-execution-cleanup")
    assert (job["status"], job["context_id"]) == ("completed", built["vm"]["context_id"])
    steps = stand.rows("SELECT name, status FROM job_steps WHERE job_id = :job ORDER BY seq", job=job_id)
    assert sorted(step["name"] for step in steps) == sorted(PHASES)
    assert {step["name"]: step["status"] for step in steps} == dict.fromkeys(PHASES, "completed") | {
        "cleanup-test-vm": "skipped"
    }
    assert stand.rows("SELECT id FROM log_events WHERE job_id = :job", job=job_id)

    (failed,) = stand.rows("SELECT status FROM failover_jobs WHERE job_id = :job", job=failed_id)
    assert failed["status"] == "failed"
    assert tracking_status(stand, failed_id) == "failed"
    assert running_steps(stand, built) == []
    assert context_status(stand, built) == "ready_for_failover"
    volumes = stand.rows(
        "SELECT snapshot_id, snapshot_created_at, snapshot_status FROM ossea_volumes WHERE vm_context_id = :context",
        context=built["vm"]["context_id"],
    )
    assert [tuple(row.values()) for row in volumes] == [(None, None, "none")] * 3


def test_events_tell_transitions_once(stand: Stand) -> None:
    stand.build("F11", "events1", disks=2)
    stand.apply_cleanup("events1", "events1")
    stand.wait_for("events1", "Ready")
    stand.wait_until(lambda: any(e["reason"] == "Cleaned" for e in stand.events("events1")), what="the last Event")

    events = stand.events("events1")
    assert {event["type"] for event in events} == {"Normal"}
    assert {event["reportingController"] for event in events} == {"failover.ossea.io/failed-execution-cleanup"}
    told = Counter((event["reason"], event["note"]) for event in events)
    assert set(told.values()) == {1}
    once = [event for event in events if event["reason"] in {"PhaseCompleted", "Cleaned"}]
    assert Counter(event["reason"] for event in once) == {"PhaseCompleted": 4, "Cleaned": 1}
    assert not any(event.get("series") for event in once)


def test_only_rows_are_wrong_and_nothing_is_asked_of_daemon_and_cloud(stand: Stand) -> None:
    open_row = stand.build("F01-hang", "only-rows1")
    wrong_context = stand.build("R11", "only-rows2")
    stand.apply_cleanup("only-rows1", "only-rows1")
    stand.apply_cleanup("only-rows2", "only-rows2")

    for name, built in (("only-rows1", open_row), ("only-rows2", wrong_context)):
        cleanup = stand.wait_for(name, "Ready")
        assert stand.requests(about=built) == []
        assert condition(cleanup, "Ready") == ("True", "Cleaned")
        assert phases(cleanup) == dict.fromkeys(PHASES, "Skipped") | {"database-cleanup": "Completed"}
        skipped = [phase for phase in cleanup["status"]["phases"] if phase["state"] == "Skipped"]
        assert all(phase["reason"] and phase["message"] for phase in skipped)
        assert_replica(stand, built)
        assert context_status(stand, built) == "ready_for_failover"
        assert running_steps(stand, built) == []


def test_a_volume_in_mid_air_and_the_test_vm_are_cleaned(stand: Stand) -> None:
    in_mid_air = stand.build("F19", "mid-air1")
    with_own_root = stand.build("F17", "own-root1")
    stand.apply_cleanup("mid-air1", "mid-air1")
    stand.apply_cleanup("own-root1", "own-root1")

    for name, built in (("mid-air1", in_mid_air), ("own-root1", with_own_root)):
        cleanup = stand.wait_for(name, "Ready")
        assert condition(cleanup, "Ready") == ("True", "Cleaned")
        assert phases(cleanup)["cleanup-test-vm"] == "Completed"
        assert_replica(stand, built)
        state = stand.state()
        assert state["virtual_machines"][built["destination_vm_id"]]["removed"]
        roots = [volume for volume in state["volumes"].values() if volume["name"].startswith(f"ROOT-{name}")]
        assert roots
        assert all(root["removed"] for root in roots)
        assert stand.requests("destroyVirtualMachine", about=built)[-1]["sequence"] > max(
            request["sequence"] for request in stand.requests("attach", about=built)
        )
        assert all("volumeids" not in r["parameters"] for r in stand.requests("destroyVirtualMachine", about=built))


def test_two_vms_and_a_name_with_spaces_and_capitals_are_cleaned_at_once(stand: Stand) -> None:
    vms = {"at-once1": "at-once1", "at-once2": "at-once2", "at-once3": "SQL Server 02 (Test)"}
    built = {name: stand.build("F11", vm_name, disks=2) for name, vm_name in vms.items()}
    stand.apply(*[stand.manifest(name, vm_name) for name, vm_name in vms.items()])
    for name in vms:
        assert condition(stand.wait_for(name, "Ready"), "Ready") == ("True", "Cleaned")
        assert_replica(stand, built[name])


def test_a_second_apply_does_nothing(stand: Stand) -> None:
    built = stand.build("F11", "twice1", disks=2)
    stand.apply_cleanup("twice1", "twice1")
    stand.wait_for("twice1", "Ready")
    stand.wait_until(lambda: without_finalizer(stand, "twice1"), what="the finalizer is gone")
    before, asked = stand.cleanup("twice1"), stand.requests(about=built)

    stand.apply_cleanup("twice1", "twice1")
    # A cleanup applied later is through: whatever the second apply led to has happened by now.
    stand.build("F01-hang", "twice2")
    stand.apply_cleanup("twice2", "twice2")
    stand.wait_for("twice2", "Ready")

    assert stand.cleanup("twice1") == before
    assert stand.requests(about=built) == asked


def test_a_run_asked_for_again_finds_everything_clean_and_later_a_newer_failover(stand: Stand) -> None:
    built = stand.build("F11", "again1", disks=2)
    stand.apply_cleanup("again1", "again1")
    stand.wait_for("again1", "Ready")
    asked = stand.requests(about=built)

    stand.annotate("again1", requestedAt="2026-10-01T10:00:00Z")
    stand.wait_until_handled("again1", "2026-10-01T10:00:00Z")
    cleanup = stand.wait_for("again1", "Ready")
    assert condition(cleanup, "Ready")[1] in {"AlreadyClean", "Cleaned"}
    assert stand.requests(about=built) == asked

    newer = stand.act("add_healthy_failover", vm_name="again1")
    stand.annotate("again1", requestedAt="2026-10-02T10:00:00Z")
    stand.wait_until_handled("again1", "2026-10-02T10:00:00Z")
    cleanup = stand.wait_for("again1", "Ready")
    assert condition(cleanup, "Ready") == ("True", "Superseded")
    assert cleanup["status"]["failedJob"]["id"] == built["failover_job_id"]
    assert stand.requests(about=built) == asked
    assert stand.holders(newer) == {newer["destination_vm_id"]}
    assert [r for r in stand.requests(about=newer) if r not in asked and r["sequence"] > asked[-1]["sequence"]] == []


def test_a_suspended_cleanup_touches_nothing_until_it_is_resumed(stand: Stand) -> None:
    built = stand.build("F11", "suspended1", disks=2)
    stand.apply_cleanup("suspended1", "suspended1", suspend=True)
    cleanup = stand.wait_for("suspended1", "Suspended")
    assert condition(cleanup, "Ready") == ("False", "Suspended")
    assert "finalizers" not in cleanup["metadata"]
    assert stand.requests(about=built) == []

    stand.apply_cleanup("suspended1", "suspended1", suspend=False)
    assert condition(stand.wait_for("suspended1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


@pytest.fixture
def slow_reverts(stand: Stand) -> Any:
    """Reverts take long enough to do something meanwhile."""
    stand.latency(revertSnapshot=2.0)
    yield
    stand.latency(revertSnapshot=0.0)


@pytest.mark.usefixtures("slow_reverts")
def test_suspending_in_the_middle_lets_go_in_order_and_resuming_finishes(stand: Stand) -> None:
    built = stand.build("F11", "suspended2", disks=3)
    stand.apply_cleanup("suspended2", "suspended2")
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")

    stand.annotate("suspended2", suspended="true")
    cleanup = stand.wait_for("suspended2", "Suspended")
    assert condition(cleanup, "Ready") == ("False", "Suspended")
    stand.wait_until(lambda: without_finalizer(stand, "suspended2"), what="the finalizer is gone")
    (claim,) = stand.rows(
        "SELECT status, owner FROM job_tracking WHERE id = :job", job=cleanup["status"]["cleanupJobID"]
    )
    assert claim["status"] == "cancelled"
    volumes = stand.state()["volumes"]
    reverted = {request["object_ids"][0] for request in stand.requests("revertSnapshot", about=built)}
    for volume_id, snapshot_id in built["snapshot_ids"].items():
        if snapshot_id in reverted:
            at_home = volumes[volume_id]["virtualmachineid"] == stand.oma_vm_id
            assert at_home or volumes[volume_id]["name"] in message(cleanup)

    stand.kubectl("annotate", "fec/suspended2", "failover.ossea.io/suspended-")
    assert condition(stand.wait_for("suspended2", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


@pytest.mark.usefixtures("slow_reverts")
def test_deleting_in_the_middle_loses_nothing_and_a_new_cleanup_finishes(stand: Stand) -> None:
    built = stand.build("F11", "deleted1", disks=2)
    stand.apply_cleanup("deleted1", "deleted1")
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")

    stand.kubectl("delete", "fec/deleted1", "--wait=false")
    stand.wait_until_gone("deleted1")
    assert stand.state()["pending_jobs"] == []
    reverted = {effect["object_id"] for effect in stand.effects("reverted")}
    snapshots = {snapshot["volume_id"] for snapshot in stand.snapshots(built)}
    assert all(volume_id in reverted | snapshots for volume_id in built["volume_ids"])

    stand.apply_cleanup("deleted1", "deleted1")
    assert condition(stand.wait_for("deleted1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


def test_a_plan_says_what_would_be_done_and_executing_does_it(stand: Stand) -> None:
    built = stand.build("F19", "planned1", disks=2)
    stand.apply_cleanup("planned1", "planned1", mode="Plan")
    cleanup = stand.wait_for("planned1", "Planned")
    assert condition(cleanup, "Ready")[1] == "PlanReady"
    plan = cleanup["status"]["plan"]
    assert [action["step"] for action in plan] == list(range(1, len(plan) + 1))
    assert {action["phase"] for action in plan} == set(PHASES)
    assert all(action["why"] for action in plan)
    assert cleanup["status"]["planHash"]
    assert "finalizers" not in cleanup["metadata"]
    assert stand.requests(about=built) == []
    assert context_status(stand, built) == "failed_over_test"

    stand.apply_cleanup("planned1", "planned1", mode="Execute")
    assert condition(stand.wait_for("planned1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
