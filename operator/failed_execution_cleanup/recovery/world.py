"""What an observation found: rows of the OMA database, objects of OSSEA, exports of the Volume Daemon.

Plain frozen data. Strings of states are kept raw: a value nobody has seen before must reach `guards`, not crash a parser.
Times of rows are naive digits of their writer's own clock (appliance facts 2.2): OMA API rows in the server's local time, Volume
Daemon rows in UTC digits. `Clock` holds both clocks at the moment of reading, so ages are always taken within one writer.
Times of OSSEA objects carry their zone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class Clock:
    """The database's clocks when it was read, as naive digits.

    Attributes:
        local: `NOW()` of the server; the clock of the OMA API and of `ON UPDATE` columns.
        utc: `UTC_TIMESTAMP()`; the clock of the Volume Daemon's Go-supplied values.
        shifted: the offset between the two changed within the last hours (daylight saving): ages of local digits may be an hour off.
    """

    local: datetime
    utc: datetime
    shifted: bool = False

    def age(self, stamp: datetime) -> timedelta:
        """Age of a local stamp; negative when it lies in the future."""
        return self.local - stamp

    def utc_age(self, stamp: datetime) -> timedelta:
        """Age of a Volume Daemon stamp."""
        return self.utc - stamp

    @property
    def offset(self) -> timedelta:
        """Local minus UTC, rounded to a minute (the two readings are one statement apart)."""
        seconds = (self.local - self.utc).total_seconds()
        return timedelta(minutes=round(seconds / 60))


@dataclass(frozen=True, slots=True)
class ContextRow:
    """`vm_replication_contexts`: one VM of one vCenter."""

    context_id: str
    vm_name: str
    vcenter_host: str
    vmware_vm_id: str
    current_status: str
    current_job_id: str | None
    last_successful_job_id: str | None


@dataclass(frozen=True, slots=True)
class FailoverRow:
    """`failover_jobs`. `destination_vm_id` is None for NULL and for the empty string GORM writes (appliance facts 2.3)."""

    row_id: int
    job_id: str
    job_type: str
    status: str
    source_vm_name: str
    destination_vm_id: str | None
    legacy_snapshot_id: str | None
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class StepRow:
    """`job_steps`: the only trustworthy account of what a job did."""

    row_id: int
    seq: int
    name: str
    status: str
    started_at: datetime | None
    completed_at: datetime | None
    error: str | None


@dataclass(frozen=True, slots=True)
class LogRow:
    """`log_events` at WARN or ERROR: evidence of reverts that went wrong but were swallowed (appliance facts 3.3)."""

    row_id: int
    level: str
    message: str
    at: datetime


@dataclass(frozen=True, slots=True)
class TrackingRow:
    """`job_tracking` with its steps and log. Rows of our own claims are never among them."""

    id: str
    job_type: str | None
    operation: str
    status: str | None
    context_id: str | None
    external_id: str | None
    error: str | None
    started_at: datetime | None
    completed_at: datetime | None
    steps: tuple[StepRow, ...] = ()
    problems: tuple[LogRow, ...] = ()
    mentions: tuple[str, ...] = ()
    """Messages and attributes of all its log rows; read only for rows without context id."""
    newest_log_id: int = 0
    newest_log_at: datetime | None = None

    @property
    def newest_activity(self) -> datetime | None:
        """Newest sign of life: step, log or tracking times (no heartbeat exists; appliance facts 3.5)."""
        stamps = [self.started_at, self.completed_at, self.newest_log_at]
        for step in self.steps:
            stamps += [step.started_at, step.completed_at]
        return max((s for s in stamps if s is not None), default=None)

    @property
    def texts(self) -> tuple[str, ...]:
        """Everything it wrote that may name an object: errors, problems, and `mentions` where these were read."""
        errors = (self.error or "", *(step.error or "" for step in self.steps))
        return (*errors, *(problem.message for problem in self.problems), *self.mentions)

    @property
    def step_running(self) -> bool:
        """Whether any step row is left `running`."""
        return any(step.status == "running" for step in self.steps)


@dataclass(frozen=True, slots=True)
class ReplicationRow:
    """`replication_jobs` of the context. `status` is free text (appliance facts 2.3)."""

    id: str
    status: str
    created_at: datetime | None
    started_at: datetime | None
    updated_at: datetime | None
    completed_at: datetime | None
    last_poll_at: datetime | None
    bytes_transferred: int = 0

    @property
    def newest_activity(self) -> datetime | None:
        """Newest sign of life, the SNA poll included."""
        stamps = (self.created_at, self.started_at, self.updated_at, self.completed_at, self.last_poll_at)
        return max((s for s in stamps if s is not None), default=None)


@dataclass(frozen=True, slots=True)
class SyncRow:
    """`cbt_history`: a sync of one disk that was stored."""

    disk_id: str
    sync_type: str
    success: bool
    change_id: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class DiskRow:
    """`vm_disks`: a disk of the source VM. `disk-2000` is the OS disk."""

    disk_id: str
    volume_row_id: int | None
    change_id: str | None


@dataclass(frozen=True, slots=True)
class VolumeRow:
    """`ossea_volumes`. Empty strings are None. `snapshot_status` may be NULL (appliance facts 3.3)."""

    row_id: int
    volume_id: str
    name: str
    size_gb: int
    status: str
    device_path: str | None
    snapshot_id: str | None
    snapshot_created_at: datetime | None
    snapshot_status: str | None
    snapshot_emptied: bool = False
    """`snapshot_id` is the empty string that only the product's own failed-execution cleanup writes (appliance facts 3.1)."""


