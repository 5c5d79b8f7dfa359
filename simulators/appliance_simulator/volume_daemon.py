"""The Volume Daemon's work: operations as database rows, driven through the cloud's jobs (appliance facts 1.4 to 1.10).

It is as little idempotent as the real one: it never looks first, a failed attach may have attached, and a mapping that
stands in the way stays in the way. There is no lock, no queue, and no recovery of operations after a restart.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance_simulator import schema
from appliance_simulator.async_jobs import AsyncJob, JobStatus
from appliance_simulator.cloud import CloudError, Volume, new_id
from appliance_simulator.cloud_commands import CloudCommands
from appliance_simulator.database import clock_at, utc_digits
from appliance_simulator.faults import DEVICE_LINK, Fault, FaultKind, Faults, Latencies
from appliance_simulator.journal import Door, Journal

logger = logging.getLogger(__name__)

NBD_PORT: Final = 10809
AFTER_CLOUD_FAULTS: Final = (FaultKind.DAEMON_FAILS_AFTER_CLOUD_SUCCESS, FaultKind.OPERATION_ABANDONED)

Work: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]


class OperationFailedError(Exception):
    """The operation ends `failed` with this text."""


class OperationAbandonedError(Exception):
    """The daemon is gone in the middle: the operation stays as it is."""


def by_id_path(volume_id: str) -> str:
    """Device link of a volume on the OMA: the first 20 characters of its UUID without hyphens."""
    return f"/dev/disk/by-id/virtio-{volume_id.replace('-', '')[:20]}"


def export_name(volume_id: str) -> str:
    """Name of a volume's NBD export."""
    return f"migration-vol-{volume_id}"


@dataclass
class DaemonSettings:
    """Attributes: `cloud_wait_seconds` is the SDK's limit for one cloud job; the job goes on after it."""

    cloud_wait_seconds: float = 300.0


