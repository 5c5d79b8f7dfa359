"""Why nothing may be done: each guard looks at one danger and says which object, what is wrong and what to do.

A `Block` without `volume_id` stops everything. One with a volume stops that volume, and before the first stop or detach (preflight,
rule 8) all that is not detached already: a guard on one volume does not keep the others detached.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .actions import Action, Kind
from .activity import is_ours
from .goals import Wish
from .incident import (
    FAILOVER_STATUSES,
    TERMINAL_TRACKING,
    TRACKING_STATUSES,
    Incident,
    as_utc,
    is_failover,
    is_open,
    is_product_cleanup,
    is_rollback,
)
from .memory import Memory, Outcome
from .reasons import Reason
from .restore_points import Evidence, Restore
from .volumes import Holder, Volume, volumes_of
from .world import Clock, CloudVM, Records, World

TERMINAL_REPLICATION = frozenset({"completed", "failed", "cancelled", "replication_failed"})
SAFE_CONTEXT = frozenset(
    {"ready_for_failover", "failed_over_test", "failed_over_live", "cleanup_required", "failed", "replicating"}
)
STEP_STATUSES = frozenset({"running", "completed", "failed", "skipped"})
OPERATION_MODES = frozenset({"oma", "failover"})
GONE_VM = frozenset({"Expunging"})
SETTLED_VM = frozenset({"Running", "Stopped", "Destroyed", "Expunging", "Error"})
MOVING_VM = frozenset({"Starting", "Stopping", "Migrating", "Shutdown"})
MOVING_VOLUME = frozenset({"Attaching", "Creating", "Migrating", "Snapshotting", "Resizing", "Copying"})
ANSWERING_HOST = frozenset({"Up"})
ACTIVE_OPERATION = frozenset({"pending", "executing"})
MOVING_LIMIT = timedelta(hours=1)
"""Age after which a state of transition without a job is nobody's work any more: the cloud itself gives up its jobs after
`job.cancel.threshold.minutes` and `vm.op.cancel.interval`, both an hour (CloudStack facts 1.5 and section 5)."""
RECHECK = timedelta(seconds=15)
ACCEPT_CONTENT = "AcceptContent"
HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Block:
    """One reason not to go on.

    Attributes:
        object: id of what it is about; what a waiver would name.
        volume_id: the only volume it stops, once the cleanup has begun.
        retry_after: when to look again, for guards that clear by themselves.
    """

    reason: Reason
    message: str
    object: str
    volume_id: str | None = None
    retry_after: timedelta = RECHECK


def holder_of(volume: Volume, world: World, vms: tuple[CloudVM, ...]) -> Holder:
    """Who holds a volume, by OSSEA's word (rule 9)."""
    if volume.cloud is None:
        return Holder.MISSING
    if volume.cloud.vm_id is None:
        return Holder.NOBODY
    if volume.cloud.vm_id == world.oma_vm_id:
        return Holder.OMA
    return Holder.TEST_VM if volume.cloud.vm_id in {vm.id for vm in vms} else Holder.OTHER


def appliance(world: World, wish: Wish) -> Iterator[Block]:
    """The appliance must be one, configured once, and its own VM visible (D04, S26)."""
    ids = world.records.oma_vm_ids
    if len(ids) != 1:
        yield Block(
            Reason.APPLIANCE_INCONSISTENT,
            f"ossea_configs has {len(ids)} active rows where exactly one is needed: set is_active on the right one.",
            "ossea_configs",
        )
        return
    if wish.settings.oma_vm_id and wish.settings.oma_vm_id != ids[0]:
        yield Block(
            Reason.APPLIANCE_INCONSISTENT,
            f"the Appliance says omaVMID {wish.settings.oma_vm_id}, ossea_configs.oma_vm_id is {ids[0]}: correct the wrong one.",
            ids[0],
        )
    elif ids[0] not in world.cloud.vms:
        yield Block(
            Reason.APPLIANCE_INCONSISTENT,
            f"OSSEA does not show the appliance's own VM {ids[0]} (ossea_configs.oma_vm_id): correct the id or the account's rights.",
            ids[0],
        )


