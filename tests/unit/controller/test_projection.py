"""The status of a cleanup, from what is known: worlds are built by hand and judged by the real core."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from failed_execution_cleanup.controller.projection import is_finished, project, project_waiting
from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.actions import Phase as PhaseOfRun
from failed_execution_cleanup.recovery.approval import plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait, decide
from failed_execution_cleanup.recovery.goals import Goal, GoalState, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome, PhaseRecord, Request
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, SUCCESSES, WAITS, needs_person
from failed_execution_cleanup.recovery.reasons import Reason as CoreReason
from failed_execution_cleanup.recovery.world import (
    Clock,
    Cloud,
    CloudSnapshot,
    CloudVM,
    CloudVolume,
    ContextRow,
    DiskRow,
    FailoverRow,
    MappingRow,
    Records,
    ReplicationRow,
    StepRow,
    SyncRow,
    TrackingRow,
    VolumeRow,
    World,
)
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup, PhaseState
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import GOALS, Reason
from failed_execution_cleanup.run.claim import dump_memory, load_memory
from failed_execution_cleanup.run.order import Progress

UTC_DIGITS = datetime(2026, 3, 1, 12, 0, 0)  # noqa: DTZ001 - digits of a database clock
LOCAL_DIGITS = UTC_DIGITS + timedelta(hours=2)
NOW = UTC_DIGITS.replace(tzinfo=UTC)
CREATED = LOCAL_DIGITS - timedelta(hours=5)
OMA, TEST_VM = "vm-oma", "vm-test"
SNAPSHOT = "snap-1"
VALIDATED = StepRow(1, 1, "validation", "completed", CREATED, CREATED, None)


def cleanup(
    status: CleanupStatus | None = None,
    *,
    generation: int = 3,
    requested_at: str | None = None,
    approved_plan: str | None = None,
    suspended: bool = False,
) -> FailedExecutionCleanup:
    told = {"failover.ossea.io/requestedAt": requested_at, "failover.ossea.io/approvedPlan": approved_plan}
    marks = {name: value for name, value in told.items() if value is not None}
    body: dict[str, Any] = {
        "metadata": {"name": "pgtest1", "namespace": "dr", "uid": "u", "generation": generation, "annotations": marks},
        "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}, "suspend": suspended},
    }
    if status is not None:
        body["status"] = status.to_kubernetes()
    return FailedExecutionCleanup.model_validate(body)


def mapping(volume_id: str) -> MappingRow:
    return MappingRow(volume_id, OMA, "oma", "/dev/disk/by-id/virtio-" + "0" * 20, None)


def clean_world() -> World:
    """A VM whose only test failover failed and was cleaned up: all is as wanted."""
    steps = (VALIDATED, StepRow(2, 2, "virtio-driver-injection", "completed", CREATED, CREATED, None))
    records = Records(
        clock=Clock(local=LOCAL_DIGITS, utc=UTC_DIGITS),
        oma_vm_ids=(OMA,),
        context=ContextRow("ctx-1", "pgtest1", "vc01", "4200", "ready_for_failover", None, "repl-1"),
        failovers=(FailoverRow(7, "job-1", "test", "failed", "pgtest1", None, None, CREATED, CREATED),),
        tracking=(
            TrackingRow(
                "job-1", "failover", "unified-test-failover", "failed", "ctx-1", None, None, CREATED, CREATED, steps
            ),
        ),
        replications=(),
        syncs=(SyncRow("disk-2000", "full", success=True, change_id="c", created_at=CREATED - timedelta(hours=1)),),
        disks=(DiskRow("disk-2000", 1, "c"), DiskRow("disk-2001", 2, "c")),
        volumes=(
            VolumeRow(1, "vol-1", "pgtest1-0", 10, "available", None, None, None, None),
            VolumeRow(2, "vol-2", "pgtest1-1", 20, "available", None, None, None, None),
        ),
        mappings=(mapping("vol-1"), mapping("vol-2")),
        operations=(),
        exports=frozenset({"vol-1", "vol-2"}),
    )
    cloud = Cloud(
        vms={OMA: CloudVM(OMA, "i-1", "oma", "Running")},
        volumes={
            "vol-1": CloudVolume("vol-1", "pgtest1-0", "DATADISK", "Ready", 10 * 1024**3, OMA),
            "vol-2": CloudVolume("vol-2", "pgtest1-1", "DATADISK", "Ready", 20 * 1024**3, OMA),
        },
        snapshots={},
    )
    # Injection would make the OS disk suspect; here a full sync came after the job.
    synced = SyncRow("disk-2000", "full", success=True, change_id="d", created_at=CREATED + timedelta(hours=1))
    return World(replace(records, syncs=(*records.syncs, synced)), cloud)


def broken_world(*, injected: bool = True) -> World:
    """Driver injection hung five hours ago: a test VM holds the OS disk, its snapshot is left, the rows are open."""
    world = clean_world()
    injection = StepRow(2, 2, "virtio-driver-injection", "running", CREATED + timedelta(minutes=5), None, None)
    steps = (VALIDATED, injection) if injected else ()
    job = replace(world.records.failovers[0], status="creating_vm", destination_vm_id=TEST_VM, completed_at=None)
    records = replace(
        world.records,
        context=replace(world.records.context, current_status="failed_over_test"),
        failovers=(job,),
        tracking=(replace(world.records.tracking[0], status="running", completed_at=None, steps=steps),),
        syncs=world.records.syncs[:1],
        volumes=(
            replace(
                world.records.volumes[0],
                snapshot_id=SNAPSHOT,
                snapshot_created_at=CREATED + timedelta(minutes=1),
                snapshot_status="ready",
            ),
            world.records.volumes[1],
        ),
    )
    cloud = replace(
        world.cloud,
        vms={**world.cloud.vms, TEST_VM: CloudVM(TEST_VM, "i-2", "pgtest1-test-1", "Stopped")},
        volumes={**world.cloud.volumes, "vol-1": replace(world.cloud.volumes["vol-1"], vm_id=TEST_VM)},
        snapshots={
            "vol-1": (CloudSnapshot(SNAPSHOT, "multi-test-failover-disk-2000-1772352000", "vol-1", "BackedUp", NOW),)
        },
    )
    return World(records, cloud)


def progress_of(world: World, memory: Memory | None = None, wish: Wish | None = None, **told: Any) -> Progress:
    memory = memory or Memory("job-1")
    return Progress(decide(world, wish or Wish(), memory), world, memory, **told)


def broken() -> Assessment:
    assessment = progress_of(broken_world()).decision.assessment
    assert assessment.steps
    return assessment


def conditions(status: CleanupStatus) -> dict[str, tuple[str, str]]:
    return {found.type: (found.status.value, found.reason) for found in status.conditions}


def ready_of(status: CleanupStatus) -> tuple[str, str]:
    return conditions(status)["Ready"]


def message_of(status: CleanupStatus, type_: str) -> str:
    found = get_condition(status.conditions, type_)
    assert found is not None
    return found.message


ABNORMAL = {"Reconciling", "Stalled", "Suspended", "Planned", "Drifted", "DataSuspect"}


def abnormal(status: CleanupStatus) -> set[str]:
    return ABNORMAL & conditions(status).keys()


def running_memory(**changes: Any) -> Memory:
    """A run that is detaching the OS disk."""
    memory = Memory(
        "job-1",
        number=1,
        started_at=UTC_DIGITS - timedelta(minutes=5),
        requests=(Request(Kind.DETACH, "vol-1", 1, 1, UTC_DIGITS, volume_id="vol-1"),),
        phases={PhaseOfRun.DETACH: PhaseRecord(UTC_DIGITS - timedelta(minutes=4), step_id=1, total=1)},
    )
    return replace(memory, **changes)


def finished_memory(**changes: Any) -> Memory:
    """A run that did the first four phases' work and closed the rows."""
    at = UTC_DIGITS - timedelta(minutes=1)
    records = {phase: PhaseRecord(at, at, step_id=1, total=1) for phase in PhaseOfRun}
    records[PhaseOfRun.TEST_VM] = PhaseRecord(skipped="the failed job left no VM")
    return replace(Memory("job-1", 1, started_at=UTC_DIGITS - timedelta(minutes=5), phases=records), **changes)


