"""A VM whose test failover hung, as rows of the production schema; by hand, so that each test can break one."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import insert, text

from appliance_simulator import schema
from appliance_simulator.database import open_engine
from failed_execution_cleanup.recovery.actions import Closing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncEngine

CONTEXT = "ctx-pgtest1-20260101-100000"
VMWARE_ID = "4201aaaa-0000-0000-0000-000000000001"
OMA_VM = "8a3400e5-0000-0000-0000-00000000000a"
JOB = "6f0c9a12-0000-0000-0000-000000000001"
OS_VOLUME = "11111111-0000-0000-0000-000000000001"
DATA_VOLUME = "22222222-0000-0000-0000-000000000002"


class OMARows:
    """Raw access to the database under test, on connections of its own."""

    def __init__(self, engine: AsyncEngine, now: datetime, utc: datetime) -> None:
        self._engine = engine
        self.now = now
        self.utc = utc

    async def insert(self, table: str, **values: Any) -> int:
        """Insert a row and return its AUTO_INCREMENT id."""
        async with self._engine.begin() as connection:
            result = await connection.execute(insert(schema.metadata.tables[table]).values(**values))
            return int(result.lastrowid or 0)

    async def execute(self, statement: str, **values: Any) -> None:
        """Run a statement."""
        async with self._engine.begin() as connection:
            await connection.execute(text(statement), values)

    async def scalar(self, statement: str, **values: Any) -> Any:
        """The first value a query gives."""
        async with self._engine.begin() as connection:
            return await connection.scalar(text(statement), values)

    async def everything(self) -> dict[str, list[tuple[Any, ...]]]:
        """All rows of all tables; claims and logs included."""
        async with self._engine.begin() as connection:
            return {
                table: [tuple(row) for row in await connection.execute(text(f"SELECT * FROM {table} ORDER BY 1"))]  # noqa: S608
                for table in schema.metadata.tables
            }

    async def accept_any_value(self, table: str, column: str) -> None:
        """Let an enum column hold what a later version of the product may write."""
        if self._engine.dialect.name == "mysql":
            await self.execute(f"ALTER TABLE {table} MODIFY {column} VARCHAR(64)")

    async def force(self, statement: str, **values: Any) -> None:
        """Run a statement without SQLite's checks."""
        async with self._engine.begin() as connection:
            if self._engine.dialect.name == "sqlite":
                await connection.execute(text("PRAGMA ignore_check_constraints = ON"))
            await connection.execute(text(statement), values)
            if self._engine.dialect.name == "sqlite":
                await connection.execute(text("PRAGMA ignore_check_constraints = OFF"))

    def ago(self, **parts: float) -> datetime:
        """Local digits of a moment in the past, as the OMA API writes them."""
        return (self.now - timedelta(**parts)).replace(microsecond=0)

    def utc_ago(self, **parts: float) -> datetime:
        """UTC digits of a moment in the past, as the Volume Daemon writes them."""
        return (self.utc - timedelta(**parts)).replace(microsecond=0)

    async def add_context(self, context_id: str, vm_name: str, vcenter_host: str, vmware_id: str) -> None:
        """A context without anything."""
        await self.insert(
            "vm_replication_contexts",
            context_id=context_id,
            vm_name=vm_name,
            vmware_vm_id=vmware_id,
            vm_path=f"/DC/vm/{vm_name}",
            vcenter_host=vcenter_host,
            datacenter="DC",
            current_status="ready_for_failover",
        )

    async def add_volume(self, context_id: str, volume_id: str, snapshot_id: str | None) -> int:
        """A volume on the OMA with its mapping in mode `failover`."""
        row_id = await self.insert(
            "ossea_volumes",
            vm_context_id=context_id,
            volume_id=volume_id,
            volume_name=f"vol-{volume_id[:4]}",
            size_gb=40,
            status="attached",
            device_path="",
            snapshot_id=snapshot_id,
            snapshot_created_at=self.ago(hours=2) if snapshot_id else None,
            snapshot_status="ready" if snapshot_id else "none",
        )
        await self.insert(
            "device_mappings",
            vm_context_id=context_id,
            volume_uuid=volume_id,
            vm_id=OMA_VM,
            operation_mode="failover",
            device_path=f"/dev/disk/by-id/virtio-{volume_id[:20]}",
            cloudstack_state="attached",
            linux_state="detected",
            size=40 << 30,
        )
        return row_id

    async def add_tracking(self, row_id: str, **values: Any) -> None:
        """A `job_tracking` row of the context, running for two hours unless said otherwise."""
        row: dict[str, Any] = {
            "job_type": "failover",
            "operation": "unified-test-failover",
            "status": "running",
            "context_id": CONTEXT,
            "started_at": self.ago(hours=2),
            "created_at": self.ago(hours=2),
        }
        await self.insert("job_tracking", id=row_id, **(row | values))

    async def add_failover(self, job_id: str, **values: Any) -> int:
        """A `failover_jobs` row of the context."""
        row: dict[str, Any] = {
            "vm_context_id": CONTEXT,
            "vm_id": VMWARE_ID,
            "job_type": "test",
            "status": "pending",
            "source_vm_name": "pgtest1",
            "destination_vm_id": "",
            "ossea_snapshot_id": "",
            "created_at": self.ago(hours=2),
        }
        return await self.insert("failover_jobs", job_id=job_id, **(row | values))

    async def add_operation(self, row_id: str, volume_id: str, status: str, created_at: datetime) -> None:
        """A daemon operation."""
        await self.insert(
            "volume_operations",
            id=row_id,
            type="detach",
            status=status,
            volume_id=volume_id,
            request={},
            created_at=created_at,
        )

    async def add_hung_failover(self) -> Closing:
        """Rows of a failover that hung in driver injection two hours ago; returns what closing it takes."""
        await self.insert(
            "ossea_configs",
            name="production",
            api_url="http://ossea.example.com:8080",
            api_key="plain-api-key",
            secret_key="plain-secret-key",
            zone="zone1",
            oma_vm_id=OMA_VM,
            is_active=True,
        )
        await self.add_context(CONTEXT, "pgtest1", "vc01.example.com", VMWARE_ID)
        await self.insert(
            "replication_jobs",
            id="job-1",
            vm_context_id=CONTEXT,
            status="completed",
            created_at=self.ago(hours=3),
            completed_at=self.ago(hours=2.5),
        )
        await self.execute(
            "UPDATE vm_replication_contexts SET current_status='failed_over_test', last_successful_job_id='job-1'"
        )
        for disk, volume, snapshot in (("disk-2000", OS_VOLUME, "snap-os"), ("disk-2001", DATA_VOLUME, "snap-data")):
            volume_row = await self.add_volume(CONTEXT, volume, snapshot)
            await self.insert(
                "vm_disks",
                vm_context_id=CONTEXT,
                job_id="job-1",
                disk_id=disk,
                ossea_volume_id=volume_row,
                disk_change_id="52 aa/1",
            )
            await self.insert(
                "cbt_history",
                vm_context_id=CONTEXT,
                job_id="job-1",
                disk_id=disk,
                change_id="52 aa/1",
                sync_type="full",
                sync_success=True,
                created_at=self.ago(hours=2.5),
            )
        await self.insert(
            "nbd_exports",
            vm_context_id=CONTEXT,
            volume_id=OS_VOLUME,
            device_mapping_uuid=OS_VOLUME,
            export_name=f"migration-vol-{OS_VOLUME}",
            device_path="/dev/vdb",
        )
        await self.add_tracking(JOB)
        failover = await self.add_failover(JOB)
        await self.insert(
            "job_steps",
            job_id=JOB,
            name="multi-volume-snapshot-creation",
            seq=1,
            status="completed",
            started_at=self.ago(hours=2),
            completed_at=self.ago(hours=1.9),
        )
        step = await self.insert(
            "job_steps",
            job_id=JOB,
            name="virtio-driver-injection",
            seq=2,
            status="running",
            started_at=self.ago(hours=1.9),
        )
        await self.insert("log_events", job_id=JOB, level="INFO", message="going on", ts=self.ago(hours=1.8))
        await self.insert("log_events", job_id=JOB, level="WARN", message="slow", ts=self.ago(hours=1.7))
        return Closing(
            context_id=CONTEXT,
            context_from=("failed_over_test", "cleanup_required"),
            context_to="ready_for_failover",
            failovers=((failover, "pending"),),
            tracking=((JOB, "running"),),
            steps=(step,),
            newest_failover=failover,
            message="closed by failed-execution-cleanup",
        )

    async def summary(self) -> Any:
        """The context's `last_operation_summary`."""
        return json.loads(await self.scalar("SELECT last_operation_summary FROM vm_replication_contexts"))


@asynccontextmanager
async def open_rows(url: str) -> AsyncIterator[OMARows]:
    """Raw access to a database that has the schema."""
    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            if engine.dialect.name == "mysql":
                now, utc = (await connection.execute(text("SELECT NOW(6), UTC_TIMESTAMP(6)"))).one()
            else:
                digits = await connection.execute(text("SELECT datetime('now', 'localtime'), datetime('now')"))
                now, utc = (datetime.fromisoformat(value) for value in digits.one())
        yield OMARows(engine, now, utc)
    finally:
        await engine.dispose()
