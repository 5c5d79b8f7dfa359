"""The commands of the cloud that change something, with its rules (OSSEA facts 2.4 to 2.14).

Ids are looked up when a command arrives; every other precondition is checked inside the job, whose failure it becomes.
Attach, detach, stop, start, destroy and expunge run one at a time per VM. Revert and delete of snapshots do not: only
the states of volume and snapshot protect them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from appliance_simulator.async_jobs import AsyncJob, AsyncJobs, JobStatus, ResultlessFailureError
from appliance_simulator.cloud import (
    UNDEFINED,
    Cloud,
    CloudError,
    Snapshot,
    VirtualMachine,
    Volume,
    VolumeType,
    never_existed,
)
from appliance_simulator.cloud_views import Views
from appliance_simulator.faults import FaultKind, Faults, Latencies

JOB_FAULTS: Final = (
    FaultKind.JOB_FAILS,
    FaultKind.JOB_FAILS_WITHOUT_RESULT,
    FaultKind.JOB_HANGS,
    FaultKind.JOB_PURGED,
    FaultKind.SERVER_RESTARTS,
)
HIDDEN_TEXT: Final = "Internal error executing command, please contact your system administrator"
UNFINISHED_SNAPSHOT_STATES: Final = frozenset({"Creating", "CreatedOnPrimary", "BackingUp"})


@dataclass
class CloudRights:
    """What the account may do and how the site is configured.

    Attributes:
        expunge: `allow.user.expunge.recover.vm`, or an administrator.
        force_stop: `allow.user.force.stop.vm`, or an administrator.
        see_destroyed_vms: `allow.user.view.destroyed.vm`, or an administrator.
        list_hosts: Administrators only.
        data_volumes_per_vm: Limit of the hypervisor; None is none.
        see_internal_errors: Root administrators read the text of codes 530, 533 and 534, others a general one.
    """

    expunge: bool = True
    force_stop: bool = True
    see_destroyed_vms: bool = True
    list_hosts: bool = True
    data_volumes_per_vm: int | None = None
    see_internal_errors: bool = True

    def readable(self, code: int, text: str) -> str:
        """The error text the account gets to see."""
        return text if self.see_internal_errors or code not in (530, 533, 534) else HIDDEN_TEXT


class CloudCommands:
    """Mutating commands, for the OSSEA API and for the Volume Daemon alike."""

    def __init__(
        self, cloud: Cloud, jobs: AsyncJobs, views: Views, faults: Faults, latencies: Latencies, rights: CloudRights
    ) -> None:
        self.cloud = cloud
        self.jobs = jobs
        self.views = views
        self.rights = rights
        self._faults = faults
        self._latencies = latencies

    # --- looking up ---------------------------------------------------------------------------------------------

    def volume(self, volume_id: str) -> Volume:
        """A volume a command names; 431 when there is none."""
        volume = self.cloud.volumes.get(volume_id)
        if volume is None or volume.removed:
            raise _unknown(volume_id, "Volume", removed=volume is not None)
        return volume

    def vm(self, vm_id: str) -> VirtualMachine:
        """A VM a command names; 431 when there is none."""
        vm = self.cloud.vms.get(vm_id)
        if vm is None or vm.removed:
            raise _unknown(vm_id, "VirtualMachine", removed=vm is not None)
        return vm

    def snapshot(self, snapshot_id: str) -> Snapshot:
        """A snapshot a command names; 431 when there is none."""
        snapshot = self.cloud.snapshots.get(snapshot_id)
        if snapshot is None or snapshot.removed:
            raise _unknown(snapshot_id, "Snapshot", removed=snapshot is not None)
        return snapshot

    async def _work(self, job: AsyncJob, *object_ids: str) -> None:
        """Take the time a job takes and meet the faults that hit it; an error means: no effect."""
        await asyncio.sleep(self._latencies.of(job.command))
        fault = self._faults.take(JOB_FAULTS, job.command, object_ids)
        if fault is None:
            return
        match fault.kind:
            case FaultKind.JOB_HANGS:
                await self.jobs.hang(job)
            case FaultKind.JOB_FAILS:
                raise CloudError(fault.code, fault.errortext)
            case FaultKind.JOB_PURGED:
                job.purged_at_end = True
            case FaultKind.SERVER_RESTARTS:
                self.jobs.fail_pending(work_continues=fault.executed)
                if not fault.executed:
                    raise asyncio.CancelledError
            case _ if fault.executed:
                job.lost_result_code = fault.code
            case _:
                raise ResultlessFailureError(fault.code, fault.errortext)

    # --- volumes ------------------------------------------------------------------------------------------------

    def attach_volume(
        self, volume_id: str, vm_id: str, device_id: int | None = None, job_id: str | None = None
    ) -> AsyncJob:
        """`attachVolume`; device 0 makes the volume the VM's ROOT."""
        volume, vm = self.volume(volume_id), self.vm(vm_id)

        async def work(job: AsyncJob) -> dict[str, Any]:
            self._check_attach(volume, vm, device_id)
            async with self.jobs.turn(vm.id):
                self._check_attach(volume, vm, device_id)
                volume.state = "Attaching"
                try:
                    await self._work(job, volume.id, vm.id)
                    self.cloud.attach(volume, vm, device_id)
                finally:
                    volume.state = "Ready"
            return {"volume": self.views.volume(volume)}

        return self.jobs.submit("attachVolume", work, ("Volume", volume.id), job_id)

    def _check_attach(self, volume: Volume, vm: VirtualMachine, device_id: int | None) -> None:
        if volume.virtualmachineid is not None:
            raise CloudError(431, "Please specify a volume that is not attached to any VM.")
        if volume.state not in ("Allocated", "Ready", "Uploaded"):
            raise CloudError(431, f"Volume {volume.id} is in state {volume.state} and cannot be attached.")
        if vm.state not in ("Running", "Stopped"):
            raise CloudError(431, "Please specify a VM that is either running or stopped.")
        self._check_vm_is_free(vm, "attach")
        if device_id == 0:
            if vm.state != "Stopped":
                raise CloudError(431, f"The VM {vm.id} must be stopped to attach a root volume.")
        elif device_id == 3:
            raise CloudError(530, "deviceId 3 is used by the CD drive.")
        elif self._is_full(vm):
            raise CloudError(431, "The specified VM already has the maximum number of data disks attached.")
        if device_id in {held.deviceid for held in self.cloud.volumes_of(vm.id)}:
            raise CloudError(530, f"deviceId {device_id} is used by VM {vm.id}.")

    def _is_full(self, vm: VirtualMachine) -> bool:
        limit = self.rights.data_volumes_per_vm
        return limit is not None and sum(v.deviceid != 0 for v in self.cloud.volumes_of(vm.id)) >= limit

    def _check_vm_is_free(self, vm: VirtualMachine, verb: str) -> None:
        if self.cloud.has_vm_snapshots(vm.id):
            raise CloudError(431, f"Unable to {verb} volume: the VM has VM snapshots.")
        if vm.has_backup_offering:
            raise CloudError(431, f"Unable to {verb} volume: the VM has a backup offering.")

    def detach_volume(self, volume_id: str, job_id: str | None = None) -> AsyncJob:
        """`detachVolume`. The VM is taken when the job starts, ownership is not checked again (issue #14214)."""
        volume = self.volume(volume_id)

        async def work(job: AsyncJob) -> dict[str, Any]:
            vm = self._check_detach(volume)
            late = self._faults.take((FaultKind.LATE_DETACH,), job.command, (volume.id, vm.id))
            if late is not None:
                self.jobs.go_on_in_background(self._detach_later(volume, vm, late.seconds))
                raise CloudError(530, f"Failed to detach volume {volume.name} from VM {vm.displayname}; timed out.")
            async with self.jobs.turn(vm.id):
                await self._work(job, volume.id, vm.id)
                self.cloud.detach(volume)
            return {"volume": self.views.volume(volume)}

        return self.jobs.submit("detachVolume", work, ("Volume", volume.id), job_id)

    def _check_detach(self, volume: Volume) -> VirtualMachine:
        if volume.virtualmachineid is None:
            raise CloudError(431, "The specified volume is not attached to a VM.")
        vm = self.cloud.vms[volume.virtualmachineid]
        if volume.deviceid == 0 and vm.state != "Stopped":
            raise CloudError(431, "Please specify a VM that is in Stopped state to detach its root volume.")
        if vm.state not in ("Running", "Stopped", "Destroyed"):
            raise CloudError(431, "Please specify a VM that is either running, stopped or destroyed.")
        self._check_vm_is_free(vm, "detach")
        return vm

    async def _detach_later(self, volume: Volume, vm: VirtualMachine, seconds: float) -> None:
        await asyncio.sleep(seconds)
        async with self.jobs.turn(vm.id):
            self.cloud.detach(volume, late="true")

    def delete_volume(self, volume_id: str) -> None:
        """`deleteVolume`, synchronous: the volume and its content are lost."""
        volume = self.volume(volume_id)
        if volume.virtualmachineid is not None:
            raise CloudError(431, "Please specify a volume that is not attached to any VM.")
        self.cloud.destroy_volume(volume)

    def recover_volume(self, volume_id: str) -> Volume:
        """`recoverVolume`, synchronous: out of state Destroy."""
        volume = self.volume(volume_id)
        if volume.state != "Destroy":
            raise CloudError(431, "Please specify a volume in Destroy state.")
        volume.state = "Ready"
        self.cloud.journal.effect("volume-recovered", volume.id)
        return volume

    # --- snapshots ----------------------------------------------------------------------------------------------

    def create_snapshot(self, volume_id: str, name: str | None, job_id: str | None = None) -> tuple[AsyncJob, Snapshot]:
        """`createSnapshot`: the snapshot's row and id exist before the job runs."""
        volume = self.volume(volume_id)
        snapshot = self.cloud.add_snapshot(volume, name or f"{volume.name}_snapshot", state="Allocated")

        async def work(job: AsyncJob) -> dict[str, Any]:
            if volume.state != "Ready":
                snapshot.state = "Error"
                raise CloudError(431, f"Volume {volume.id} is not in Ready state but {volume.state}.")
            snapshot.state, volume.state = "Creating", "Snapshotting"
            try:
                await self._work(job, volume.id, snapshot.id)
            except CloudError:
                snapshot.state = "Error"
                raise
            finally:
                volume.state = "Ready"
            snapshot.content, snapshot.size, snapshot.state = volume.content, volume.size, "BackedUp"
            self.cloud.journal.effect("snapshot-created", snapshot.id, volumeid=volume.id)
            return {"snapshot": self.views.snapshot(snapshot)}

        return self.jobs.submit("createSnapshot", work, ("Snapshot", snapshot.id), job_id), snapshot

    def revert_snapshot(self, snapshot_id: str, job_id: str | None = None) -> AsyncJob:
        """`revertSnapshot`: a copy over the live volume, not atomic, outside of the VM's queue."""
        snapshot = self.snapshot(snapshot_id)

        async def work(job: AsyncJob) -> dict[str, Any]:
            volume = self._check_revert(snapshot)
            ids = (snapshot.id, volume.id)
            volume.state = "RevertSnapshotting"
            before = volume.content
            self._begin_copy(volume)
            half_way = self._faults.take((FaultKind.REVERT_HALF_WAY,), job.command, ids)
            goes_on = self._faults.take((FaultKind.REVERT_GOES_ON,), job.command, ids)
            try:
                await self._work(job, *ids)
            except asyncio.CancelledError:
                # A restarted server forgets the volume in this state (OSSEA facts 3); the copy is cut off.
                volume.copies_running -= 1
                raise
            except CloudError:
                # Refused before the copy began: the volume holds what it held.
                volume.content = UNDEFINED if volume.copy_disturbed else before
                volume.copies_running -= 1
                volume.state = "Ready"
                raise
            if job.status is JobStatus.PENDING:
                # A restarted server has forgotten the volume in this state, though the copy goes on (OSSEA facts 3).
                volume.state = "Ready"
            if goes_on is not None:
                self.jobs.go_on_in_background(self._copy_goes_on(snapshot, volume, goes_on.seconds))
                raise CloudError(530, goes_on.errortext)
            if half_way is not None:
                volume.copies_running -= 1
                self.cloud.journal.effect("revert-failed", volume.id, snapshotid=snapshot.id)
                raise CloudError(530, half_way.errortext)
            self._end_copy(snapshot, volume)
            return {"snapshot": self.views.snapshot(snapshot)}

        return self.jobs.submit("revertSnapshot", work, ("Snapshot", snapshot.id), job_id)

    def _check_revert(self, snapshot: Snapshot) -> Volume:
        volume = self.cloud.volumes.get(snapshot.volume_id)
        if volume is None or volume.removed:
            raise CloudError(431, "The volume of the snapshot does not exist any more.")
        if volume.state != "Ready":
            raise CloudError(431, f"The volume {volume.id} is not in Ready state but {volume.state}.")
        if volume.virtualmachineid is not None:
            vm = self.cloud.vms[volume.virtualmachineid]
            if vm.state not in ("Stopped", "Shutdown"):
                raise CloudError(431, "The VM the specified disk is attached to is not in the stopped state.")
            self._check_vm_is_free(vm, "revert")
        if snapshot.state != "BackedUp" or not snapshot.revertable:
            raise CloudError(530, "Revert snapshot is only supported for KVM and a snapshot that is ready.")
        return volume

    def _begin_copy(self, volume: Volume) -> None:
        if volume.copies_running:
            volume.copy_disturbed = True
        volume.copies_running += 1
        volume.content = UNDEFINED

    def _end_copy(self, snapshot: Snapshot, volume: Volume) -> None:
        volume.copies_running -= 1
        if not volume.copy_disturbed:
            volume.content, volume.size = snapshot.content, snapshot.size
        if volume.still_written_by is not None:
            volume.dirty(f"still written by {volume.still_written_by}")
        if volume.copies_running == 0:
            volume.copy_disturbed = False
        self.cloud.journal.effect("reverted", volume.id, snapshotid=snapshot.id, content=volume.content)

    async def _copy_goes_on(self, snapshot: Snapshot, volume: Volume, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._end_copy(snapshot, volume)

    def delete_snapshot(self, snapshot_id: str, job_id: str | None = None) -> AsyncJob:
        """`deleteSnapshot`; it answers `success`, not the snapshot."""
        snapshot = self.snapshot(snapshot_id)

        async def work(job: AsyncJob) -> dict[str, Any]:
            before = snapshot.state
            if before == "Destroyed":
                raise CloudError(431, "The snapshot is already destroyed.")
            if before not in ("Allocated", "Error", "CreatedOnPrimary", "BackedUp", "Destroying"):
                raise CloudError(431, f"Can't delete snapshot {snapshot.id} in state {before}.")
            if before in ("BackedUp", "Destroying"):
                snapshot.state = "Destroying"
            try:
                await self._work(job, snapshot.id, snapshot.volume_id)
            except CloudError:
                snapshot.state = "BackedUp" if before == "Destroying" else before
                raise
            except asyncio.CancelledError:
                if job.status is not JobStatus.PENDING and snapshot.state == "Destroying":
                    # What a restarted server finds in this state it deletes once it is up (OSSEA facts 2.9).
                    self._end_delete(snapshot)
                raise
            self._end_delete(snapshot)
            snapshot.removed = before in ("Allocated", "Error")
            return {"success": True}

        return self.jobs.submit("deleteSnapshot", work, ("Snapshot", snapshot.id), job_id)

    def _end_delete(self, snapshot: Snapshot) -> None:
        snapshot.state = "Destroyed"
        self.cloud.journal.effect("snapshot-deleted", snapshot.id, volumeid=snapshot.volume_id)

    # --- virtual machines ---------------------------------------------------------------------------------------

    def _submit_vm(
        self, command: str, vm: VirtualMachine, act: Callable[[AsyncJob], Awaitable[None]], job_id: str | None
    ) -> AsyncJob:
        async def work(job: AsyncJob) -> dict[str, Any]:
            async with self.jobs.turn(vm.id):
                await act(job)
            return {"success": True} if vm.removed else {"virtualmachine": self.views.virtual_machine(vm)}

        return self.jobs.submit(command, work, ("VirtualMachine", vm.id), job_id)

    def start_vm(self, vm_id: str, job_id: str | None = None) -> AsyncJob:
        """`startVirtualMachine`: the VM writes to every volume it has."""
        vm = self.vm(vm_id)

        async def act(job: AsyncJob) -> None:
            if vm.state != "Stopped":
                raise CloudError(431, f"VM {vm.id} is not in Stopped state but {vm.state}.")
            if not any(volume.deviceid == 0 for volume in self.cloud.volumes_of(vm.id)):
                raise CloudError(530, f"VM {vm.id} has no ROOT volume.")
            host = self.cloud.any_host()
            vm.state = "Starting"
            try:
                await self._work(job, vm.id)
            except (CloudError, asyncio.CancelledError):
                vm.state = "Stopped"
                raise
            self.run(vm, host.id)

        return self._submit_vm("startVirtualMachine", vm, act, job_id)

    def run(self, vm: VirtualMachine, host_id: str) -> None:
        """Let a VM run: what it holds is modified from now on."""
        vm.state, vm.host_id = "Running", host_id
        for volume in self.cloud.volumes_of(vm.id):
            if vm.id != self.cloud.oma_vm_id:
                volume.dirty(f"started {vm.displayname}")
        self.cloud.journal.effect("vm-started", vm.id)

    def stop_vm(self, vm_id: str, *, forced: bool = False, job_id: str | None = None) -> AsyncJob:
        """`stopVirtualMachine`; forced, it marks a VM Stopped whose host does not answer."""
        vm = self.vm(vm_id)
        if forced and not self.rights.force_stop:
            raise CloudError(531, "The account may not stop a VM by force.")

        async def act(job: AsyncJob) -> None:
            if vm.state == "Stopped":
                return
            await self._stop(job, vm, forced=forced)

        return self._submit_vm("stopVirtualMachine", vm, act, job_id)

    async def _stop(self, job: AsyncJob, vm: VirtualMachine, *, forced: bool) -> None:
        if vm.state not in ("Running", "Stopping", "Starting", "Error", "Unknown"):
            raise CloudError(431, f"VM {vm.id} cannot be stopped in state {vm.state}.")
        host = self.cloud.hosts.get(vm.host_id) if vm.host_id else None
        reachable = host is None or host.state == "Up"
        before, vm.state = vm.state, "Stopping"
        try:
            await self._work(job, vm.id)
        except (CloudError, asyncio.CancelledError):
            # A restarted server puts VMs in transition back (OSSEA facts 1.5).
            vm.state = before
            raise
        if not reachable and not forced:
            vm.state = before
            raise CloudError(530, f"Unable to stop VM {vm.id}: its host does not answer.")
        for volume in self.cloud.volumes_of(vm.id):
            volume.still_written_by = None if reachable else vm.displayname
        vm.state, vm.host_id = "Stopped", None
        self.cloud.journal.effect("vm-stopped", vm.id, forced=str(forced).lower())

    def destroy_vm(
        self, vm_id: str, *, expunge: bool = False, volume_ids: tuple[str, ...] = (), job_id: str | None = None
    ) -> AsyncJob:
        """`destroyVirtualMachine`: data disks survive detached, everything at device 0 goes with the VM."""
        vm = self.vm(vm_id)
        if expunge and not self.rights.expunge:
            raise CloudError(531, "Parameter expunge can be passed by Admin only.")
        doomed = [self.volume(volume_id) for volume_id in volume_ids]

        async def act(job: AsyncJob) -> None:
            if vm.state in ("Destroyed", "Expunging") and not expunge:
                return
            if any(volume.virtualmachineid != vm.id or volume.type is VolumeType.ROOT for volume in doomed):
                raise CloudError(431, "volumeids must name data volumes of the VM.")
            root_snapshots = [
                snapshot
                for volume in self.cloud.volumes_of(vm.id)
                if volume.type is VolumeType.ROOT
                for snapshot in self.cloud.snapshots_of(volume.id)
            ]
            if any(snapshot.state in UNFINISHED_SNAPSHOT_STATES for snapshot in root_snapshots):
                raise CloudError(530, "There are unfinished snapshots of the VM's root volume.")
            if vm.state == "Running":
                await self._stop(job, vm, forced=False)
            else:
                await self._work(job, vm.id)
            for volume in self.cloud.volumes_of(vm.id):
                if volume.type is VolumeType.DATADISK:
                    self.cloud.detach(volume)
            for volume in doomed:
                self.cloud.destroy_volume(volume)
            vm.state = "Destroyed"
            self.cloud.journal.effect("vm-destroyed", vm.id)
            if expunge:
                self._expunge(vm)

        return self._submit_vm("destroyVirtualMachine", vm, act, job_id)

    def expunge_vm(self, vm_id: str, job_id: str | None = None) -> AsyncJob:
        """`expungeVirtualMachine`: for good, with every ROOT volume."""
        vm = self.vm(vm_id)
        if not self.rights.expunge:
            raise CloudError(531, "The account may not expunge a VM.")

        async def act(job: AsyncJob) -> None:
            if vm.state not in ("Destroyed", "Expunging", "Error"):
                raise CloudError(530, "Please destroy the VM before expunging it.")
            await self._work(job, vm.id)
            self._expunge(vm)

        return self._submit_vm("expungeVirtualMachine", vm, act, job_id)

    def _expunge(self, vm: VirtualMachine) -> None:
        vm.state, vm.removed = "Expunging", True
        for volume in self.cloud.volumes_of(vm.id):
            if volume.type is VolumeType.ROOT:
                self.cloud.destroy_volume(volume)
            else:
                self.cloud.detach(volume)
        self.cloud.journal.effect("vm-expunged", vm.id)

    def recover_vm(self, vm_id: str) -> VirtualMachine:
        """`recoverVirtualMachine`, synchronous: Destroyed back to Stopped."""
        vm = self.vm(vm_id)
        if not self.rights.expunge:
            raise CloudError(531, "The account may not recover a VM.")
        if vm.state != "Destroyed":
            raise CloudError(431, f"VM {vm.id} is not in Destroyed state.")
        vm.state = "Stopped"
        self.cloud.journal.effect("vm-recovered", vm.id)
        return vm


def _unknown(object_id: str, kind: str, *, removed: bool) -> CloudError:
    if removed:
        return CloudError(431, f"Unable to find uuid for id {object_id} of type {kind}")
    return never_existed("id", object_id)
