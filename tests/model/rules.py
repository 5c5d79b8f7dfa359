"""The rules of docs/rules.md, one after the other, judged by what is really there and not by what the core believes.

Each function tells how one rule is broken by a decision, or nothing. What the core saw is `look.node.scene`; where somebody acted between
the decision and its requests, `look.at` is what the request meets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.memory import Outcome, Request
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, SUCCESSES, WAITS, Reason
from failed_execution_cleanup.recovery.world import CloudSnapshot, FailoverRow
from tests.model.node import SETTINGS, Node, recoverable
from tests.unit.recovery.worlds import GIB, JOB, OFFSET, OMA, TVM, Disk

SIZE: Final = 10 * GIB
DOUBT: Final = max(SETTINGS.revert_quiet, timedelta(seconds=SIZE / SETTINGS.revert_bytes_per_second))
MOST_ATTEMPTS: Final = 9
ON_VOLUMES: Final = frozenset(
    {
        Kind.DETACH,
        Kind.REVERT,
        Kind.MARK_REVERTED,
        Kind.DELETE_SNAPSHOT,
        Kind.CLEAR_SNAPSHOT,
        Kind.REMOVE_MAPPING,
        Kind.ATTACH,
    }
)
HOMEWARD: Final = frozenset({Kind.MARK_REVERTED, Kind.REMOVE_MAPPING, Kind.ATTACH})
ONE_VOLUME: Final = frozenset(
    {
        Reason.SNAPSHOT_MISSING,
        Reason.REVERT_IMPOSSIBLE,
        Reason.REVERT_FAILING,
        Reason.DETACH_FAILING,
        Reason.ATTACH_FAILING,
        Reason.UNKNOWN_HOLDER,
        Reason.RESCUE_NEEDED,
    }
)
OPEN_JOBS: Final = frozenset(
    {"pending", "validating", "snapshotting", "creating_vm", "switching_volume", "powering_on"}
)


class Violation(Exception):  # noqa: N818 - what is looked for, not an error of the search
    """Rules were broken."""

    def __init__(self, *broken: tuple[int, str]) -> None:
        super().__init__("; ".join(f"rule {rule}: {message}" for rule, message in broken))
        self.rules = frozenset(rule for rule, _ in broken)


@dataclass(frozen=True, slots=True)
class Look:
    """A decision, and the state it was made in.

    Attributes:
        at: the state a request would meet; another one only where somebody acted in between.
    """

    node: Node
    decision: Decision
    at: Node

    @property
    def actions(self) -> tuple[Action, ...]:
        """What is to be done."""
        return self.decision.actions if isinstance(self.decision, Act) else ()

    def on(self, *kinds: Kind) -> Iterator[tuple[Action, Disk]]:
        """Actions of these kinds with the volume they are about."""
        for action in self.actions:
            if action.kind in kinds and action.volume_id is not None:
                yield action, self.at.scene.disk(action.volume_id)


def check(node: Node, decision: Decision, at: Node | None = None) -> None:
    """Hold a decision against every rule.

    Raises:
        Violation: a rule is broken.
    """
    look = Look(node, decision, at or node)
    if broken := [(number, message) for number, rule in RULES.items() for message in rule(look)]:
        raise Violation(*broken)


def product_snapshots(node: Node, disk: Disk) -> list[CloudSnapshot]:
    """Snapshots of a disk that bear the product's name, oldest first."""
    found = [s for s in disk.snapshots if s.name.startswith("multi-test-failover-")]
    return sorted(found, key=lambda s: (s.created is not None, s.created, s.id))


def restore_point(node: Node, disk: Disk) -> CloudSnapshot | None:
    """The oldest BackedUp snapshot of the product that is younger than the disk's last stored sync."""
    return next(
        (s for s in product_snapshots(node, disk) if s.state == "BackedUp" and not obsolete(node, disk, s)), None
    )


def _job(node: Node) -> FailoverRow:
    return next(job for job in node.scene.jobs if job.job_id == JOB)


