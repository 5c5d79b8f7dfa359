"""What differs from the goal: every remaining step of every volume, VM and row, in order, each with its reason.

`assess` is total: it says what would be done even while a guard forbids it, so that a plan can be shown. `decide` picks what may be
done now.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from . import guards
from .actions import Action, Closing, Kind, Phase
from .goals import Goal, GoalState, Wish
from .guards import Block, accepts_content, holder_of
from .incident import TERMINAL_FAILOVER, TERMINAL_TRACKING, Incident, is_product_cleanup, test_vms
from .leftovers import Leftover, beside_the_goal
from .memory import Memory, Outcome
from .reasons import Reason
from .restore_points import BACKED_UP, COMPLETED_REPLICATION, Evidence, Restore, restore_of
from .volumes import Holder, Volume, volumes_of
from .world import CloudVM, World

CLEANUP_REQUIRED: Final = "cleanup_required"
READY: Final = "ready_for_failover"
FAILED: Final = "failed"


@dataclass(frozen=True, slots=True)
class VolumeAssessment:
    """One volume: where it is, what becomes of its snapshots, what remains to be done, what forbids it.

    Attributes:
        suspect: the replica may not be used: nobody can vouch for the content.
        unproven: on a closed incident, nothing proves the content good or bad: reported only (rule 13).
    """

    volume: Volume
    holder: Holder
    restore: Restore
    steps: tuple[Action, ...]
    blocks: tuple[Block, ...]
    suspect: bool
    unproven: bool


@dataclass(frozen=True, slots=True)
class Assessment:
    """All that follows from one observation.

    Attributes:
        steps: everything that differs from the goal, phase by phase.
        blocks: everything that forbids it, global ones first.
        target: status the context is to get (rule 17), with the reason when it is not `ready_for_failover`.
    """

    incident: Incident | None = None
    vms: tuple[CloudVM, ...] = ()
    volumes: tuple[VolumeAssessment, ...] = ()
    vm_steps: tuple[Action, ...] = ()
    closing: Action | None = None
    blocks: tuple[Block, ...] = ()
    leftovers: tuple[Leftover, ...] = ()
    goals: dict[Goal, GoalState] = field(default_factory=dict)
    target: str = READY
    undeserved: Reason | None = None
    undeserved_why: str = ""

    @property
    def steps(self) -> tuple[Action, ...]:
        """Everything that differs, in phase order."""
        every = [step for v in self.volumes for step in v.steps] + list(self.vm_steps)
        if self.closing is not None:
            every.append(self.closing)
        order = list(Phase)
        return tuple(sorted(every, key=lambda step: order.index(step.phase)))

    @property
    def suspects(self) -> tuple[VolumeAssessment, ...]:
        """Volumes whose content nobody can vouch for."""
        return tuple(v for v in self.volumes if v.suspect)


def assess(world: World, incident: Incident, wish: Wish, memory: Memory) -> Assessment:
    """Compare the world with the goal."""
    vms = test_vms(world, incident)
    open_rows = _open_rows(incident)
    status = world.records.context.current_status
    settled = not open_rows and READY in (status, memory.marked_from if status == CLEANUP_REQUIRED else None)
    volumes = tuple(_assess_volume(world, incident, volume, wish, memory, vms, settled) for volume in volumes_of(world))
    suspects = tuple(v for v in volumes if v.suspect)
    target, undeserved, why = _deserved(world, suspects)
    vm_steps, vm_leftovers, vm_blocks = _vm_steps(wish, memory, vms)
    closing = None
    if open_rows or world.records.context.current_status != target:
        closing = closing_to(world, incident, target, why)
    leftovers = [
        Leftover("Snapshot", snapshot.id, f"{snapshot.name} of {v.volume.label}: {reason}")
        for v in volumes
        for snapshot, reason in v.restore.leftovers
    ]
    leftovers += [
        Leftover("Volume", v.volume.id, f"nothing proves that the failover's changes to {v.volume.label} were reverted")
        for v in volumes
        if v.unproven
    ]
    assessment = Assessment(
        incident=incident,
        vms=vms,
        volumes=volumes,
        vm_steps=vm_steps,
        closing=closing,
        blocks=tuple(vm_blocks),
        leftovers=(*leftovers, *vm_leftovers, *beside_the_goal(world, incident, tuple(v.volume for v in volumes))),
        target=target,
        undeserved=undeserved,
        undeserved_why=why,
    )
    assessment.goals.update(_goals(assessment, world))
    return assessment


def _assess_volume(
    world: World,
    incident: Incident,
    volume: Volume,
    wish: Wish,
    memory: Memory,
    vms: tuple[CloudVM, ...],
    settled: bool,
) -> VolumeAssessment:
    restore = restore_of(world, incident, volume, memory, tries=wish.settings.tries)
    holder = holder_of(volume, world, vms)
    accepted = accepts_content(wish, volume.id)
    # On a closed incident whose context is ready, missing evidence alone is reported, never written (rule 13).
    unproven = settled and restore.suspect and restore.evidence is not Evidence.BAD and restore.missing is None
    if accepted:
        kept = tuple(s for s in restore.deletable if s.state == BACKED_UP)
        restore = replace(
            restore,
            deletable=tuple(s for s in restore.deletable if s not in kept),
            leftovers=(*restore.leftovers, *((s, "kept: the content was accepted as it is") for s in kept)),
        )
    steps = tuple(_volume_steps(world, volume, restore, holder, accepted=accepted))
    blocks = tuple(
        block
        for block in guards.volume(volume, restore, steps, incident, world, wish, memory, vms)
        if not (unproven and block.reason is Reason.SNAPSHOT_MISSING)
    )
    return VolumeAssessment(
        volume=volume,
        holder=holder,
        restore=restore,
        steps=steps,
        blocks=blocks,
        suspect=restore.doubt is not None
        or (restore.modified and not unproven and (restore.point is None or accepted)),
        unproven=unproven,
    )


def _volume_steps(
    world: World, volume: Volume, restore: Restore, holder: Holder, *, accepted: bool
) -> Iterator[Action]:
    if holder in {Holder.MISSING, Holder.OTHER}:
        return
    oma = world.oma_vm_id
    point = restore.point
    deletable = restore.deletable
    revert = point is not None and not restore.reverted and not accepted
    usable = volume.mapped_to(oma)
    disturbs = revert or any(s.state == BACKED_UP for s in deletable)
    detach = holder is Holder.TEST_VM or (holder is Holder.OMA and (disturbs or not usable))
    if detach:
        if holder is Holder.TEST_VM:
            why = "it is on the test VM"
        elif disturbs:
            why = "it must be reverted, which needs it detached"
        else:
            why = "the appliance has no usable device mapping for it"
        holder_id = volume.cloud.vm_id if volume.cloud else None
        yield Action(Kind.DETACH, volume.id, f"{volume.label}: {why}", volume_id=volume.id, vm_id=holder_id)
    if point is not None and revert:
        yield Action(
            Kind.REVERT,
            point.id,
            f"{volume.label}: back to restore point {point.name}, taken after the disk's last stored sync",
            volume_id=volume.id,
            snapshot_id=point.id,
        )
    if (
        point is not None
        and not accepted
        and volume.row.snapshot_id
        and volume.row.snapshot_status != "rollback_complete"
    ):
        yield Action(
            Kind.MARK_REVERTED,
            volume.id,
            f"{volume.label}: record the revert",
            volume_id=volume.id,
            snapshot_id=volume.row.snapshot_id,
        )
    for snapshot in deletable:
        yield Action(
            Kind.DELETE_SNAPSHOT,
            snapshot.id,
            f"{volume.label}: snapshot {snapshot.name} is of the failed job and no longer needed",
            volume_id=volume.id,
            snapshot_id=snapshot.id,
        )
    if volume.row.snapshot_id is not None:
        yield Action(
            Kind.CLEAR_SNAPSHOT,
            volume.id,
            f"{volume.label}: the recorded snapshot {volume.row.snapshot_id} is not to be reverted again",
            volume_id=volume.id,
            snapshot_id=volume.row.snapshot_id,
        )
    if holder is Holder.NOBODY and volume.mapping is not None:
        yield Action(
            Kind.REMOVE_MAPPING,
            volume.id,
            f"{volume.label}: stale device mapping to VM {volume.mapping.vm_id}",
            volume_id=volume.id,
            vm_id=volume.mapping.vm_id,
        )
    if detach or holder is Holder.NOBODY:
        yield Action(
            Kind.ATTACH, volume.id, f"{volume.label}: belongs to the appliance", volume_id=volume.id, vm_id=oma
        )
    elif volume.mapping is not None:
        if volume.mapping.operation_mode != "oma":
            yield Action(
                Kind.SET_MODE,
                volume.id,
                f"{volume.label}: operation mode is {volume.mapping.operation_mode}, never left the appliance",
                volume_id=volume.id,
                vm_id=oma,
            )
        if not volume.exported:
            yield Action(
                Kind.CREATE_EXPORT,
                volume.id,
                f"{volume.label}: replication needs its NBD export",
                volume_id=volume.id,
                vm_id=oma,
                disk_number=volume.number,
            )


def _vm_steps(
    wish: Wish, memory: Memory, vms: tuple[CloudVM, ...]
) -> tuple[tuple[Action, ...], list[Leftover], list[Block]]:
    steps: list[Action] = []
    leftovers: list[Leftover] = []
    blocks: list[Block] = []
    for vm in vms:
        label = f"VM {vm.name} ({vm.id})"
        if vm.state in guards.GONE_VM:
            continue
        if vm.state in {"Running", *guards.MOVING_VM}:
            ended = any(r.outcome is not Outcome.REFUSED for r in memory.failures(Kind.STOP_VM, vm.id))
            forced = wish.settings.force_stop and ended and vm.host_state in guards.ANSWERING_HOST
            steps.append(Action(Kind.STOP_VM, vm.id, f"{label}: is {vm.state}", vm_id=vm.id, forced=forced))
        expunge_refused = any(
            r.outcome is Outcome.REFUSED
            for k in (Kind.DESTROY_VM, Kind.EXPUNGE_VM)
            for r in memory.of(k, vm.id)
            if memory.tries_from is None or r.sent_at >= memory.tries_from
        )
        if vm.state == "Destroyed":
            if expunge_refused:
                leftovers.append(
                    Leftover(
                        "VirtualMachine", vm.id, f"{label} is Destroyed; expunging it is not permitted to this account"
                    )
                )
                continue
            steps.append(Action(Kind.EXPUNGE_VM, vm.id, f"{label}: Destroyed, not expunged", vm_id=vm.id))
        else:
            steps.append(
                Action(
                    Kind.DESTROY_VM,
                    vm.id,
                    f"{label}: made by the failed job",
                    vm_id=vm.id,
                    expunge=not expunge_refused,
                )
            )
        for kind in (Kind.DESTROY_VM, Kind.EXPUNGE_VM):
            failures = memory.failures(kind, vm.id)
            if len(failures) >= wish.settings.tries:
                blocks.append(
                    Block(
                        Reason.UNEXPECTED_STATE,
                        f"{kind} of {label} failed {len(failures)} times ({failures[-1].error or 'no effect'}): remove it in OSSEA.",
                        vm.id,
                    )
                )
    return tuple(steps), leftovers, blocks


def _open_rows(incident: Incident) -> bool:
    return (
        any(job.status not in TERMINAL_FAILOVER for job in incident.failovers)
        or any(row.status not in TERMINAL_TRACKING for row in incident.relatives)
        or any(row.step_running for row in incident.relatives)
    )


def _deserved(world: World, suspects: tuple[VolumeAssessment, ...]) -> tuple[str, Reason | None, str]:
    """Status the context deserves (rule 17): ready only with a consistent replica."""
    if suspects:
        doubts = {v.restore.doubt: None for v in suspects if v.restore.doubt is not None}
        because = f" ({'; '.join(doubts)})" if doubts else ""
        return (
            FAILED,
            Reason.CLEANED_DATA_SUSPECT,
            f"the content of {', '.join(v.volume.label for v in suspects)} cannot be vouched for{because}: replicate it in full, then "
            "ask again with the annotation failover.ossea.io/requestedAt",
        )
    # One that is not alive and never ended counts as failed: alive ones are a guard's business.
    replications = world.records.replications
    wrote = [r for r in replications if r.status in COMPLETED_REPLICATION or r.bytes_transferred > 0]
    succeeded = world.records.context.last_successful_job_id is not None or any(
        r.status in COMPLETED_REPLICATION for r in replications
    )
    if not succeeded:
        return (
            FAILED,
            Reason.REPLICA_NOT_CONSISTENT,
            "no replication of this VM ever succeeded: replicate it, then ask again",
        )
    newest = max(wrote, key=lambda r: (r.created_at is not None, r.created_at, r.id), default=None)
    if newest is not None and newest.status not in COMPLETED_REPLICATION:
        return (
            FAILED,
            Reason.REPLICA_NOT_CONSISTENT,
            f"the newest replication that wrote ({newest.id}) ended {newest.status}: replicate again, then ask again",
        )
    return READY, None, ""


def closing_to(world: World, incident: Incident, target: str, why: str) -> Action:
    """The last transaction: what is open now is closed, and the context gets its target."""
    records = world.records
    tracking = tuple((row.id, row.status) for row in incident.relatives if row.status not in TERMINAL_TRACKING)
    steps = tuple(step.row_id for row in incident.relatives for step in row.steps if step.status == "running")
    failovers = tuple((job.row_id, job.status) for job in incident.failovers if job.status not in TERMINAL_FAILOVER)
    parts = [f"{len(failovers)} failover row(s)", f"{len(tracking)} job row(s)", f"{len(steps)} running step(s)"]
    return Action(
        Kind.CLOSE_INCIDENT,
        records.context.context_id,
        f"close {', '.join(parts)}; context {records.context.current_status} becomes {target}",
        closing=Closing(
            context_id=records.context.context_id,
            context_from=(records.context.current_status,),
            context_to=target,
            failovers=failovers,
            tracking=tracking,
            steps=steps,
            newest_failover=max((job.row_id for job in records.failovers), default=0),
            message=f"The {incident.operation} was stuck and has been cleaned up" + (f": {why}" if why else ""),
            dead_replications=tuple(
                row.id for row in records.replications if row.status not in guards.TERMINAL_REPLICATION
            ),
            nameless=tuple(row.id for row in incident.relatives if row.context_id is None and is_product_cleanup(row)),
        ),
    )


def _goals(assessment: Assessment, world: World) -> dict[Goal, GoalState]:
    volumes = assessment.volumes
    away = [v for v in volumes if v.holder is not Holder.OMA]
    unmapped = [
        v
        for v in volumes
        if v.holder is Holder.OMA
        and (
            not v.volume.mapped_to(world.oma_vm_id)
            or v.volume.mapping is None
            or v.volume.mapping.operation_mode != "oma"
            or not v.volume.exported
        )
    ]
    snapshots = [s for v in volumes for s in v.restore.deletable]
    recorded = [v for v in volumes if v.volume.row.snapshot_id is not None]
    left = len([item for item in assessment.leftovers if item.kind == "Snapshot"])
    home = not away and not unmapped
    if away:
        attached = "not on the appliance: " + ", ".join(f"{v.volume.label} ({v.holder})" for v in away)
    elif unmapped:
        attached = "no usable mapping, mode or export: " + ", ".join(v.volume.label for v in unmapped)
    else:
        attached = f"all {len(volumes)} volumes are on the appliance"
    clean = not snapshots and not recorded
    noun = (
        f"{len(snapshots)} snapshot(s) of the failed job, {len(recorded)} recorded"
        if not clean
        else "no snapshot of the failed job"
    )
    vms = [vm for vm in assessment.vms if any(step.object == vm.id for step in assessment.vm_steps)]
    ready = assessment.closing is None and assessment.target == READY
    return {
        Goal.VOLUMES_ATTACHED: GoalState(home, attached),
        Goal.SNAPSHOTS_REMOVED: GoalState(clean, noun + (f"; {left} leftover(s)" if left else "")),
        Goal.TEST_VM_REMOVED: GoalState(
            not vms,
            "VM(s) of the failed job: " + ", ".join(f"{v.name} ({v.state})" for v in vms)
            if vms
            else "no test VM is left",
        ),
        Goal.CONTEXT_READY: GoalState(
            ready,
            f"context is {world.records.context.current_status}"
            + ("" if assessment.closing is None else f"; {assessment.closing.why}")
            + (f"; {assessment.undeserved_why}" if assessment.undeserved_why else ""),
        ),
    }