@dataclass
class VolumeDaemon:
    """Runs operations in tasks of its own, as many at once as are asked for."""

    engine: AsyncEngine
    commands: CloudCommands
    faults: Faults
    latencies: Latencies
    journal: Journal
    settings: DaemonSettings = field(default_factory=DaemonSettings)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    # --- operations ---------------------------------------------------------------------------------------------

    async def attach(self, volume_id: str, vm_id: str, *, as_root: bool = False) -> str:
        """Start an attach and give the operation's id; `vm_id` is not validated."""
        request: dict[str, Any] = {"volume_id": volume_id, "vm_id": vm_id}
        if as_root:
            request |= {"device_id": 0, "attach_as": "root"}
        return await self._start("attach", volume_id, vm_id, request, lambda: self._attach(volume_id, vm_id, as_root))

    async def detach(self, volume_id: str) -> str:
        """Start a detach and give the operation's id."""
        return await self._start("detach", volume_id, None, {"volume_id": volume_id}, lambda: self._detach(volume_id))

    async def delete(self, volume_id: str) -> str:
        """Start the deletion of a volume, detached first when it has a mapping, and give the operation's id."""
        return await self._start("delete", volume_id, None, {"volume_id": volume_id}, lambda: self._delete(volume_id))

    async def _start(self, kind: str, volume_id: str, vm_id: str | None, request: dict[str, Any], work: Work) -> str:
        operation_id = new_id()
        now = utc_digits(time.time())
        async with self.engine.begin() as connection:
            await connection.execute(
                insert(schema.volume_operations).values(
                    id=operation_id,
                    type=kind,
                    status="pending",
                    volume_id=volume_id,
                    vm_id=vm_id,
                    request=request,
                    created_at=now,
                    updated_at=now,
                )
            )
        task = asyncio.create_task(self._run(operation_id, work), name=f"daemon {kind} {operation_id}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return operation_id

    async def _run(self, operation_id: str, work: Work) -> None:
        await self._write(operation_id, status="executing")
        try:
            response = await work()
        except OperationAbandonedError:
            return
        except SQLAlchemyError:
            logger.exception("Operation %s stays executing: database trouble", operation_id)
        except OperationFailedError as failure:
            await self._write(operation_id, status="failed", error=str(failure), completed_at=utc_digits(time.time()))
        else:
            done = utc_digits(time.time())
            await self._write(operation_id, status="completed", response=response, completed_at=done)

    async def _write(self, operation_id: str, **values: Any) -> None:
        statement = update(schema.volume_operations).where(schema.volume_operations.c.id == operation_id)
        async with self.engine.begin() as connection:
            await connection.execute(statement.values(updated_at=utc_digits(time.time()), **values))

    async def _attach(self, volume_id: str, vm_id: str, as_root: bool) -> dict[str, Any]:
        kind = "root attachment" if as_root else "attachment"
        parameters = {"id": volume_id, "virtualmachineid": vm_id} | ({"deviceid": "0"} if as_root else {})
        fault = await self._ask_cloud(
            "attachVolume",
            parameters,
            lambda: self.commands.attach_volume(volume_id, vm_id, 0 if as_root else None),
            f"CloudStack volume {kind} failed: failed to attach volume {volume_id} to VM {vm_id}",
        )
        if fault is not None:
            raise OperationFailedError("mapping creation failed: invalid connection")
        volume = self.commands.volume(volume_id)
        on_oma = vm_id == await self._oma_vm_id()
        if on_oma:
            await self._wait_for_device_link(volume, as_root)
            path, size, linux_state = by_id_path(volume_id), volume.size, "detected"
        else:
            path, size, linux_state = f"remote-vm-{'root-' if as_root else ''}{vm_id}", 0, "n/a"
        await self._insert_mapping(volume_id, vm_id, path, size, linux_state, on_oma=on_oma, as_root=as_root)
        await self._note_place(volume_id, path, "attached")
        if on_oma:
            await self.create_export(volume_id)
        response = {
            "volume_id": volume_id,
            "vm_id": vm_id,
            "device_path": path,
            "message": "Volume attached successfully",
        }
        return response | ({"device_id": 0} if as_root else {})

    async def _detach(self, volume_id: str) -> dict[str, Any]:
        mapping = await self.mapping(volume_id)
        fault = await self._ask_cloud(
            "detachVolume",
            {"id": volume_id},
            lambda: self.commands.detach_volume(volume_id),
            f"CloudStack volume detachment failed: failed to detach volume {volume_id}",
        )
        if fault is not None:
            raise OperationFailedError("volume detached but the operation could not be finished: invalid connection")
        path = ""
        if mapping is not None:
            path = mapping["device_path"]
            if not path.startswith("remote-vm-") and mapping["vm_id"] == await self._oma_vm_id():
                await self.remove_export(volume_id)
            async with self.engine.begin() as connection:
                table = schema.device_mappings
                await connection.execute(delete(table).where(table.c.volume_uuid == volume_id))
        await self._note_place(volume_id, None, "detached")
        return {"volume_id": volume_id, "device_path": path, "message": "Volume detached successfully"}

    async def _delete(self, volume_id: str) -> dict[str, Any]:
        if await self.mapping(volume_id) is not None:
            await self._detach(volume_id)
        note = self.journal.request(Door.OSSEA, "deleteVolume", (volume_id,), {"id": volume_id}, caller="daemon")
        try:
            self.commands.delete_volume(volume_id)
        except CloudError as error:
            raise OperationFailedError(f"CloudStack volume deletion failed: {_client_error(error)}") from None
        note.executed = True
        return {"volume_id": volume_id, "message": "Volume deleted successfully"}

    async def _ask_cloud(
        self, command: str, parameters: dict[str, str], submit: Callable[[], AsyncJob], failure: str
    ) -> Fault | None:
        """One command as the SDK runs it: submit, wait for the job up to its limit.

        Returns:
            The fault that strikes after the cloud's success, if one is armed.

        Raises:
            OperationFailedError: The cloud refused, failed or took too long.
            OperationAbandonedError: The daemon "dies" after the cloud was asked.
        """
        ids = tuple(parameters[name] for name in ("id", "virtualmachineid") if name in parameters)
        note = self.journal.request(Door.OSSEA, command, ids, parameters, caller="daemon")
        if self.faults.take((FaultKind.CLOUD_DOWN,), command, ids) is not None:
            raise OperationFailedError(f"{failure}: connection refused")
        try:
            job = submit()
        except CloudError as error:
            raise OperationFailedError(f"{failure}: {_client_error(error)}") from None
        note.executed, note.job_id, note.status = True, job.id, 200
        try:
            await asyncio.wait_for(job.ended.wait(), self.settings.cloud_wait_seconds)
        except TimeoutError:
            raise OperationFailedError(f"{failure}: Timeout while waiting for async job to finish") from None
        if job.status is JobStatus.FAILURE:
            reported = CloudError(job.result_code, str((job.result or {}).get("errortext", "")))
            raise OperationFailedError(f"{failure}: {_client_error(reported)}")
        action = "detach" if command == "detachVolume" else "attach"
        fault = self.faults.take(AFTER_CLOUD_FAULTS, action, ids)
        if fault is not None and fault.kind is FaultKind.OPERATION_ABANDONED:
            raise OperationAbandonedError
        return fault

    async def _wait_for_device_link(self, volume: Volume, as_root: bool) -> None:
        await asyncio.sleep(self.latencies.of(DEVICE_LINK))
        if self.faults.take((FaultKind.DEVICE_LINK_LATE,), "attach", (volume.id,)) is not None:
            where = " for root disk" if as_root else ""
            raise OperationFailedError(
                f"by-id device resolution failed{where}: timeout waiting for {by_id_path(volume.id)} after 10s"
            )

    async def _insert_mapping(
        self, volume_id: str, vm_id: str, path: str, size: int, linux_state: str, *, on_oma: bool, as_root: bool
    ) -> None:
        now = utc_digits(time.time())
        row = {
            "id": new_id(),
            "vm_context_id": await self._context_of(volume_id),
            "volume_uuid": volume_id,
            "vm_id": vm_id,
            "operation_mode": "oma" if on_oma else "failover",
            "cloudstack_device_id": 0 if as_root else None,
            "requires_device_correlation": on_oma,
            "device_path": path,
            "cloudstack_state": "attached",
            "linux_state": linux_state,
            "size": size,
            "last_sync": now,
            "created_at": now,
            "updated_at": now,
        }
        try:
            async with self.engine.begin() as connection:
                await connection.execute(insert(schema.device_mappings).values(row))
        except IntegrityError as error:
            raise OperationFailedError(f"mapping creation failed: {error.orig}") from None

    async def _note_place(self, volume_id: str, path: str | None, status: str) -> None:
        table = schema.ossea_volumes
        values = {"device_path": path, "status": status, "updated_at": schema.now()}
        async with self.engine.begin() as connection:
            await connection.execute(update(table).where(table.c.volume_id == volume_id).values(values))

    async def idle(self) -> None:
        """Wait until no operation is running."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def abandon_operations(self) -> None:
        """A restart of the daemon: running operations stop where they are, their rows stay `executing`."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # --- what it knows ------------------------------------------------------------------------------------------

    async def mapping(self, volume_id: str) -> dict[str, Any] | None:
        """The `device_mappings` row of a volume."""
        table = schema.device_mappings
        return await self._row(select(table).where(table.c.volume_uuid == volume_id))

    async def operation(self, operation_id: str) -> dict[str, Any] | None:
        """One `volume_operations` row."""
        table = schema.volume_operations
        return await self._row(select(table).where(table.c.id == operation_id))

    async def export(self, volume_id: str) -> dict[str, Any] | None:
        """The `nbd_exports` row of a volume."""
        table = schema.nbd_exports
        return await self._row(select(table).where(table.c.volume_id == volume_id))

    async def _row(self, statement: Any) -> dict[str, Any] | None:
        async with self.engine.connect() as connection:
            row = (await connection.execute(statement)).mappings().first()
        return None if row is None else dict(row)

    async def _oma_vm_id(self) -> str | None:
        """VM id of the active configuration; trouble counts as "not the OMA"."""
        statement = select(schema.ossea_configs.c.oma_vm_id).where(schema.ossea_configs.c.is_active).limit(1)
        try:
            async with self.engine.connect() as connection:
                return (await connection.execute(statement)).scalar_one_or_none()
        except SQLAlchemyError:
            return None

    async def _context_of(self, volume_id: str) -> str | None:
        table = schema.ossea_volumes
        async with self.engine.connect() as connection:
            statement = select(table.c.vm_context_id).where(table.c.volume_id == volume_id)
            return (await connection.execute(statement)).scalar_one_or_none()

    # --- exports ------------------------------------------------------------------------------------------------

    async def create_export(self, volume_id: str) -> dict[str, Any] | None:
        """Create the NBD export of a mapped volume, or give the one there is; None without a mapping."""
        present = await self.export(volume_id)
        mapping = await self.mapping(volume_id)
        if present is not None or mapping is None:
            return present
        disks, volumes = schema.vm_disks, schema.ossea_volumes
        disk = await self._row(
            select(disks.c.id, disks.c.job_id)
            .join(volumes, volumes.c.id == disks.c.ossea_volume_id)
            .where(volumes.c.volume_id == volume_id)
        )
        now = utc_digits(time.time())
        async with self.engine.begin() as connection:
            await connection.execute(
                insert(schema.nbd_exports).values(
                    vm_context_id=mapping["vm_context_id"],
                    job_id=disk["job_id"] if disk else None,
                    volume_id=volume_id,
                    vm_disk_id=disk["id"] if disk else None,
                    device_mapping_uuid=volume_id,
                    export_name=export_name(volume_id),
                    port=NBD_PORT,
                    device_path=mapping["device_path"],
                    config_path=f"/etc/nbd-server/conf.d/{export_name(volume_id)}.conf",
                    status="active",
                    created_at=now,
                    updated_at=now,
                )
            )
        return await self.export(volume_id)

    async def remove_export(self, volume_id: str) -> bool:
        """Remove the NBD export of a volume; False when there is none."""
        table = schema.nbd_exports
        async with self.engine.begin() as connection:
            return (await connection.execute(delete(table).where(table.c.volume_id == volume_id))).rowcount > 0

    async def is_database_reachable(self) -> str:
        """`healthy`, or `unhealthy: <why>` for the health answer."""
        try:
            async with self.engine.connect() as connection:
                await clock_at(connection)
        except SQLAlchemyError as error:
            return f"unhealthy: {type(error).__name__}"
        return "healthy"


def _client_error(error: CloudError) -> str:
    """How the Go client words a cloud error."""
    return f"CloudStack API error {error.code} (CSExceptionErrorCode: 9999): {error.text}"
