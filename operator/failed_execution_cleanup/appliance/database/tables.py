"""The tables and columns this software reads or writes, under their production names (appliance facts 2.3).

Enum columns are typed as strings here: a value nobody has seen must be readable. Legal values, for writers:

- `vm_replication_contexts.current_status`: discovered, replicating, ready_for_failover, failed_over_test,
  failed_over_live, completed, failed, cleanup_required
- `failover_jobs.status`: pending, validating, snapshotting, creating_vm, switching_volume, powering_on, completed,
  failed, cleanup, reverting; `job_type`: live, test
- `job_tracking.status`: pending, running, completed, failed, cancelled, or NULL
- `job_steps.status`: running, completed, failed, skipped
- `volume_operations.status`: pending, executing, completed, failed, cancelled
- `device_mappings.operation_mode`: oma, failover
- `ossea_volumes.snapshot_status`: none, creating, ready, failed, rollback_complete, or NULL (free text)
- `replication_jobs.status`: free text
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, Boolean, Column, DateTime, Integer, MetaData, String, Table, Text
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from sqlalchemy.engine import Dialect

TERMINAL_FAILOVER: Final = ("completed", "failed")
TERMINAL_TRACKING: Final = ("completed", "failed", "cancelled")
TERMINAL_OPERATION: Final = ("completed", "failed", "cancelled")
TERMINAL_REPLICATION: Final = ("completed", "failed", "cancelled", "replication_failed")


class StoredTime(TypeDecorator[datetime]):
    """Naive digits as stored; MariaDB's zero date, which Go writes for an unset time, is None."""

    impl = DateTime
    cache_ok = True

    def process_result_value(self, value: object, _dialect: Dialect) -> datetime | None:
        """Drop what is no date."""
        return value if isinstance(value, datetime) else None


metadata = MetaData()

contexts = Table(
    "vm_replication_contexts",
    metadata,
    Column("context_id", String(64), primary_key=True),
    Column("vm_name", String(255)),
    Column("vmware_vm_id", String(255)),
    Column("vcenter_host", String(255)),
    Column("current_status", String(64)),
    Column("current_job_id", String(191)),
    Column("last_successful_job_id", String(191)),
    Column("last_status_change", StoredTime),
    Column("updated_at", StoredTime),
    Column("last_operation_summary", Text),
)

replication_jobs = Table(
    "replication_jobs",
    metadata,
    Column("id", String(191), primary_key=True),
    Column("vm_context_id", String(64)),
    Column("status", String(191)),
    Column("created_at", StoredTime),
    Column("started_at", StoredTime),
    Column("updated_at", StoredTime),
    Column("completed_at", StoredTime),
    Column("vma_last_poll_at", StoredTime),
    Column("bytes_transferred", BigInteger),
)

failover_jobs = Table(
    "failover_jobs",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("vm_context_id", String(64)),
    Column("job_id", String(255)),
    Column("vm_id", String(255)),
    Column("job_type", String(64)),
    Column("status", String(64)),
    Column("source_vm_name", String(255)),
    Column("destination_vm_id", String(255)),
    Column("ossea_snapshot_id", String(255)),
    Column("error_message", Text),
    Column("created_at", StoredTime),
    Column("updated_at", StoredTime),
    Column("completed_at", StoredTime),
)

ossea_volumes = Table(
    "ossea_volumes",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("vm_context_id", String(64)),
    Column("volume_id", Text),
    Column("volume_name", Text),
    Column("size_gb", BigInteger),
    Column("device_path", Text),
    Column("status", String(191)),
    Column("updated_at", StoredTime),
    Column("snapshot_id", String(191)),
    Column("snapshot_created_at", StoredTime),
    Column("snapshot_status", String(50)),
)

device_mappings = Table(
    "device_mappings",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("vm_context_id", String(64)),
    Column("volume_uuid", String(64)),
    Column("vm_id", String(64)),
    Column("operation_mode", String(64)),
    Column("device_path", String(255)),
    Column("updated_at", StoredTime),
    Column("ossea_snapshot_id", String(191)),
    Column("snapshot_created_at", StoredTime),
    Column("snapshot_status", String(50)),
)

volume_operations = Table(
    "volume_operations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", String(64)),
    Column("status", String(64)),
    Column("volume_id", String(64)),
    Column("vm_id", String(64)),
    Column("error", Text),
    Column("created_at", StoredTime),
)

job_tracking = Table(
    "job_tracking",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("job_type", String(64)),
    Column("operation", String(100)),
    Column("status", String(64)),
    Column("external_job_id", String(64)),
    Column("metadata", Text),
    Column("error_message", Text),
    Column("started_at", StoredTime),
    Column("completed_at", StoredTime),
    Column("created_at", StoredTime),
    Column("updated_at", StoredTime),
    Column("canceled_at", StoredTime),
    Column("owner", String(100)),
    Column("context_id", String(64)),
    Column("job_category", String(64)),
)

job_steps = Table(
    "job_steps",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("job_id", String(64)),
    Column("name", String(200)),
    Column("seq", Integer),
    Column("status", String(64)),
    Column("started_at", StoredTime),
    Column("completed_at", StoredTime),
    Column("error_message", Text),
)

log_events = Table(
    "log_events",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("job_id", String(64)),
    Column("step_id", BigInteger),
    Column("level", String(16)),
    Column("message", Text),
    Column("attrs", Text),
    Column("ts", StoredTime),
)

vm_disks = Table(
    "vm_disks",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("vm_context_id", String(64)),
    Column("disk_id", Text),
    Column("ossea_volume_id", BigInteger),
    Column("disk_change_id", Text),
)

cbt_history = Table(
    "cbt_history",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("vm_context_id", String(64)),
    Column("disk_id", Text),
    Column("change_id", Text),
    Column("sync_type", String(64)),
    Column("sync_success", Boolean),
    Column("created_at", StoredTime),
)

nbd_exports = Table(
    "nbd_exports",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("volume_id", String(64)),
    Column("device_mapping_uuid", String(64)),
    Column("export_name", String(255)),
)

ossea_configs = Table(
    "ossea_configs",
    metadata,
    Column("id", BigInteger, primary_key=True),
    Column("name", Text),
    Column("api_url", Text),
    Column("api_key", Text),
    Column("secret_key", Text),
    Column("zone", Text),
    Column("oma_vm_id", Text),
    Column("is_active", Boolean),
)