@dataclass(frozen=True, slots=True)
class MappingRow:
    """`device_mappings`: what the daemon believes; never the truth about location (rule 9)."""

    volume_id: str
    vm_id: str
    operation_mode: str
    device_path: str
    snapshot_id: str | None


@dataclass(frozen=True, slots=True)
class OperationRow:
    """`volume_operations` of the context's volumes that are open or recent. Stamps are UTC digits."""

    id: str
    type: str
    status: str
    volume_id: str
    vm_id: str | None
    created_at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class ContentVerdict:
    """What a cleanup said of the volumes' content when it ended.

    Attributes:
        at: UTC digits of the database's clock.
        suspects: ids of the volumes whose content nobody could vouch for (rule 17); it vouched for all others.
    """

    at: datetime
    suspects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OwnClaimRow:
    """A claim of this software on the context: our own or another cleanup's.

    Attributes:
        id: `job_tracking.id`.
        job_id: the failover job the claim is bound to.
        number: fencing number, raised by every take-over.
        owner: identity of the process that holds it; None when released.
        heartbeat_age: seconds since the owner's last heartbeat by the database's clock; None when released.
        finished: the cleanup ended clean.
        verdict: what its last run to the end said of the content.
    """

    id: str
    job_id: str
    number: int
    owner: str | None
    heartbeat_age: float | None
    finished: bool
    verdict: ContentVerdict | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Everything the OMA database says about one context, read in one transaction."""

    clock: Clock
    oma_vm_ids: tuple[str, ...]
    """`oma_vm_id` of each active `ossea_configs` row: exactly one is sound."""
    context: ContextRow
    failovers: tuple[FailoverRow, ...]
    """Newest first."""
    tracking: tuple[TrackingRow, ...]
    """All foreign rows of the context, of its failover jobs, and cleanup rows without context id; newest first."""
    replications: tuple[ReplicationRow, ...]
    """Newest first."""
    syncs: tuple[SyncRow, ...]
    disks: tuple[DiskRow, ...]
    volumes: tuple[VolumeRow, ...]
    mappings: tuple[MappingRow, ...]
    operations: tuple[OperationRow, ...]
    exports: frozenset[str]
    """Volume ids with an `nbd_exports` row or daemon export."""
    claims: tuple[OwnClaimRow, ...] = ()
    namesakes: int = 0
    """Other contexts with this VM's name, under other vCenters: a bare name in a log then proves nothing."""


@dataclass(frozen=True, slots=True)
class CloudVM:
    """A VM as OSSEA lists it. `host_state` is None where the account cannot see hosts."""

    id: str
    name: str
    display_name: str
    state: str
    created: datetime | None = None
    host_id: str | None = None
    host_state: str | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class CloudVolume:
    """A volume as OSSEA lists it; `vm_id` is None when it is attached to nobody. `size` in bytes."""

    id: str
    name: str
    type: str
    state: str
    size: int
    vm_id: str | None = None
    device_id: int | None = None
    attached: str | None = None
    job_id: str | None = None
    created: datetime | None = None


@dataclass(frozen=True, slots=True)
class CloudSnapshot:
    """A volume snapshot as OSSEA lists it. `revertable` is None where the server does not say."""

    id: str
    name: str
    volume_id: str
    state: str
    created: datetime | None = None
    revertable: bool | None = None
    size: int | None = None
    job_id: str | None = None


@dataclass(frozen=True, slots=True)
class VMSnapshot:
    """A snapshot of a whole VM: it blocks attach, detach and revert (CloudStack facts 2.4, 2.5)."""

    id: str
    name: str
    vm_id: str


@dataclass(frozen=True, slots=True)
class Cloud:
    """What OSSEA showed.

    Attributes:
        vms: every VM the account sees, from a list without id filter: the witness that a missing one is gone (rule 9).
        volumes: every volume the account sees, by id; one of the context that is absent here is missing.
        snapshots: snapshots of each context volume, by volume id.
        vm_snapshots: VM snapshots on the OMA's VM and on the incident's VMs.
    """

    vms: Mapping[str, CloudVM]
    volumes: Mapping[str, CloudVolume]
    snapshots: Mapping[str, tuple[CloudSnapshot, ...]]
    vm_snapshots: tuple[VMSnapshot, ...] = ()


@dataclass(frozen=True, slots=True)
class World:
    """One observation: the database first and last (`records` is the last), OSSEA and the daemon between."""

    records: Records
    cloud: Cloud
    first: Records | None = None
    """The read before OSSEA was asked; None where only one read was made."""

    @property
    def oma_vm_id(self) -> str:
        """The OMA's own VM; call only after the guards have seen exactly one active config."""
        (vm_id,) = self.records.oma_vm_ids
        return vm_id