# -- decisions and conditions ------------------------------------------------------------------------------------------

WHAT = Assessment()
SECOND = timedelta(seconds=30)


@pytest.mark.parametrize(
    ("decision", "ready", "beside"),
    [
        *((Done(reason, "m", WHAT), ("True", reason.value), set()) for reason in sorted(SUCCESSES)),
        (Done(CoreReason.REPLICA_NOT_CONSISTENT, "m", WHAT), ("False", "ReplicaNotConsistent"), {"Stalled"}),
        (
            Done(CoreReason.CLEANED_DATA_SUSPECT, "m", WHAT),
            ("False", "CleanedDataSuspect"),
            {"Stalled", "DataSuspect"},
        ),
        *((Wait(reason, "m", SECOND, WHAT), ("False", reason.value), {"Reconciling"}) for reason in sorted(WAITS)),
        (Wait(None, "m", SECOND, WHAT), ("Unknown", "Progressing"), {"Reconciling"}),
        (Act((), WHAT), ("Unknown", "Progressing"), {"Reconciling"}),
        *(
            (Refuse(reason, "m", WHAT), ("False", reason.value), {"Stalled"})
            for reason in sorted(CoreReason)
            if needs_person(reason) and reason not in FINAL_FAILURES
        ),
        (Stopped("m", (), WHAT), ("False", "Suspended"), {"Suspended"}),
    ],
)
def test_ready_tells_the_reason_and_only_what_follows_from_it_stands_beside(
    decision: Decision, ready: tuple[str, str], beside: set[str]
) -> None:
    status = project(cleanup(), Progress(decision, clean_world(), Memory("job-1")), NOW)
    assert ready_of(status) == ready
    assert abnormal(status) == beside


