"""What may become of an action: it works, is refused, fails before or after its effect, or is cut off and found open.

Follows the real run: checked once more right before it, written ahead, settled by what the world shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import Final

from failed_execution_cleanup.recovery.actions import Action, Closing, Kind, System
from failed_execution_cleanup.recovery.memory import Outcome, Request
from tests.model.node import COPY_TIME, TICK, Node, fork
from tests.unit.recovery.worlds import OMA, Scene


class Fate(StrEnum):
    """What becomes of one action."""

    WORKS = "works"
    REFUSED = "is refused"
    FAILS = "fails"
    """Executed without the effect; a revert has copied a part and may go on copying, an attach lacks its mapping."""
    CUT_OFF = "is cut off"
    """The request is on its way and will have its effect; nobody knows yet."""
    LOST = "is lost"
    """Written ahead, and never arrived; nobody knows yet."""
    LEFT_DESTROYED = "leaves the VM Destroyed"
    """Destroyed, not expunged."""


HALF: Final = "half"
"""Content of a volume of which a revert has copied a part."""

FAULTS: Final = (Fate.REFUSED, Fate.FAILS, Fate.CUT_OFF, Fate.LOST)


def fates(action: Action) -> Iterator[Fate]:
    """What else may become of an action than that it works. Writes to the database happen or do not: a crash covers both."""
    if action.system is System.DATABASE:
        return
    yield from FAULTS
    if action.kind is Kind.DESTROY_VM and action.expunge:
        yield Fate.LEFT_DESTROYED


def perform(node: Node, action: Action, fate: Fate) -> Node:
    """The state after an action met its fate."""
    scene = fork(node.scene)
    if action.system is System.DATABASE:
        memory = node.memory
        if action.kind is Kind.MARK_CONTEXT:
            memory = replace(memory, marked_from=memory.marked_from or scene.context_status)
        if action.closing is None or may_close(scene, action.closing):
            scene._effect(action, memory)
        return replace(node, scene=scene, memory=memory)
    if not still_possible(scene, action):
        return node
    scene.now += TICK
    memory, request = node.memory.write_ahead(action, scene.now)
    node = replace(node, scene=scene, memory=memory)
    match fate:
        case Fate.WORKS:
            _effect(node, action)
            return _settled(node, request, Outcome.EFFECT)
        case Fate.REFUSED:
            return _settled(node, request, Outcome.REFUSED)
        case Fate.FAILS:
            return _fail(node, action, request)
        case Fate.LEFT_DESTROYED:
            scene.vms[action.object] = replace(scene.vms[action.object], state="Destroyed")
            return _settled(node, request, Outcome.EFFECT)
        case Fate.CUT_OFF:
            if action.kind is Kind.REVERT:
                scene.disk(action.volume_id or "").content = HALF
            return replace(node, landing=node.landing | {(request.key, request.attempt)})
    return node


def land(node: Node, request: Request) -> Node:
    """A request in flight is followed to its end and settled by what the world shows."""
    flight = (request.key, request.attempt)
    scene = fork(node.scene)
    scene.now += TICK
    lands = flight in node.landing
    node = replace(node, scene=scene, landing=node.landing - {flight})
    if lands:
        _effect(node, _action_of(request))
    if request.kind is Kind.REVERT:
        outcome = Outcome.EFFECT if lands else Outcome.UNKNOWN
    else:
        outcome = Outcome.EFFECT if lands else Outcome.NO_EFFECT
    return _settled(node, request, outcome)


def crash(node: Node) -> Node:
    """The owner dies; the next one raises the number and follows every request that was left open."""
    number = node.memory.number + 1
    node = replace(node, memory=replace(node.memory, number=number))
    for request in node.in_flight:
        node = land(node, request)
    return node


def still_possible(scene: Scene, action: Action) -> bool:
    """The last look at OSSEA right before a request (`Performer.check`)."""
    match action.kind:
        case Kind.REVERT:
            disk = scene.disk(action.volume_id or "")
            snapshot = next((s for s in disk.snapshots if s.id == action.object), None)
            return (
                (disk.holder, disk.state) == (None, "Ready") and snapshot is not None and snapshot.state == "BackedUp"
            )
        case Kind.ATTACH:
            disk = scene.disk(action.object)
            return (disk.holder, disk.state, disk.gone) == (None, "Ready", False)
        case Kind.DETACH:
            return scene.disk(action.object).holder == action.vm_id
        case Kind.DESTROY_VM | Kind.EXPUNGE_VM:
            foreign = [v for v in scene.other_volumes.values() if v.vm_id == action.object]
            return all(d.holder == OMA for d in scene.disks) and all(v.type == "ROOT" for v in foreign)
        case Kind.DELETE_SNAPSHOT:
            disk = scene.disk(action.volume_id or "")
            return not disk.gone and disk.holder in {None, OMA}
    return True


def may_close(scene: Scene, closing: Closing) -> bool:
    """The compares of the last transaction (rule 16)."""
    jobs = {job.row_id: job.status for job in scene.jobs}
    rows = {row.id: row for row in scene.tracking}
    replications = {row.id for row in scene.replications if row.status not in {"completed", "failed"}}
    return (
        scene.context_status in closing.context_from
        and max(jobs, default=0) == closing.newest_failover
        and all(jobs.get(row_id) == status for row_id, status in closing.failovers)
        and all(row_id in rows and rows[row_id].status == status for row_id, status in closing.tracking)
        and replications <= set(closing.dead_replications)
    )


def _fail(node: Node, action: Action, request: Request) -> Node:
    scene = node.scene
    if action.kind is Kind.REVERT:
        disk = scene.disk(action.volume_id or "")
        disk.content = HALF
        scene.copying_until[disk.id] = scene.now + COPY_TIME
        return _settled(node, request, Outcome.UNKNOWN)
    if action.kind is Kind.ATTACH:
        scene.disk(action.object).holder = OMA
    return _settled(node, request, Outcome.NO_EFFECT)


def _effect(node: Node, action: Action) -> None:
    """What the appliance does, on a scene of the node's own."""
    scene = node.scene
    if action.kind is Kind.DESTROY_VM and not action.expunge:
        scene.vms[action.object] = replace(scene.vms[action.object], state="Destroyed")
        return
    if action.kind is Kind.STOP_VM and action.object not in scene.vms:
        return
    scene._effect(action, node.memory)


def _settled(node: Node, request: Request, outcome: Outcome) -> Node:
    error = None if outcome is Outcome.EFFECT else "it broke"
    settled = replace(request, outcome=outcome, settled_at=node.scene.now, error=error)
    return replace(node, memory=node.memory.with_request(settled))


def _action_of(request: Request) -> Action:
    return Action(
        request.kind,
        request.object,
        "",
        volume_id=request.volume_id,
        vm_id=request.vm_id,
        snapshot_id=request.snapshot_id,
    )
