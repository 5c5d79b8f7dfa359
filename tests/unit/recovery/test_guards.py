"""Each guard: what blocks, what clears it, and that a waiver covers only what it names."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.decide import Act, Refuse, Wait, decide
from failed_execution_cleanup.recovery.goals import Settings, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import (
    CloudVolume,
    MappingRow,
    OperationRow,
    OwnClaimRow,
    ReplicationRow,
    StepRow,
    VMSnapshot,
)
from tests.unit.recovery.worlds import (
    DATA,
    GIB,
    JOB,
    NOW,
    OMA,
    OS,
    QUICK,
    STRANGER,
    TVM,
    Scene,
    claimed,
    leftover,
    local,
    look,
)


def wish(*waivers: tuple[str, str], settings: Settings = QUICK) -> Wish:
    return Wish(JOB, frozenset(Waiver(*w) for w in waivers), settings=settings)


def reason(scene: Scene, wanted: Wish | None = None, memory: Memory | None = None) -> Reason | None:
    """Why nothing is done; None when something is."""
    decision = look(scene, wanted or wish(), memory)
    return None if isinstance(decision, Act) else decision.reason if isinstance(decision, Refuse | Wait) else None


def failed(
    kind: Kind, obj: str, volume_id: str | None, *, times: int = 3, outcome: Outcome = Outcome.NO_EFFECT
) -> Memory:
    requests = tuple(
        Request(kind, obj, n, 1, NOW, volume_id=volume_id, outcome=outcome, settled_at=NOW, error="530")
        for n in range(1, times + 1)
    )
    return Memory(JOB, number=1, started_at=NOW, requests=requests)


@pytest.mark.parametrize("ids", [(), (OMA, "vm-other"), (OMA, OMA)])
def test_the_appliance_must_be_configured_exactly_once(ids: tuple[str, ...]) -> None:
    scene = leftover("F12")
    scene.oma_vm_ids = ids
    assert reason(scene) is Reason.APPLIANCE_INCONSISTENT


def test_the_appliance_must_be_the_one_named_and_visible() -> None:
    scene = leftover("F12")
    assert reason(scene, wish(settings=replace(QUICK, oma_vm_id=OMA))) is None
    assert reason(scene, wish(settings=replace(QUICK, oma_vm_id="vm-other"))) is Reason.APPLIANCE_INCONSISTENT
    del scene.vms[OMA]
    assert reason(scene) is Reason.APPLIANCE_INCONSISTENT


def _job_status(scene: Scene) -> None:
    scene.jobs = [replace(job, status="executing") for job in scene.jobs]


def _job_type(scene: Scene) -> None:
    scene.jobs = [replace(job, job_type="rehearsal") for job in scene.jobs]


def _tracking(scene: Scene) -> None:
    scene.tracking = [replace(row, status="done") for row in scene.tracking]


def _context(scene: Scene) -> None:
    scene.context_status = "completed"


def _step(scene: Scene) -> None:
    odd = StepRow(9, 9, "validation", "paused", None, None, None)
    scene.tracking = [replace(row, steps=(*row.steps, odd)) for row in scene.tracking]


def _mode(scene: Scene) -> None:
    mapping = scene.disk(DATA).mapping
    assert mapping is not None
    scene.disk(DATA).mapping = replace(mapping, operation_mode="backup")


def _volume(scene: Scene) -> None:
    scene.disk(OS).state = "RevertSnapshotting"


@pytest.mark.parametrize("spoil", [_job_status, _job_type, _tracking, _context, _step, _mode, _volume])
def test_values_nobody_has_seen_before_stop_everything(spoil: Callable[[Scene], None]) -> None:
    scene = leftover("F12")
    spoil(scene)
    assert reason(scene) is Reason.UNEXPECTED_STATE


def healthy(*, state: str = "Running") -> Scene:
    scene = leftover("F28")
    scene.jobs = [replace(job, status="completed") for job in scene.jobs]
    scene.tracking.clear()
    scene.tracked(status="completed")
    scene.test_vm(state)
    return scene


def test_a_completed_failover_in_use_is_healthy_whatever_is_waived() -> None:
    everything = wish(("RunningTestVM", "job"), ("NothingFailed", "job"))
    assert reason(healthy(), everything) is Reason.NOTHING_FAILED
    assert reason(healthy(state="Stopped")) is Reason.NOTHING_FAILED
    one_left = healthy(state="Stopped")
    one_left.disk(OS).detach()
    assert reason(one_left) is Reason.NOTHING_FAILED


def test_a_completed_failover_with_a_rollback_after_it_is_not_healthy() -> None:
    assert reason(leftover("R04")) is None


def _alive(minutes: float, *, code: str = "F11", shifted: bool = False) -> Scene:
    scene = leftover(code)
    scene.shifted = shifted
    row = scene.tracking[0]
    scene.tracking[0] = replace(row, newest_log_at=local(timedelta(minutes=minutes)))
    return scene


def test_a_young_job_may_still_be_running_and_an_old_one_is_dead() -> None:
    assert reason(_alive(29.9)) is Reason.FAILOVER_STILL_RUNNING
    assert reason(_alive(30.1)) is None


def test_a_stamp_in_the_future_counts_as_life() -> None:
    assert reason(_alive(-600)) is Reason.FAILOVER_STILL_RUNNING


def test_an_hour_more_is_waited_while_digits_may_lie_by_an_hour() -> None:
    assert reason(_alive(89, shifted=True)) is Reason.FAILOVER_STILL_RUNNING
    assert reason(_alive(91, shifted=True)) is None


def test_a_job_that_its_engine_ended_needs_no_silence() -> None:
    assert reason(_alive(1, code="F12")) is None


def test_the_wait_lasts_until_the_silence_is_long_enough() -> None:
    decision = look(_alive(20))
    assert isinstance(decision, Wait)
    assert decision.after == timedelta(minutes=10)


def test_a_live_rollback_or_a_nameless_product_cleanup_holds_everything() -> None:
    rollback = leftover("R07")
    rollback.tracking[-1] = replace(rollback.tracking[-1], newest_log_at=local(timedelta(minutes=1)))
    assert reason(rollback) is Reason.FAILOVER_STILL_RUNNING
    cleanup = leftover("F12")
    operation = "failed-execution-cleanup"
    cleanup.tracked(row_id="c", job_type="cleanup", operation=operation, context_id=None, age=timedelta(minutes=29))
    assert reason(cleanup) is Reason.FAILOVER_STILL_RUNNING
    cleanup.tracking[-1] = replace(cleanup.tracking[-1], started_at=local(timedelta(minutes=80)))
    assert reason(cleanup) is None
    cleanup.shifted = True
    assert reason(cleanup) is Reason.FAILOVER_STILL_RUNNING


def replicating(age: timedelta | None) -> Scene:
    scene = leftover("F12")
    at = None if age is None else local(age)
    scene.replications.insert(0, ReplicationRow("repl-2", "replicating", at, at, at, None, at))
    return scene


def test_a_replication_is_waited_for_and_a_dead_one_needs_its_own_waiver() -> None:
    assert reason(replicating(timedelta(minutes=1))) is Reason.REPLICATION_ACTIVE
    dead = replicating(timedelta(minutes=31))
    assert reason(dead) is Reason.ZOMBIE_JOB
    assert reason(dead, wish(("ZombieJob", "repl-1"))) is Reason.ZOMBIE_JOB
    assert reason(dead, wish(("ZombieJob", "repl-2"))) is None
    assert reason(replicating(None)) is Reason.ZOMBIE_JOB


def test_an_open_row_of_another_kind_holds_while_young_and_needs_a_waiver_when_dead() -> None:
    scene = leftover("F12")
    scene.tracked(row_id="m", job_type="migration", operation="resize", age=timedelta(minutes=5))
    assert reason(scene) is Reason.OPERATION_IN_FLIGHT
    scene.tracking[-1] = replace(scene.tracking[-1], started_at=local(timedelta(hours=1)))
    assert reason(scene) is Reason.ZOMBIE_JOB
    assert reason(scene, wish(("ZombieJob", "m"))) is None
    scene.tracking[-1] = replace(scene.tracking[-1], status="completed")
    assert reason(scene) is None


def test_a_young_daemon_operation_that_is_not_ours_holds_everything_at_first_and_its_volume_later() -> None:
    scene = leftover("F12")
    young = NOW - timedelta(seconds=410)
    scene.operations.append(OperationRow("op-1", "detach", "executing", DATA, OMA, young, None))
    assert reason(scene) is Reason.OPERATION_IN_FLIGHT
    scene.context_status = "cleanup_required"
    memory = scene.perform(_detach(OS), claimed(scene))
    decision = look(scene, wish(), memory)
    assert isinstance(decision, Act)
    assert {action.volume_id for action in decision.actions} == {OS}
    scene.operations = [replace(scene.operations[0], created_at=NOW - timedelta(seconds=421))]
    assert reason(scene, wish(), memory) is None


def _detach(volume_id: str) -> Action:
    return Action(Kind.DETACH, volume_id, "", volume_id=volume_id, vm_id=OMA)


def test_a_pending_job_on_a_snapshot_or_a_vm_holds() -> None:
    scene = leftover("F15")
    scene.vms[TVM] = replace(scene.vms[TVM], job_id="j")
    assert reason(scene) is Reason.OPERATION_IN_FLIGHT
    other = leftover("F12")
    other.disk(OS).snapshots = [replace(s, job_id="j") for s in other.disk(OS).snapshots]
    assert reason(other) is Reason.OPERATION_IN_FLIGHT


@pytest.mark.parametrize(
    ("owner", "age", "blocked"),
    [("other", 2.0, True), ("other", 44.0, True), ("other", 45.0, False), (None, None, False)],
)
def test_another_cleanup_holds_while_its_owner_breathes(owner: str | None, age: float | None, blocked: bool) -> None:
    scene = leftover("F12")
    scene.claims.append(OwnClaimRow("c", "job-0", 1, owner, age, finished=False))
    assert (reason(scene) is Reason.CLAIMED_ELSEWHERE) is blocked


def live(code: str, *, status: str = "pending") -> Scene:
    scene = leftover(code)
    scene.jobs = [replace(job, job_type="live", status=status) for job in scene.jobs]
    return scene


def test_a_live_failover_with_an_open_row_needs_the_word_that_its_engine_is_dead() -> None:
    scene = live("F12")
    assert reason(scene) is Reason.ENGINE_MAY_WAKE
    assert reason(scene, wish(("LiveFailover", "job"))) is Reason.ENGINE_MAY_WAKE
    assert reason(scene, wish(("EngineMayWake", "job"))) is None
    assert reason(live("F12", status="failed")) is None


def test_a_live_failover_with_a_vm_needs_both_words() -> None:
    scene = live("F24")
    assert reason(scene) is Reason.LIVE_FAILOVER
    assert reason(scene, wish(("LiveFailover", "job"))) is Reason.ENGINE_MAY_WAKE
    assert reason(scene, wish(("LiveFailover", "job"), ("EngineMayWake", "job"))) is None


def test_a_running_live_vm_cannot_be_waived() -> None:
    words = wish(("LiveFailover", "job"), ("EngineMayWake", "job"), ("RunningTestVM", "job"), ("RunningTestVM", TVM))
    assert reason(live("F28"), words) is Reason.RUNNING_TEST_VM


def test_a_running_vm_of_an_older_live_failover_cannot_be_waived_by_a_newer_test() -> None:
    scene = leftover("F12")
    scene.job(job_id="older", row_id=0, live=True, age=timedelta(days=1), destination="vm-production")
    scene.tracked(row_id="older", operation="unified-live-failover", status="failed", age=timedelta(days=1))
    scene.test_vm("Running", vm_id="vm-production")
    words = wish(("LiveFailover", "job"), ("EngineMayWake", "job"), ("RunningTestVM", "job"))
    assert reason(scene, words) is Reason.RUNNING_TEST_VM


def test_a_running_test_vm_needs_a_word_for_this_job_or_this_vm() -> None:
    scene = leftover("F28")
    assert reason(scene) is Reason.RUNNING_TEST_VM
    assert reason(scene, wish(("RunningTestVM", "vm-other"))) is Reason.RUNNING_TEST_VM
    assert reason(scene, wish(("LiveFailover", "job"))) is Reason.RUNNING_TEST_VM
    assert reason(scene, wish(("RunningTestVM", TVM))) is None
    assert reason(scene, wish(("RunningTestVM", "job"))) is None


@pytest.mark.parametrize(("host", "blocked"), [("Up", False), (None, False), ("Down", True), ("Alert", True)])
def test_a_vm_on_a_host_that_is_down_is_not_stopped(host: str | None, blocked: bool) -> None:
    scene = leftover("F28")
    scene.vms[TVM] = replace(scene.vms[TVM], host_state=host)
    assert (reason(scene, wish(("RunningTestVM", "job"))) is Reason.HOST_UNKNOWN) is blocked


def moving_vm(state: str, *, minutes: float = 59, job_id: str | None = None) -> Scene:
    scene = _alive(minutes, code="F27")
    scene.vms[TVM] = replace(scene.vms[TVM], state=state, job_id=job_id)
    return scene


@pytest.mark.parametrize("state", ["Starting", "Stopping", "Migrating"])
def test_a_vm_that_moves_is_waited_for_an_hour_unless_a_job_is_at_work_on_it(state: str) -> None:
    assert reason(moving_vm(state)) is Reason.OPERATION_IN_FLIGHT
    assert reason(moving_vm(state, minutes=61)) is Reason.UNEXPECTED_STATE
    assert reason(moving_vm(state, minutes=61, job_id="j")) is Reason.OPERATION_IN_FLIGHT


def test_a_vm_that_was_made_or_asked_to_stop_within_the_hour_is_waited_for() -> None:
    made = moving_vm("Starting", minutes=90)
    made.vms[TVM] = replace(made.vms[TVM], created=(NOW - timedelta(minutes=30)).replace(tzinfo=UTC))
    assert reason(made) is Reason.OPERATION_IN_FLIGHT
    stopped = failed(Kind.STOP_VM, TVM, None, times=1)
    assert reason(moving_vm("Stopping", minutes=90), wish(), stopped) is Reason.OPERATION_IN_FLIGHT


def test_a_vm_in_a_state_nobody_knows_is_not_touched() -> None:
    assert reason(moving_vm("Unknown")) is Reason.UNEXPECTED_STATE


def test_a_snapshot_of_a_whole_vm_blocks() -> None:
    scene = leftover("F12")
    scene.vm_snapshots.append(VMSnapshot("vs", "nightly", OMA))
    assert reason(scene) is Reason.VM_SNAPSHOTS_PRESENT


def test_a_volume_that_other_tables_know_and_this_vm_does_not_is_missing() -> None:
    scene = leftover("F12")
    world = scene.world()
    stray = MappingRow("vol-lost", OMA, "oma", "/dev/disk/by-id/x", None)
    for records in (
        replace(world.records, mappings=(*world.records.mappings, stray)),
        replace(world.records, disks=(replace(world.records.disks[0], volume_row_id=999),)),
    ):
        decision = decide(replace(world, records=records), wish(), Memory(JOB))
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.VOLUME_MISSING


def _gone(scene: Scene) -> None:
    scene.disk(DATA).gone = True


def _elsewhere(scene: Scene) -> None:
    scene.disk(DATA).move_to(STRANGER)


def _destroyed(scene: Scene) -> None:
    scene.test_vm("Destroyed")
    scene.disk(OS).move_to(TVM)


def _expunging(scene: Scene) -> None:
    scene.test_vm("Expunging")
    scene.disk(OS).move_to(TVM)


def _attaching(scene: Scene) -> None:
    scene.disk(OS).state = "Attaching"
    scene.tracking[0] = replace(scene.tracking[0], newest_log_at=local(timedelta(minutes=59)))


def _attaching_for_ever(scene: Scene) -> None:
    scene.disk(OS).state = "Attaching"
    scene.tracking[0] = replace(scene.tracking[0], newest_log_at=local(timedelta(minutes=61)))


def _no_snapshot(scene: Scene) -> None:
    scene.disk(OS).snapshots.clear()


def _not_revertable(scene: Scene) -> None:
    scene.disk(OS).snapshots = [replace(s, revertable=False) for s in scene.disk(OS).snapshots]


def _foreign_disk(scene: Scene) -> None:
    scene.test_vm()
    scene.other_volumes["x"] = CloudVolume("x", "somebody's", "DATADISK", "Ready", GIB, vm_id=TVM, device_id=3)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (_gone, Reason.VOLUME_MISSING),
        (_elsewhere, Reason.UNKNOWN_HOLDER),
        (_destroyed, Reason.RESCUE_NEEDED),
        (_expunging, Reason.UNEXPECTED_STATE),
        (_attaching, Reason.OPERATION_IN_FLIGHT),
        (_attaching_for_ever, Reason.UNEXPECTED_STATE),
        (_no_snapshot, Reason.SNAPSHOT_MISSING),
        (_not_revertable, Reason.REVERT_IMPOSSIBLE),
        (_foreign_disk, Reason.UNEXPECTED_STATE),
    ],
)
def test_before_the_first_request_one_bad_volume_stops_all(spoil: Callable[[Scene], None], expected: Reason) -> None:
    scene = leftover("F12")
    spoil(scene)
    assert reason(scene) is expected
    assert reason(scene, None, claimed(scene)) is expected


@pytest.mark.parametrize("spoil", [_no_snapshot, _not_revertable])
def test_accepting_the_content_covers_only_the_named_volume(spoil: Callable[[Scene], None]) -> None:
    scene = leftover("F12")
    spoil(scene)
    assert reason(scene, wish(("AcceptContent", DATA))) is not None
    assert reason(scene, wish(("AcceptContent", OS))) is None


def test_a_closed_incident_still_misses_a_volume_that_is_elsewhere() -> None:
    scene = leftover("C06")
    scene.disk(OS).move_to(STRANGER)
    assert reason(scene) is Reason.UNKNOWN_HOLDER


def _still_to_detach(scene: Scene) -> None:
    scene.disk(DATA).snapshots.clear()


def _still_to_attach(scene: Scene) -> None:
    _no_more_snapshots(scene)
    scene.disk(OS).detach()


def _still_to_export(scene: Scene) -> None:
    _no_more_snapshots(scene)
    scene.disk(OS).exported = False


def _no_more_snapshots(scene: Scene) -> None:
    for disk in scene.disks:
        disk.snapshots.clear()
        disk.recorded = None


FAILING: list[tuple[Kind, Callable[[Scene], None], Reason]] = [
    (Kind.DETACH, _still_to_detach, Reason.DETACH_FAILING),
    (Kind.ATTACH, _still_to_attach, Reason.ATTACH_FAILING),
    (Kind.CREATE_EXPORT, _still_to_export, Reason.ATTACH_FAILING),
]


@pytest.mark.parametrize(("kind", "spoil", "expected"), FAILING)
def test_three_tries_without_effect_stop_a_volume_but_not_the_others(
    kind: Kind, spoil: Callable[[Scene], None], expected: Reason
) -> None:
    scene = leftover("F12")
    scene.context_status = "cleanup_required"
    spoil(scene)
    scene.disk(DATA).detach()
    accepted = wish(*(() if kind is Kind.DETACH else (("AcceptContent", OS),)))
    decision = look(scene, accepted, failed(kind, OS, OS))
    assert isinstance(decision, Act)
    assert {action.volume_id for action in decision.actions} == {DATA}
    scene.disk(DATA).holder = OMA
    scene.disk(DATA).map_to_oma()
    scene.disk(DATA).recorded = None
    assert reason(scene, accepted, failed(kind, OS, OS)) is expected
    assert reason(scene, accepted, failed(kind, OS, OS, times=2)) is not expected


def test_tries_of_a_step_that_is_not_wanted_any_more_do_not_count() -> None:
    scene = leftover("F12")
    scene.context_status = "cleanup_required"
    decision = look(scene, wish(("AcceptContent", OS)), failed(Kind.DETACH, OS, OS))
    assert Reason.DETACH_FAILING not in {block.reason for block in decision.assessment.blocks}


def test_three_reverts_without_a_result_stop_the_volume() -> None:
    scene = leftover("F12")
    scene.context_status = "cleanup_required"
    point = scene.disk(OS).snapshots[0].id
    memory = failed(Kind.REVERT, point, OS, outcome=Outcome.UNKNOWN)
    memory, _ = memory.write_ahead(Action(Kind.DETACH, OS, "", volume_id=OS, vm_id=OMA), scene.now)
    scene.disk(OS).detach()
    decision = look(scene, wish(), memory)
    assert Reason.REVERT_FAILING in {block.reason for block in decision.assessment.blocks}
    assert isinstance(decision, Act)
    assert {action.volume_id for action in decision.actions} == {DATA}


def test_a_guest_that_ignores_three_stops_needs_a_person() -> None:
    scene = leftover("F28")
    assert reason(scene, wish(("RunningTestVM", "job")), failed(Kind.STOP_VM, TVM, None)) is Reason.STOP_FAILING


def let_go(scene: Scene, *, state: str, pending: bool, external_id: str | None = "stop-1") -> Memory:
    """A graceful stop that took longer than the guest has, and what OSSEA shows of it now."""
    scene.context_status = "cleanup_required"
    scene.vms[TVM] = replace(scene.vms[TVM], state=state, job_id="stop-1" if pending else None, host_state="Up")
    memory = failed(Kind.STOP_VM, TVM, None, times=1, outcome=Outcome.UNKNOWN)
    return replace(memory, requests=(replace(memory.requests[0], external_id=external_id),))


FORCED = wish(("RunningTestVM", "job"), settings=replace(QUICK, force_stop=True))


@pytest.mark.parametrize("state", ["Running", "Stopping"])
@pytest.mark.parametrize("wanted", [wish(("RunningTestVM", "job")), FORCED], ids=["never forced", "forced"])
def test_no_stop_is_sent_while_a_graceful_one_is_pending(state: str, wanted: Wish) -> None:
    scene = leftover("F28")
    memory = let_go(scene, state=state, pending=True)
    scene.now += timedelta(hours=2)
    decision = look(scene, wanted, memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.STOP_FAILING
    assert TVM in decision.message
    assert "stop-1" in decision.message


def test_a_person_who_asks_again_does_not_end_the_pending_stop() -> None:
    scene = leftover("F28")
    memory = replace(let_go(scene, state="Running", pending=True), tries_from=NOW + timedelta(minutes=5))
    assert reason(scene, FORCED, memory) is Reason.STOP_FAILING


@pytest.mark.parametrize(("wanted", "forced"), [(wish(("RunningTestVM", "job")), False), (FORCED, True)])
def test_once_the_graceful_stop_has_ended_it_is_repeated_or_forced(wanted: Wish, forced: bool) -> None:
    scene = leftover("F28")
    memory = let_go(scene, state="Running", pending=False)
    scene.now += timedelta(minutes=10)
    decision = look(scene, wanted, memory)
    assert isinstance(decision, Act)
    assert [(action.kind, action.forced) for action in decision.actions] == [(Kind.STOP_VM, forced)]


@pytest.mark.parametrize("host", [None, "Alert", "Disconnected"])
def test_a_stop_is_not_forced_where_the_host_is_not_seen_to_answer(host: str | None) -> None:
    scene = leftover("F28")
    memory = let_go(scene, state="Running", pending=False)
    scene.vms[TVM] = replace(scene.vms[TVM], host_state=host)
    scene.now += timedelta(minutes=10)
    assert [step.forced for step in look(scene, FORCED, memory).assessment.steps if step.kind is Kind.STOP_VM] == [
        False
    ]


def test_a_stop_that_was_never_executed_is_no_ground_for_force() -> None:
    scene = leftover("F28")
    scene.vms[TVM] = replace(scene.vms[TVM], host_state="Up")
    memory = failed(Kind.STOP_VM, TVM, None, times=1, outcome=Outcome.REFUSED)
    scene.now += timedelta(minutes=10)
    assert [s.forced for s in look(scene, FORCED, memory).assessment.steps if s.kind is Kind.STOP_VM] == [False]


def test_a_vm_that_cannot_be_removed_three_times_needs_a_person() -> None:
    scene = leftover("C06")
    memory = failed(Kind.DESTROY_VM, TVM, None)
    scene.now += timedelta(hours=1)
    assert reason(scene, wish(), memory) is Reason.UNEXPECTED_STATE


def test_a_running_job_is_said_before_anything_else() -> None:
    scene = _alive(5)
    _no_snapshot(scene)
    assert reason(scene) is Reason.FAILOVER_STILL_RUNNING