def test_every_condition_and_the_status_carry_the_generation_that_was_taken_into_account() -> None:
    first = project(cleanup(generation=3), progress_of(broken_world()), NOW)
    second = project(cleanup(first, generation=4), Progress(first_refusal()), NOW)
    assert second.observed_generation == 4
    assert {found.observed_generation for found in second.conditions} == {4}


def first_refusal() -> Refuse:
    return Refuse(CoreReason.UNKNOWN_VM, "the appliance knows no such VM", Assessment())


def test_a_change_after_the_order_was_made_does_not_look_handled() -> None:
    ordered = cleanup(generation=3, requested_at="a")
    status = project(cleanup(generation=4, requested_at="b"), Progress(first_refusal()), NOW, ordered=ordered)
    assert (status.observed_generation, status.last_handled_request) == (3, "a")


def test_transition_times_move_only_with_the_status_of_a_condition() -> None:
    first = project(cleanup(), progress_of(broken_world()), NOW)
    later = project(cleanup(first), progress_of(broken_world()), NOW + timedelta(minutes=1))
    assert later.conditions == first.conditions
    refused = project(cleanup(later), Progress(first_refusal(), broken_world()), NOW + timedelta(minutes=2))
    stalled = get_condition(refused.conditions, "Stalled")
    assert stalled is not None
    assert stalled.last_transition_time == NOW + timedelta(minutes=2)


def test_conditions_of_others_are_left_alone() -> None:
    foreign = {
        "type": "example.com/Audited",
        "status": "True",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "reason": "Signed",
        "message": "",
    }
    present = CleanupStatus.model_validate({"conditions": [foreign]})
    status = project(cleanup(present), progress_of(broken_world()), NOW)
    kept = get_condition(status.conditions, "example.com/Audited")
    assert kept is not None
    assert kept.to_kubernetes() == foreign


def test_goals_are_unknown_before_the_first_look() -> None:
    status = project(cleanup(), Progress(Wait(CoreReason.APPLIANCE_UNREACHABLE, "no", SECOND, WHAT)), NOW)
    assert {conditions(status)[goal] for goal in GOALS} == {("Unknown", "NotObserved")}


def test_goals_show_what_was_observed() -> None:
    seen = conditions(project(cleanup(), progress_of(broken_world()), NOW))
    assert [seen[goal] for goal in GOALS] == [("False", "GoalNotReached")] * 4
    seen = conditions(project(cleanup(), progress_of(clean_world()), NOW))
    assert [seen[goal] for goal in GOALS] == [("True", "GoalReached")] * 4


def test_a_context_that_does_not_deserve_ready_says_why() -> None:
    world = clean_world()
    newest = ReplicationRow("repl-2", "failed", CREATED, CREATED, CREATED, CREATED, None, 4096)
    context = replace(world.records.context, current_status="failed")
    world = replace(world, records=replace(world.records, context=context, replications=(newest,)))
    status = project(cleanup(), progress_of(world), NOW)
    assert ready_of(status) == ("False", "ReplicaNotConsistent")
    assert conditions(status)["ContextReady"] == ("False", "ReplicaNotConsistent")


def test_a_retry_after_a_failed_attempt_is_told_apart_from_work() -> None:
    failed = Request(Kind.DETACH, "vol-1", 1, 1, UTC_DIGITS, "vol-1", outcome=Outcome.NO_EFFECT, settled_at=UTC_DIGITS)
    memory = running_memory(requests=(failed,))
    status = project(
        cleanup(),
        Progress(Wait(None, "retried", SECOND, broken()), broken_world(), memory, "claim-1", claimed=True),
        NOW,
    )
    assert ready_of(status) == ("Unknown", "ProgressingWithRetry")
    assert status.next_attempt_at == NOW + SECOND


@pytest.mark.parametrize("left", ["a request", "only rows"])
def test_an_end_does_not_count_while_the_claim_is_held(left: str) -> None:
    decision = Done(CoreReason.CLEANED, "all done", progress_of(clean_world()).decision.assessment)
    memory = running_memory() if left == "a request" else running_memory(requests=())
    status = project(cleanup(), Progress(decision, clean_world(), memory, "claim-1", claimed=True), NOW)
    assert ready_of(status) == ("Unknown", "Progressing")
    assert status.completed_at is None
    assert not status.history


@pytest.mark.parametrize("left", ["a request", "only rows"])
def test_a_stop_is_no_last_word_while_the_claim_is_held(left: str) -> None:
    refused = Refuse(CoreReason.RUNNING_TEST_VM, "vm-7 is running.", broken())
    memory = running_memory() if left == "a request" else running_memory(requests=())
    working = Progress(refused, broken_world(), memory, "claim-1", claimed=True)
    status = project(cleanup(), working, NOW)
    assert ready_of(status) == ("Unknown", "Progressing")
    assert "Stalled" not in conditions(status)
    message = next(condition.message for condition in status.conditions if condition.type == "Ready")
    assert ("RunningTestVM" in message, "vm-7 is running." in message) == (True, True)
    stopped = project(cleanup(), replace(working, claimed=False), NOW)
    assert ready_of(stopped) == ("False", "RunningTestVM")