def obsolete(node: Node, disk: Disk, snapshot: CloudSnapshot) -> bool:
    """Whether a sync of the disk was stored after the snapshot was taken."""
    synced = max(
        (row.created_at for row in node.scene.syncs if row.disk_id == f"disk-{2000 + disk.number}"), default=None
    )
    taken = snapshot.created
    return synced is not None and taken is not None and taken.replace(tzinfo=None) <= synced - OFFSET


def last_revert(node: Node, disk: Disk) -> Request | None:
    """The newest revert of a disk that may have been executed."""
    sent = [r for r in node.memory.of(Kind.REVERT, volume_id=disk.id) if r.outcome is not Outcome.REFUSED]
    return sent[-1] if sent else None


def _healthy(look: Look) -> Iterator[str]:
    """1: a completed failover without rollback whose VM runs or holds a volume is refused."""
    scene = look.at.scene
    job = _job(look.at)
    rolled_back = any("rollback" in row.operation for row in scene.tracking)
    used = (TVM in scene.vms and scene.vms[TVM].state == "Running") or any(d.holder == TVM for d in scene.disks)
    if job.status == "completed" and used and not rolled_back and look.actions and look.at is look.node:
        yield f"the failover is healthy, and {look.actions[0].key} is to be done"


def _one_job(look: Look) -> Iterator[str]:
    """2: a newer job makes the cleanup Superseded; nothing is touched."""
    if all(job.row_id <= 1 for job in look.at.scene.jobs):
        return
    if look.actions:
        yield f"a newer job is there, and {look.actions[0].key} is to be done"
    elif isinstance(look.decision, Stopped):
        yield "a newer job is there, and it only says that it stopped"
    elif isinstance(look.decision, Done | Refuse) and not isinstance(look.decision, Stopped):
        right = {True: Reason.SUPERSEDED_IN_RUN, False: Reason.SUPERSEDED}[look.node.memory.touched]
        if look.decision.reason is not right:
            yield f"a newer job is there: {right} expected, not {look.decision.reason}"


def _restore_point(look: Look) -> Iterator[str]:
    """3: only the oldest product snapshot after the last sync is reverted; obsolete and foreign ones are left alone."""
    for action, disk in look.on(Kind.REVERT):
        point = restore_point(look.at, disk)
        if point is None or action.object != point.id:
            yield f"{disk.id} is reverted to {action.object}, its restore point is {point.id if point else 'none'}"
    for action, disk in look.on(Kind.DELETE_SNAPSHOT):
        snapshot = next((s for s in disk.snapshots if s.id == action.object), None)
        if snapshot is None:
            continue
        if not snapshot.name.startswith("multi-test-failover-"):
            yield f"snapshot {snapshot.name}, which a person made, is to be deleted"
        elif snapshot.state == "BackedUp" and obsolete(look.at, disk, snapshot):
            yield f"obsolete snapshot {snapshot.id} is to be deleted"
    for disk in look.at.scene.disks:
        if not any(s.name == "before-the-upgrade" for s in disk.snapshots):
            yield f"the snapshot a person made of {disk.id} is gone"


def _test_vm(look: Look) -> Iterator[str]:
    """4: only the incident's VM; that of a live failover never by name."""
    job = _job(look.at)
    known = {TVM} if job.job_type == "test" or job.destination_vm_id == TVM else set()
    for action in look.actions:
        if action.kind in {Kind.STOP_VM, Kind.DESTROY_VM, Kind.EXPUNGE_VM} and action.object not in known:
            yield f"{action.key}: that VM is not of this failover"
        if action.kind is Kind.DETACH and action.vm_id not in {None, OMA, *known}:
            yield f"{action.key} from {action.vm_id}, which is not of this failover"


