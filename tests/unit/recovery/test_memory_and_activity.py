"""What is remembered over crashes and requests, and whose activity counts."""

from dataclasses import replace
from datetime import timedelta

from failed_execution_cleanup.recovery.actions import Action, Kind, Phase
from failed_execution_cleanup.recovery.activity import activity, is_ours
from failed_execution_cleanup.recovery.memory import Memory, Outcome
from failed_execution_cleanup.recovery.world import OperationRow
from tests.unit.recovery.worlds import DATA, JOB, NOW, OMA, OS, claimed, leftover, local

DETACH = Action(Kind.DETACH, OS, "", volume_id=OS, vm_id=OMA)


def settled(memory: Memory, outcome: Outcome, after: int = 0) -> Memory:
    memory, request = memory.write_ahead(DETACH, NOW + timedelta(seconds=after))
    return memory.with_request(replace(request, outcome=outcome, settled_at=request.sent_at))


def test_attempts_are_counted_over_owners_and_over_requests_of_a_person() -> None:
    memory = settled(settled(Memory(JOB, number=1), Outcome.NO_EFFECT), Outcome.NO_EFFECT)
    again = replace(memory, number=2).again(NOW, "again")
    _, request = again.write_ahead(DETACH, NOW)
    assert request.attempt == 3


def test_failures_are_forgotten_after_an_effect_and_when_a_person_asks_again() -> None:
    memory = settled(settled(Memory(JOB), Outcome.NO_EFFECT), Outcome.REFUSED)
    assert len(memory.failures(Kind.DETACH, OS)) == 2
    assert memory.failures(Kind.DETACH, DATA) == ()
    assert settled(memory, Outcome.EFFECT).failures(Kind.DETACH, OS) == ()
    again = memory.again(NOW + timedelta(seconds=1), "again")
    assert again.failures(Kind.DETACH, OS) == ()
    assert len(settled(again, Outcome.UNKNOWN, after=2).failures(Kind.DETACH, OS)) == 1


def test_an_open_request_is_in_flight_for_its_object_and_its_volume() -> None:
    revert = Action(Kind.REVERT, "snap", "", volume_id=OS, snapshot_id="snap")
    memory, _ = Memory(JOB).write_ahead(revert, NOW)
    assert memory.in_flight("snap")
    assert memory.in_flight(OS)
    assert not memory.in_flight(DATA)


def test_requests_of_a_phase_are_those_this_run_sent_to_others() -> None:
    memory = settled(replace(Memory(JOB), started_at=NOW), Outcome.NO_EFFECT)
    memory, _ = memory.write_ahead(DETACH, NOW)
    memory, _ = memory.write_ahead(Action(Kind.REVERT, "snap", ""), NOW)
    memory, _ = memory.write_ahead(Action(Kind.CLEAR_SNAPSHOT, OS, ""), NOW)
    assert {phase: memory.sent(phase) for phase in Phase if memory.sent(phase)} == {
        Phase.DETACH: 2,
        Phase.SNAPSHOTS: 1,
    }
    assert memory.again(NOW, "again").sent(Phase.DETACH) == 0
    assert replace(memory, started_at=NOW + timedelta(seconds=1)).sent(Phase.DETACH) == 0


def operation(after: int, *, kind: str = "detach", volume_id: str = OS, op_id: str = "op") -> OperationRow:
    return OperationRow(op_id, kind, "executing", volume_id, OMA, NOW + timedelta(seconds=after), None)


def test_a_daemon_operation_is_ours_by_its_id_or_while_its_id_is_unknown_by_what_it_does() -> None:
    memory, request = Memory(JOB).write_ahead(DETACH, NOW)
    assert is_ours(operation(1), memory)
    assert not is_ours(operation(-60), memory)
    assert not is_ours(operation(1, kind="attach"), memory)
    assert not is_ours(operation(1, volume_id=DATA), memory)
    known = memory.with_request(replace(request, external_id="op-7"))
    assert is_ours(operation(1, op_id="op-7"), known)
    assert not is_ours(operation(1, op_id="op-8"), known)
    over = memory.with_request(replace(request, outcome=Outcome.NO_EFFECT, settled_at=NOW + timedelta(seconds=30)))
    assert not is_ours(operation(60), over)


def test_our_own_operations_are_no_activity_and_everybody_elses_are() -> None:
    scene = leftover("F12")
    memory, _ = claimed(scene).write_ahead(DETACH, NOW)
    quiet = activity(scene.records(), memory)
    scene.operations.append(operation(1))
    scene.context_status = "cleanup_required"
    assert activity(scene.records(), memory) == quiet
    scene.operations.append(operation(1, volume_id=DATA, op_id="theirs"))
    assert activity(scene.records(), memory) != quiet


def test_a_new_step_log_line_job_sync_or_replication_is_activity() -> None:
    def seen(change: str) -> bool:
        scene = leftover("F12")
        before = activity(scene.records(), Memory(JOB))
        row = scene.tracking[0]
        if change == "step":
            scene.tracking[0] = replace(row, steps=(*row.steps, row.steps[0]))
        elif change == "log":
            scene.tracking[0] = replace(row, newest_log_id=7)
        elif change == "job":
            scene.job(job_id="job-2", row_id=2)
        elif change == "sync":
            scene.syncs.append(replace(scene.syncs[0], created_at=local(timedelta(0))))
        elif change == "replication":
            scene.replications.append(replace(scene.replications[0], id="r2"))
        elif change == "vm":
            scene.jobs[0] = replace(scene.jobs[0], destination_vm_id="vm")
        return activity(scene.records(), Memory(JOB)) != before

    assert not seen("nothing")
    assert all(seen(change) for change in ("step", "log", "job", "sync", "replication", "vm"))