def test_content_nobody_can_vouch_for_is_named_until_it_is_settled() -> None:
    world = broken_world()
    world = replace(world, cloud=replace(world.cloud, snapshots={}))
    progress = progress_of(world)
    assert isinstance(progress.decision, Refuse)
    status = project(cleanup(), progress, NOW)
    assert conditions(status)["DataSuspect"] == ("True", "ContentUnproven")
    assert "vol-1" in message_of(status, "DataSuspect")
    unreachable = Progress(Wait(CoreReason.APPLIANCE_UNREACHABLE, "no", SECOND, WHAT))
    assert "DataSuspect" in abnormal(project(cleanup(status), unreachable, NOW))
    assert "DataSuspect" not in abnormal(project(cleanup(status), progress_of(clean_world()), NOW))


def test_content_that_was_accepted_is_told_apart() -> None:
    world = broken_world()
    world = replace(world, cloud=replace(world.cloud, snapshots={}))
    wish = Wish(waivers=frozenset({Waiver("AcceptContent", "vol-1")}))
    memory = Memory("job-1", waivers_used=(("AcceptContent", "vol-1"),))
    status = project(cleanup(), progress_of(world, memory, wish), NOW)
    assert conditions(status)["DataSuspect"] == ("True", "ContentAccepted")
    assert [used.used_at for used in status.waivers_used] == [NOW]
    later = project(cleanup(status), progress_of(world, memory, wish), NOW + timedelta(hours=1))
    assert [used.used_at for used in later.waivers_used] == [NOW]


# -- what was observed -------------------------------------------------------------------------------------------------


def test_times_of_the_database_become_utc() -> None:
    job = project(cleanup(), progress_of(broken_world()), NOW).failed_job
    assert job is not None
    assert job.started_at == NOW - timedelta(hours=5)
    assert job.stuck_since == NOW - timedelta(hours=4, minutes=55)
    assert (job.id, job.type, job.last_step, job.state) == ("job-1", "test", "virtio-driver-injection", "creating_vm")


def test_closing_the_rows_is_no_sign_of_life() -> None:
    before = project(cleanup(), progress_of(broken_world()), NOW)
    world = clean_world()
    closed = replace(world.records.tracking[0], completed_at=LOCAL_DIGITS)
    world = replace(world, records=replace(world.records, tracking=(closed,)))
    after = project(cleanup(before), progress_of(world, finished_memory()), NOW)
    assert before.failed_job is not None
    assert after.failed_job is not None
    assert after.failed_job.stuck_since == before.failed_job.stuck_since
    assert after.failed_job.state == "failed"


def test_volumes_vms_and_context_are_shown_as_observed() -> None:
    status = project(cleanup(), progress_of(broken_world()), NOW)
    shown = [(v.id, v.disk, v.holder, v.holder_vm_id, v.snapshots, v.state) for v in status.volumes]
    assert shown == [
        ("vol-1", "disk-2000", "TestVM", TEST_VM, 1, "Ready"),
        ("vol-2", "disk-2001", "OMA", OMA, 0, "Ready"),
    ]
    assert [(vm.id, vm.name, vm.state) for vm in status.test_vms] == [(TEST_VM, "pgtest1-test-1", "Stopped")]
    assert status.context is not None
    assert (status.context.id, status.context.status) == ("ctx-1", "failed_over_test")


def test_a_volume_names_the_request_on_it_and_what_forbids_the_next() -> None:
    world = broken_world()
    volumes = {**world.cloud.volumes}
    del volumes["vol-2"]
    world = replace(world, cloud=replace(world.cloud, volumes=volumes))
    status = project(cleanup(), progress_of(world, running_memory()), NOW)
    first, second = status.volumes
    assert first.step == "detach"
    assert second.holder == "Unknown"
    assert second.message is not None
    assert "vol-2" in second.message


def test_a_vm_that_left_the_list_is_expunged() -> None:
    before = project(cleanup(), progress_of(broken_world()), NOW)
    after = project(cleanup(before), progress_of(clean_world(), finished_memory()), NOW)
    assert [(vm.id, vm.state) for vm in after.test_vms] == [(TEST_VM, "Expunged")]


def test_leftovers_are_reported() -> None:
    world = broken_world()
    old = replace(world.cloud.snapshots["vol-1"][0], state="CreatedOnPrimary")
    world = replace(world, cloud=replace(world.cloud, snapshots={"vol-1": (old,)}))
    status = project(cleanup(), progress_of(world), NOW)
    assert [(item.kind, item.id) for item in status.leftovers] == [("Snapshot", SNAPSHOT)]


def test_what_cannot_be_observed_keeps_its_last_value() -> None:
    before = project(cleanup(), progress_of(broken_world(), running_memory(), claim_id="claim-1"), NOW)
    unreachable = Progress(Wait(CoreReason.APPLIANCE_UNREACHABLE, "OSSEA does not answer", SECOND, WHAT))
    after = project(cleanup(before), unreachable, NOW)
    assert ready_of(after) == ("False", "ApplianceUnreachable")
    same = set(CleanupStatus.model_fields) - {"conditions", "next_attempt_at", "last_handled_request"}
    assert {name: getattr(after, name) for name in same} == {name: getattr(before, name) for name in same}


