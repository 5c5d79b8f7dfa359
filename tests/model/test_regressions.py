"""Ways to lose data that the model found, each as the shortest scene that shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.decide import Act, Refuse, Wait, decide
from failed_execution_cleanup.recovery.goals import Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from tests.unit.recovery.worlds import DATA, JOB, OS, QUICK, RUNNING_WAIVED, Scene, claimed, leftover, work

WISH = Wish(JOB, frozenset({Waiver("RunningTestVM", "job")}), settings=QUICK)


def _reverted_with_a_newer_snapshot() -> tuple[Scene, Memory]:
    """The OS disk is put right; a second failed job's snapshot of what the first one wrote is still there."""
    scene = leftover("F12")
    scene.snapshot(OS, age=timedelta(minutes=100), content="dirty")
    memory = claimed(scene)
    for _ in range(20):
        decision = decide(scene.world(), WISH, memory)
        if isinstance(decision, Wait):
            scene.now += decision.after
            continue
        assert isinstance(decision, Act)
        for action in decision.actions:
            memory = scene.perform(action, memory)
        if scene.reverted.get(OS):
            return scene, memory
    raise AssertionError("never reverted")


@pytest.mark.parametrize("taken_over", [False, True], ids=["same-owner", "another-owner"])
def test_a_newer_snapshot_never_takes_the_place_of_a_restore_point_that_is_gone(taken_over: bool) -> None:
    scene, memory = _reverted_with_a_newer_snapshot()
    point, newer = scene.disk(OS).snapshots
    scene.disk(OS).snapshots = [newer]
    if taken_over:
        memory = replace(memory, number=memory.number + 1)

    _, memory = work(scene, WISH, memory)

    assert {request.object for request in memory.of(Kind.REVERT, volume_id=OS)} == {point.id}
    assert {disk.content for disk in scene.disks} == {"replica"}
    # Deleted only on the strength of a revert within the same claim (rule 12).
    assert (newer in scene.disk(OS).snapshots) is taken_over


def test_a_newer_snapshot_that_is_all_that_is_left_after_a_doubtful_revert_asks_for_a_person() -> None:
    scene, memory = _reverted_with_a_newer_snapshot()
    scene.disk(OS).snapshots = scene.disk(OS).snapshots[1:]
    scene.disk(OS).move_to("vm-test")  # a late attach: what was put right is in doubt again
    scene.test_vm("Stopped")

    decision, memory = work(scene, WISH, memory)

    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.SNAPSHOT_MISSING
    assert len(list(memory.of(Kind.REVERT, volume_id=OS))) == 1


def test_a_volume_on_a_running_vm_is_modified_whatever_the_steps_say() -> None:
    scene = leftover("F24")  # died before the VM was started
    scene.test_vm("Running")
    scene.disk(DATA).move_to("vm-test")
    scene.disk(DATA).snapshots.clear()
    scene.disk(DATA).recorded, scene.disk(DATA).recorded_status = None, "none"

    decision = decide(scene.world(), RUNNING_WAIVED, claimed(scene))

    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.SNAPSHOT_MISSING
    assert DATA in decision.message
