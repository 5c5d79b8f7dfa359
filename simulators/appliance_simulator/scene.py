"""The story of one VM: what the product did to it so far, in the cloud and in the database, with times in the past."""

import json
import time
from dataclasses import dataclass, field, replace
from typing import Any, Final

from sqlalchemy import delete, insert, update

from appliance_simulator import schema
from appliance_simulator.cloud import Snapshot, VirtualMachine, Volume, new_id
from appliance_simulator.database import clock_at, utc_digits
from appliance_simulator.joblog import FlowClock, ProductJob
from appliance_simulator.replicated_vm import ReplicatedDisk, ReplicatedVM, Site
from appliance_simulator.volume_daemon import by_id_path

LONGEST_STEP_SECONDS: Final = 1.0
STEPS_IN_THE_LONGEST_FLOW: Final = 60


@dataclass
class Scene:
    """One VM's story: what has been told so far.

    Attributes:
        site: Database transaction and cloud.
        vm: The replicated VM.
        kind: `test` or `live`.
        clock: Time of the story; the failover was requested at its start.
        tracking_id: Id of the failover's tracking row, once it is written.
        failover_job_id: `failover_jobs.job_id`, equal to it; None while there is no such row.
        destination: The VM the failover created.
        snapshots: Snapshots by disk id.
    """

    site: Site
    vm: ReplicatedVM
    kind: str
    clock: FlowClock
    tracking_id: str | None = None
    failover_job_id: str | None = None
    destination: VirtualMachine | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict)

    @classmethod
    async def begin(cls, site: Site, vm: ReplicatedVM, kind: str, age_seconds: float) -> "Scene":
        """A story whose failover was requested `age_seconds` ago.

        Every step takes a second, less when the story is so young that it would reach into the future.
        """
        start = int(time.time() - age_seconds)
        step = min(LONGEST_STEP_SECONDS, age_seconds / STEPS_IN_THE_LONGEST_FLOW)
        clock = FlowClock(start, step, await clock_at(site.connection, start))
        return cls(site, vm, kind, clock)

    async def resumed(self, site: Site) -> "Scene":
        """The same story, told on from now in another transaction."""
        start = self.clock.start
        now = FlowClock(start, 0.0, await clock_at(site.connection), elapsed=time.time() - start)
        return replace(self, site=site, clock=now)

    def volume(self, disk: ReplicatedDisk) -> Volume:
        """The disk's volume."""
        return self.site.cloud.volumes[disk.volume_id]

    async def update_context(self, **values: Any) -> None:
        """Change the context's row."""
        table = schema.vm_replication_contexts
        statement = update(table).where(table.c.context_id == self.vm.context_id)
        await self.site.connection.execute(statement.values(updated_at=self.clock.moment_later(), **values))

    async def set_status(self, status: str) -> None:
        """Change `current_status`."""
        await self.update_context(current_status=status, last_status_change=self.clock.now)

    async def update_failover_job(self, **values: Any) -> None:
        """Change the failover's row."""
        table = schema.failover_jobs
        statement = update(table).where(table.c.job_id == self.failover_job_id)
        await self.site.connection.execute(statement.values(updated_at=self.clock.moment_later(), **values))

    async def update_volume_row(self, disk: ReplicatedDisk, **values: Any) -> None:
        """Change the volume's row in `ossea_volumes`."""
        table = schema.ossea_volumes
        statement = update(table).where(table.c.volume_id == disk.volume_id)
        await self.site.connection.execute(statement.values(updated_at=self.clock.moment_later(), **values))

    async def switch_mode(self, mode: str, disk: ReplicatedDisk | None = None) -> None:
        """The engine's bulk update of `operation_mode`, wherever the volumes are; only one disk's where it was cut off."""
        table = schema.device_mappings
        statement = update(table).where(table.c.vm_context_id == self.vm.context_id)
        if disk is not None:
            statement = statement.where(table.c.volume_uuid == disk.volume_id)
        await self.site.connection.execute(statement.values(operation_mode=mode, updated_at=self.clock.moment_later()))

    async def summarise(self, operation: str, status: str, job: ProductJob, error: str | None = None) -> None:
        """`last_operation_summary`, written at the end of a run."""
        summary = {
            "job_id": job.id,
            "external_job_id": job.external_id,
            "operation_type": operation,
            "status": status,
            "progress": 100.0 if error is None else 60.0,
            "timestamp": self.clock.now.isoformat(),
            "steps_completed": len(job.steps),
            "steps_total": len(job.steps),
            "duration_seconds": int(self.clock.elapsed),
        }
        if error is not None:
            summary |= {"error_message": error, "error_category": "platform", "error_severity": "error"}
        await self.update_context(last_operation_summary=json.dumps(summary))

    # --- what the daemon does -----------------------------------------------------------------------------------

    async def operation(
        self,
        kind: str,
        disk: ReplicatedDisk,
        vm_id: str | None = None,
        *,
        status: str = "completed",
        error: str | None = None,
    ) -> None:
        """A `volume_operations` row."""
        moment = utc_digits(self.clock.epoch)
        request = {"volume_id": disk.volume_id} | ({} if vm_id is None else {"vm_id": vm_id})
        done = status in ("completed", "failed")
        await self.site.connection.execute(
            insert(schema.volume_operations).values(
                id=new_id(),
                type=kind,
                status=status,
                volume_id=disk.volume_id,
                vm_id=vm_id,
                request=request,
                response=request | {"message": "done"} if status == "completed" else None,
                error=error,
                created_at=moment,
                updated_at=moment,
                completed_at=moment if done else None,
            )
        )

    async def detach(self, disk: ReplicatedDisk) -> None:
        """The daemon detaches: mapping and, from the OMA, export go."""
        self.site.cloud.lift(self.volume(disk))
        await self.drop_mapping(disk)
        await self.update_volume_row(disk, device_path=None, status="detached")
        await self.operation("detach", disk)

    async def drop_mapping(self, disk: ReplicatedDisk) -> None:
        """The mapping's row goes, and the export's with it."""
        table = schema.device_mappings
        await self.site.connection.execute(delete(table).where(table.c.volume_uuid == disk.volume_id))

    async def attach_to_oma(self, disk: ReplicatedDisk, *, mapped: bool = True) -> None:
        """The daemon attaches to the OMA; `mapped=False`: it fails after the cloud's success."""
        cloud = self.site.cloud
        cloud.place(self.volume(disk), cloud.oma_vm_id, attached=self.clock.epoch)
        if not mapped:
            error = "by-id device resolution failed: timeout after 10s"
            await self.operation("attach", disk, cloud.oma_vm_id, status="failed", error=error)
            return
        path = by_id_path(disk.volume_id)
        epoch = self.clock.epoch
        context_id = self.vm.context_id
        await self.site.add_mapping(
            context_id, self.volume(disk), vm_id=cloud.oma_vm_id, mode="oma", path=path, epoch=epoch
        )
        await self.site.add_export(context_id, self.vm.replication_job_id, disk, epoch)
        await self.update_volume_row(disk, device_path=path, status="attached")
        await self.operation("attach", disk, cloud.oma_vm_id)

    async def attach_to_destination(self, disk: ReplicatedDisk, *, mapped: bool = True) -> None:
        """The daemon attaches to the destination VM, the first disk as its root.

        All data disks of one VM share one `device_path`, which is unique: only the first can get a mapping.
        """
        vm = self.created_vm()
        root = disk is self.vm.os_disk
        self.site.cloud.place(self.volume(disk), vm.id, 0 if root else None, attached=self.clock.epoch)
        path = f"remote-vm-{'root-' if root else ''}{vm.id}"
        if not mapped or disk in self.vm.data_disks[1:]:
            error = f"mapping creation failed: Duplicate entry '{path}' for key 'device_path'"
            await self.operation("attach", disk, vm.id, status="failed", error=error)
            return
        await self.site.add_mapping(
            self.vm.context_id,
            self.volume(disk),
            vm_id=vm.id,
            mode="failover",
            path=path,
            epoch=self.clock.epoch,
            root=root,
        )
        await self.update_volume_row(disk, device_path=path, status="attached")
        await self.operation("attach", disk, vm.id)

    async def move_to_destination(self, disk: ReplicatedDisk, *, mapped: bool = True) -> None:
        """Off the OMA and onto the destination VM."""
        await self.detach(disk)
        await self.attach_to_destination(disk, mapped=mapped)

    def created_vm(self) -> VirtualMachine:
        """The destination VM.

        Raises:
            ValueError: The story has not created it yet.
        """
        if self.destination is None:
            raise ValueError("this scene has no destination VM yet")
        return self.destination

    # --- snapshots ----------------------------------------------------------------------------------------------

    async def take_snapshot(self, disk: ReplicatedDisk, *, tracked: bool = True, state: str = "BackedUp") -> None:
        """Snapshot of one volume, recorded in `ossea_volumes` when tracked."""
        epoch = self.clock.epoch
        name = f"multi-test-failover-{disk.disk_id}-{int(epoch)}"
        snapshot = self.site.cloud.add_snapshot(self.volume(disk), name, state=state, created=epoch)
        self.snapshots[disk.disk_id] = snapshot
        if tracked:
            await self.update_volume_row(
                disk, snapshot_id=snapshot.id, snapshot_created_at=self.clock.now, snapshot_status="ready"
            )

    def revert(self, disk: ReplicatedDisk) -> None:
        """The volume holds again what its snapshot captured."""
        self.volume(disk).content = self.snapshots[disk.disk_id].content

    def delete_snapshot(self, disk: ReplicatedDisk) -> None:
        """The snapshot is gone from the cloud; its row stays as it is."""
        self.snapshots[disk.disk_id].state = "Destroyed"

    async def clear_snapshot_columns(self, snapshot_id: str | None) -> None:
        """For every volume: rollback writes NULL, the product's cleanup an empty string."""
        for disk in self.vm.disks:
            await self.update_volume_row(
                disk, snapshot_id=snapshot_id, snapshot_created_at=None, snapshot_status="none"
            )