# -- phases ------------------------------------------------------------------------------------------------------------


def states(status: CleanupStatus) -> list[str]:
    return [phase.state.value for phase in status.phases]


def test_phases_are_pending_before_anything_ran() -> None:
    status = project(cleanup(), progress_of(broken_world()), NOW)
    assert [phase.name for phase in status.phases] == [phase.value for phase in PhaseOfRun]
    assert states(status) == ["Pending"] * 5
    assert status.phase_summary == "0/5"


def test_a_running_phase_names_what_remains() -> None:
    memory = running_memory(
        phases={
            PhaseOfRun.DETACH: PhaseRecord(UTC_DIGITS, step_id=1, total=3),
            PhaseOfRun.TEST_VM: PhaseRecord(UTC_DIGITS, UTC_DIGITS, step_id=2, total=1),
        }
    )
    status = project(cleanup(), Progress(Act((), broken()), broken_world(), memory, "claim-1", claimed=True), NOW)
    detach = status.phases[0]
    assert (detach.state, detach.done, detach.total) == (PhaseState.RUNNING, 2, 3)
    assert detach.started_at == NOW
    assert detach.message is not None
    assert "vol-1" in detach.message


def test_a_completed_phase_counts() -> None:
    memory = running_memory(phases={PhaseOfRun.DETACH: PhaseRecord(UTC_DIGITS, UTC_DIGITS, step_id=1, total=2)})
    status = project(
        cleanup(), Progress(Act((), progress_of(clean_world()).decision.assessment), clean_world(), memory, "c"), NOW
    )
    assert states(status)[0] == "Completed"
    assert (status.phases[0].done, status.phase_summary) == (2, "1/5")


@pytest.mark.parametrize(
    ("decision", "state", "reason"),
    [
        (Refuse(CoreReason.DETACH_FAILING, "m", broken()), "Failed", "DetachFailing"),
        (Stopped("m", (), broken()), "Pending", "Suspended"),
        (Wait(CoreReason.QUIET_TIME, "m", SECOND, broken()), "Running", "QuietTime"),
        (Wait(None, "m", SECOND, broken()), "Running", None),
    ],
)
def test_a_begun_phase_tells_why_it_does_not_go_on(decision: Decision, state: str, reason: str | None) -> None:
    status = project(cleanup(), Progress(decision, broken_world(), running_memory(), "claim-1"), NOW)
    assert (status.phases[0].state, status.phases[0].reason) == (state, reason)
    assert states(status)[1:] == ["Pending"] * 4


def test_a_failed_phase_keeps_the_time_it_failed_at() -> None:
    progress = Progress(Refuse(CoreReason.DETACH_FAILING, "m", broken()), broken_world(), running_memory(), "claim-1")
    first = project(cleanup(), progress, NOW)
    later = project(cleanup(first), progress, NOW + timedelta(minutes=3))
    assert later.phases[0].completed_at == NOW


def test_where_nothing_was_needed_every_phase_is_skipped_with_its_reason() -> None:
    status = project(cleanup(), progress_of(clean_world()), NOW)
    assert ready_of(status) == ("True", "AlreadyClean")
    assert states(status) == ["Skipped"] * 5
    assert [phase.reason for phase in status.phases] == [
        "VolumesInPlace",
        "NoSnapshots",
        "VolumesInPlace",
        "NoTestVM",
        "RowsInPlace",
    ]
    assert all(phase.message for phase in status.phases)
    assert status.phase_summary == "5/5"
    assert not status.history


def test_without_a_failed_job_nothing_is_claimed_about_goals() -> None:
    world = clean_world()
    world = replace(world, records=replace(world.records, failovers=(), tracking=()))
    status = project(cleanup(), progress_of(world, Memory("")), NOW)
    assert ready_of(status) == ("True", "NothingToDo")
    assert not conditions(status).keys() & set(GOALS)
    assert {phase.reason for phase in status.phases} == {"NothingToDo"}
    assert (status.failed_job, status.volumes) == (None, ())


# -- runs --------------------------------------------------------------------------------------------------------------


def cleaned(present: CleanupStatus | None = None, *, requested_at: str | None = None, **memory: Any) -> CleanupStatus:
    progress = progress_of(clean_world(), finished_memory(handled_request=requested_at, **memory), claim_id="claim-1")
    return project(cleanup(present, requested_at=requested_at), progress, NOW)


def test_an_ended_run_is_told_once() -> None:
    first = cleaned()
    assert ready_of(first) == ("True", "Cleaned")
    assert states(first) == ["Completed", "Completed", "Completed", "Skipped", "Completed"]
    assert [(run.run, run.result, run.cleanup_job_id) for run in first.history] == [(1, "Cleaned", "claim-1")]
    assert (first.started_at, first.completed_at) == (NOW - timedelta(minutes=5), NOW)
    assert cleaned(first, finished="Cleaned") == first


