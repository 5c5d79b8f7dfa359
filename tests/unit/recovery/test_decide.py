"""When which step may be done: preconditions, pauses, stopping, deadlines, newer jobs."""

from dataclasses import replace
from datetime import timedelta

import pytest

from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.decide import Act, Done, Refuse, Stopped, Wait, decide
from failed_execution_cleanup.recovery.goals import Settings, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome
from failed_execution_cleanup.recovery.reasons import Reason
from tests.unit.recovery.worlds import DATA, JOB, OMA, OS, QUICK, TVM, Scene, claimed, leftover, look, work

NORMAL = Wish(JOB, settings=QUICK)


def until(scene: Scene, kind: Kind, memory: Memory | None = None, wish: Wish = NORMAL) -> Memory:
    """Work until an action of this kind is enabled; it is not performed."""
    memory = memory or claimed(scene)
    for _ in range(60):
        decision = look(scene, wish, memory)
        if isinstance(decision, Wait):
            scene.now += decision.after
            continue
        assert isinstance(decision, Act), decision
        for action in decision.actions:
            if action.kind is kind:
                return memory
            memory = scene.perform(action, memory)
    raise AssertionError(kind)


def actions(scene: Scene, memory: Memory, wish: Wish = NORMAL) -> list[tuple[Kind, str | None]]:
    decision = look(scene, wish, memory)
    assert isinstance(decision, Act), decision
    return [(a.kind, a.volume_id) for a in decision.actions]


def settle(
    scene: Scene, memory: Memory, kind: Kind, outcome: Outcome | None, volume_id: str = OS
) -> tuple[Memory, Action]:
    """Write the enabled action of this kind ahead and settle it without any effect; `None` leaves it open."""
    decision = look(scene, NORMAL, memory)
    assert isinstance(decision, Act)
    action = next(a for a in decision.actions if a.kind is kind and a.volume_id in {volume_id, None})
    memory, request = memory.write_ahead(action, scene.now)
    if outcome is None:
        return memory, action
    return memory.with_request(replace(request, outcome=outcome, settled_at=scene.now, error="530")), action


def test_a_job_that_is_unknown_needs_a_new_resource() -> None:
    decision = look(leftover("F12"), Wish("job-9", settings=QUICK))
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.JOB_MISMATCH


def test_a_newer_job_supersedes_and_nothing_is_touched() -> None:
    scene = leftover("F12")
    scene.job(job_id="job-2", row_id=2, age=timedelta(minutes=90))
    decision = look(scene)
    assert isinstance(decision, Done)
    assert decision.reason is Reason.SUPERSEDED
    assert decision.assessment.steps == ()


def test_a_newer_job_in_the_middle_of_a_run_names_the_volumes() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.REVERT)
    scene.job(job_id="job-2", row_id=2, age=timedelta(minutes=1))
    decision = look(scene, memory=memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.SUPERSEDED_IN_RUN
    assert OS in decision.message
    assert DATA in decision.message


def test_a_finished_cleanup_is_superseded_without_a_word_about_volumes() -> None:
    scene = leftover("F12")
    _, memory = work(scene)
    scene.job(job_id="job-2", row_id=2, age=timedelta(minutes=1))
    decision = look(scene, memory=replace(memory, finished="Cleaned"))
    assert isinstance(decision, Done)
    assert decision.reason is Reason.SUPERSEDED


def test_a_database_that_changed_during_the_observation_is_read_again() -> None:
    scene = leftover("F12")
    first = scene.records()
    scene.jobs = [replace(job, destination_vm_id=TVM) for job in scene.jobs]
    decision = decide(replace(scene.world(), first=first), NORMAL, Memory(JOB))
    assert isinstance(decision, Wait)


def test_volumes_are_worked_on_side_by_side() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.DETACH)
    assert actions(scene, memory) == [(Kind.DETACH, OS), (Kind.DETACH, DATA)]


def test_a_volume_with_an_open_request_is_left_alone() -> None:
    scene = leftover("F12")
    memory, _ = settle(scene, until(scene, Kind.DETACH), Kind.DETACH, None)
    assert actions(scene, memory) == [(Kind.DETACH, DATA)]


def test_it_is_not_done_while_a_request_is_open() -> None:
    scene = leftover("R09")
    memory, action = settle(scene, until(scene, Kind.DESTROY_VM), Kind.DESTROY_VM, None)
    scene.perform(action, memory)
    decision = look(scene, memory=memory)
    assert isinstance(decision, Wait)
    assert decision.reason is None


def test_a_test_vm_is_stopped_before_its_volumes_are_detached() -> None:
    scene = leftover("F28")
    wish = Wish(JOB, frozenset({Waiver("RunningTestVM", "job")}), settings=QUICK)
    memory = until(scene, Kind.STOP_VM, wish=wish)
    assert actions(scene, memory, wish) == [(Kind.STOP_VM, None)]


