"""Promises of the pure core over generated leftovers, memories and faults: what is never done, and that it always ends.

`Scene` keeps the truth, contents of volumes included, so the promises are checked against what really is there and not
against what the core believes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from failed_execution_cleanup.recovery.actions import Action, Kind, System
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Wait, decide
from failed_execution_cleanup.recovery.goals import Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import CloudVM, OperationRow, OwnClaimRow, World
from tests.unit.recovery.worlds import (
    DATA,
    GIB,
    JOB,
    LEFTOVERS,
    OMA,
    OS,
    QUICK,
    STEPS,
    STRANGER,
    TVM,
    Disk,
    Scene,
    claimed,
    healthy_start,
    leftover,
    local,
    work,
)

few = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
many = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
RUNNING = Waiver("RunningTestVM", "job")
SPARE = "vol-spare"
SYNC_AGE = timedelta(hours=6)
OBSOLETE_AGE = timedelta(hours=8)
COPYING = "undefined"
COPY_TIME = timedelta(seconds=10 * GIB / QUICK.revert_bytes_per_second)


@st.composite
def scenes(draw: st.DrawFn) -> Scene:
    """A VM whose failover died anywhere, with the leftovers that may follow, and some that should not."""
    scene = healthy_start()
    if draw(st.booleans()):
        scene.disks.append(Disk(SPARE, 2))
        scene.disks[-1].map_to_oma()
    step = draw(st.sampled_from(STEPS))
    how = draw(st.sampled_from(["running", "failed", "completed"]))
    status = draw(st.sampled_from(["pending", "pending", "failed", "creating_vm"]))
    vm_state = draw(st.sampled_from([None, "Stopped", "Running", "Destroyed", "Error"]))
    named = draw(st.booleans())
    scene.job(status=status, destination=TVM if vm_state is not None and named else None)
    scene.died_at(step, how)
    if vm_state is not None:
        scene.test_vm(vm_state, own_root=draw(st.booleans()))
    for disk in scene.disks:
        _draw_disk(draw, scene, disk, step, movable=vm_state in {"Stopped", "Running"})
    return scene


def _draw_disk(draw: st.DrawFn, scene: Scene, disk: Disk, step: str, *, movable: bool) -> None:
    kind = draw(st.sampled_from(["none", "one", "two", "unfinished", "obsolete", "person", "unrecorded"]))
    modified = step == STEPS[-1] or (disk.id == OS and STEPS.index(step) >= 2)
    if kind in {"one", "two", "unrecorded"}:
        scene.snapshot(disk.id, recorded=kind != "unrecorded")
    if kind == "two":
        scene.snapshot(disk.id, age=timedelta(minutes=100), content="dirty" if modified else "replica")
    if kind == "unfinished":
        state = draw(st.sampled_from(["Error", "Allocated", "BackingUp"]))
        scene.snapshot(disk.id, state=state, recorded=False)
    if kind == "obsolete":
        scene.snapshot(disk.id, age=OBSOLETE_AGE, content="old")
    if draw(st.booleans()):
        scene.snapshot(disk.id, name="before-the-upgrade", recorded=False, content="person")
    if modified:
        disk.content = "dirty"
    place = draw(st.sampled_from(["oma", "oma", "failover", "nowhere", "stale", "no-mapping", "vm", "vm-unmapped"]))
    if place == "failover":
        disk.map_to_oma("failover")
    elif place == "stale":
        stale = disk.mapping
        disk.detach()
        disk.mapping = stale
    elif place == "no-mapping":
        disk.detach()
        disk.holder = OMA
    elif place == "nowhere":
        disk.detach()
    elif place.startswith("vm") and movable:
        disk.move_to(TVM, mapped=place == "vm")


def restore_point(disk: Disk) -> str | None:
    """The only snapshot that may be reverted: computed here from the scene alone."""
    fresh = [
        s
        for s in disk.snapshots
        if s.state == "BackedUp"
        and s.name.startswith("multi-test-failover-")
        and s.created is not None
        and s.created.replace(tzinfo=None) > local(SYNC_AGE) - timedelta(hours=2)
    ]
    return min(fresh, key=lambda s: (s.created, s.id)).id if fresh else None


def assert_safe(scene: Scene, act: Act, memory: Memory) -> None:
    """What no action may ever be, judged by the truth."""
    volumes = [action.volume_id for action in act.actions if action.volume_id is not None]
    assert len(volumes) == len(set(volumes)), "two actions on one volume"
    for action in act.actions:
        _assert_action_safe(scene, action, memory)
        if action.kind is Kind.CLOSE_INCIDENT:
            assert act.actions == (action,)
            assert act.assessment.steps == (action,)
            _assert_may_close(scene, action)


def _assert_action_safe(scene: Scene, action: Action, memory: Memory) -> None:
    if action.volume_id is not None:
        _assert_volume_action_safe(scene, action, scene.disk(action.volume_id), memory)
    elif action.kind in {Kind.DESTROY_VM, Kind.EXPUNGE_VM}:
        assert action.object == TVM
        assert all(disk.holder == OMA for disk in scene.disks)
    elif action.kind is Kind.STOP_VM:
        assert action.object == TVM


def _assert_volume_action_safe(scene: Scene, action: Action, disk: Disk, memory: Memory) -> None:
    if action.kind in {Kind.REVERT, Kind.ATTACH}:
        assert scene.now >= scene.copying_until.get(disk.id, scene.now)
    if action.kind is Kind.REVERT:
        assert (disk.holder, disk.state) == (None, "Ready")
        assert action.object == restore_point(disk)
        assert next(s for s in disk.snapshots if s.id == action.object).volume_id == disk.id
    elif action.kind is Kind.DELETE_SNAPSHOT:
        snapshot = next(s for s in disk.snapshots if s.id == action.object)
        assert snapshot.name.startswith("multi-test-failover-")
        if snapshot.state == "BackedUp":
            assert disk.holder is None
            assert memory.number in scene.reverted.get(disk.id, set())
            assert disk.content == "replica"
    elif action.kind is Kind.DETACH:
        assert disk.holder in {OMA, TVM}
    elif action.kind is Kind.ATTACH:
        assert (disk.holder, action.vm_id) == (None, OMA)
        assert disk.content != COPYING


def _assert_may_close(scene: Scene, action: Action) -> None:
    assert action.closing is not None
    for disk in scene.disks:
        assert disk.holder == OMA
        assert disk.exported
        assert disk.mapping is not None
        assert (disk.mapping.vm_id, disk.mapping.operation_mode) == (OMA, "oma")
        assert disk.recorded is None
        if action.closing.context_to == "ready_for_failover":
            assert disk.content == "replica"
    assert TVM not in scene.vms or scene.vms[TVM].state == "Destroyed"


def _assert_only_brought_home(scene: Scene, decision: Refuse, memory: Memory) -> None:
    """Before every volume is safe none is taken off and no VM stopped, and none that hangs in the air stays there (rule 8)."""
    assert not {r.kind for r in memory.requests} & {Kind.STOP_VM, Kind.DETACH, Kind.DESTROY_VM, Kind.EXPUNGE_VM}
    held = {block.volume_id for block in decision.assessment.blocks if block.volume_id is not None}
    nowhere = {disk.id for disk in scene.disks if disk.holder is None}
    assert nowhere <= held


def wish_for(*waivers: Waiver) -> Wish:
    return Wish(JOB, frozenset({RUNNING, *waivers}), deadline=timedelta(days=30), settings=QUICK)


@many
@given(scene=scenes())
def test_every_leftover_is_cleaned_or_refused_before_anything_is_taken_away(scene: Scene) -> None:
    decision, memory = work(scene, wish_for(), watch=assert_safe)
    if isinstance(decision, Refuse):
        _assert_only_brought_home(scene, decision, memory)
        return
    assert isinstance(decision, Done)
    assert decision.assessment.steps == ()
    assert decision.reason in {Reason.CLEANED, Reason.ALREADY_CLEAN}
    assert scene.context_status == "ready_for_failover"
    assert {disk.content for disk in scene.disks} == {"replica"}
    assert decide(scene.world(), wish_for(), memory) == decision


@few
@given(scene=scenes(), crashes=st.lists(st.integers(min_value=0, max_value=25), max_size=3))
def test_a_broken_claim_reverts_anew_before_it_deletes_and_still_ends_clean(scene: Scene, crashes: list[int]) -> None:
    memory = claimed(scene)
    decision: Decision
    for turn in range(200):
        if turn in crashes:
            memory = replace(memory, number=memory.number + 1)
        decision = decide(scene.world(), wish_for(), memory)
        if isinstance(decision, Act):
            assert_safe(scene, decision, memory)
            for action in decision.actions:
                memory = scene.perform(action, memory)
        elif isinstance(decision, Wait):
            scene.now += decision.after
        elif turn > max(crashes, default=0):
            break
    else:
        pytest.fail("no end")
    if isinstance(decision, Done):
        assert {disk.content for disk in scene.disks} == {"replica"}
    else:
        assert isinstance(decision, Refuse)
        _assert_only_brought_home(scene, decision, memory)


Fault = Callable[[Scene, Action, Memory], Memory]


def _settled(scene: Scene, action: Action, memory: Memory, outcome: Outcome) -> Memory:
    memory, request = memory.write_ahead(action, scene.now)
    scene.now += timedelta(seconds=1)
    return memory.with_request(replace(request, outcome=outcome, settled_at=scene.now, error="it broke"))


def works(scene: Scene, action: Action, memory: Memory) -> Memory:
    return scene.perform(action, memory)


def refused(scene: Scene, action: Action, memory: Memory) -> Memory:
    return _settled(scene, action, memory, Outcome.REFUSED)


def fails(scene: Scene, action: Action, memory: Memory) -> Memory:
    """No effect; a revert that fails may have copied a part, an attach may lack its by-id link."""
    if action.kind is Kind.REVERT:
        disk = scene.disk(action.volume_id or "")
        disk.content = COPYING
        scene.copying_until[disk.id] = scene.now + COPY_TIME
        return _settled(scene, action, memory, Outcome.UNKNOWN)
    if action.kind is Kind.ATTACH:
        scene.disk(action.volume_id or "").holder = OMA
    return _settled(scene, action, memory, Outcome.NO_EFFECT)


def dies(scene: Scene, action: Action, memory: Memory) -> Memory:
    """The owner dies after the request; the next one settles it by what the world shows."""
    memory = works(scene, action, memory)
    return replace(memory, number=memory.number + 1)


@many
@given(scene=scenes(), data=st.data())
def test_no_fault_crash_or_late_attach_makes_an_action_unsafe(scene: Scene, data: st.DataObject) -> None:
    memory = claimed(scene)
    wish = wish_for(*(Waiver("AcceptContent", d.id) for d in scene.disks if data.draw(st.integers(0, 9)) == 0))
    modifiable = {disk.id for disk in scene.disks if disk.content == "dirty"}
    accepted = {w.object for w in wish.waivers if w.reason == "AcceptContent"}
    for _ in range(70):
        decision = decide(scene.world(), wish, memory)
        assert decide(scene.world(), wish, memory) == decision
        if isinstance(decision, Wait):
            scene.now += decision.after
            continue
        if not isinstance(decision, Act):
            return
        for disk in scene.disks:
            if disk.id in accepted and disk.content == COPYING:
                disk.content = "accepted"
        assert_safe(scene, decision, memory)
        for action in decision.actions:
            if action.system is System.DATABASE:
                memory = works(scene, action, memory)
                continue
            fault = data.draw(st.sampled_from([works, works, works, works, fails, refused, dies]), label=action.key)
            memory = fault(scene, action, memory)
        stray = [disk for disk in scene.disks if disk.holder is None]
        if stray and TVM in scene.vms and data.draw(st.integers(0, 7), label="late attach") == 0:
            disk = data.draw(st.sampled_from(stray))
            disk.move_to(TVM)
            disk.content = "dirty" if disk.id in modifiable else disk.content


@few
@given(
    scene=st.sampled_from(sorted(LEFTOVERS)).map(leftover),
    guard=st.sampled_from(
        [
            "young",
            "replication",
            "newer job",
            "healthy",
            "no config",
            "second config",
            "no OMA VM",
            "claim",
            "operation",
        ]
    ),
    claimed_before=st.booleans(),
)
def test_nothing_at_all_is_done_while_a_global_guard_holds(scene: Scene, guard: str, claimed_before: bool) -> None:
    raise_guard(scene, guard)
    memory = claimed(scene) if claimed_before else Memory(JOB)
    decision = decide(scene.world(), wish_for(), memory)
    assert not isinstance(decision, Act), (guard, decision)


def raise_guard(scene: Scene, guard: str) -> None:
    """Make one danger true."""
    now = scene.now + timedelta(hours=2)
    if guard == "young":
        row = next(row for row in scene.tracking if row.id == JOB)
        scene.tracking[scene.tracking.index(row)] = replace(row, status="running", newest_log_at=now)
    elif guard == "replication":
        scene.replications.append(
            replace(scene.replications[0], id="repl-2", status="replicating", completed_at=None, last_poll_at=now)
        )
    elif guard == "newer job":
        scene.job(job_id="job-2", row_id=2, age=timedelta(minutes=1))
    elif guard == "healthy":
        _make_healthy(scene)
    elif guard == "no config":
        scene.oma_vm_ids = ()
    elif guard == "second config":
        scene.oma_vm_ids = (OMA, "vm-other")
    elif guard == "no OMA VM":
        del scene.vms[OMA]
    else:
        _raise_activity(scene, guard)


def _make_healthy(scene: Scene) -> None:
    scene.jobs.clear()
    scene.job(status="completed", destination=TVM)
    scene.tracking = [replace(row, status="completed") for row in scene.tracking if row.id == JOB]
    scene.test_vm("Running")
    for disk in scene.disks:
        disk.move_to(TVM)


def _raise_activity(scene: Scene, guard: str) -> None:
    if guard == "claim":
        scene.claims.append(OwnClaimRow("claim-2", "job-0", 3, "other", 2.0, finished=False))
    else:
        young = scene.now - timedelta(seconds=30)
        scene.operations += [
            OperationRow(f"op-{d.id}", "attach", "executing", d.id, TVM, young, None) for d in scene.disks
        ]


raw = st.one_of(
    st.text(max_size=12), st.sampled_from(["Running", "Ready", "BackedUp", "completed", "pending", "", "Expunging"])
)


@many
@given(
    scene=scenes(),
    texts=st.lists(raw, min_size=9, max_size=9),
    chosen=st.sets(st.integers(0, 8), min_size=1),
    touched=st.booleans(),
)
def test_no_text_in_a_status_column_makes_it_fail(
    scene: Scene, texts: list[str], chosen: set[int], touched: bool
) -> None:
    world = scramble(scene, {n: texts[n] for n in chosen})
    memory = claimed(scene)
    if touched:
        memory = scene.perform(Action(Kind.DETACH, DATA, "", volume_id=DATA, vm_id=OMA), memory)
    decision = decide(world, wish_for(), memory)
    if {texts[n] for n in chosen & {0, 1, 2}} - KNOWN:
        assert isinstance(decision, Refuse | Wait)
        assert decision.reason is not None
    elif 5 in chosen and texts[5] not in KNOWN and isinstance(decision, Act):
        assert all(action.volume_id != OS for action in decision.actions)


KNOWN = frozenset(
    {"pending", "completed", "failed", "running", "ready_for_failover", "Running", "Ready", "Stopped", "Expunging"}
)


def scramble(scene: Scene, texts: dict[int, str]) -> World:
    """Put raw texts into status columns and states, by number."""
    row = scene.tracking[0]
    if 0 in texts:
        scene.jobs[0] = replace(scene.jobs[0], status=texts[0])
    if 1 in texts:
        scene.context_status = texts[1]
    if 2 in texts:
        scene.tracking[0] = replace(row, status=texts[2])
    if 3 in texts:
        scene.replications[0] = replace(scene.replications[0], status=texts[3])
    if 4 in texts and TVM in scene.vms:
        scene.vms[TVM] = replace(scene.vms[TVM], state=texts[4])
    if 5 in texts:
        scene.disk(OS).state = texts[5]
    if 6 in texts and scene.disk(OS).snapshots:
        scene.disk(OS).snapshots[0] = replace(scene.disk(OS).snapshots[0], state=texts[6])
    if 7 in texts:
        scene.disk(OS).recorded_status = texts[7]
    if 8 in texts:
        scene.vms["vm-odd"] = CloudVM("vm-odd", texts[8], texts[8], texts[8])
        scene.disk(DATA).holder = STRANGER
    return scene.world()