def test_history_keeps_the_last_five_runs_newest_first() -> None:
    status: CleanupStatus | None = None
    for number in range(7):
        started = UTC_DIGITS + timedelta(hours=number)
        status = cleaned(status, requested_at=f"r{number}", started_at=started)
    assert status is not None
    assert [run.run for run in status.history] == [7, 6, 5, 4, 3]
    assert [run.requested_at for run in status.history] == ["r6", "r5", "r4", "r3", "r2"]


def test_a_finished_cleanup_is_frozen_although_the_world_moved_on() -> None:
    first = cleaned()
    assessment = broken()
    ended = Done(CoreReason.CLEANED, "finished; nothing is touched without a new request.", assessment)
    memory = finished_memory(finished="Cleaned")
    later = project(
        cleanup(first, generation=4), Progress(ended, broken_world(), memory, "claim-1"), NOW + timedelta(days=1)
    )
    frozen = {"Ready", *GOALS}
    assert {name: conditions(later)[name] for name in frozen} == {name: conditions(first)[name] for name in frozen}
    assert message_of(later, "Ready") == message_of(first, "Ready")
    assert (later.phases, later.completed_at, later.history) == (first.phases, first.completed_at, first.history)
    assert "DataSuspect" not in abnormal(later)
    assert {found.observed_generation for found in later.conditions} == {4}


def test_a_finished_cleanup_stays_finished_while_the_appliance_cannot_be_reached() -> None:
    first = cleaned()
    unreachable = Progress(Wait(CoreReason.APPLIANCE_UNREACHABLE, "no", SECOND, WHAT))
    later = project(cleanup(first, generation=4), unreachable, NOW)
    assert later == first.model_copy(update={"next_attempt_at": NOW + SECOND})
    assert later.observed_generation == 3


def test_suspending_a_finished_cleanup_does_not_undo_its_end() -> None:
    first = cleaned()
    stopped = Progress(Stopped("suspended; nothing is claimed.", (), WHAT))
    later = project(cleanup(first, generation=4), stopped, NOW + timedelta(hours=1))
    assert conditions(later) == conditions(first)
    assert later.completed_at == first.completed_at
    assert (later.observed_generation, {found.observed_generation for found in later.conditions}) == (4, {4})


def test_a_request_made_while_suspended_waits_for_the_end_of_the_suspension() -> None:
    stopped = Progress(Stopped("suspended; nothing is claimed.", (), WHAT))
    status = project(cleanup(requested_at="r1"), stopped, NOW)
    assert ready_of(status) == ("False", "Suspended")
    assert status.last_handled_request is None


def test_a_new_request_thaws_a_finished_cleanup() -> None:
    first = cleaned()
    memory = Memory("job-1", number=1, handled_request="again")
    progress = progress_of(broken_world(), memory, claim_id="claim-1")
    later = project(cleanup(first, requested_at="again"), progress, NOW)
    assert not is_finished(later)
    assert later.last_handled_request == "again"
    assert later.completed_at is None
    assert conditions(later)["VolumesAttached"] == ("False", "GoalNotReached")
    assert later.history == first.history


def test_an_erased_status_comes_back_from_the_memory() -> None:
    first = cleaned(requested_at="r1")
    ended = Done(CoreReason.CLEANED, "finished; nothing is touched without a new request.", broken())
    memory = finished_memory(finished="Cleaned", handled_request="r1")
    again = project(
        cleanup(requested_at="r1"), Progress(ended, broken_world(), memory, "claim-1"), NOW + timedelta(days=1)
    )
    assert ready_of(again) == ("True", "Cleaned")
    assert {conditions(again)[goal] for goal in GOALS} == {("True", "GoalReached")}
    assert again.phase_summary == first.phase_summary
    assert again.started_at == first.started_at
    assert again.completed_at == NOW - timedelta(minutes=1)
    assert again.last_handled_request == "r1"


def test_a_finished_run_that_was_superseded_later_keeps_its_result() -> None:
    superseded = Done(CoreReason.SUPERSEDED, "job-1 is not the newest", Assessment())
    memory = finished_memory(finished="Cleaned")
    status = project(cleanup(), Progress(superseded, clean_world(), memory, "claim-1"), NOW)
    assert ready_of(status) == ("True", "Superseded")
    assert [run.result for run in status.history] == ["Cleaned"]


def test_a_next_attempt_that_jitters_by_a_second_is_the_same() -> None:
    wait = Progress(Wait(CoreReason.QUIET_TIME, "m", SECOND, WHAT), broken_world(), Memory("job-1"))
    first = project(cleanup(), wait, NOW)
    assert first.next_attempt_at == NOW + SECOND
    sooner = replace(wait, decision=Wait(CoreReason.QUIET_TIME, "m", SECOND - timedelta(seconds=4), WHAT))
    later = project(cleanup(first), sooner, NOW + timedelta(seconds=5))
    assert later == first


def test_only_a_wait_has_a_next_attempt() -> None:
    wait = Progress(Wait(CoreReason.QUIET_TIME, "m", SECOND, WHAT), broken_world(), Memory("job-1"))
    waiting = project(cleanup(), wait, NOW)
    assert project(cleanup(waiting), progress_of(clean_world()), NOW).next_attempt_at is None


