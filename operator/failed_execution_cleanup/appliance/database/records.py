"""Everything the database says about one context, read by set queries inside one transaction.

Run it inside a transaction: on MariaDB its snapshot (REPEATABLE READ), on SQLite its read lock makes the rows one
moment's.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pydantic import TypeAdapter, ValidationError

from failed_execution_cleanup.appliance.database import envelope, statements
from failed_execution_cleanup.appliance.database.clock import clock_of
from failed_execution_cleanup.appliance.database.failures import UnexpectedRow, no_such_context
from failed_execution_cleanup.appliance.database.tables import TERMINAL_FAILOVER
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
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_VERDICT: Final = TypeAdapter(ContentVerdict)
# Sorts rows without a time behind all others.
NEVER: Final = datetime(1, 1, 1)  # noqa: DTZ001 (digits as stored have no zone)
_EXPORT_PREFIX: Final = "migration-vol-"


async def find_contexts(connection: AsyncConnection, vm_name: str, vcenter_host: str | None) -> tuple[ContextRow, ...]:
    """Contexts of that very name; of one vCenter when given.

    Names are compared here and not by the database, whose collation takes `PG1` for `pg1`; host names know no case.
    """
    rows = await connection.execute(statements.CONTEXTS_OF_NAME, {"vm_name": vm_name})
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
    row = (await connection.execute(statements.CONTEXT, {"context_id": context_id})).one_or_none()
    if row is None:
        raise no_such_context(context_id)
    context, clock = context_row(row), clock_of(row)
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
        namesakes=row.namesakes,
    )


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
    return tuple(vm_id or "" for vm_id in await connection.scalars(statements.OMA_VM_IDS))


async def _read_failovers(connection: AsyncConnection, context: ContextRow) -> tuple[FailoverRow, ...]:
    ids = {"context_id": context.context_id, "vmware_vm_id": context.vmware_vm_id}
    rows = (await connection.execute(statements.FAILOVERS, ids)).all()
    strays = [row for row in rows if not row.vm_context_id]
    if strays:
        # The same VMware id may exist in two vCenters; then nobody can say whose job it is.
        owners = await connection.scalar(statements.OWNERS, {"vmware_vm_id": context.vmware_vm_id})
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
    wanted_jobs = {f.job_id for f in failovers if f.status not in TERMINAL_FAILOVER}
    wanted_jobs |= {f.job_id for f in failovers[: statements.TRACKING_LIMIT]}
    wanted = {"context_id": context.context_id, "job_ids": list(wanted_jobs)}
    found = {row.id: row for row in await connection.execute(statements.TRACKING, wanted)}

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
    connection: AsyncConnection, job_ids: Sequence[str], *, limit: int = statements.PROBLEM_LIMIT
) -> defaultdict[str, JobActivity]:
    """Steps of jobs, and of their log the newest row and at most `limit` of the newest problems."""
    activity: defaultdict[str, JobActivity] = defaultdict(JobActivity)
    if not job_ids:
        return activity
    of_jobs = {"job_ids": job_ids}
    for row in await connection.execute(statements.STEPS, of_jobs):
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
    for row in await connection.execute(statements.NEWEST_LOG, of_jobs):
        activity[row.job_id].newest_log_id = row.newest_id
        activity[row.job_id].newest_log_at = row.newest_at
    problems = await connection.execute(statements.PROBLEMS, of_jobs | {"limit": limit})
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
    connection: AsyncConnection, job_ids: Sequence[str], activity: defaultdict[str, JobActivity]
) -> None:
    """What jobs without context id wrote: the only way to tell whose VM they worked on (rule 13)."""
    if not job_ids:
        return
    rows = await connection.execute(statements.MENTIONS, {"job_ids": job_ids})
    for row in reversed(rows.all()):
        activity[row.job_id].mentions.append(f"{row.message or ''} {row.attrs or ''}")


async def _read_replications(connection: AsyncConnection, context: ContextRow) -> tuple[ReplicationRow, ...]:
    named = [job for job in (context.current_job_id, context.last_successful_job_id) if job is not None]
    wanted = {"context_id": context.context_id, "named": named}
    found = {row.id: row for row in await connection.execute(statements.REPLICATIONS, wanted)}
    return replication_rows(found.values())


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
    found = {row.id: row for row in await connection.execute(statements.SYNCS, {"context_id": context_id})}
    return sync_rows(found.values())


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
    return tuple(map(disk_row, await connection.execute(statements.DISKS, {"context_id": context_id})))


def disk_row(row: Row[Any]) -> DiskRow:
    """A row of `vm_disks`; GORM writes 0 for a volume that is not known yet."""
    return DiskRow(disk_id=row.disk_id, volume_row_id=row.ossea_volume_id or None, change_id=row.disk_change_id or None)


async def _read_volumes(connection: AsyncConnection, context_id: str) -> tuple[VolumeRow, ...]:
    return tuple(map(volume_row, await connection.execute(statements.VOLUMES, {"context_id": context_id})))


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
    connection: AsyncConnection, context_id: str, volume_ids: Sequence[str]
) -> tuple[MappingRow, ...]:
    wanted = {"volume_ids": volume_ids, "context_id": context_id}
    return tuple(map(mapping_row, await connection.execute(statements.MAPPINGS, wanted)))


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
    connection: AsyncConnection, volume_ids: Sequence[str], clock: Clock
) -> tuple[OperationRow, ...]:
    wanted = {"volume_ids": volume_ids, "since": clock.utc - statements.OPERATION_AGE}
    return tuple(map(operation_row, await connection.execute(statements.OPERATIONS, wanted)))


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
    wanted = {"volume_ids": list(by_name.values()), "names": list(by_name)}
    rows = await connection.execute(statements.EXPORTS, wanted)
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