def identity(incident: Incident, world: World) -> Iterator[Block]:
    """Values nobody has seen before stop everything (bad input)."""
    for job in incident.failovers:
        if job.status not in FAILOVER_STATUSES:
            yield _unexpected(f"failover_jobs {job.row_id}", "failover_jobs.status", job.status)
        if job.job_type not in {"test", "live"}:
            yield _unexpected(f"failover_jobs {job.row_id}", "failover_jobs.job_type", job.job_type)
    for row in incident.relatives:
        if row.status is not None and row.status not in TRACKING_STATUSES:
            yield _unexpected(f"job_tracking {row.id}", "job_tracking.status", row.status)
        for step in row.steps:
            if step.status not in STEP_STATUSES:
                yield _unexpected(f"job_steps {step.row_id}", "job_steps.status", step.status)
    for mapping in world.records.mappings:
        if mapping.operation_mode not in OPERATION_MODES:
            yield _unexpected(
                f"mapping of {mapping.volume_id}", "device_mappings.operation_mode", mapping.operation_mode
            )
    context = world.records.context
    if context.current_status not in SAFE_CONTEXT:
        yield _unexpected(
            f"context {context.context_id}", "vm_replication_contexts.current_status", context.current_status
        )


def _unexpected(obj: str, column: str, value: object) -> Block:
    return Block(
        Reason.UNEXPECTED_STATE,
        f"{column} of {obj} is {value!r}, which is outside the states this software knows to be safe: look at it and correct it.",
        obj,
    )