def _engine_alive(look: Look) -> Iterator[str]:
    """5: nothing while the failover may run; nothing deleted or closed before the quiet time; a live open row needs a word."""
    yield from _signs(look, 5)
    node = look.at
    scene = node.scene
    live_open = [job for job in scene.jobs if job.job_type == "live" and job.status in OPEN_JOBS]
    if live_open and look.actions and not any(w.reason == "EngineMayWake" for w in node.waivers):
        yield f"a live failover's row is open, nobody vouched for its engine, and {look.actions[0].key} is to be done"
    if not node.hung:
        return
    for action in look.actions:
        if action.kind not in {Kind.DELETE_SNAPSHOT, Kind.CLOSE_INCIDENT}:
            continue
        detached = [r.settled_at for r in node.memory.of(Kind.DETACH) if r.settled_at is not None]
        since = max([*detached, *(at for _, at in node.signs), *filter(None, (node.memory.started_at,))], default=None)
        if since is None or node.now - since < SETTINGS.quiet:
            yield f"{action.key} without {SETTINGS.quiet.seconds} s of quiet, and the engine may wake up"


def _signs(look: Look, rule: int) -> Iterator[str]:
    for of, at in look.at.signs:
        if of == rule and look.at.now - at < SETTINGS.stuck_after and look.actions:
            yield f"somebody showed life {look.at.now - at} ago, and {look.actions[0].key} is to be done"


def _others_alive(look: Look) -> Iterator[str]:
    """6: nothing while a replication, rollback or product cleanup is alive; dead replications only on a person's word."""
    yield from _signs(look, 6)
    waived = {w.object for w in look.at.waivers if w.reason == "ZombieJob"}
    for row in look.at.scene.replications:
        if row.status not in {"completed", "failed"} and row.id not in waived and look.actions:
            yield f"replication {row.id} is {row.status}, and {look.actions[0].key} is to be done"


def _marked_first(look: Look) -> Iterator[str]:
    """7: the context is `cleanup_required` before anything of a volume is touched, or the run is on its way home."""
    node = look.at
    going_home = node.stopping or node.overdue
    for action in look.actions:
        if action.kind in ON_VOLUMES and node.scene.context_status != "cleanup_required" and not going_home:
            yield f"{action.key} while the context is {node.scene.context_status}"


def _preflight(look: Look) -> Iterator[str]:
    """8: before the first stop or detach every volume is known, Ready and revertable, and no VM snapshot is in the way."""
    node = look.node
    if node.memory.displaced or not any(action.kind in {Kind.DETACH, Kind.STOP_VM} for action in look.actions):
        return
    accepted = {w.object for w in node.waivers if w.reason == "AcceptContent"}
    for disk in node.scene.disks:
        if disk.gone or disk.state != "Ready":
            yield f"a first stop or detach while {disk.id} is {'gone' if disk.gone else disk.state}"
        point = restore_point(node, disk)
        if point is not None and point.revertable is False and disk.id not in accepted:
            yield f"a first stop or detach while {disk.id} cannot be reverted"
    if node.scene.vm_snapshots:
        yield "a first stop or detach while there is a VM snapshot"


def _location(look: Look) -> Iterator[str]:
    """9: location is OSSEA's word, whatever the daemon's tables say."""
    for _, disk in look.on(Kind.ATTACH):
        if disk.holder is not None and look.at is look.node:
            yield f"{disk.id} is to be attached and is on {disk.holder}"
    for action, disk in look.on(Kind.DETACH):
        if action.vm_id != disk.holder and look.at is look.node:
            yield f"{disk.id} is to be detached from {action.vm_id} and is on {disk.holder}"
    for _, disk in look.on(Kind.SET_MODE, Kind.CREATE_EXPORT):
        if disk.holder != OMA and look.at is look.node:
            yield f"{disk.id} is treated as on the appliance and is on {disk.holder}"
    if isinstance(look.decision, Done) and look.decision.reason in {Reason.CLEANED, Reason.ALREADY_CLEAN}:
        away = [d.id for d in look.node.scene.disks if d.holder != OMA or d.gone]
        if away:
            yield f"{look.decision.reason} while {', '.join(away)} is not on the appliance"


