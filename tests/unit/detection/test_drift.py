"""What counts as drift of a finished cleanup, what explains it, and what of it may be put right unasked (rule 18)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from failed_execution_cleanup.appliance.observe_many import Observed
from failed_execution_cleanup.detection.drift import Drift, FinishedCleanup, drift_of
from failed_execution_cleanup.detection.stuck import Unsettled
from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.decide import Act, Done, Refuse, decide
from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import ReplicationRow
from failed_execution_cleanup.run.claim import dump_memory
from tests.unit.recovery.worlds import CTX, DATA, JOB, OS, QUICK, STRANGER, Scene, leftover, local, work

Change = Callable[[Scene], None]


def cleaned(code: str = "F12") -> tuple[Scene, Memory]:
    """A world whose cleanup ended well, and what it remembers; an hour has passed."""
    scene = leftover(code)
    decision, memory = work(scene)
    assert isinstance(decision, Done)
    memory = memory.ended(reason=decision.reason.value, at=scene.now, suspects=())
    scene.now += timedelta(hours=1)
    return scene, memory


def verdict(scene: Scene, memory: Memory, *, before: Scene | None = None) -> Drift | Unsettled | None:
    world = scene.world()
    first = before.records() if before is not None else world.records
    seen = Observed(replace(world, first=first), {JOB: dump_memory(memory)})
    ended = (scene.now - timedelta(hours=1)).replace(tzinfo=UTC)
    return drift_of(seen, FinishedCleanup(CTX, JOB, ended), QUICK)


def replication(scene: Scene, status: str, *, age: timedelta) -> None:
    begun = local(age, scene.now)
    completed = None if status == "replicating" else begun
    scene.replications.append(ReplicationRow(f"repl-{status}", status, begun, begun, begun, completed, begun, 4096))


def volume_detached(scene: Scene) -> None:
    scene.disk(DATA).detach()


def volume_elsewhere(scene: Scene) -> None:
    scene.disk(DATA).holder = STRANGER


def mode_changed(scene: Scene) -> None:
    scene.disk(OS).map_to_oma("failover")


def export_gone(scene: Scene) -> None:
    scene.disk(OS).exported = False


def snapshot_recorded(scene: Scene) -> None:
    scene.disk(OS).recorded = "snap-of-somebody"


def vm_is_back(scene: Scene) -> None:
    scene.test_vm("Stopped", own_root=True)


def status_written(scene: Scene) -> None:
    scene.context_status = "failed_over_test"


@pytest.mark.parametrize(
    ("change", "goals", "obstacle"),
    [
        (volume_detached, ("VolumesAttached",), None),
        (volume_elsewhere, ("VolumesAttached",), "UnknownHolder"),
        (mode_changed, ("VolumesAttached",), None),
        (export_gone, ("VolumesAttached",), None),
        (snapshot_recorded, ("SnapshotsRemoved",), None),
        (vm_is_back, ("TestVMRemoved",), None),
        (status_written, ("ContextReady",), None),
    ],
    ids=lambda value: value.__name__ if callable(value) else None,
)
def test_goal_that_holds_no_longer_is_drift(change: Change, goals: tuple[str, ...], obstacle: str | None) -> None:
    scene, memory = cleaned("F15")
    assert verdict(scene, memory) is None

    change(scene)
    drift = verdict(scene, memory)

    assert isinstance(drift, Drift)
    assert tuple(part.split(":")[0] for part in drift.message.split("; ") if ":" in part)[:1] == goals
    assert drift.obstacle == obstacle
    scene.now += timedelta(minutes=7)
    assert verdict(scene, memory) == drift, "as long as the same differs the words are the same"


def test_newer_failover_explains_everything() -> None:
    scene, memory = cleaned()
    volume_detached(scene)
    scene.job(job_id="job-2", row_id=2, age=timedelta(minutes=30))
    assert verdict(scene, memory) is None


def test_newer_replication_explains_a_status_and_nothing_else() -> None:
    scene, memory = cleaned()
    scene.context_status = "failed"
    replication(scene, "failed", age=timedelta(minutes=30))
    assert verdict(scene, memory) is None

    volume_detached(scene)
    drift = verdict(scene, memory)
    assert isinstance(drift, Drift)
    assert "ContextReady" not in drift.message


def test_nothing_is_said_while_a_replication_is_at_work() -> None:
    scene, memory = cleaned()
    volume_detached(scene)
    replication(scene, "replicating", age=timedelta(minutes=1))
    assert verdict(scene, memory) is Unsettled.UNSETTLED


def test_nothing_is_said_while_rows_change_under_the_look() -> None:
    scene, memory = cleaned()
    before = leftover("F12")
    before.now = scene.now
    assert verdict(scene, memory, before=before) is Unsettled.UNSETTLED


def snapshot_back(scene: Scene) -> None:
    """A product-made snapshot of the OS disk is there again: only a revert could put that right."""
    scene.snapshot(OS)
    volume_detached(scene)


def test_drift_that_needs_a_revert_is_told_and_not_put_right() -> None:
    scene, memory = cleaned("C06")  # no revert of it is known that the snapshot could be held against
    snapshot_back(scene)
    drift = verdict(scene, memory)
    assert isinstance(drift, Drift)
    assert drift.obstacle == "DriftNeedsRevert"


def test_correction_puts_right_what_differs_and_touches_nothing_else() -> None:
    scene, memory = cleaned()
    volume_detached(scene)
    done: list[Kind] = []
    correction = replace(memory.again(scene.now, None, correcting=True), number=memory.number + 1, started_at=scene.now)
    decision, _ = work(scene, None, correction, watch=lambda _s, act, _m: done.extend(a.kind for a in act.actions))
    assert isinstance(decision, Done)
    assert done == [Kind.MARK_CONTEXT, Kind.ATTACH, Kind.CLOSE_INCIDENT]


@pytest.mark.parametrize("code", ["F11", "F12", "F24", "R04", "C03"])
def test_correction_never_reverts_whoever_goes_on_with_it(code: str) -> None:
    """Even in a world full of what a cleanup reverts: the memory says so, and it outlives its owner."""
    scene = leftover(code)
    memory = Memory(JOB).again(scene.now, None, correcting=True)
    decision = decide(scene.world(), Wish(JOB, settings=QUICK), memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.DRIFT_NEEDS_REVERT

    taken_over = replace(memory, number=2, started_at=scene.now)
    assert isinstance(decide(scene.world(), Wish(JOB, settings=QUICK), taken_over), Refuse)


def test_what_a_correction_may_not_do_a_person_may_ask_for() -> None:
    scene = leftover("F12")
    corrected = Memory(JOB).again(scene.now, None, correcting=True)
    asked = replace(corrected.again(scene.now, "again"), number=2, started_at=scene.now)
    assert isinstance(decide(scene.world(), Wish(JOB, settings=QUICK), asked), Act)
    decision, _ = work(scene, None, asked)
    assert isinstance(decision, Done)
