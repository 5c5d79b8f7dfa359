"""A VM that replication has stored on the OMA: its context, disks, volumes, mappings, exports and sync history."""

import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from appliance_simulator import schema
from appliance_simulator.cloud import GIB, Cloud, Volume, new_id
from appliance_simulator.database import clock_at, utc_digits
from appliance_simulator.volume_daemon import NBD_PORT, by_id_path, export_name

DISK_SIZES_GB: Final = (40, 10, 20)
DATACENTER: Final = "DC1"


@dataclass(frozen=True)
class ReplicatedDisk:
    """One disk: VMware's id, the volume, and the ids of its rows in `ossea_volumes` and `vm_disks`."""

    disk_id: str
    volume_id: str
    volume_row_id: int
    vm_disk_row_id: int
    size_gb: int


@dataclass(frozen=True)
class ReplicatedVM:
    """The source VM and what the OMA knows of it; the first disk holds the operating system."""

    name: str
    context_id: str
    vcenter_host: str
    vmware_vm_id: str
    replication_job_id: str
    disks: tuple[ReplicatedDisk, ...]

    @property
    def os_disk(self) -> ReplicatedDisk:
        """The disk driver injection works on."""
        return self.disks[0]

    @property
    def data_disks(self) -> tuple[ReplicatedDisk, ...]:
        """All others."""
        return self.disks[1:]