def _revert(look: Look) -> Iterator[str]:
    """10: revert only what is detached and Ready, to a BackedUp snapshot of this very volume, without a sync since."""
    for action, disk in look.on(Kind.REVERT):
        if look.at is look.node and (disk.holder, disk.state) != (None, "Ready"):
            yield f"{disk.id} is to be reverted and is {disk.state} on {disk.holder}"
        snapshot = next((s for s in disk.snapshots if s.id == action.object), None)
        if look.at is look.node and (snapshot is None or (snapshot.state, snapshot.volume_id) != ("BackedUp", disk.id)):
            yield f"{disk.id} is to be reverted to {action.object}, which is not a BackedUp snapshot of it"
        elif snapshot is not None and obsolete(look.at, disk, snapshot):
            yield f"{disk.id} is to be reverted to a snapshot older than its last sync"


def _doubtful_revert(look: Look) -> Iterator[str]:
    """11: a revert without jobstatus 1 is unknown: not again, and attached to nobody, before its quiet time is over."""
    for action, disk in look.on(Kind.REVERT, Kind.ATTACH):
        copying = look.at.scene.copying_until.get(disk.id)
        if copying is not None and copying > look.at.now:
            yield f"{action.key} while a revert of {disk.id} is still copying"
        revert = last_revert(look.at, disk)
        if revert is None or revert.open or revert.outcome is Outcome.EFFECT or revert.settled_at is None:
            continue
        if look.at.now - revert.settled_at < DOUBT:
            yield f"{action.key} {look.at.now - revert.settled_at} after a revert without a result, not {DOUBT}"


def _delete(look: Look) -> Iterator[str]:
    """12: a BackedUp snapshot goes only after a revert within the unbroken claim; nothing that could be saved is lost."""
    node = look.at
    for action, disk in look.on(Kind.DELETE_SNAPSHOT):
        snapshot = next((s for s in disk.snapshots if s.id == action.object), None)
        if snapshot is None or snapshot.state != "BackedUp" or look.at is not look.node:
            continue  # what others do in exactly that time is not seen; that nothing is lost by it is checked apart
        if node.memory.number not in node.scene.reverted.get(disk.id, ()):
            yield f"{snapshot.id} is to be deleted, and {disk.id} was not reverted within this claim"
        if disk.holder not in {None, OMA}:
            yield f"{snapshot.id} is to be deleted while {disk.id} is on {disk.holder}"
        if disk.content not in {
            "replica",
            node.scene.contents[snapshot.id],
        }:  # a copy of what the volume holds saves nothing
            yield f"{snapshot.id} is to be deleted while {disk.id} holds {disk.content}"
    for _, disk in look.on(Kind.ATTACH):
        if disk.recorded is not None and disk.recorded_status != "rollback_complete" and not _on_the_way_home(look):
            yield f"{disk.id} goes home, and {disk.recorded} is still recorded as something to revert to"


def _on_the_way_home(look: Look) -> bool:
    return look.node.stopping or look.node.overdue or bool(look.decision.assessment.blocks)


def _content(look: Look) -> Iterator[str]:
    """13: what was modified and has no restore point is never handed back as good, but reported where the context was ready before."""
    ready = [a for a in look.actions if a.closing is not None and a.closing.context_to == "ready_for_failover"]
    well = isinstance(look.decision, Done) and look.decision.reason in {Reason.CLEANED, Reason.ALREADY_CLEAN}
    if not ready and not well:
        return
    told = {item.id for item in look.decision.assessment.leftovers}
    if ready and look.node.memory.marked_from != "ready_for_failover":
        told = set()
    for disk in look.node.scene.disks:
        if disk.content != "replica" and disk.id not in told:
            yield f"the context becomes ready while {disk.id} holds {disk.content}"


def _destroy(look: Look) -> Iterator[str]:
    """14: a VM goes only when every volume is on the appliance and it holds nothing but its own root."""
    scene = look.at.scene
    for action in look.actions:
        if action.kind not in {Kind.DESTROY_VM, Kind.EXPUNGE_VM} or look.at is not look.node:
            continue
        away = [disk.id for disk in scene.disks if disk.holder != OMA]
        if away:
            yield f"{action.key} while {', '.join(away)} is not on the appliance"
        others = [v for v in scene.other_volumes.values() if v.vm_id == action.object]
        if len(others) > 1 or any(v.type != "ROOT" for v in others):
            yield f"{action.key} while it holds more than its root"
        if action.kind is Kind.DESTROY_VM and scene.vms[action.object].state == "Running":
            yield f"{action.key} while it is Running"