# -- plan --------------------------------------------------------------------------------------------------------------


def test_a_plan_lists_every_step_and_touches_no_run() -> None:
    first = cleaned()
    act = Act((), broken())
    status = project(cleanup(first), Progress(act, broken_world(), Memory("job-1")), NOW, planned=True)
    assert ready_of(status) == ("False", "PlanReady")
    assert abnormal(status) == {"Planned"}
    whole = plan_of(broken_world(), act.assessment)
    assert {step.key for step in act.assessment.steps} <= {action.key for action in whole}
    assert [entry.step for entry in status.plan] == list(range(1, len(whole) + 1))
    assert [(entry.phase, entry.action, entry.object) for entry in status.plan[:2]] == [
        ("database-cleanup", "mark-context", "ctx-1"),
        ("detach-volumes", "detach", "vol-1"),
    ]
    assert status.plan[-1].action == "close-incident"
    assert status.plan_hash == plan_hash(whole)
    assert (status.phases, status.history, status.completed_at) == (first.phases, first.history, first.completed_at)


def test_a_plan_tells_what_forbids_it() -> None:
    world = broken_world()
    running = replace(world.cloud.vms[TEST_VM], state="Running")
    world = replace(world, cloud=replace(world.cloud, vms={**world.cloud.vms, TEST_VM: running}))
    status = project(cleanup(), progress_of(world), NOW, planned=True)
    assert ready_of(status) == ("False", "RunningTestVM")
    assert abnormal(status) == {"Planned", "Stalled"}
    assert "RunningTestVM" in message_of(status, "Planned")
    assert status.plan


def test_a_plan_made_by_suspending_a_run_names_volumes_that_are_away() -> None:
    stopped = Stopped("stopped as asked", ("volume pgtest1-0 (vol-1)",), broken())
    status = project(cleanup(), Progress(stopped, broken_world(), running_memory(), "claim-1"), NOW, planned=True)
    assert ready_of(status) == ("False", "PlanReady")
    assert "vol-1" in message_of(status, "Ready")


def test_a_plan_of_a_cleanup_that_never_ran_tells_which_phases_are_not_needed_and_why() -> None:
    world = broken_world()
    vms = {key: vm for key, vm in world.cloud.vms.items() if key != TEST_VM}
    home = replace(world.cloud.volumes["vol-1"], vm_id=OMA)
    world = replace(world, cloud=replace(world.cloud, vms=vms, volumes={**world.cloud.volumes, "vol-1": home}))
    status = project(cleanup(), progress_of(world), NOW, planned=True)
    states = {phase.name.value: phase for phase in status.phases}
    assert states["cleanup-test-vm"].state is PhaseState.SKIPPED
    assert states["cleanup-test-vm"].message == "the failed job left no VM"
    assert states["detach-volumes"].state is PhaseState.PENDING
    assert "Not needed: cleanup-test-vm (the failed job left no VM)" in message_of(status, "Ready")


def test_a_plan_that_is_suspended_says_so_and_keeps_its_plan() -> None:
    plan = project(cleanup(), progress_of(broken_world()), NOW, planned=True)
    suspended = cleanup(plan, suspended=True)
    stopped = Progress(Stopped("stopped; nothing is claimed.", (), Assessment()))
    status = project(suspended, stopped, NOW, planned=True)
    assert ready_of(status) == ("False", "Suspended")
    assert abnormal(status) == {"Suspended", "Planned"}
    assert (status.plan, status.plan_hash) == (plan.plan, plan.plan_hash)


def test_no_plan_is_shown_while_a_run_that_became_a_plan_still_brings_volumes_home() -> None:
    act = Act(tuple(broken().steps[:1]), broken())
    progress = Progress(act, broken_world(), running_memory(), "claim-1", claimed=True)
    status = project(cleanup(), progress, NOW, planned=True)
    assert ready_of(status) == ("Unknown", "Progressing")
    assert (abnormal(status), status.plan) == ({"Reconciling"}, ())


@pytest.mark.parametrize(("planned", "reason"), [(True, "PlanReady"), (False, "Suspended")])
def test_who_was_asked_to_stop_has_stopped_when_the_claim_is_let_go(planned: bool, reason: str) -> None:
    stopped = Stopped("stopped as asked.", (), broken())
    ending = Progress(stopped, broken_world(), running_memory(), "claim-1", claimed=True)
    status = project(cleanup(suspended=not planned), ending, NOW, planned=planned)
    assert (ready_of(status), status.plan) == (("Unknown", "Progressing"), ())
    assert "stopped as asked." in message_of(status, "Ready")
    status = project(cleanup(suspended=not planned), replace(ending, claimed=False), NOW, planned=planned)
    assert (ready_of(status), bool(status.plan)) == (("False", reason), planned)