@pytest.mark.parametrize(
    ("allowed", "host", "tried", "forced"),
    [(True, "Up", 1, True), (True, "Up", 0, False), (True, None, 1, False), (False, "Up", 1, False)],
)
def test_a_stop_is_forced_only_if_allowed_after_a_graceful_one_and_with_the_host_seen(
    allowed: bool, host: str | None, tried: int, forced: bool
) -> None:
    scene = leftover("F28")
    settings = replace(QUICK, force_stop=allowed)
    wish = Wish(JOB, frozenset({Waiver("RunningTestVM", "job")}), settings=settings)
    scene.vms[TVM] = replace(scene.vms[TVM], host_state=host)
    memory = until(scene, Kind.STOP_VM, wish=wish)
    for _ in range(tried):
        memory, request = memory.write_ahead(Action(Kind.STOP_VM, TVM, ""), scene.now)
        memory = memory.with_request(replace(request, outcome=Outcome.NO_EFFECT, settled_at=scene.now))
    stop = next(step for step in look(scene, wish, memory).assessment.steps if step.kind is Kind.STOP_VM)
    assert stop.forced is forced


def test_a_snapshot_is_deleted_only_after_the_revert_had_its_effect() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.REVERT)
    unknown, _ = settle(scene, memory, Kind.REVERT, Outcome.UNKNOWN)
    scene.now += timedelta(hours=1)
    assert (Kind.REVERT, OS) in actions(scene, unknown)


def test_a_revert_without_a_result_keeps_its_volume_detached_for_the_quiet_time() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.REVERT)
    unknown, _ = settle(scene, memory, Kind.REVERT, Outcome.UNKNOWN)
    assert actions(scene, unknown) == [(Kind.REVERT, DATA)]
    accepting = Wish(JOB, frozenset({Waiver("AcceptContent", OS)}), settings=QUICK)
    copying = timedelta(seconds=10 * 1024 / 50)
    scene.now += copying - timedelta(seconds=1)
    assert (Kind.ATTACH, OS) not in actions(scene, unknown, accepting)
    scene.now += timedelta(seconds=2)
    scene.disk(OS).recorded = None
    assert (Kind.ATTACH, OS) in actions(scene, unknown, accepting)


def test_accepted_content_after_a_revert_without_a_result_is_suspect_even_if_never_modified() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.REVERT)
    unknown, _ = settle(scene, memory, Kind.REVERT, Outcome.UNKNOWN, DATA)
    accepting = Wish(JOB, frozenset({Waiver("AcceptContent", DATA)}), settings=QUICK)
    assert look(scene, accepting, unknown).assessment.target == "failed"


def test_a_broken_claim_reverts_again_before_it_deletes() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.DELETE_SNAPSHOT)
    taken_over = replace(memory, number=2)
    assert set(actions(scene, taken_over)) == {(Kind.REVERT, OS), (Kind.REVERT, DATA)}


def test_a_late_attach_to_the_test_vm_after_the_revert_reverts_again() -> None:
    scene = leftover("F19")
    memory = until(scene, Kind.DELETE_SNAPSHOT)
    scene.disk(OS).move_to(TVM)
    scene.disk(OS).content = "dirty"
    assert (Kind.DETACH, OS) in actions(scene, memory)
    work(scene, memory=memory)
    assert scene.disk(OS).content == "replica"


def test_quiet_time_follows_the_last_detach_where_the_engine_did_not_end_the_job() -> None:
    scene = leftover("F11")
    memory = until(scene, Kind.REVERT)
    while isinstance(decision := look(scene, memory=memory), Act):
        for action in decision.actions:
            memory = scene.perform(action, memory)
    assert isinstance(decision, Wait)
    assert decision.reason is Reason.QUIET_TIME
    assert decision.after <= QUICK.quiet
    scene.now += decision.after
    assert {kind for kind, _ in actions(scene, memory)} == {Kind.DELETE_SNAPSHOT}


def test_foreign_activity_restarts_the_quiet_time() -> None:
    scene = leftover("F11")
    memory = until(scene, Kind.DELETE_SNAPSHOT)
    decision = look(scene, memory=replace(memory, changed_at=scene.now))
    assert isinstance(decision, Wait)
    assert decision.after == QUICK.quiet


def test_rows_are_closed_only_after_the_quiet_time() -> None:
    scene = leftover("F01")
    scene.context_status = "cleanup_required"
    decision = look(scene, memory=claimed(scene))
    assert isinstance(decision, Wait)
    assert decision.reason is Reason.QUIET_TIME


def test_failed_attempts_are_retried_after_doubling_pauses() -> None:
    scene = leftover("F19")
    wish = NORMAL
    memory = until(scene, Kind.DETACH)
    for pause in (5, 10):
        memory, request = memory.write_ahead(Action(Kind.DETACH, DATA, "", volume_id=DATA, vm_id=OMA), scene.now)
        memory = memory.with_request(replace(request, outcome=Outcome.NO_EFFECT, settled_at=scene.now))
        scene.now += timedelta(seconds=pause - 1)
        assert (Kind.DETACH, DATA) not in actions(scene, memory, wish)
        scene.now += timedelta(seconds=1)
        assert (Kind.DETACH, DATA) in actions(scene, memory, wish)


STOPPING = Wish(JOB, stopping=True, settings=QUICK)


