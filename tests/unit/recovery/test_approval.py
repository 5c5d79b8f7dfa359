"""Plan and approve: what is executed is within the plan that was approved, and anything else waits for a new approval."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given

from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.approval import adopted, approved_key, executes, plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Act, Done, Refuse, Stopped, decide
from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.memory import Approval, Memory
from failed_execution_cleanup.recovery.reasons import Reason
from tests.model.test_core_properties import few, scenes
from tests.unit.recovery.worlds import (
    DATA,
    JOB,
    LEFTOVERS,
    RUNNING_WAIVED,
    TVM,
    Disk,
    Scene,
    claimed,
    leftover,
    look,
    work,
)


def plan(scene: Scene, memory: Memory | None = None) -> tuple[Action, ...]:
    return plan_of(scene.world(), look(scene, RUNNING_WAIVED, memory).assessment)


def approving(digest: str, *, execute: bool = True) -> Wish:
    return replace(RUNNING_WAIVED, approved_plan=digest, execute=execute)


def keeping_to(scene: Scene, *, execute: bool = True) -> tuple[Wish, Memory]:
    """A run that has just adopted the plan as it is now."""
    wish = approving(plan_hash(plan(scene)), execute=execute)
    return wish, replace(claimed(scene), approval=adopted(wish, Memory(JOB), plan(scene)))


@pytest.mark.parametrize("code", LEFTOVERS)
def test_everything_that_is_done_is_in_the_plan_that_was_shown(code: str) -> None:
    scene = leftover(code)
    shown = {approved_key(action) for action in plan(scene)}
    done: list[str] = []
    work(scene, RUNNING_WAIVED, watch=lambda _scene, act, _memory: done.extend(map(approved_key, act.actions)))
    assert set(done) <= shown


class Careless(Scene):
    """A daemon that leaves a stale mapping at a detach, and neither mode nor export at an attach; a destroy that only destroys."""

    def _volume_effect(self, action: Action, disk: Disk, memory: Memory) -> None:
        mapping = disk.mapping
        super()._volume_effect(action, disk, memory)
        if action.kind is Kind.DETACH:
            disk.mapping = mapping
        if action.kind is Kind.ATTACH:
            disk.map_to_oma("failover")
            disk.exported = False

    def _effect(self, action: Action, memory: Memory) -> None:
        if action.kind is Kind.DESTROY_VM:
            self.vms[action.object] = replace(self.vms[action.object], state="Destroyed")
        else:
            super()._effect(action, memory)


@pytest.mark.parametrize("code", LEFTOVERS)
def test_what_may_follow_from_a_step_is_in_the_plan_as_well(code: str) -> None:
    scene = Careless(**vars(leftover(code)))
    shown = {approved_key(action) for action in plan(scene)}
    wish, memory = keeping_to(scene)
    done: list[str] = []
    end, _ = work(scene, wish, memory, watch=lambda _scene, act, _memory: done.extend(map(approved_key, act.actions)))
    expected, _ = work(leftover(code), RUNNING_WAIVED)
    assert (type(end), getattr(end, "reason", None)) == (type(expected), getattr(expected, "reason", None))
    assert set(done) <= shown


@few
@given(scenes())
def test_whatever_was_left_all_that_is_done_is_in_the_plan_that_was_shown(scene: Scene) -> None:
    shown = {approved_key(action) for action in plan(scene)}
    done: list[str] = []
    work(scene, RUNNING_WAIVED, watch=lambda _scene, act, _memory: done.extend(map(approved_key, act.actions)))
    assert set(done) <= shown


@pytest.mark.parametrize("execute", [True, False])
@pytest.mark.parametrize("code", LEFTOVERS)
def test_an_approved_plan_comes_to_the_same_end_as_without_approval(code: str, execute: bool) -> None:
    expected, _ = work(leftover(code), RUNNING_WAIVED)
    scene = leftover(code)
    wish, memory = keeping_to(scene, execute=execute)
    end, _ = work(scene, wish, memory)
    assert (type(end), getattr(end, "reason", None)) == (type(expected), getattr(expected, "reason", None))


@pytest.mark.parametrize("code", LEFTOVERS)
def test_a_plan_names_the_mark_first_and_the_last_transaction_last(code: str) -> None:
    kinds = [action.kind for action in plan(leftover(code))]
    assert Kind.MARK_CONTEXT not in kinds[1:]
    assert Kind.CLOSE_INCIDENT not in kinds[:-1]
    assert (Kind.MARK_CONTEXT in kinds) is (code not in {"C06", "R06"}) or Kind.CLOSE_INCIDENT in kinds


def test_where_the_context_is_ready_already_the_mark_and_its_end_are_named() -> None:
    scene = leftover("C06")
    assert {action.kind for action in plan(scene)} == {Kind.DESTROY_VM, Kind.EXPUNGE_VM}
    scene.snapshot(DATA)
    kinds = [action.kind for action in plan(scene)]
    assert (kinds[0], kinds[-1]) == (Kind.MARK_CONTEXT, Kind.CLOSE_INCIDENT)


def test_every_planned_action_says_why_and_is_named_once() -> None:
    shown = plan(leftover("F19"))
    assert all(action.why for action in shown)
    assert len({action.key for action in shown}) == len(shown)


def test_the_digest_does_not_change_with_time_or_with_what_a_plan_does_not_depend_on() -> None:
    scene = leftover("F19")
    digest = plan_hash(plan(scene))
    scene.now += timedelta(days=2)
    scene.vm_name = "renamed"
    assert plan_hash(plan(scene)) == digest
    assert plan_hash(reversed([replace(action, why="other words") for action in plan(scene)])) == digest


def without_any_replication(scene: Scene) -> None:
    scene.replications.clear()
    scene.last_successful_job = None


CHANGES: dict[str, Callable[[Scene], object]] = {
    "a volume was detached": lambda scene: scene.disk(DATA).detach(),
    "a snapshot more": lambda scene: scene.snapshot(DATA, age=timedelta(minutes=100), recorded=False),
    "a snapshot less": lambda scene: scene.disk(DATA).snapshots.clear(),
    "the test VM runs": lambda scene: scene.test_vm("Running"),
    "the context will end otherwise": without_any_replication,
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_digest_changes_with_what_would_be_done(change: str) -> None:
    scene = leftover("F24")
    digest = plan_hash(plan(scene))
    CHANGES[change](scene)
    assert plan_hash(plan(scene)) != digest


def test_a_forced_stop_is_not_covered_by_the_approval_of_a_graceful_one() -> None:
    stop = Action(Kind.STOP_VM, TVM, "it runs", vm_id=TVM)
    assert approved_key(stop) != approved_key(replace(stop, forced=True))


@pytest.mark.parametrize("execute", [True, False])
def test_a_digest_of_another_plan_allows_nothing(execute: bool) -> None:
    scene = leftover("F11")
    decision = look(scene, approving("0" * 32, execute=execute), claimed(scene))
    if execute:
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.AWAITING_APPROVAL
        assert "detach" in decision.message
    else:
        assert isinstance(decision, Stopped)


def test_a_plan_that_is_out_of_date_is_not_begun_not_even_in_part() -> None:
    scene = leftover("F11")
    wish, memory = keeping_to(scene)
    scene.snapshot(DATA, age=timedelta(minutes=100), recorded=False)
    decision = look(scene, wish, memory)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.AWAITING_APPROVAL


def test_what_turns_up_in_the_middle_waits_until_everything_approved_is_done_and_volumes_are_home() -> None:
    scene = leftover("F11")
    wish, memory = keeping_to(scene)
    extra: list[str] = []

    def turn_up(_scene: Scene, act: Act, _memory: Memory) -> None:
        assert not {action.object for action in act.actions} & set(extra)
        if not extra and any(action.kind is Kind.DELETE_SNAPSHOT for action in act.actions):
            extra.append(scene.snapshot(DATA, age=timedelta(minutes=100), recorded=False).id)

    end, memory = work(scene, wish, memory, watch=turn_up)
    assert isinstance(end, Refuse)
    assert end.reason is Reason.AWAITING_APPROVAL
    assert extra[0] in end.message
    assert {disk.holder for disk in scene.disks} == {"vm-oma"}
    assert {disk.content for disk in scene.disks} == {"replica"}

    again = approving(plan_hash(plan(scene, memory)))
    memory = replace(memory, approval=adopted(again, memory, plan(scene, memory)))
    end, _ = work(scene, again, memory)
    assert isinstance(end, Done)
    assert end.reason is Reason.CLEANED
    assert scene.disk(DATA).snapshots == []


def test_an_approval_that_was_taken_back_stops_the_run_and_brings_volumes_home() -> None:
    scene = leftover("F11")
    wish, memory = keeping_to(scene, execute=False)
    act = look(scene, wish, memory)
    while not memory.touched:
        assert isinstance(act, Act)
        for action in act.actions:
            memory = scene.perform(action, memory)
        act = look(scene, wish, memory)
    end, _ = work(scene, replace(wish, approved_plan=None), memory)
    assert isinstance(end, Stopped)


def test_a_new_run_needs_a_new_approval() -> None:
    memory = Memory(JOB, approval=Approval("a" * 32, ("detach/vol-os",)))
    assert memory.again(leftover("F11").now, "again").approval is None


def test_without_an_approval_mode_execute_does_as_before() -> None:
    scene = leftover("F11")
    assert adopted(RUNNING_WAIVED, Memory(JOB), plan(scene)) is None
    assert executes(RUNNING_WAIVED, None)
    assert not executes(replace(RUNNING_WAIVED, execute=False), None)


def test_a_guard_speaks_before_an_approval_is_asked_for() -> None:
    scene = leftover("F28")
    decision = decide(scene.world(), Wish(JOB, approved_plan="0" * 32), Memory(JOB))
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.RUNNING_TEST_VM


def test_the_time_a_run_waited_for_a_person_does_not_count_for_its_deadline() -> None:
    scene = leftover("F11")
    memory = claimed(scene)
    act = look(scene, RUNNING_WAIVED, memory)
    while not memory.touched:
        assert isinstance(act, Act)
        for action in act.actions:
            memory = scene.perform(action, memory)
        act = look(scene, RUNNING_WAIVED, memory)
    scene.now += timedelta(seconds=5)
    memory = memory.stopped(at=scene.now)
    scene.now += timedelta(days=2)
    assert isinstance(look(scene, RUNNING_WAIVED, memory), Act)
    assert isinstance(look(scene, RUNNING_WAIVED, memory.resumed(at=scene.now)), Act)