def test_what_awaits_an_approval_is_shown_with_its_digest() -> None:
    refused = Refuse(CoreReason.AWAITING_APPROVAL, "outside the plan", broken())
    status = project(
        cleanup(approved_plan="0" * 32), Progress(refused, broken_world(), running_memory(), "claim-1"), NOW
    )
    assert ready_of(status) == ("False", "AwaitingApproval")
    assert abnormal(status) == {"Stalled"}
    assert status.plan_hash == plan_hash(plan_of(broken_world(), broken()))
    assert len(status.plan) == len(plan_of(broken_world(), broken()))


@pytest.mark.parametrize("approved", [True, False])
def test_only_an_approved_plan_is_kept_while_it_is_carried_out(approved: bool) -> None:
    progress = Progress(Act((), broken()), broken_world(), Memory("job-1"))
    plan = project(cleanup(), progress, NOW, planned=True)
    assert plan.plan_hash is not None
    status = project(cleanup(plan, approved_plan=plan.plan_hash if approved else None), progress, NOW)
    assert bool(status.plan) is approved
    assert "Planned" not in abnormal(status)


# -- waiting for a turn ------------------------------------------------------------------------------------------------


def test_a_cleanup_that_nobody_looked_at_yet_says_that_it_is_queued() -> None:
    status = project_waiting(cleanup(), 3, NOW)
    assert ready_of(status) == ("Unknown", "Queued")
    assert abnormal(status) == {"Reconciling"}
    assert status.queue_position == 3
    assert "2 cleanup(s)" in message_of(status, "Ready")
    assert {get_condition(status.conditions, goal) is not None for goal in GOALS} == {True}
    assert CleanupStatus.model_validate(status.to_kubernetes()) == status


def test_one_that_was_looked_at_before_keeps_what_it_says() -> None:
    before = cleaned()
    status = project_waiting(cleanup(before), 7, NOW)
    assert status == before.model_copy(update={"queue_position": 7})


@pytest.mark.parametrize("place", [2, None])
def test_a_place_is_gone_once_the_cleanup_is_looked_at(place: int | None) -> None:
    waiting = project_waiting(cleanup(), place, NOW)
    status = project(cleanup(waiting), progress_of(broken_world()), NOW)
    assert status.queue_position is None
    assert ready_of(status) == ("Unknown", "Progressing")


# -- as a whole --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("planned", [True, False])
@pytest.mark.parametrize("world", [clean_world(), broken_world(), broken_world(injected=False)])
@pytest.mark.parametrize("memory", [Memory("job-1"), running_memory(), finished_memory()])
def test_a_status_survives_the_api_server_and_looking_again_changes_nothing(
    world: World, memory: Memory, planned: bool
) -> None:
    progress = progress_of(world, memory, claim_id="claim-1")
    first = project(cleanup(), progress, NOW.astimezone().replace(microsecond=123), planned=planned)
    assert CleanupStatus.model_validate(first.to_kubernetes()) == first
    assert project(cleanup(first), progress, NOW, planned=planned) == first


def test_the_reasons_of_the_core_are_documented() -> None:
    assert {reason.value for reason in CoreReason} <= {reason.value for reason in Reason}


# -- what a report needs -----------------------------------------------------------------------------------------------

FOUND = {Goal.VOLUMES_ATTACHED: GoalState(reached=False, message="1 of 2 volumes are away")}


def test_what_the_run_found_and_sent_comes_back_after_an_erased_status() -> None:
    told = project(cleanup(), progress_of(broken_world(), running_memory(found=FOUND)), NOW)
    assert [(goal.type, goal.met, goal.message) for goal in told.found] == [
        ("VolumesAttached", False, "1 of 2 volumes are away")
    ]
    assert [phase.requests for phase in told.phases] == [1, None, None, None, None]
    erased = project(cleanup(), progress_of(broken_world(), running_memory(found=FOUND)), NOW)
    assert (erased.found, erased.phases) == (told.found, told.phases)


def test_what_was_found_stays_while_nobody_looks_and_at_later_looks_of_the_end() -> None:
    memory = finished_memory(found=FOUND)
    ended = project(cleanup(), Progress(Done(CoreReason.CLEANED, "m", WHAT), clean_world(), memory), NOW)
    unreachable = Wait(CoreReason.APPLIANCE_UNREACHABLE, "m", SECOND, WHAT)
    assert project(cleanup(ended), Progress(unreachable), NOW).found == ended.found
    later = Progress(Done(CoreReason.CLEANED, "m", WHAT), clean_world(), finished_memory())
    assert project(cleanup(ended), later, NOW).found == ended.found


def test_a_new_run_forgets_what_the_one_before_found() -> None:
    before = project(cleanup(), progress_of(broken_world(), running_memory(found=FOUND)), NOW)
    again = project(cleanup(before), progress_of(broken_world(), running_memory()), NOW)
    assert again.found == ()


def test_the_claim_of_an_older_version_is_still_read() -> None:
    memory = load_memory('{"job_id": "job-1", "number": 2}', "job-1")
    assert (memory.number, memory.found) == (2, {})
    assert load_memory(dump_memory(running_memory(found=FOUND)), "job-1") == running_memory(found=FOUND)
