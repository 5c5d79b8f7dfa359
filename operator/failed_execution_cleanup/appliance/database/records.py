"""Everything the database says about one context, read by set queries inside one transaction.

Run it inside a transaction: on MariaDB its snapshot (REPEATABLE READ), on SQLite its read lock makes the rows one
moment's. Rows accumulate for years, so what is closed is bounded to the newest; what is open is always read.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import and_, func, or_, select, union_all

from failed_execution_cleanup.appliance.database import envelope
from failed_execution_cleanup.appliance.database.clock import read_clock
from failed_execution_cleanup.appliance.database.failures import UnexpectedRow, no_such_context
from failed_execution_cleanup.appliance.database.tables import (
    TERMINAL_FAILOVER,
    TERMINAL_OPERATION,
    TERMINAL_REPLICATION,
    TERMINAL_TRACKING,
    cbt_history,
    contexts,
    device_mappings,
    failover_jobs,
    job_steps,
    job_tracking,
    log_events,
    nbd_exports,
    ossea_configs,
    ossea_volumes,
    replication_jobs,
    vm_disks,
    volume_operations,
)
from failed_execution_cleanup.recovery.world import (
    Clock,
    ContentVerdict,
    ContextRow,
    DiskRow,
    FailoverRow,
    LogRow,
    MappingRow,
    OperationRow,
    OwnClaimRow,
    Records,
    ReplicationRow,
    StepRow,
    SyncRow,
    TrackingRow,
    VolumeRow,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from sqlalchemy import ColumnElement, CompoundSelect, Row, Select
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import KeyedColumnElement

_VERDICT: Final = TypeAdapter(ContentVerdict)
TRACKING_LIMIT: Final = 100
PROBLEM_LIMIT: Final = 2000
_MENTION_LIMIT: Final = 2000
REPLICATION_LIMIT: Final = 50
SYNC_LIMIT: Final = 200
_OPERATION_AGE: Final = timedelta(days=1)
# Sorts rows without a time behind all others.
NEVER: Final = datetime(1, 1, 1)  # noqa: DTZ001 (digits as stored have no zone)
_EXPORT_PREFIX: Final = "migration-vol-"


async def find_contexts(connection: AsyncConnection, vm_name: str, vcenter_host: str | None) -> tuple[ContextRow, ...]:
    """Contexts of that very name; of one vCenter when given.

    Names are compared here and not by the database, whose collation takes `PG1` for `pg1`; host names know no case.
    """
    rows = await connection.execute(
        context_columns().where(contexts.c.vm_name == vm_name).order_by(contexts.c.context_id)
    )
    found = (context_row(row) for row in rows)
    return tuple(
        context
        for context in found
        if context.vm_name == vm_name
        and (vcenter_host is None or context.vcenter_host.casefold() == vcenter_host.casefold())
    )


async def read_records(connection: AsyncConnection, context_id: str) -> Records:
    """Read one context.

    Raises:
        NotFound: there is no such context.
        UnexpectedRow: a row cannot be attributed or lacks a time it always has.
    """
    clock = await read_clock(connection)
    row = (await connection.execute(context_columns().where(contexts.c.context_id == context_id))).one_or_none()
    if row is None:
        raise no_such_context(context_id)
    context = context_row(row)
    failovers = await _read_failovers(connection, context)
    tracking, claims = await _read_tracking(connection, context, failovers, clock)
    volumes = await _read_volumes(connection, context_id)
    volume_ids = [volume.volume_id for volume in volumes]
    return Records(
        clock=clock,
        oma_vm_ids=await read_oma_vm_ids(connection),
        context=context,
        failovers=failovers,
        tracking=tracking,
        replications=await _read_replications(connection, context),
        syncs=await _read_syncs(connection, context_id),
        disks=await _read_disks(connection, context_id),
        volumes=volumes,
        mappings=await _read_mappings(connection, context_id, volume_ids),
        operations=await _read_operations(connection, volume_ids, clock),
        exports=await read_exports(connection, volume_ids),
        claims=claims,
        namesakes=await _count_namesakes(connection, context),
    )


async def _count_namesakes(connection: AsyncConnection, context: ContextRow) -> int:
    others = select(func.count()).where(
        contexts.c.vm_name == context.vm_name, contexts.c.context_id != context.context_id
    )
    return int(await connection.scalar(others) or 0)


def belongs_to(context_id: str, vmware_vm_id: str) -> ColumnElement[bool]:
    """Failover jobs of a context: by id; rows without one by the VMware id, never by name (facts 10.1)."""
    column = failover_jobs.c.vm_context_id
    return or_(column == context_id, and_(or_(column.is_(None), column == ""), failover_jobs.c.vm_id == vmware_vm_id))


def not_in(column: KeyedColumnElement[Any], terminal: Sequence[str]) -> ColumnElement[bool]:
    """A status outside the terminal ones: NULL and values nobody has seen count as open."""
    return or_(column.is_(None), column.not_in(terminal))


def context_columns() -> Select[Any]:
    """The columns of a context that are read."""
    names = (
        "context_id",
        "vm_name",
        "vcenter_host",
        "vmware_vm_id",
        "current_status",
        "current_job_id",
        "last_successful_job_id",
    )
    return select(*(contexts.c[name] for name in names))


def context_row(row: Row[Any]) -> ContextRow:
    """A row of `vm_replication_contexts`."""
    return ContextRow(
        context_id=row.context_id,
        vm_name=row.vm_name,
        vcenter_host=row.vcenter_host,
        vmware_vm_id=row.vmware_vm_id,
        current_status=row.current_status,
        current_job_id=row.current_job_id or None,
        last_successful_job_id=row.last_successful_job_id or None,
    )


async def read_oma_vm_ids(connection: AsyncConnection) -> tuple[str, ...]:
    """`oma_vm_id` of each active row of `ossea_configs`."""
    rows = await connection.scalars(
        select(ossea_configs.c.oma_vm_id).where(ossea_configs.c.is_active).order_by(ossea_configs.c.id)
    )
    return tuple(vm_id or "" for vm_id in rows)


async def _read_failovers(connection: AsyncConnection, context: ContextRow) -> tuple[FailoverRow, ...]:
    rows = (
        await connection.execute(
            select(failover_jobs)
            .where(belongs_to(context.context_id, context.vmware_vm_id))
            .order_by(failover_jobs.c.created_at.desc(), failover_jobs.c.id.desc())
        )
    ).all()
    strays = [row for row in rows if not row.vm_context_id]
    if strays:
        # The same VMware id may exist in two vCenters; then nobody can say whose job it is.
        owners = await connection.scalar(
            select(func.count()).select_from(contexts).where(contexts.c.vmware_vm_id == context.vmware_vm_id)
        )
        if owners != 1:
            raise nobodys_failover(strays[0], context)
    return tuple(map(failover_row, rows))


def failover_row(row: Row[Any]) -> FailoverRow:
    """A row of `failover_jobs`.

    Raises:
        UnexpectedRow: it lacks a time it always has.
    """
    return FailoverRow(
        row_id=row.id,
        job_id=row.job_id,
        job_type=row.job_type,
        status=row.status,
        source_vm_name=row.source_vm_name,
        destination_vm_id=row.destination_vm_id or None,
        legacy_snapshot_id=row.ossea_snapshot_id or None,
        created_at=_required(row.created_at, "failover_jobs", "created_at", row.id),
        completed_at=row.completed_at,
    )


def nobodys_failover(row: Row[Any], context: ContextRow) -> UnexpectedRow:
    """A failover without context whose VMware id several contexts have."""
    return UnexpectedRow(
        "failover_jobs",
        "vm_context_id",
        row.vm_context_id,
        row=str(row.id),
        remedy=f"Several contexts have VMware id {context.vmware_vm_id}: enter the one the job belongs to.",
    )


@dataclass(slots=True)
class JobActivity:
    """Steps and log of one tracked job."""

    steps: list[StepRow] = field(default_factory=list)
    problems: list[LogRow] = field(default_factory=list)
    mentions: list[str] = field(default_factory=list)
    newest_log_id: int = 0
    newest_log_at: datetime | None = None


async def _read_tracking(
    connection: AsyncConnection, context: ContextRow, failovers: Sequence[FailoverRow], clock: Clock
) -> tuple[tuple[TrackingRow, ...], tuple[OwnClaimRow, ...]]:
    column = job_tracking.c
    age = func.coalesce(column.started_at, column.created_at)
    newest = select(job_tracking).order_by(age.desc(), column.id).limit(TRACKING_LIMIT)
    is_open = not_in(column.status, TERMINAL_TRACKING)
    unattributed = is_unattributed()
    wanted_jobs = {f.job_id for f in failovers if f.status not in TERMINAL_FAILOVER}
    wanted_jobs |= {f.job_id for f in failovers[:TRACKING_LIMIT]}
    wanted = any_of(
        newest.where(column.context_id == context.context_id),
        select(job_tracking).where(column.context_id == context.context_id, is_open),
        select(job_tracking).where(column.id.in_(wanted_jobs)),
        newest.where(unattributed),
        select(job_tracking).where(unattributed, is_open),
    )
    found = {row.id: row for row in await connection.execute(wanted)}

    claims: list[OwnClaimRow] = []
    foreign: list[Row[Any]] = []
    for row in found.values():
        stored = own_claim(row)
        if stored is None:
            foreign.append(row)
        else:
            claims.append(claim_row(row.id, stored, clock))
    foreign.sort(key=began, reverse=True)
    activity = await read_activity(connection, [row.id for row in foreign])
    await read_mentions(connection, [row.id for row in foreign if not row.context_id], activity)
    return tuple(tracking_row(row, activity[row.id]) for row in foreign), tuple(
        sorted(claims, key=lambda claim: claim.id)
    )


def any_of(*selections: Select[Any]) -> CompoundSelect[Any]:
    """Selections of one table, each by its own index, in one statement; a row that fits several comes as often."""
    return union_all(*(select(selection.subquery()) for selection in selections))


def is_unattributed() -> ColumnElement[bool]:
    """A cleanup of the product that names no context: it may be of any VM."""
    column = job_tracking.c
    return and_(
        or_(column.context_id.is_(None), column.context_id == ""),
        column.job_type == envelope.JOB_TYPE,
        column.operation == envelope.OPERATION,
    )


def began(row: Row[Any]) -> tuple[datetime, str]:
    """Order of `job_tracking` rows in time."""
    return row.started_at or row.created_at or NEVER, row.id


def own_claim(row: Row[Any]) -> envelope.Stored | None:
    """What a `job_tracking` row stores where it is a claim of this software.

    Raises:
        UnexpectedRow: it is, and damaged.
    """
    if row.operation != envelope.OPERATION:
        return None
    return envelope.parse(row.id, row._mapping["metadata"])  # noqa: SLF001 (SQLAlchemy's public name for it)


def claim_row(row_id: str, stored: envelope.Stored, clock: Clock) -> OwnClaimRow:
    """A claim of this software.

    Raises:
        UnexpectedRow: its memory is damaged.
    """
    held = stored.envelope
    return OwnClaimRow(
        id=row_id,
        job_id=held.job,
        number=held.number,
        owner=held.owner,
        heartbeat_age=None if held.heartbeat is None else clock.utc_age(held.heartbeat).total_seconds(),
        finished=held.finished,
        verdict=_verdict(row_id, stored),
    )


def _verdict(row_id: str, stored: envelope.Stored) -> ContentVerdict | None:
    """The one part of a claim's memory that later cleanups of the VM need."""
    content = json.loads(stored.memory or "{}").get("verdict")
    try:
        return None if content is None else _VERDICT.validate_python(content)
    except ValidationError:
        raise envelope.damaged(row_id, stored.memory) from None


