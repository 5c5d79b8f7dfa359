"""Tables of the OMA database as production has them (appliance facts 2.3), for MariaDB 10.11 and for SQLite.

Names, columns, types, enums, unique keys and foreign keys are those of the product. On SQLite enums are CHECKs, and
`NOW()` and ON UPDATE are imitated so that they give the digits of the server's local time, as MariaDB's do.
"""

from typing import Any, Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    Enum,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

metadata: Final = MetaData()

MARIADB_OPTIONS: Final[dict[str, Any]] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_general_ci",
}


class LocalNow(FunctionElement[Any]):
    """The present time in digits of the session's (SQLite: the process's) local time, to the second."""

    inherit_cache = True


class LocalNowOnUpdate(LocalNow):
    """`LocalNow` as a default that is taken again at every UPDATE."""

    inherit_cache = True


class NewUuid(FunctionElement[Any]):
    """A fresh id as default of a primary key."""

    inherit_cache = True


@compiles(LocalNow, "sqlite")
def _local_now_sqlite(_element: LocalNow, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(datetime('now', 'localtime'))"


@compiles(LocalNow)
def _local_now(_element: LocalNow, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CURRENT_TIMESTAMP"


@compiles(LocalNowOnUpdate)
def _local_now_on_update(_element: LocalNowOnUpdate, _compiler: SQLCompiler, **_options: Any) -> str:
    return "CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP"


@compiles(LocalNowOnUpdate, "sqlite")
def _local_now_on_update_sqlite(element: LocalNowOnUpdate, compiler: SQLCompiler, **options: Any) -> str:
    return _local_now_sqlite(element, compiler, **options)


@compiles(NewUuid, "sqlite")
def _new_uuid_sqlite(_element: NewUuid, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(lower(hex(randomblob(16))))"


@compiles(NewUuid)
def _new_uuid(_element: NewUuid, _compiler: SQLCompiler, **_options: Any) -> str:
    return "(uuid())"


def enum(name: str, *values: str) -> Enum:
    """An enum column type; `name` names its CHECK on SQLite."""
    return Enum(*values, name=name, create_constraint=True)


def longtext() -> TypeEngine[str]:
    """LONGTEXT."""
    return Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def timestamp() -> TypeEngine[Any]:
    """TIMESTAMP, seconds."""
    return DateTime().with_variant(mysql.TIMESTAMP(), "mysql", "mariadb")


def datetime_with(digits: int) -> TypeEngine[Any]:
    """DATETIME with fractional digits."""
    return DateTime().with_variant(mysql.DATETIME(fsp=digits), "mysql", "mariadb")


def big_id() -> Column[int]:
    """The usual `id` bigint AUTO_INCREMENT."""
    return Column("id", BigInteger().with_variant(Integer(), "sqlite"), primary_key=True, autoincrement=True)


def created() -> Column[Any]:
    """`created_at` timestamp."""
    return Column("created_at", timestamp(), server_default=LocalNow())


def updated() -> Column[Any]:
    """`updated_at` timestamp that follows every UPDATE."""
    return Column("updated_at", timestamp(), server_default=LocalNowOnUpdate(), info={"on_update_now": True})


def context_key(*, nullable: bool = True) -> Column[str]:
    """`vm_context_id`, gone with its context."""
    return Column(
        "vm_context_id",
        String(64),
        ForeignKey("vm_replication_contexts.context_id", ondelete="CASCADE"),
        nullable=nullable,
    )


vmware_credentials = Table(
    "vmware_credentials",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("credential_name", String(255), nullable=False, unique=True),
    Column("vcenter_host", String(255), nullable=False),
    Column("username", String(255), nullable=False),
    Column("datacenter", String(255), nullable=False),
    Column("is_active", Boolean, server_default="1"),
    created(),
    updated(),
    **MARIADB_OPTIONS,
)

ossea_configs = Table(
    "ossea_configs",
    metadata,
    big_id(),
    Column("name", String(191), unique=True),
    *(
        Column(name, longtext())
        for name in (
            "api_url",
            "api_key",
            "secret_key",
            "domain",
            "zone",
            "template_id",
            "network_id",
            "service_offering_id",
            "disk_offering_id",
            "oma_vm_id",
        )
    ),
    Column("created_at", datetime_with(3)),
    Column("updated_at", datetime_with(3)),
    Column("is_active", Boolean, server_default="1"),
    **MARIADB_OPTIONS,
)

vm_replication_contexts = Table(
    "vm_replication_contexts",
    metadata,
    Column("context_id", String(64), primary_key=True, server_default=NewUuid()),
    Column("vm_name", String(255), nullable=False),
    Column("vmware_vm_id", String(255), nullable=False),
    Column("vm_path", String(500), nullable=False),
    Column("vcenter_host", String(255), nullable=False),
    Column("datacenter", String(255), nullable=False),
    Column(
        "current_status",
        enum(
            "context_status",
            "discovered",
            "replicating",
            "ready_for_failover",
            "failed_over_test",
            "failed_over_live",
            "completed",
            "failed",
            "cleanup_required",
        ),
        nullable=False,
        server_default="discovered",
    ),
    Column(
        "current_job_id",
        String(191),
        ForeignKey("replication_jobs.id", name="fk_context_current_job", ondelete="SET NULL", use_alter=True),
    ),
    Column("total_jobs_run", Integer, server_default="0"),
    Column("successful_jobs", Integer, server_default="0"),
    Column("failed_jobs", Integer, server_default="0"),
    Column(
        "last_successful_job_id",
        String(191),
        ForeignKey("replication_jobs.id", name="fk_context_last_successful_job", ondelete="SET NULL", use_alter=True),
    ),
    Column("cpu_count", Integer),
    Column("memory_mb", Integer),
    Column("os_type", String(255)),
    Column("power_state", String(50)),
    Column("vm_tools_version", String(255)),
    created(),
    updated(),
    Column("first_job_at", timestamp()),
    Column("last_job_at", timestamp()),
    Column("last_status_change", timestamp(), server_default=LocalNow()),
    Column("auto_added", Boolean, server_default="0"),
    Column("scheduler_enabled", Boolean, server_default="1"),
    Column("last_scheduled_job_id", String(255)),
    Column("next_scheduled_at", timestamp()),
    Column("credential_id", Integer, ForeignKey("vmware_credentials.id", ondelete="SET NULL")),
    Column("ossea_config_id", Integer),
    Column("last_operation_summary", longtext()),
    UniqueConstraint("vmware_vm_id", "vcenter_host"),
    UniqueConstraint("vm_name", "vcenter_host"),
    CheckConstraint(
        "last_operation_summary IS NULL OR json_valid(last_operation_summary)", name="last_operation_summary_json"
    ),
    **MARIADB_OPTIONS,
)

replication_jobs = Table(
    "replication_jobs",
    metadata,
    Column("id", String(191), primary_key=True),
    context_key(),
    *(Column(name, longtext()) for name in ("source_vm_id", "source_vm_name", "source_vm_path", "v_center_host")),
    *(Column(name, longtext()) for name in ("datacenter", "replication_type", "target_network")),
    Column("status", String(191), server_default="pending"),
    Column("progress_percent", Double, server_default="0"),
    Column("current_operation", longtext()),
    Column("bytes_transferred", BigInteger, server_default="0"),
    Column("total_bytes", BigInteger, server_default="0"),
    Column("transfer_speed_bps", BigInteger, server_default="0"),
    *(Column(name, longtext()) for name in ("error_message", "change_id", "previous_change_id", "snapshot_id")),
    Column("nbd_port", BigInteger),
    *(Column(name, longtext()) for name in ("nbd_export_name", "target_device")),
    Column("ossea_config_id", BigInteger().with_variant(Integer(), "sqlite"), ForeignKey("ossea_configs.id")),
    *(Column(name, datetime_with(3)) for name in ("created_at", "updated_at", "started_at", "completed_at")),
    Column("vma_sync_type", String(50)),
    Column("vma_current_phase", String(100)),
    Column("vma_throughput_mbps", Double, server_default="0"),
    Column("vma_eta_seconds", BigInteger),
    Column("vma_last_poll_at", datetime_with(3)),
    Column("vma_error_classification", String(50)),
    Column("vma_error_details", longtext()),
    Column("setup_progress_percent", Double, server_default="0"),
    Column("schedule_execution_id", String(64)),
    Column("scheduled_by", String(255)),
    Column("vm_group_id", String(64)),
    **MARIADB_OPTIONS,
)

failover_jobs = Table(
    "failover_jobs",
    metadata,
    big_id(),
    context_key(),
    Column("job_id", String(255), unique=True),
    Column("vm_id", String(255), nullable=False),
    Column("replication_job_id", String(255)),
    Column("job_type", enum("failover_job_type", "live", "test"), nullable=False),
    Column(
        "status",
        enum(
            "failover_job_status",
            "pending",
            "validating",
            "snapshotting",
            "creating_vm",
            "switching_volume",
            "powering_on",
            "completed",
            "failed",
            "cleanup",
            "reverting",
        ),
        server_default="pending",
    ),
    Column("source_vm_name", String(255), nullable=False),
    Column("source_vm_spec", Text),
    Column("destination_vm_id", String(255)),
    Column("ossea_snapshot_id", String(255)),
    Column("linstor_snapshot_name", String(255)),
    Column("linstor_config_id", Integer),
    Column("network_mappings", Text),
    Column("error_message", Text),
    created(),
    updated(),
    Column("started_at", timestamp()),
    Column("completed_at", timestamp()),
    **MARIADB_OPTIONS,
)

ossea_volumes = Table(
    "ossea_volumes",
    metadata,
    big_id(),
    context_key(),
    Column("volume_id", longtext(), unique=True),
    Column("volume_name", longtext()),
    Column("size_gb", BigInteger),
    Column("ossea_config_id", BigInteger().with_variant(Integer(), "sqlite"), ForeignKey("ossea_configs.id")),
    Column("volume_type", longtext()),
    Column("device_path", longtext()),
    Column("mount_point", longtext()),
    Column("status", String(191), server_default="creating"),
    Column("created_at", datetime_with(3)),
    Column("updated_at", datetime_with(3)),
    Column("snapshot_id", String(191), index=True),
    Column("snapshot_created_at", timestamp()),
    Column("snapshot_status", String(50), server_default="none", index=True),
    **MARIADB_OPTIONS,
)

device_mappings = Table(
    "device_mappings",
    metadata,
    Column("id", String(64), primary_key=True, server_default=NewUuid()),
    context_key(),
    Column("volume_uuid", String(64), nullable=False, unique=True),
    Column("volume_id_numeric", BigInteger),
    Column("vm_id", String(64), nullable=False),
    Column("operation_mode", enum("mapping_mode", "oma", "failover"), server_default="oma"),
    Column("cloudstack_device_id", Integer),
    Column("requires_device_correlation", Boolean, server_default="1"),
    Column("device_path", String(255), nullable=False, unique=True),
    Column("cloudstack_state", String(32), nullable=False),
    Column("linux_state", String(32), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("last_sync", timestamp(), server_default=LocalNow()),
    created(),
    updated(),
    Column("ossea_snapshot_id", String(191)),
    Column("snapshot_created_at", timestamp()),
    Column("snapshot_status", String(50), server_default="none"),
    Column("persistent_device_name", String(255)),
    Column("symlink_path", String(255)),
    **MARIADB_OPTIONS,
)

volume_operations = Table(
    "volume_operations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("type", enum("operation_type", "create", "attach", "detach", "delete", "cleanup"), nullable=False),
    Column(
        "status",
        enum("operation_status", "pending", "executing", "completed", "failed", "cancelled"),
        nullable=False,
        server_default="pending",
    ),
    Column("volume_id", String(64), nullable=False),
    Column("vm_id", String(64)),
    Column("request", JSON, nullable=False),
    Column("response", JSON(none_as_null=True)),
    Column("error", Text),
    created(),
    updated(),
    Column("completed_at", timestamp()),
    **MARIADB_OPTIONS,
)

job_tracking = Table(
    "job_tracking",
    metadata,
    Column("id", String(64), primary_key=True, server_default=NewUuid()),
    Column("parent_job_id", String(64), ForeignKey("job_tracking.id", ondelete="CASCADE")),
    Column(
        "job_type",
        enum(
            "tracking_job_type",
            "cleanup",
            "failover",
            "migration",
            "cloudstack",
            "volume_daemon",
            "linstor",
            "virtio",
            "ossea",
            "scheduler",
            "discovery",
            "bulk-operations",
            "group-management",
            "conflict-detection",
            "phantom-detection",
            "schedule_management",
            "schedule_control",
        ),
    ),
    Column("operation", String(100), nullable=False),
    Column("status", enum("tracking_status", "pending", "running", "completed", "failed", "cancelled")),
    Column("cloudstack_job_id", String(64)),
    Column("external_job_id", String(64)),
    Column("metadata", JSON(none_as_null=True)),
    Column("error_message", longtext()),
    Column("started_at", timestamp(), server_default=LocalNow()),
    Column("completed_at", timestamp()),
    created(),
    updated(),
    Column("percent_complete", Integer().with_variant(mysql.TINYINT(unsigned=True), "mysql", "mariadb")),
    Column("canceled_at", datetime_with(6)),
    Column("owner", String(100)),
    Column("context_id", String(64)),
    Column(
        "job_category",
        enum("tracking_category", "system", "failover", "replication", "scheduler", "discovery", "bulk"),
        server_default="system",
    ),
    **MARIADB_OPTIONS,
)

job_steps = Table(
    "job_steps",
    metadata,
    big_id(),
    Column("job_id", String(64), ForeignKey("job_tracking.id", ondelete="CASCADE"), nullable=False),
    Column("name", String(200), nullable=False),
    Column("seq", Integer, nullable=False),
    Column(
        "status",
        enum("step_status", "running", "completed", "failed", "skipped"),
        nullable=False,
        server_default="running",
    ),
    Column("started_at", datetime_with(6), nullable=False),
    Column("completed_at", datetime_with(6)),
    Column("error_message", longtext()),
    Column("metadata", JSON(none_as_null=True)),
    UniqueConstraint("job_id", "seq"),
    **MARIADB_OPTIONS,
)

log_events = Table(
    "log_events",
    metadata,
    big_id(),
    Column("job_id", String(64), ForeignKey("job_tracking.id", ondelete="SET NULL")),
    Column("step_id", BigInteger().with_variant(Integer(), "sqlite"), ForeignKey("job_steps.id", ondelete="SET NULL")),
    Column("level", enum("log_level", "DEBUG", "INFO", "WARN", "ERROR"), nullable=False),
    Column("message", Text, nullable=False),
    Column("attrs", JSON(none_as_null=True)),
    Column("ts", datetime_with(6), nullable=False),
    Column("external_job_id", String(255)),
    **MARIADB_OPTIONS,
)

job_execution_log = Table(
    "job_execution_log",
    metadata,
    big_id(),
    Column("job_id", String(64), ForeignKey("job_tracking.id", ondelete="CASCADE"), nullable=False),
    Column("log_level", String(20), nullable=False),
    Column("message", Text, nullable=False),
    Column("details", JSON(none_as_null=True)),
    Column("operation_phase", String(100)),
    created(),
    **MARIADB_OPTIONS,
)

vm_disks = Table(
    "vm_disks",
    metadata,
    big_id(),
    context_key(),
    Column("job_id", String(191), ForeignKey("replication_jobs.id", ondelete="CASCADE"), nullable=False),
    Column("disk_id", longtext()),
    Column("vm_dk_path", longtext()),
    Column("size_gb", BigInteger),
    Column("datastore", longtext()),
    Column("unit_number", BigInteger),
    Column("label", longtext()),
    Column("capacity_bytes", BigInteger),
    Column("provisioning_type", longtext()),
    Column("ossea_volume_id", BigInteger),
    Column("disk_change_id", longtext()),
    Column("sync_status", String(191), server_default="pending"),
    Column("sync_progress_percent", Double, server_default="0"),
    Column("bytes_synced", BigInteger, server_default="0"),
    Column("created_at", datetime_with(3)),
    Column("updated_at", datetime_with(3)),
    Column("cpu_count", BigInteger),
    Column("memory_mb", BigInteger),
    *(
        Column(name, longtext())
        for name in (
            "os_type",
            "vm_tools_version",
            "network_config",
            "display_name",
            "annotation",
            "power_state",
            "vmware_uuid",
            "bios_setup",
        )
    ),
    UniqueConstraint("vm_context_id", "disk_id"),
    **MARIADB_OPTIONS,
)

cbt_history = Table(
    "cbt_history",
    metadata,
    big_id(),
    context_key(),
    Column("job_id", String(191), ForeignKey("replication_jobs.id", ondelete="CASCADE")),
    Column("disk_id", longtext()),
    Column("change_id", longtext()),
    Column("previous_change_id", longtext()),
    Column("sync_type", longtext()),
    Column("blocks_changed", BigInteger),
    Column("bytes_transferred", BigInteger),
    Column("sync_duration_seconds", BigInteger),
    Column("sync_success", Boolean),
    Column("created_at", datetime_with(3)),
    **MARIADB_OPTIONS,
)

nbd_exports = Table(
    "nbd_exports",
    metadata,
    big_id(),
    context_key(),
    Column("job_id", String(191), ForeignKey("replication_jobs.id", ondelete="CASCADE")),
    Column("volume_id", String(64), nullable=False),
    Column("vm_disk_id", BigInteger().with_variant(Integer(), "sqlite"), ForeignKey("vm_disks.id", ondelete="CASCADE")),
    Column("device_mapping_uuid", String(64), ForeignKey("device_mappings.volume_uuid", ondelete="CASCADE")),
    Column("export_name", String(255), nullable=False, unique=True),
    Column("port", Integer, nullable=False, server_default="10809"),
    Column("device_path", String(255), nullable=False),
    Column("config_path", String(255)),
    Column(
        "status", enum("export_status", "pending", "active", "stopped", "error", "failed"), server_default="pending"
    ),
    created(),
    updated(),
    **MARIADB_OPTIONS,
)

ACTIVE_JOBS_VIEW: Final[dict[str, str]] = {
    "mysql": "TIMESTAMPDIFF(SECOND, t.started_at, NOW())",
    "sqlite": "CAST(strftime('%s', 'now', 'localtime') - strftime('%s', t.started_at) AS INTEGER)",
}
"""How each dialect computes `running_seconds` of the view `active_jobs`."""


def on_update_triggers() -> list[str]:
    """SQLite triggers that imitate ON UPDATE CURRENT_TIMESTAMP; an explicit new value stays."""
    return [
        f"CREATE TRIGGER {table.name}_{column.name}_on_update AFTER UPDATE ON {table.name} FOR EACH ROW "
        f"WHEN NEW.{column.name} IS OLD.{column.name} BEGIN "
        f"UPDATE {table.name} SET {column.name} = datetime('now', 'localtime') WHERE rowid = NEW.rowid; END"
        for table in metadata.sorted_tables
        for column in table.columns
        if column.info.get("on_update_now")
    ]


def now() -> LocalNow:
    """`NOW()` in statements."""
    return LocalNow()
