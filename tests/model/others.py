"""Everybody else: what engines, schedulers and people may do at any moment, and whether it leaves a sign in the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.activity import activity
from failed_execution_cleanup.recovery.memory import Memory, Outcome
from failed_execution_cleanup.recovery.world import (
    CloudSnapshot,
    OperationRow,
    ReplicationRow,
    StepRow,
    SyncRow,
    VMSnapshot,
)
from tests.model.node import JOB_WAIVERS, SETTINGS, TICK, Node, fork, later, recoverable
from tests.unit.recovery.worlds import JOB, NOW, OFFSET, OMA, OS, STRANGER, TVM, Disk, Scene

ENGINE: Final = 5
FOREIGN: Final = 6


@dataclass(frozen=True, slots=True)
class Move:
    """Something somebody else may do.

    Attributes:
        possible: whether it can happen in a state.
        happens: does it; the scene is a copy of its own.
        sign: rule that forbids everything while what began here shows life.
        asks: it changes what is wished, not the appliance.
    """

    name: str
    possible: Callable[[Node], bool]
    happens: Callable[[Node], Node]
    sign: int | None = None
    asks: bool = False


def move(node: Node, what: Move) -> Node:
    """The state after somebody acted; a process that holds the claim notices what shows in the database (rule 5)."""
    before = node.scene.records() if node.claimed else None
    scene = fork(node.scene)
    scene.now += TICK
    node = what.happens(replace(node, scene=scene))
    if what.sign is not None:
        node = replace(node, signs=(*node.signs, (what.sign, node.now)))
    if before is not None and activity(before, node.memory) != activity(node.scene.records(), node.memory):
        node = replace(node, memory=replace(node.memory, changed_at=node.now))
    return replace(node, protected=frozenset(v for v in node.protected if recoverable(node.scene, node.scene.disk(v))))


def possible_moves(node: Node) -> Iterator[Move]:
    """What others may do now."""
    return (what for what in MOVES if what.possible(node))


# --- the engine of the failover -----------------------------------------------------------------------------------


def _may_wake(node: Node) -> bool:
    """It wakes up before it lost its disks for as long as the quiet time, or never: rule 5 assumes no more."""
    lost = [r.settled_at for r in node.memory.of(Kind.DETACH) if r.outcome is Outcome.EFFECT and r.settled_at]
    return node.hung and (not lost or node.now - min(lost) < SETTINGS.quiet)


def _write_step(scene: Scene, name: str) -> None:
    row = next(row for row in scene.tracking if row.id == JOB)
    now = scene.now + OFFSET
    seq = max((step.seq for step in row.steps), default=0) + 1
    step = StepRow(900 + seq, seq, name, "completed", now, now, None)
    scene.tracking[scene.tracking.index(row)] = replace(row, steps=(*row.steps, step))


def _engine_writes(node: Node) -> Node:
    _write_step(node.scene, "vm-creation")
    return node


def _strays(node: Node) -> list[Disk]:
    return [disk for disk in node.scene.disks if disk.holder is None and not disk.gone and disk.state == "Ready"]


def _vm_takes_disks(node: Node) -> bool:
    return TVM in node.scene.vms and node.scene.vms[TVM].state in {"Running", "Stopped"} and bool(_strays(node))


def _give_to_vm(scene: Scene, disk: Disk) -> None:
    disk.move_to(TVM)
    scene.reverted.pop(disk.id, None)
    if scene.vms[TVM].state == "Running":
        disk.content = "dirty"


def _engine_attaches(node: Node) -> Node:
    scene = node.scene
    disk = _strays(node)[0]
    _give_to_vm(scene, disk)
    _write_step(scene, "volume-attachment")
    scene.operations.append(OperationRow("op-engine", "attach", "completed", disk.id, TVM, scene.now, None))
    return node


def _engine_injects(node: Node) -> Node:
    node.scene.disk(OS).content = "dirty"
    _write_step(node.scene, "virtio-driver-injection")
    return node


# --- other jobs of the product ------------------------------------------------------------------------------------


def _no_replication(node: Node) -> bool:
    return all(row.id != "repl-2" for row in node.scene.replications)


def _replication(scene: Scene, status: str) -> None:
    at = scene.now + OFFSET
    ended = at if status == "completed" else None
    scene.replications.insert(0, ReplicationRow("repl-2", status, at, at, at, ended, at, 10))


def _replication_starts(node: Node) -> Node:
    _replication(node.scene, "replicating")
    node.scene.context_status = "replicating"
    return node


def _all_home(node: Node) -> bool:
    return _no_replication(node) and all(disk.holder == OMA for disk in node.scene.disks)


def _replicates(kind: str) -> Callable[[Node], Node]:
    def happens(node: Node) -> Node:
        scene = node.scene
        _replication(scene, "completed")
        scene.context_status = "ready_for_failover"
        for disk in scene.disks:
            at = scene.now + OFFSET
            scene.syncs.append(SyncRow(f"disk-{2000 + disk.number}", kind, True, "52 df", at))
            # An increment on top of anything else than the replica makes neither the old nor the new content.
            disk.content = "replica" if kind == "full" or disk.content == "replica" else "mixed"
            for snapshot in disk.snapshots:
                scene.contents[snapshot.id] = "old"
        return node

    return happens


def _no_row(row_id: str) -> Callable[[Node], bool]:
    return lambda node: all(row.id != row_id for row in node.scene.tracking)


def _rollback_starts(node: Node) -> Node:
    _begin(node.scene, "rollback-2", "enhanced-test-failover-rollback", "test-vm-shutdown")
    return node


def _product_cleanup_starts(node: Node) -> Node:
    _begin(node.scene, "product-cleanup-2", "failed-execution-cleanup", "analyze-volume-state", nameless=True)
    return node


def _begin(scene: Scene, row_id: str, operation: str, step: str, *, nameless: bool = False) -> None:
    row = scene.tracked(
        row_id=row_id,
        job_type="cleanup",
        operation=operation,
        steps=((step, "running"),),
        age=NOW - scene.now + timedelta(minutes=1),
        context_id=None if nameless else "ctx-pgtest1",
    )
    scene.tracking[-1] = replace(row, newest_log_at=scene.now + OFFSET)


def _newer_job(node: Node) -> Node:
    node.scene.job(job_id="job-2", row_id=2, age=NOW - node.now)
    return node


def _foreign_operation(node: Node) -> Node:
    disk = node.scene.disks[0]
    node.scene.operations.append(OperationRow("op-foreign", "attach", "executing", disk.id, TVM, node.now, None))
    return node


# --- people and accidents -----------------------------------------------------------------------------------------


def _vm_is(*states: str) -> Callable[[Node], bool]:
    return lambda node: TVM in node.scene.vms and node.scene.vms[TVM].state in states


def _vm_becomes(state: str) -> Callable[[Node], Node]:
    def happens(node: Node) -> Node:
        scene = node.scene
        scene.vms[TVM] = replace(scene.vms[TVM], state=state)
        for disk in scene.disks:
            if state == "Running" and disk.holder == TVM:
                disk.content = "dirty"
        return node

    return happens


def _points(node: Node) -> list[CloudSnapshot]:
    return [s for s in node.scene.disks[0].snapshots if s.state == "BackedUp" and s.name != "before-the-upgrade"]


def _has_point(node: Node) -> bool:
    return bool(_points(node))


def _snapshot_goes(node: Node) -> Node:
    node.scene.disks[0].snapshots.remove(_points(node)[0])
    return node


def _late_attach(node: Node) -> Node:
    _give_to_vm(node.scene, _strays(node)[0])
    return node


def _taken_away(node: Node) -> Node:
    disk = _strays(node)[0]
    disk.move_to(STRANGER)
    node.scene.reverted.pop(disk.id, None)
    return node


def _vm_snapshot(node: Node) -> Node:
    node.scene.vm_snapshots.append(VMSnapshot("vmsnap-1", "by hand", OMA))
    return node


def _suspended(node: Node) -> Node:
    return replace(node, stopping=True)


def _resumed(node: Node) -> Node:
    return replace(node.released(), stopping=False)


def _deadline_passes(node: Node) -> Node:
    return replace(node, overdue=True)


def _waives(node: Node) -> Node:
    return replace(node.released(), waivers=node.waivers | JOB_WAIVERS)


def _asks_again(node: Node) -> Node:
    """A new `requestedAt`: an unfinished run goes on with its tries counted anew, a finished one begins anew."""
    at = node.now + TICK
    if node.memory.finished:
        memory: Memory = node.memory.again(at, "again")
    else:
        memory = replace(node.memory, handled_request="again", tries_from=at if node.memory.requests else None)
    return replace(later(node, timedelta(seconds=1)).released(), memory=memory, overdue=False)


MOVES: Final = (
    Move("the engine writes a step", _may_wake, _engine_writes, ENGINE),
    Move("the engine attaches a volume", lambda n: _may_wake(n) and _vm_takes_disks(n), _engine_attaches, ENGINE),
    Move(
        "the engine injects",
        lambda n: _may_wake(n) and n.scene.disk(OS).holder == OMA and not n.memory.touched,
        _engine_injects,
        ENGINE,
    ),
    Move("a replication starts", _no_replication, _replication_starts, FOREIGN),
    Move("a replication runs to its end", _all_home, _replicates("incremental")),
    Move("a full replication runs to its end", _all_home, _replicates("full")),
    Move("a rollback starts", _no_row("rollback-2"), _rollback_starts, FOREIGN),
    Move("the product's cleanup starts", _no_row("product-cleanup-2"), _product_cleanup_starts, FOREIGN),
    Move("a newer failover begins", lambda n: n.scene.jobs[-1].row_id < 2, _newer_job),
    Move("somebody's daemon operation begins", lambda n: not n.scene.operations, _foreign_operation),
    Move("a person starts the VM", _vm_is("Stopped"), _vm_becomes("Running")),
    Move("a person stops the VM", _vm_is("Running"), _vm_becomes("Stopped")),
    Move("a restore point is removed by hand", _has_point, _snapshot_goes),
    Move("a late attach gives a volume to the VM", _vm_takes_disks, _late_attach),
    Move("a volume is taken away", lambda n: bool(_strays(n)), _taken_away),
    Move("a VM snapshot is made", lambda n: not n.scene.vm_snapshots, _vm_snapshot),
    Move("a person suspends", lambda n: n.claimed and not n.stopping, _suspended, asks=True),
    Move("a person resumes", lambda n: n.stopping and not n.claimed, _resumed, asks=True),
    Move(
        "the deadline passes",
        lambda n: n.memory.first_request_at is not None and not n.overdue,
        _deadline_passes,
        asks=True,
    ),
    Move("a person waives", lambda n: not n.claimed and not n.waivers >= JOB_WAIVERS, _waives, asks=True),
    Move("a person asks again", lambda n: not n.claimed and bool(n.memory.requests), _asks_again, asks=True),
)