def tracking_row(row: Row[Any], activity: JobActivity) -> TrackingRow:
    """A foreign row of `job_tracking` with its steps and log."""
    return TrackingRow(
        id=row.id,
        job_type=row.job_type,
        operation=row.operation,
        status=row.status,
        context_id=row.context_id or None,
        external_id=row.external_job_id or None,
        error=row.error_message or None,
        started_at=row.started_at,
        completed_at=row.completed_at,
        steps=tuple(activity.steps),
        problems=tuple(activity.problems),
        mentions=tuple(activity.mentions),
        newest_log_id=activity.newest_log_id,
        newest_log_at=activity.newest_log_at,
    )


async def read_activity(
    connection: AsyncConnection, job_ids: Collection[str], *, limit: int = PROBLEM_LIMIT
) -> defaultdict[str, JobActivity]:
    """Steps of jobs, and of their log the newest row and at most `limit` of the newest problems."""
    activity: defaultdict[str, JobActivity] = defaultdict(JobActivity)
    if not job_ids:
        return activity
    for row in await connection.execute(
        select(job_steps).where(job_steps.c.job_id.in_(job_ids)).order_by(job_steps.c.job_id, job_steps.c.seq)
    ):
        activity[row.job_id].steps.append(
            StepRow(
                row_id=row.id,
                seq=row.seq,
                name=row.name,
                status=row.status,
                started_at=row.started_at,
                completed_at=row.completed_at,
                error=row.error_message or None,
            )
        )
    log = log_events.c
    for row in await connection.execute(
        select(log.job_id, func.max(log.id).label("newest_id"), func.max(log.ts).label("newest_at"))
        .where(log.job_id.in_(job_ids))
        .group_by(log.job_id)
    ):
        activity[row.job_id].newest_log_id = row.newest_id
        activity[row.job_id].newest_log_at = row.newest_at
    problems = await connection.execute(
        select(log.id, log.job_id, log.level, log.message, log.ts)
        .where(log.job_id.in_(job_ids), log.level.in_(("WARN", "ERROR")))
        .order_by(log.id.desc())
        .limit(limit)
    )
    for row in reversed(problems.all()):
        activity[row.job_id].problems.append(
            LogRow(
                row_id=row.id,
                level=row.level,
                message=row.message,
                at=_required(row.ts, "log_events", "ts", row.id),
            )
        )
    return activity