@dataclass(frozen=True)
class Site:
    """Where scenes are set: a transaction on the OMA database, and the cloud."""

    connection: AsyncConnection
    cloud: Cloud

    async def replicate(
        self, name: str, *, disks: int, vcenter_host: str, epoch: float, os_type: str = "windows"
    ) -> ReplicatedVM:
        """Store a VM whose first full replication ended at `epoch`; every volume holds `replica:1`.

        Raises:
            ValueError: No disk at all.
            sqlalchemy.exc.IntegrityError: The name exists for this vCenter.
        """
        if disks < 1:
            raise ValueError("a replicated VM has at least one disk")
        clock = await clock_at(self.connection, epoch)
        ended, began = clock.local(epoch), clock.local(epoch - 600)
        context_id = await self._free_context_id(name, began)
        vmware_vm_id = new_id()
        await self._insert(
            schema.vm_replication_contexts,
            context_id=context_id,
            vm_name=name,
            vmware_vm_id=vmware_vm_id,
            vm_path=f"/{DATACENTER}/vm/{name}",
            vcenter_host=vcenter_host,
            datacenter=DATACENTER,
            current_status="ready_for_failover",
            total_jobs_run=1,
            successful_jobs=1,
            cpu_count=2,
            memory_mb=4096,
            os_type=os_type,
            power_state="poweredOn",
            created_at=began,
            updated_at=ended,
            first_job_at=began,
            last_job_at=ended,
            last_status_change=ended,
            ossea_config_id=await self._config_id(),
        )
        job_id = await self.add_replication_job(context_id, name, vmware_vm_id, epoch - 600, epoch, vcenter_host)
        table = schema.vm_replication_contexts
        await self.connection.execute(
            update(table)
            .where(table.c.context_id == context_id)
            .values(last_successful_job_id=job_id, updated_at=ended)
        )
        stored = [
            await self._store_disk(context_id, job_id, name, number, DISK_SIZES_GB[number % len(DISK_SIZES_GB)], epoch)
            for number in range(disks)
        ]
        return ReplicatedVM(name, context_id, vcenter_host, vmware_vm_id, job_id, tuple(stored))

    async def add_replication_job(
        self,
        context_id: str,
        vm_name: str,
        vmware_vm_id: str,
        began: float,
        ended: float | None,
        vcenter_host: str,
        *,
        status: str = "completed",
    ) -> str:
        """A `replication_jobs` row; gives its id."""
        clock = await clock_at(self.connection, began)
        start = clock.local(began)
        end = None if ended is None else clock.local(ended)
        job_id = f"job-{start:%Y%m%d-%H%M%S}-{new_id()[:8]}"
        await self._insert(
            schema.replication_jobs,
            id=job_id,
            vm_context_id=context_id,
            source_vm_id=vmware_vm_id,
            source_vm_name=vm_name,
            source_vm_path=f"/{DATACENTER}/vm/{vm_name}",
            v_center_host=vcenter_host,
            datacenter=DATACENTER,
            replication_type="initial",
            status=status,
            progress_percent=100.0 if ended else 40.0,
            ossea_config_id=await self._config_id(),
            created_at=start,
            updated_at=end or start,
            started_at=start,
            completed_at=end,
            vma_last_poll_at=end or start,
        )
        return job_id

    async def _store_disk(
        self, context_id: str, job_id: str, vm_name: str, number: int, size_gb: int, epoch: float
    ) -> ReplicatedDisk:
        clock = await clock_at(self.connection, epoch)
        stored = clock.local(epoch)
        volume = self.cloud.add_volume(f"migration-{vm_name}-disk-{number}", size_gb * GIB, content="replica:1")
        volume.created = epoch - 600
        path = by_id_path(volume.id)
        volume_row_id = await self._insert(
            schema.ossea_volumes,
            vm_context_id=context_id,
            volume_id=volume.id,
            volume_name=volume.name,
            size_gb=size_gb,
            ossea_config_id=await self._config_id(),
            volume_type="root" if number == 0 else "data",
            device_path=path,
            status="attached",
            created_at=clock.local(epoch - 600),
            updated_at=stored,
        )
        disk_id = f"disk-{2000 + number}"
        vm_disk_row_id = await self._insert(
            schema.vm_disks,
            vm_context_id=context_id,
            job_id=job_id,
            disk_id=disk_id,
            vm_dk_path=f"[datastore1] {vm_name}/{vm_name}_{number}.vmdk",
            size_gb=size_gb,
            datastore="datastore1",
            unit_number=number,
            label=f"Hard disk {number + 1}",
            capacity_bytes=size_gb * GIB,
            ossea_volume_id=volume_row_id,
            sync_status="completed",
            sync_progress_percent=100.0,
            bytes_synced=size_gb * GIB,
            created_at=stored,
            updated_at=stored,
            cpu_count=2,
            memory_mb=4096,
            os_type="windows",
        )
        disk = ReplicatedDisk(disk_id, volume.id, volume_row_id, vm_disk_row_id, size_gb)
        await self.add_sync(context_id, job_id, disk, "full", epoch)
        self.cloud.place(volume, self.cloud.oma_vm_id, attached=epoch - 600)
        await self.add_mapping(context_id, volume, vm_id=self.cloud.oma_vm_id, mode="oma", path=path, epoch=epoch)
        await self.add_export(context_id, job_id, disk, epoch)
        return disk

    async def add_sync(self, context_id: str, job_id: str, disk: ReplicatedDisk, sync_type: str, epoch: float) -> None:
        """A successful sync of one disk: its history row and its new change id."""
        stored = (await clock_at(self.connection, epoch)).local(epoch)
        disks = schema.vm_disks
        row = select(disks.c.disk_change_id).where(disks.c.id == disk.vm_disk_row_id)
        previous = (await self.connection.execute(row)).scalar_one()
        change_id = f"{new_id()}/{int(epoch)}"
        await self._insert(
            schema.cbt_history,
            vm_context_id=context_id,
            job_id=job_id,
            disk_id=disk.disk_id,
            change_id=change_id,
            previous_change_id=previous,
            sync_type=sync_type,
            blocks_changed=100,
            bytes_transferred=GIB,
            sync_duration_seconds=60,
            sync_success=True,
            created_at=stored,
        )
        await self.connection.execute(
            update(disks)
            .where(disks.c.id == disk.vm_disk_row_id)
            .values(disk_change_id=change_id, job_id=job_id, updated_at=stored)
        )

    async def add_mapping(
        self, context_id: str, volume: Volume, *, vm_id: str, mode: str, path: str, epoch: float, root: bool = False
    ) -> None:
        """A `device_mappings` row as the daemon writes it, in UTC digits."""
        on_oma = path.startswith("/dev/")
        moment = utc_digits(epoch)
        await self._insert(
            schema.device_mappings,
            id=new_id(),
            vm_context_id=context_id,
            volume_uuid=volume.id,
            vm_id=vm_id,
            operation_mode=mode,
            cloudstack_device_id=0 if root else None,
            requires_device_correlation=on_oma,
            device_path=path,
            cloudstack_state="attached",
            linux_state="detected" if on_oma else "n/a",
            size=volume.size if on_oma else 0,
            last_sync=moment,
            created_at=moment,
            updated_at=moment,
        )

    async def add_export(self, context_id: str, job_id: str, disk: ReplicatedDisk, epoch: float) -> None:
        """An `nbd_exports` row as the daemon writes it, in UTC digits."""
        name, moment = export_name(disk.volume_id), utc_digits(epoch)
        await self._insert(
            schema.nbd_exports,
            vm_context_id=context_id,
            job_id=job_id,
            volume_id=disk.volume_id,
            vm_disk_id=disk.vm_disk_row_id,
            device_mapping_uuid=disk.volume_id,
            export_name=name,
            port=NBD_PORT,
            device_path=by_id_path(disk.volume_id),
            config_path=f"/etc/nbd-server/conf.d/{name}.conf",
            status="active",
            created_at=moment,
            updated_at=moment,
        )

    async def running_replication(self, vm: ReplicatedVM, *, idle_seconds: float = 0.0) -> str:
        """A replication that was last polled `idle_seconds` ago, a minute after it began; gives its job id."""
        now = time.time() - idle_seconds
        job_id = await self.add_replication_job(
            vm.context_id, vm.name, vm.vmware_vm_id, now - 60, None, vm.vcenter_host, status="replicating"
        )
        local = (await clock_at(self.connection, now)).local(now)
        jobs = schema.replication_jobs
        await self.connection.execute(
            update(jobs).where(jobs.c.id == job_id).values(vma_last_poll_at=local, updated_at=local)
        )
        await self._set_context(vm, current_job_id=job_id, current_status="replicating", last_status_change=local)
        return job_id

    async def fail_replication(self, vm: ReplicatedVM, *, bytes_transferred: int) -> None:
        """The running replication fails now, after it wrote this much."""
        contexts, jobs = schema.vm_replication_contexts, schema.replication_jobs
        current = select(contexts.c.current_job_id).where(contexts.c.context_id == vm.context_id)
        job_id = (await self.connection.execute(current)).scalar_one()
        local = (await clock_at(self.connection)).local(time.time())
        await self.connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id)
            .values(status="failed", completed_at=local, updated_at=local, bytes_transferred=bytes_transferred)
        )
        await self._set_context(vm, current_job_id=None, current_status="failed", last_status_change=local)

    async def finish_sync(
        self,
        vm: ReplicatedVM,
        disk_id: str | None = None,
        sync_type: str = "incremental",
        epoch: float | None = None,
    ) -> None:
        """A replication of one disk, or of all, ends successfully now or at `epoch`.

        An incremental sync on top of a dirty or undefined volume leaves it as it is; a full one makes it a replica.

        Raises:
            ValueError: The VM has no such disk.
        """
        disks = [disk for disk in vm.disks if disk_id in (None, disk.disk_id)]
        if not disks:
            raise ValueError(f"{vm.name} has no disk {disk_id}")
        now = time.time() if epoch is None else epoch
        contexts, jobs = schema.vm_replication_contexts, schema.replication_jobs
        current = select(contexts.c.current_job_id).where(contexts.c.context_id == vm.context_id)
        job_id = (await self.connection.execute(current)).scalar_one()
        if job_id is None:
            job_id = await self.add_replication_job(vm.context_id, vm.name, vm.vmware_vm_id, now, now, vm.vcenter_host)
        local = (await clock_at(self.connection, now)).local(now)
        await self.connection.execute(
            update(jobs)
            .where(jobs.c.id == job_id)
            .values(status="completed", completed_at=local, updated_at=local, progress_percent=100.0)
        )
        for disk in disks:
            await self.add_sync(vm.context_id, job_id, disk, sync_type, now)
            self.cloud.volumes[disk.volume_id].store_replica(full=sync_type == "full")
        await self._set_context(
            vm,
            current_job_id=None,
            last_successful_job_id=job_id,
            current_status="ready_for_failover",
            last_status_change=local,
        )

    async def _set_context(self, vm: ReplicatedVM, **values: Any) -> None:
        table = schema.vm_replication_contexts
        await self.connection.execute(update(table).where(table.c.context_id == vm.context_id).values(values))

    async def _free_context_id(self, name: str, began: datetime) -> str:
        """`ctx-<vm>-YYYYMMDD-HHMMSS`, a second earlier while it is taken (same name in two vCenters)."""
        table = schema.vm_replication_contexts
        while True:
            candidate = f"ctx-{name[:44]}-{began:%Y%m%d-%H%M%S}"
            taken = select(table.c.context_id).where(table.c.context_id == candidate)
            if (await self.connection.execute(taken)).first() is None:
                return candidate
            began -= timedelta(seconds=1)

    async def _config_id(self) -> int | None:
        table = schema.ossea_configs
        row = await self.connection.execute(select(table.c.id).where(table.c.is_active).limit(1))
        return row.scalar_one_or_none()

    async def _insert(self, table: Any, **values: Any) -> int:
        result = await self.connection.execute(insert(table).values(values))
        key = result.inserted_primary_key
        return key[0] if key is not None and isinstance(key[0], int) else 0