def _stop(look: Look) -> Iterator[str]:
    """15: stop gracefully, and before any disk is taken off; forced only if allowed, after a graceful one ended."""
    for action in look.actions:
        vm = look.at.scene.vms.get(action.object)
        if action.kind is Kind.STOP_VM and action.forced:
            ended = [r for r in look.node.memory.of(Kind.STOP_VM, action.object) if not r.open]
            if not SETTINGS.force_stop or not ended or vm is None or vm.host_state != "Up":
                yield f"{action.key} is forced"
        holder = look.at.scene.vms.get(action.vm_id or "")
        taken = action.kind is Kind.DETACH and action.vm_id == TVM and look.at is look.node
        if taken and holder is not None and holder.state not in {"Stopped", "Destroyed", "Error"}:
            yield f"{action.key} while its VM is {holder.state}"


def _closing(look: Look) -> Iterator[str]:
    """16: the last transaction is the last thing, and names every open row as it is."""
    for action in look.actions:
        if action.closing is None:
            continue
        if look.actions != (action,) or look.decision.assessment.steps != (action,):
            yield "the incident is to be closed while something is left to do"
        if look.node.in_flight:
            yield "the incident is to be closed while requests are in flight"
        scene, closing = look.node.scene, action.closing
        jobs = {(job.row_id, job.status) for job in scene.jobs if job.status in OPEN_JOBS}
        if set(closing.failovers) != jobs:
            yield f"failover rows {sorted(jobs)} are open, {sorted(closing.failovers)} are to be closed"
        rows = {(r.id, r.status) for r in scene.tracking if r.context_id and r.status not in {"completed", "failed"}}
        if set(closing.tracking) != rows:
            yield f"tracking rows {sorted(rows)} are open, {closing.tracking} are to be closed"
        running = {s.row_id for r in scene.tracking if r.context_id for s in r.steps if s.status == "running"}
        if set(closing.steps) != running:
            yield f"steps {sorted(running)} are running, {closing.steps} are to be closed"


def _deserved(look: Look) -> Iterator[str]:
    """17: ready only with a replication that succeeded and none since that wrote and failed."""
    scene = look.node.scene
    wrote = [row for row in scene.replications if row.bytes_transferred > 0]
    newest = max(wrote, key=lambda row: (row.created_at is not None, row.created_at), default=None)
    bad = newest is None or newest.status != "completed"
    for action in look.actions:
        if action.closing is not None and action.closing.context_to == "ready_for_failover" and bad:
            yield f"the context becomes ready, and the newest replication that wrote is {newest.status if newest else 'none'}"
    if isinstance(look.decision, Done) and look.decision.reason in {Reason.CLEANED, Reason.ALREADY_CLEAN} and bad:
        yield f"{look.decision.reason}, and the newest replication that wrote is {newest.status if newest else 'none'}"


def _final(look: Look) -> Iterator[str]:
    """18: an end that calls itself clean is one: nothing of the goal is left to do."""
    if not isinstance(look.decision, Done) or look.decision.reason not in {Reason.CLEANED, Reason.ALREADY_CLEAN}:
        return
    scene = look.node.scene
    if look.node.in_flight:
        yield f"{look.decision.reason} while requests are in flight"
    if scene.context_status != "ready_for_failover":
        yield f"{look.decision.reason} while the context is {scene.context_status}"
    told = {item.id for item in look.decision.assessment.leftovers}
    if TVM in scene.vms and scene.vms[TVM].state != "Expunging" and TVM not in told and _known(look):
        yield f"{look.decision.reason} while the VM is {scene.vms[TVM].state}"
    for disk in scene.disks:
        if (
            disk.mapping is None
            or (disk.mapping.vm_id, disk.mapping.operation_mode) != (OMA, "oma")
            or not disk.exported
        ):
            yield f"{look.decision.reason} while {disk.id} has no usable mapping, mode or export"
        if disk.recorded is not None:
            yield f"{look.decision.reason} while {disk.recorded} is recorded for {disk.id}"
        for snapshot in product_snapshots(look.node, disk):
            if snapshot.id not in told:
                yield f"{look.decision.reason} while {snapshot.id} is there and nobody is told"
    if any(job.status in OPEN_JOBS for job in scene.jobs):
        yield f"{look.decision.reason} while a failover row is open"