async def read_mentions(
    connection: AsyncConnection, job_ids: Collection[str], activity: defaultdict[str, JobActivity]
) -> None:
    """What jobs without context id wrote: the only way to tell whose VM they worked on (rule 13)."""
    if not job_ids:
        return
    log = log_events.c
    rows = await connection.execute(
        select(log.job_id, log.message, log.attrs)
        .where(log.job_id.in_(job_ids))
        .order_by(log.id.desc())
        .limit(_MENTION_LIMIT)
    )
    for row in reversed(rows.all()):
        activity[row.job_id].mentions.append(f"{row.message or ''} {row.attrs or ''}")


async def _read_replications(connection: AsyncConnection, context: ContextRow) -> tuple[ReplicationRow, ...]:
    column = replication_jobs.c
    named = [job for job in (context.current_job_id, context.last_successful_job_id) if job is not None]
    ours = select(replication_jobs).where(column.vm_context_id == context.context_id)
    wanted = any_of(
        ours.order_by(column.created_at.desc(), column.id.desc()).limit(REPLICATION_LIMIT),
        ours.where(or_(not_in(column.status, TERMINAL_REPLICATION), column.id.in_(named))),
    )
    return replication_rows({row.id: row for row in await connection.execute(wanted)}.values())


def replication_rows(rows: Iterable[Row[Any]]) -> tuple[ReplicationRow, ...]:
    """Rows of `replication_jobs`, newest first."""
    return tuple(
        ReplicationRow(
            id=row.id,
            status=row.status or "",
            created_at=row.created_at,
            started_at=row.started_at,
            updated_at=row.updated_at,
            completed_at=row.completed_at,
            last_poll_at=row.vma_last_poll_at,
            bytes_transferred=row.bytes_transferred or 0,
        )
        for row in sorted(rows, key=lambda row: (row.created_at or NEVER, row.id), reverse=True)
    )