def health(incident: Incident, world: World, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """A completed failover with its VM in use and no rollback is healthy: refused (rule 1, F30)."""
    job = incident.job
    if job is None or job.status != "completed" or incident.rollbacks:
        return
    own = [vm for vm in vms if vm.id == job.destination_vm_id]
    running = any(vm.state == "Running" for vm in own)
    held = [v for v in volumes_of(world) if v.cloud is not None and v.cloud.vm_id == job.destination_vm_id]
    if job.destination_vm_id and (running or held):
        yield Block(
            Reason.NOTHING_FAILED,
            f"the {incident.operation} {incident.job_id} of {job.source_vm_name} completed and its VM {job.destination_vm_id} is in "
            f"use ({'running' if running else 'holding its volumes'}): nothing failed. To end it, roll it back in the product.",
            incident.job_id,
        )


def alive(incident: Incident, world: World, wish: Wish) -> Iterator[Block]:
    """Nothing while the failover, a rollback or a product cleanup may still be running (rules 5, 6)."""
    clock = world.records.clock
    settings = wish.settings
    if not incident.ended_by_engine:
        limit = _silence(clock, incident.stuck_threshold(settings.stuck_after, settings.final_sync_stuck_after))
        left = limit - clock.age(incident.newest_activity)
        if left > timedelta(0):
            yield Block(
                Reason.FAILOVER_STILL_RUNNING,
                f"the {incident.operation} {incident.job_id} or its rollback showed life {_ago(clock.age(incident.newest_activity))} ago "
                f"(last step {incident.last_step or 'unknown'}); it counts as dead after {_ago(limit)} of silence.",
                incident.job_id,
                retry_after=left,
            )
    limit = _silence(clock, settings.stuck_after)
    for row in incident.nameless:
        stamp = row.newest_activity
        if is_open(row) and stamp is not None and clock.age(stamp) < limit:
            yield Block(
                Reason.FAILOVER_STILL_RUNNING,
                f"a product cleanup without context id ({row.id}) is running and may be working on this VM: the cleanup goes on when that "
                f"one has ended, or was silent for {_ago(limit)}.",
                row.id,
                retry_after=limit - clock.age(stamp),
            )


def _silence(clock: Clock, limit: timedelta) -> timedelta:
    """Age at which a local stamp counts as dead; while digits may lie by an hour, that hour is waited out."""
    return limit + HOUR if clock.shifted else limit


def replication(world: World, wish: Wish) -> Iterator[Block]:
    """Nothing while a replication of the context is alive; a dead one needs a person's word (rule 6)."""
    clock = world.records.clock
    for row in world.records.replications:
        if row.status in TERMINAL_REPLICATION:
            continue
        stamp = row.newest_activity
        left = _silence(clock, wish.settings.stuck_after) - clock.age(stamp) if stamp else timedelta(0)
        if left > timedelta(0):
            yield Block(
                Reason.REPLICATION_ACTIVE,
                f"replication {row.id} ({row.status}) of this VM is active: the cleanup goes on when it has ended.",
                row.id,
                retry_after=min(left, RECHECK),
            )
        elif not wish.waived(Reason.ZOMBIE_JOB, row.id):
            yield Block(
                Reason.ZOMBIE_JOB,
                f"replication {row.id} is {row.status!r} without a sign of life for {_ago(wish.settings.stuck_after)}: end it in the "
                f"product, or waive ZombieJob for {row.id}.",
                row.id,
            )


def foreign_rows(incident: Incident, world: World, wish: Wish) -> Iterator[Block]:
    """Open tracking rows of the context that are neither failover, rollback nor cleanup (rule 6)."""
    known = {row.id for row in incident.relatives}
    clock = world.records.clock
    for row in world.records.tracking:
        foreign = row.context_id == world.records.context.context_id and row.id not in known
        if (
            not foreign
            or row.status in TERMINAL_TRACKING
            or is_failover(row)
            or is_rollback(row)
            or is_product_cleanup(row)
        ):
            continue
        stamp = row.newest_activity
        limit = _silence(clock, wish.settings.stuck_after)
        if stamp is not None and clock.age(stamp) < limit:
            yield Block(
                Reason.OPERATION_IN_FLIGHT,
                f"job {row.id} ({row.operation}) of this VM is {row.status}: the cleanup goes on when it has ended.",
                row.id,
                retry_after=limit - clock.age(stamp),
            )
        elif not wish.waived(Reason.ZOMBIE_JOB, row.id):
            yield Block(
                Reason.ZOMBIE_JOB,
                f"job_tracking row {row.id} ({row.operation}) is {row.status!r} and dead: close it, or waive ZombieJob for {row.id}.",
                row.id,
            )


def in_flight(world: World, wish: Wish, memory: Memory, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """Young daemon operations and pending OSSEA jobs that are not ours (section 4 of the rules: settle first)."""
    clock = world.records.clock
    ours = {r.external_id for r in memory.requests if r.external_id}
    for operation in world.records.operations:
        if operation.status not in ACTIVE_OPERATION or is_ours(operation, memory):
            continue
        left = wish.settings.operation_limit - clock.utc_age(operation.created_at)
        if left > timedelta(0):
            yield Block(
                Reason.OPERATION_IN_FLIGHT,
                f"the Volume Daemon's {operation.type} {operation.id} of volume {operation.volume_id} is {operation.status}: the "
                "cleanup goes on when it has ended.",
                operation.id,
                volume_id=operation.volume_id,
                retry_after=min(left, RECHECK),
            )
    for volume in volumes_of(world):
        rows = [(volume.cloud.job_id, volume.label)] if volume.cloud else []
        rows += [(s.job_id, f"snapshot {s.name} ({s.id})") for s in volume.snapshots]
        for job_id, label in rows:
            if job_id and job_id not in ours and not memory.in_flight(volume.id):
                yield Block(
                    Reason.OPERATION_IN_FLIGHT,
                    f"OSSEA job {job_id} on {label} is pending: the cleanup goes on when it has ended.",
                    job_id,
                    volume_id=volume.id,
                    retry_after=RECHECK,
                )
    for vm in vms:
        if vm.job_id and vm.job_id not in ours and not memory.in_flight(vm.id):
            yield Block(
                Reason.OPERATION_IN_FLIGHT,
                f"OSSEA job {vm.job_id} on VM {vm.name} ({vm.id}) is pending: the cleanup goes on when it has ended.",
                vm.job_id,
            )


def claims(world: World, job_id: str, owner_alive: timedelta) -> Iterator[Block]:
    """Another cleanup with a heartbeat holds this VM."""
    for claim in world.records.claims:
        if claim.job_id == job_id or claim.owner is None or claim.heartbeat_age is None:
            continue
        if claim.heartbeat_age < owner_alive.total_seconds():
            yield Block(
                Reason.CLAIMED_ELSEWHERE,
                f"another cleanup of this VM (job {claim.job_id}) is being worked on by {claim.owner}: this one goes on when that one has "
                "ended; to end it, suspend or delete it.",
                claim.id,
                retry_after=timedelta(seconds=owner_alive.total_seconds() - claim.heartbeat_age),
            )


def live(incident: Incident, world: World, wish: Wish, memory: Memory, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """A live failover may carry production: with a VM, a volume off the OMA or an open row it needs a person's word."""
    if not incident.live:
        return
    off = [v for v in volumes_of(world) if holder_of(v, world, vms) is not Holder.OMA]
    if (vms or (off and not memory.touched)) and not wish.waived(Reason.LIVE_FAILOVER, "job", incident.job_id):
        what = f"has VM {vms[0].name} ({vms[0].id})" if vms else f"has {off[0].label} off the appliance"
        yield Block(
            Reason.LIVE_FAILOVER,
            f"the live failover {incident.job_id} {what}: production may depend on it. If it does not, waive LiveFailover for 'job'.",
            incident.job_id,
        )
    open_rows = [job for job in incident.failovers if job.status not in {"completed", "failed"}]
    if open_rows and not wish.waived(Reason.ENGINE_MAY_WAKE, "job", incident.job_id):
        yield Block(
            Reason.ENGINE_MAY_WAKE,
            f"the row of live failover {incident.job_id} is still open and its engine goes on after a failed driver injection: restart "
            "the OMA API and close the row, or waive EngineMayWake for 'job'.",
            incident.job_id,
        )


def moving_vm(incident: Incident, world: World, memory: Memory, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """A VM in transition is the cloud's work in progress; without a job, and for too long, it is stuck and a person's matter."""
    for vm in vms:
        label = f"VM {vm.name} ({vm.id})"
        if vm.state not in SETTLED_VM | MOVING_VM:
            yield _unexpected(label, "OSSEA state", vm.state)
        if vm.state not in MOVING_VM or memory.in_flight(vm.id) or stop_pending(memory, vm):
            continue
        age = _still_for(incident, world, memory, vm.id, vm.created)
        if vm.job_id is None and age > MOVING_LIMIT:
            yield Block(
                Reason.UNEXPECTED_STATE,
                f"{label} is {vm.state} for {_ago(age)} and no OSSEA job is at work on it: an administrator of OSSEA must bring it to "
                "Stopped, or destroy it when it holds no volume of this VM's replica.",
                vm.id,
            )
        else:
            yield Block(
                Reason.OPERATION_IN_FLIGHT,
                f"{label} is {vm.state}: the cleanup goes on when OSSEA is done with it.",
                vm.id,
            )


def _still_for(
    incident: Incident, world: World, memory: Memory, obj: str, created: datetime | None = None
) -> timedelta:
    """How long nothing is known to have happened to an object: neither by the product nor by us."""
    clock = world.records.clock
    stamps = [as_utc(incident.newest_activity, clock)]
    stamps += [created] if created is not None else []
    stamps += [
        (r.settled_at or r.sent_at).replace(tzinfo=UTC) for r in memory.requests if obj in (r.object, r.volume_id)
    ]
    return clock.utc.replace(tzinfo=UTC) - max(stamps)


def running_vm(incident: Incident, wish: Wish, vms: tuple[CloudVM, ...], memory: Memory) -> Iterator[Block]:
    """A Running VM of the incident may be in use: refused until stopped or waived; a live one cannot be waived (F28, F29)."""
    for vm in vms:
        if vm.state != "Running" or memory.in_flight(vm.id):
            continue
        if incident.live:
            yield Block(
                Reason.RUNNING_TEST_VM,
                f"VM {vm.name} ({vm.id}) of the live failover is Running; this cannot be waived: stop it yourself when it is not needed.",
                vm.id,
            )
        elif not wish.waived(Reason.RUNNING_TEST_VM, "job", incident.job_id, vm.id):
            yield Block(
                Reason.RUNNING_TEST_VM,
                f"test VM {vm.name} ({vm.id}) is Running and may be in use: stop it, or waive RunningTestVM for 'job' to have it "
                "stopped, its changes discarded and the VM destroyed.",
                vm.id,
            )
        elif vm.host_state is not None and vm.host_state not in ANSWERING_HOST:
            yield Block(
                Reason.HOST_UNKNOWN,
                f"the host of VM {vm.name} ({vm.id}) is {vm.host_state}: the guest may still write, and a stop would only change a row. "
                "An administrator of OSSEA brings the host up, or makes sure that it is switched off and stops the VM.",
                vm.id,
            )


def vm_snapshots(world: World) -> Iterator[Block]:
    """Snapshots of whole VMs block attach, detach and revert (CloudStack facts 2.4, 2.5)."""
    for snapshot in world.cloud.vm_snapshots:
        vm = world.cloud.vms.get(snapshot.vm_id)
        yield Block(
            Reason.VM_SNAPSHOTS_PRESENT,
            f"VM {vm.name if vm else ''} ({snapshot.vm_id}) has the VM snapshot {snapshot.name} ({snapshot.id}), which blocks attach and "
            "detach: remove it in OSSEA.",
            snapshot.id,
        )


def unknown_disks(records: Records) -> Iterator[Block]:
    """Disks or mappings that refer to a volume the context does not have (H23, S38)."""
    rows = {row.row_id for row in records.volumes}
    for disk in records.disks:
        if disk.volume_row_id is not None and disk.volume_row_id not in rows:
            yield Block(
                Reason.VOLUME_MISSING,
                f"vm_disks says {disk.disk_id} is ossea_volumes row {disk.volume_row_id}, which this VM does not have: restore or remove "
                "it in the product.",
                disk.disk_id,
            )
    known = {row.volume_id for row in records.volumes}
    for mapping in records.mappings:
        if mapping.volume_id not in known:
            yield Block(
                Reason.VOLUME_MISSING,
                f"device_mappings names volume {mapping.volume_id}, which ossea_volumes of this VM does not have: restore or remove it "
                "in the product.",
                mapping.volume_id,
            )


def volume(
    volume: Volume,
    restore: Restore,
    steps: tuple[Action, ...],
    incident: Incident,
    world: World,
    wish: Wish,
    memory: Memory,
    vms: tuple[CloudVM, ...],
) -> Iterator[Block]:
    """What keeps one volume from being worked on; tries of a step that is not wanted any more do not count."""
    tries = wish.settings.tries

    def block(reason: Reason, message: str) -> Block:
        return Block(reason, message, volume.id, volume_id=volume.id)

    cloud = volume.cloud
    if cloud is None:
        yield block(
            Reason.VOLUME_MISSING,
            f"OSSEA does not show {volume.label}: restore it in OSSEA, or remove it in the product.",
        )
        return
    holder = holder_of(volume, world, vms)
    if holder is Holder.OTHER:
        yield block(
            Reason.UNKNOWN_HOLDER,
            f"{volume.label} is attached to VM {cloud.vm_id}, which is neither the appliance nor of this failover: detach it there.",
        )
    held_by = next((vm for vm in vms if vm.id == cloud.vm_id), None)
    if held_by is not None and held_by.state == "Destroyed" and cloud.device_id == 0:
        yield block(
            Reason.RESCUE_NEEDED,
            f"VM {held_by.name} ({held_by.id}) is Destroyed with {volume.label} as its root disk, which is deleted with it (86400 s after "
            f"the destroy by default): run recoverVirtualMachine id={held_by.id} at once.",
        )
    if held_by is not None and held_by.state in GONE_VM:
        yield block(
            Reason.UNEXPECTED_STATE,
            f"VM {held_by.name} ({held_by.id}) is {held_by.state} and still holds {volume.label}: an administrator of OSSEA must take the "
            "volume off it before it goes with the VM.",
        )
    if cloud.state in MOVING_VOLUME and not memory.in_flight(volume.id):
        age = _still_for(incident, world, memory, volume.id)
        if cloud.job_id is None and age > MOVING_LIMIT:
            yield block(
                Reason.UNEXPECTED_STATE,
                f"{volume.label} is {cloud.state} for {_ago(age)} and no OSSEA job is at work on it: an administrator of OSSEA must bring "
                "it to Ready.",
            )
        else:
            yield block(
                Reason.OPERATION_IN_FLIGHT,
                f"{volume.label} is {cloud.state}: the cleanup goes on when OSSEA is done with it.",
            )
    elif cloud.state != "Ready" and not memory.in_flight(volume.id):
        yield block(
            Reason.UNEXPECTED_STATE,
            f"{volume.label} is {cloud.state} where only Ready is safe: an administrator of OSSEA must look at it.",
        )
    if memory.correcting and any(step.kind is Kind.REVERT for step in steps):
        yield block(
            Reason.DRIFT_NEEDS_REVERT,
            f"{volume.label} drifted and would have to be reverted, which is never done without a person's word: check that nothing "
            "written since is needed, then ask for a new run with the annotation failover.ossea.io/requestedAt.",
        )
    yield from _data(volume, restore, wish, memory)
    for kind, obj, reason, hint in (
        (
            Kind.DETACH,
            volume.id,
            Reason.DETACH_FAILING,
            "a process such as virt-v2v-in-place on the appliance may hold the disk: end it there (fuser -v on the device)",
        ),
        (
            Kind.ATTACH,
            volume.id,
            Reason.ATTACH_FAILING,
            "the appliance may have no free PCI slots, or its /dev/disk/by-id link does not appear: free a slot, look at udev",
        ),
        (
            Kind.CREATE_EXPORT,
            volume.id,
            Reason.ATTACH_FAILING,
            "the volume is attached, but the Volume Daemon makes no NBD export for it: look at its log",
        ),
    ):
        failures = memory.failures(kind, obj)
        if len(failures) >= tries and any(step.kind is kind for step in steps):
            yield block(
                reason,
                f"{kind} of {volume.label} failed {len(failures)} times ({failures[-1].error or 'no effect'}): {hint}, then ask again "
                "with the annotation failover.ossea.io/requestedAt.",
            )


def accepts_content(wish: Wish, volume_id: str) -> bool:
    """Whether a person accepts this volume's content as it is."""
    return wish.waived(ACCEPT_CONTENT, volume_id) is not None


def _data(volume: Volume, restore: Restore, wish: Wish, memory: Memory) -> Iterator[Block]:
    if accepts_content(wish, volume.id):
        return
    waiver = f"or waive AcceptContent for {volume.id}: it is attached as it is, and the data stays suspect"

    def block(reason: Reason, message: str) -> Block:
        return Block(reason, message, volume.id, volume_id=volume.id)

    # Snapshots the product removed itself end as DataSuspect, not as a stop: nothing is left to decide (R06, S19).
    if restore.suspect and restore.evidence is not Evidence.BAD:
        what = (
            f"its recorded snapshot {restore.missing} is gone" if restore.missing else "it has no usable restore point"
        )
        yield block(
            Reason.SNAPSHOT_MISSING,
            f"{volume.label} may have been modified by the failover and {what}: restore the snapshot in the storage, {waiver}.",
        )
    if restore.point is not None and not restore.reverted and restore.point.revertable is False:
        yield block(
            Reason.REVERT_IMPOSSIBLE,
            f"OSSEA says snapshot {restore.point.name} ({restore.point.id}) of {volume.label} cannot be reverted: fix it, {waiver}.",
        )
    size = volume.cloud.size if volume.cloud else None
    if restore.point is not None and not restore.reverted and size and restore.point.size not in (None, size):
        yield block(
            Reason.REVERT_IMPOSSIBLE,
            f"snapshot {restore.point.name} ({restore.point.id}) is of {restore.point.size} bytes and {volume.label} of {size}: a "
            f"revert would change its size. Resize it in the storage, {waiver}.",
        )
    if restore.point is not None:
        failures = memory.failures(Kind.REVERT, restore.point.id)
        if len(failures) >= wish.settings.tries:
            yield block(
                Reason.REVERT_FAILING,
                f"revert of {volume.label} to snapshot {restore.point.name} ({restore.point.id}) failed {len(failures)} times "
                f"({failures[-1].error or 'no result'}): fix the storage, {waiver}.",
            )


def stop_failing(wish: Wish, memory: Memory, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """A guest that ignores the stop (R03), or takes longer than it has (rule 15)."""
    for vm in vms:
        failures = memory.failures(Kind.STOP_VM, vm.id)
        if stop_pending(memory, vm):
            yield Block(
                Reason.STOP_FAILING,
                f"VM {vm.name} ({vm.id}) was asked to stop and did not within {_ago(wish.settings.stop_timeout)}; its OSSEA job "
                f"{vm.job_id} is still pending, so no other stop is sent: shut the guest down in its console, or let an administrator of "
                "OSSEA end the job. The cleanup goes on when the job has ended.",
                vm.id,
            )
        elif vm.state == "Running" and len(failures) >= wish.settings.tries:
            force = "" if wish.settings.force_stop else ", or let an administrator set testVM.forceStop: Allowed"
            yield Block(
                Reason.STOP_FAILING,
                f"VM {vm.name} ({vm.id}) was asked {len(failures)} times to stop and runs ({failures[-1].error or 'no effect'}): shut the "
                f"guest down in its console{force}, then ask again with the annotation failover.ossea.io/requestedAt.",
                vm.id,
            )


def stop_pending(memory: Memory, vm: CloudVM) -> bool:
    """Whether a stop of ours was let go and its job is still at work, as far as the VM shows (rule 15)."""
    last = memory.last(Kind.STOP_VM, vm.id)
    return (
        last is not None and last.outcome is Outcome.UNKNOWN and vm.job_id is not None and vm.job_id == last.external_id
    )


def foreign_disks(world: World, vms: tuple[CloudVM, ...]) -> Iterator[Block]:
    """A VM to be destroyed must hold no disk but the root made with it (rule 14)."""
    ours = {volume.id for volume in volumes_of(world)}
    for vm in vms:
        others = [v for v in world.cloud.volumes.values() if v.vm_id == vm.id and v.id not in ours]
        roots = [v for v in others if v.type == "ROOT" and v.name.startswith("ROOT-")]
        for volume in others:
            if volume not in roots[:1]:
                yield Block(
                    Reason.UNEXPECTED_STATE,
                    f"VM {vm.name} ({vm.id}) holds volume {volume.name} ({volume.id}), which is not of this VM's replica: detach it there.",
                    volume.id,
                )


def _ago(span: timedelta) -> str:
    seconds = max(0, round(span.total_seconds()))
    if seconds < 120:
        return f"{seconds} s"
    minutes = seconds // 60
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