def test_stopping_before_anything_was_touched_touches_nothing() -> None:
    assert isinstance(look(leftover("F12"), STOPPING), Stopped)


def test_stopping_brings_only_reverted_volumes_home() -> None:
    scene = leftover("F12")
    memory = until(scene, Kind.REVERT)
    decision = look(scene, NORMAL, memory)
    assert isinstance(decision, Act)
    memory = scene.perform(next(a for a in decision.actions if a.volume_id == OS), memory)
    assert actions(scene, memory, STOPPING) == [(Kind.MARK_REVERTED, OS)]
    stopped, _ = work(scene, STOPPING, memory)
    assert isinstance(stopped, Stopped)
    assert (scene.disk(OS).holder, scene.disk(DATA).holder) == (OMA, None)
    assert len(scene.disk(OS).snapshots) == 1
    assert len(stopped.away) == 1
    assert DATA in stopped.away[0]


def test_stopping_waits_for_the_retry_of_an_attach() -> None:
    scene = leftover("R07")
    memory = until(scene, Kind.ATTACH)
    memory, _ = settle(scene, memory, Kind.ATTACH, Outcome.NO_EFFECT)
    memory, _ = settle(scene, memory, Kind.ATTACH, Outcome.NO_EFFECT, DATA)
    assert isinstance(look(scene, STOPPING, memory), Wait)


def test_a_stop_lets_requests_in_flight_settle_first() -> None:
    scene = leftover("F12")
    memory, _ = settle(scene, until(scene, Kind.DETACH), Kind.DETACH, None)
    assert isinstance(look(scene, STOPPING, memory), Wait)


def test_reverted_volumes_are_brought_home_before_a_stop_at_a_running_vm() -> None:
    scene = leftover("F27")
    memory = until(scene, Kind.DELETE_SNAPSHOT)
    scene.test_vm("Running")
    decision, _ = work(scene, NORMAL, memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.RUNNING_TEST_VM
    assert {disk.holder for disk in scene.disks} == {OMA}


def test_nothing_is_brought_home_while_a_newer_replication_is_active() -> None:
    scene = leftover("F27")
    memory = until(scene, Kind.DELETE_SNAPSHOT)
    active = replace(scene.replications[0], id="r", status="replicating", last_poll_at=scene.now + timedelta(hours=2))
    scene.replications.append(active)
    assert isinstance(look(scene, NORMAL, memory), Wait)
    assert isinstance(look(scene, STOPPING, memory), Stopped)


def test_the_deadline_counts_from_the_first_request_and_brings_reverted_volumes_home() -> None:
    scene = leftover("F12")
    wish = Wish(JOB, deadline=timedelta(hours=1), settings=QUICK)
    memory = until(scene, Kind.REVERT, wish=wish)
    assert memory.first_request_at is not None
    scene.now = memory.first_request_at + timedelta(hours=1)
    assert isinstance(look(scene, wish, memory), Act)
    scene.now += timedelta(seconds=1)
    decision = look(scene, wish, memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.DEADLINE_EXCEEDED
    again = replace(memory, tries_from=scene.now)
    assert isinstance(look(scene, wish, again), Act)


def test_the_deadline_does_not_count_suspension() -> None:
    scene = leftover("F12")
    wish = Wish(JOB, deadline=timedelta(hours=1), settings=QUICK)
    memory = until(scene, Kind.REVERT, wish=wish)
    memory = memory.stopped(at=scene.now).resumed(at=scene.now + timedelta(days=1))
    assert memory.first_request_at is not None
    assert memory.resumed(at=scene.now + timedelta(days=2)) == memory, "resumed once"
    scene.now = memory.first_request_at + timedelta(days=1, hours=1)
    assert isinstance(look(scene, wish, memory), Act)
    scene.now += timedelta(seconds=1)
    assert isinstance(look(scene, wish, memory), Refuse)


def test_requests_of_an_earlier_run_neither_time_out_a_new_one_nor_skip_its_preflight() -> None:
    scene = leftover("F12")
    _, memory = work(scene)
    again = memory.again(scene.now + timedelta(days=1), "again")
    assert (again.touched, again.first_request_at) == (False, None)
    begun = replace(again, started_at=scene.now + timedelta(days=1), number=2)
    assert (begun.touched, begun.first_request_at) == (False, None)


def test_a_test_vm_goes_only_when_every_volume_is_home() -> None:
    scene = leftover("R09")
    scene.context_status = "cleanup_required"
    scene.disk(DATA).detach()
    assert actions(scene, claimed(scene)) == [(Kind.ATTACH, DATA)]


def test_the_final_sync_setting_reaches_the_guard() -> None:
    scene = leftover("F11")
    scene.jobs = [replace(job, job_type="live") for job in scene.jobs]
    step = replace(scene.tracking[0].steps[-1], name="final-sync")
    scene.tracking = [replace(scene.tracking[0], steps=(step,))]
    patient = Settings(final_sync_stuck_after=timedelta(hours=3))
    decision = look(scene, Wish(JOB, settings=patient))
    assert isinstance(decision, Wait)
    assert decision.reason is Reason.FAILOVER_STILL_RUNNING