async def _read_syncs(connection: AsyncConnection, context_id: str) -> tuple[SyncRow, ...]:
    column = cbt_history.c
    ours = select(cbt_history).where(column.vm_context_id == context_id)
    # A VM of many disks must not lose sight of a disk that is synced seldom: its newest sync of each sort is always
    # read.
    newest_of_disk = (
        select(func.max(column.id))
        .where(column.vm_context_id == context_id)
        .group_by(column.disk_id, column.sync_type, column.sync_success)
    )
    wanted = any_of(
        ours.order_by(column.created_at.desc(), column.id.desc()).limit(SYNC_LIMIT),
        ours.where(column.id.in_(newest_of_disk)),
    )
    return sync_rows({row.id: row for row in await connection.execute(wanted)}.values())


def sync_rows(rows: Iterable[Row[Any]]) -> tuple[SyncRow, ...]:
    """Rows of `cbt_history`, newest first.

    Raises:
        UnexpectedRow: one lacks a time it always has.
    """
    dated = [(_required(row.created_at, "cbt_history", "created_at", row.id), row) for row in rows]
    dated.sort(key=lambda pair: (pair[0], pair[1].id), reverse=True)
    return tuple(
        SyncRow(
            disk_id=row.disk_id,
            sync_type=row.sync_type,
            success=bool(row.sync_success),
            change_id=row.change_id or None,
            created_at=created_at,
        )
        for created_at, row in dated
    )


