"""Which job failed and what belongs to it (rules 1, 2, 4, 5)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from failed_execution_cleanup.recovery import incident as incidents
from failed_execution_cleanup.recovery.decide import Done
from failed_execution_cleanup.recovery.incident import (
    Incident,
    newest_job_id,
    resolve,
    snapshot_name_parts,
    superseded_by,
)
from tests.unit.recovery.worlds import DATA, JOB, OFFSET, OMA, TVM, Scene, healthy_start, leftover, work

STUCK = timedelta(minutes=30)


def incident_of(scene: Scene, job_id: str = JOB) -> Incident:
    found = resolve(scene.records(), job_id)
    assert found is not None
    return found


def test_a_vm_without_any_job_has_no_incident() -> None:
    assert newest_job_id(healthy_start().records()) is None
    assert resolve(healthy_start().records(), JOB) is None


def test_an_open_failover_without_a_row_is_a_job() -> None:
    scene = leftover("F01")
    assert newest_job_id(scene.records()) == JOB
    assert (incident_of(scene).job, incident_of(scene).failovers) == (None, ())


def test_a_closed_failover_without_a_row_is_no_job() -> None:
    scene = leftover("F01")
    scene.tracking = [replace(row, status="failed", steps=()) for row in scene.tracking]
    assert newest_job_id(scene.records()) is None


def test_an_open_failover_without_a_row_counts_only_if_newer_than_all_rows() -> None:
    scene = leftover("F12")
    scene.tracked(row_id="older", age=timedelta(hours=5))
    assert newest_job_id(scene.records()) == JOB
    scene.tracked(row_id="newer", age=timedelta(hours=1))
    assert newest_job_id(scene.records()) == "newer"
    assert superseded_by(scene.records(), incident_of(scene)) == "newer"


def test_a_closed_job_that_never_had_a_row_is_not_superseded_by_older_ones() -> None:
    scene = leftover("F01")
    scene.job(job_id="older", age=timedelta(days=1), status="failed")
    scene.tracking = [replace(row, status="failed", steps=()) for row in scene.tracking]
    assert newest_job_id(scene.records()) == "older"
    assert superseded_by(scene.records(), incident_of(scene)) is None


def test_older_open_jobs_belong_to_the_incident_and_closed_ones_do_not() -> None:
    scene = leftover("F12")
    scene.job(job_id="open", row_id=0, age=timedelta(days=1))
    scene.job(job_id="closed", row_id=-1, status="failed", age=timedelta(days=2))
    assert [job.job_id for job in incident_of(scene).failovers] == [JOB, "open"]


def test_an_older_open_live_job_makes_the_incident_live() -> None:
    scene = leftover("F12")
    scene.job(job_id="open", row_id=0, live=True, age=timedelta(days=1))
    assert incident_of(scene).live
    assert incident_of(scene).operation == "test failover"


@pytest.mark.parametrize(
    ("code", "ended"),
    [("F11", False), ("F12", True), ("F12b", False), ("F28", False), ("R07", False), ("R09", True), ("C03", True)],
)
def test_only_a_job_that_its_engine_ended_cannot_wake_up(code: str, ended: bool) -> None:
    assert incident_of(leftover(code)).ended_by_engine is ended


def test_a_step_left_running_means_the_engine_did_not_end_the_job() -> None:
    scene = leftover("F11")
    scene.tracking = [replace(row, status="failed") for row in scene.tracking]
    assert not incident_of(scene).ended_by_engine


def test_a_purged_tracking_row_means_the_engine_did_not_end_the_job() -> None:
    scene = leftover("F12")
    scene.tracking.clear()
    assert not incident_of(scene).ended_by_engine


def test_an_older_job_closed_by_hand_keeps_the_whole_incident_unsettled() -> None:
    scene = leftover("F12")
    scene.job(job_id="older", row_id=0, age=timedelta(days=1))
    scene.tracked(row_id="older", status="completed", age=timedelta(days=1))
    assert not incident_of(scene).ended_by_engine


def test_the_final_sync_may_be_silent_for_longer() -> None:
    scene = healthy_start()
    scene.job(live=True)
    scene.tracked(operation="unified-live-failover", steps=(("final-sync", "running"),))
    assert incident_of(scene).stuck_threshold(STUCK) == timedelta(minutes=45)
    assert incident_of(scene).stuck_threshold(timedelta(hours=2)) == timedelta(hours=2)
    assert incident_of(leftover("F11")).stuck_threshold(STUCK) == STUCK


def test_whether_a_step_begun_is_unknown_without_step_rows() -> None:
    assert incident_of(leftover("F12")).step_begun("virtio-driver-injection") is True
    assert incident_of(leftover("F12")).step_begun("vm-startup-and-validation") is False
    purged = leftover("F12")
    purged.tracking.clear()
    assert incident_of(purged).step_begun("vm-startup-and-validation") is None


def test_a_rollback_after_the_job_belongs_to_it_and_an_earlier_one_does_not() -> None:
    scene = leftover("R09")
    operation = "enhanced-test-failover-rollback"
    scene.tracked(row_id="old", job_type="cleanup", operation=operation, status="completed", age=timedelta(days=1))
    assert [row.id for row in incident_of(scene).rollbacks] == ["rollback-1"]


def found_vms(scene: Scene) -> list[str]:
    return [vm.id for vm in incidents.test_vms(scene.world(), incident_of(scene))]


def test_an_unrecorded_test_vm_is_found_by_the_epoch_of_the_job() -> None:
    assert found_vms(leftover("F15")) == [TVM]


@pytest.mark.parametrize("shift", [timedelta(hours=-1), timedelta(hours=1)])
def test_the_epoch_may_be_an_hour_of_daylight_saving_off(shift: timedelta) -> None:
    scene = leftover("F15")
    scene.jobs = [replace(job, created_at=job.created_at + shift) for job in scene.jobs]
    assert found_vms(scene) == [TVM]


def test_another_epoch_another_name_or_an_older_vm_is_not_ours() -> None:
    scene = leftover("F15")
    vm = scene.vms[TVM]
    created = vm.created
    assert created is not None
    for other in (
        replace(vm, display_name=f"pgtest1-test-{int(created.timestamp()) + 7}"),
        replace(vm, display_name="pgtest1-test"),
        replace(vm, created=created - timedelta(days=1)),
        replace(vm, created=None),
    ):
        scene.vms[TVM] = other
        assert found_vms(scene) == []


def test_a_live_failovers_vm_is_never_found_by_name() -> None:
    scene = leftover("F15")
    scene.jobs = [replace(job, job_type="live") for job in scene.jobs]
    assert found_vms(scene) == []
    scene.jobs = [replace(job, destination_vm_id=TVM) for job in scene.jobs]
    assert found_vms(scene) == [TVM]


def test_the_appliance_is_never_a_test_vm_whatever_is_recorded() -> None:
    scene = leftover("F12")
    scene.jobs = [replace(job, destination_vm_id=OMA) for job in scene.jobs]
    assert found_vms(scene) == []


def test_snapshot_names_of_people_are_not_taken_apart() -> None:
    parts = snapshot_name_parts("multi-test-failover-disk-2000-1759744800")
    assert parts is not None
    assert (parts[0], int(parts[1].timestamp())) == ("disk-2000", 1759744800)
    for name in ("before-the-upgrade", "multi-test-failover-disk-2000", "multi-test-failover-disk-2000-x", ""):
        assert snapshot_name_parts(name) is None


def test_the_offset_between_the_two_clocks_is_rounded_to_minutes() -> None:
    assert healthy_start().records().clock.offset == OFFSET


def nameless(*mentions: str, vm_name: str = "pgtest1") -> Scene:
    """A product cleanup without context id that died an hour ago; this is what it logged."""
    scene = leftover("F12")
    scene.vm_name = vm_name
    row = scene.tracked(
        row_id="nameless",
        job_type="cleanup",
        operation="failed-execution-cleanup",
        steps=(("detach-attached-volumes", "running"),),
        context_id=None,
        age=timedelta(hours=1),
    )
    scene.tracking[-1] = replace(row, mentions=mentions)
    return scene


@pytest.mark.parametrize(
    ("mention", "proven"),
    [
        ('Starting failed execution cleanup {"vm_name": "pgtest1"}', True),
        ('Starting failed execution cleanup {"vm_name":"pgtest1"}', True),
        (f"volume {DATA} detached", True),
        ('Starting failed execution cleanup {"vm_name": "pgtest1 old"}', False),
        ('Starting failed execution cleanup {"vm_name": "old-pgtest1"}', False),
        ("cleanup of pgtest1", False),
        (f"volume {DATA}-copy detached", False),
        ("", False),
    ],
)
def test_a_cleanup_without_context_is_of_this_incident_only_with_proof(mention: str, proven: bool) -> None:
    incident = incident_of(nameless(mention))
    assert ("nameless" in {row.id for row in incident.relatives}) is proven
    assert ("nameless" in {row.id for row in incident.nameless}) is not proven


def test_a_name_proves_nothing_where_two_vcenters_have_it_but_a_volume_does() -> None:
    for mention, proven in (('{"vm_name": "pgtest1"}', False), (DATA, True)):
        records = replace(nameless(mention).records(), namesakes=1)
        incident = resolve(records, JOB)
        assert incident is not None
        assert ("nameless" in {row.id for row in incident.relatives}) is proven


def test_a_proven_row_is_closed_with_the_incident_after_a_quiet_time() -> None:
    scene = nameless('{"vm_name": "pgtest1"}')
    assert not incident_of(scene).ended_by_engine
    decision, _ = work(scene)
    assert isinstance(decision, Done)
    (row,) = (row for row in scene.tracking if row.id == "nameless")
    assert (row.status, [step.status for step in row.steps]) == ("failed", ["failed"])


def test_a_row_that_may_be_anybodys_is_never_written() -> None:
    scene = nameless("cleanup of pgtest1")
    assert incident_of(scene).ended_by_engine
    before = scene.tracking[-1]
    decision, _ = work(scene)
    assert isinstance(decision, Done)
    assert scene.tracking[-1] == before