def _known(look: Look) -> bool:
    job = _job(look.node)
    return job.job_type == "test" or job.destination_vm_id == TVM


def _explained(look: Look) -> Iterator[str]:
    """19: every stop has a reason and a sentence; what was put right is home; a guard on one volume holds only that one."""
    decision = look.decision
    for action in look.actions:
        home = action.kind in HOMEWARD | {Kind.MARK_CONTEXT}
        if (look.node.stopping or look.node.overdue) and not home:
            yield f"{action.key} while the run is to stop"
    if not isinstance(decision, Act) and not decision.message:
        yield "no sentence"
    if isinstance(decision, Refuse) and decision.reason in SUCCESSES | FINAL_FAILURES | WAITS:
        yield f"{decision.reason} asks for a person"
    if isinstance(decision, Wait) and decision.reason is not None and decision.reason not in WAITS:
        yield f"{decision.reason} does not clear by itself"
    if isinstance(decision, Wait) and decision.after <= timedelta(0):
        yield "a wait of no time"
    if isinstance(decision, Act) and not decision.actions:
        yield "an act of nothing"
    if any(request.attempt > MOST_ATTEMPTS for request in look.node.memory.requests):
        yield f"more than {MOST_ATTEMPTS} attempts of one request"
    if isinstance(decision, Stopped):
        away = {d.id for d in look.node.scene.disks if d.holder != OMA}
        told = {v.volume.id for v in decision.assessment.volumes if v.volume.label in decision.away}
        if away != told:
            yield f"away are {sorted(away)}, it tells of {sorted(told)}"
    yield from _brought_home(look)


def _brought_home(look: Look) -> Iterator[str]:
    decision, node = look.decision, look.node
    ends = isinstance(decision, Stopped) or (isinstance(decision, Refuse) and decision.reason in ONE_VOLUME)
    if not ends or not node.memory.touched or _home_is_barred(node):
        return
    blocked = {v.volume.id for v in decision.assessment.volumes if v.blocks}
    for disk in node.scene.disks:
        revert = last_revert(node, disk)
        put_right = revert is not None and revert.outcome is Outcome.EFFECT and disk.id in node.scene.reverted
        waiting = disk.state != "Ready" or disk.gone
        if disk.holder is None and put_right and disk.id not in blocked and not waiting:
            yield f"it ends, and {disk.id}, which was put right, is left detached"


def _home_is_barred(node: Node) -> bool:
    """Whether somebody else is at work, or OSSEA would refuse an attach: then what is detached stays so and is named."""
    alive = any(node.now - at < SETTINGS.stuck_after for _, at in node.signs)
    replicating = any(row.status not in {"completed", "failed"} for row in node.scene.replications)
    return alive or replicating or bool(node.scene.vm_snapshots or node.scene.operations)


RULES: Final[dict[int, Callable[[Look], Iterator[str]]]] = {
    1: _healthy,
    2: _one_job,
    3: _restore_point,
    4: _test_vm,
    5: _engine_alive,
    6: _others_alive,
    7: _marked_first,
    8: _preflight,
    9: _location,
    10: _revert,
    11: _doubtful_revert,
    12: _delete,
    13: _content,
    14: _destroy,
    15: _stop,
    16: _closing,
    17: _deserved,
    18: _final,
    19: _explained,
}


def check_nothing_lost(node: Node) -> None:
    """No doing of ours takes away the last copy of replicated data (rule 12).

    Raises:
        Violation: it did.
    """
    for disk in node.scene.disks:
        if disk.id in node.protected and not recoverable(node.scene, disk):
            raise Violation((12, f"the replicated data of {disk.id} is lost"))