async def _read_disks(connection: AsyncConnection, context_id: str) -> tuple[DiskRow, ...]:
    rows = await connection.execute(
        select(vm_disks).where(vm_disks.c.vm_context_id == context_id).order_by(vm_disks.c.id)
    )
    return tuple(map(disk_row, rows))


def disk_row(row: Row[Any]) -> DiskRow:
    """A row of `vm_disks`; GORM writes 0 for a volume that is not known yet."""
    return DiskRow(disk_id=row.disk_id, volume_row_id=row.ossea_volume_id or None, change_id=row.disk_change_id or None)


async def _read_volumes(connection: AsyncConnection, context_id: str) -> tuple[VolumeRow, ...]:
    rows = await connection.execute(
        select(ossea_volumes).where(ossea_volumes.c.vm_context_id == context_id).order_by(ossea_volumes.c.id)
    )
    return tuple(map(volume_row, rows))


def volume_row(row: Row[Any]) -> VolumeRow:
    """A row of `ossea_volumes`."""
    return VolumeRow(
        row_id=row.id,
        volume_id=row.volume_id or "",
        name=row.volume_name or "",
        size_gb=row.size_gb or 0,
        status=row.status or "",
        device_path=row.device_path or None,
        snapshot_id=row.snapshot_id or None,
        snapshot_created_at=row.snapshot_created_at,
        snapshot_status=row.snapshot_status or None,
        snapshot_emptied=row.snapshot_id == "",
    )


async def _read_mappings(
    connection: AsyncConnection, context_id: str, volume_ids: Collection[str]
) -> tuple[MappingRow, ...]:
    column = device_mappings.c
    rows = await connection.execute(
        select(device_mappings)
        # Also those that name the context and a volume it does not know: such a volume is missing.
        .where(or_(column.volume_uuid.in_(volume_ids), column.vm_context_id == context_id))
        .order_by(column.volume_uuid)
    )
    return tuple(map(mapping_row, rows))


def mapping_row(row: Row[Any]) -> MappingRow:
    """A row of `device_mappings`."""
    return MappingRow(
        volume_id=row.volume_uuid,
        vm_id=row.vm_id,
        operation_mode=row.operation_mode,
        device_path=row.device_path,
        snapshot_id=row.ossea_snapshot_id or None,
    )


async def _read_operations(
    connection: AsyncConnection, volume_ids: Collection[str], clock: Clock
) -> tuple[OperationRow, ...]:
    return tuple(map(operation_row, await connection.execute(operations_of(volume_ids, clock))))


def operations_of(volume_ids: Collection[str], clock: Clock) -> Select[Any]:
    """Operations of the daemon on these volumes that are open or recent, newest first."""
    column = volume_operations.c
    return (
        select(volume_operations)
        .where(
            column.volume_id.in_(volume_ids),
            or_(not_in(column.status, TERMINAL_OPERATION), column.created_at >= clock.utc - _OPERATION_AGE),
        )
        .order_by(column.created_at.desc(), column.id)
    )


def operation_row(row: Row[Any]) -> OperationRow:
    """A row of `volume_operations`.

    Raises:
        UnexpectedRow: it lacks a time it always has.
    """
    return OperationRow(
        id=row.id,
        type=row.type,
        status=row.status,
        volume_id=row.volume_id,
        vm_id=row.vm_id or None,
        created_at=_required(row.created_at, "volume_operations", "created_at", row.id),
        error=row.error or None,
    )


async def read_exports(connection: AsyncConnection, volume_ids: Iterable[str]) -> frozenset[str]:
    """Those of these volumes that have an NBD export."""
    by_name = {_EXPORT_PREFIX + volume_id: volume_id for volume_id in volume_ids}
    column = nbd_exports.c
    rows = await connection.execute(
        select(column.volume_id, column.export_name).where(
            or_(column.volume_id.in_(by_name.values()), column.export_name.in_(by_name))
        )
    )
    known = set(by_name.values())
    return frozenset(
        volume_id for row in rows for volume_id in (row.volume_id, by_name.get(row.export_name)) if volume_id in known
    )


def _required(stamp: datetime | None, table: str, column: str, row_id: object) -> datetime:
    if stamp is None:
        raise UnexpectedRow(
            table, column, None, row=str(row_id), remedy="Every writer sets this time: find out who changed the row."
        )
    return stamp
