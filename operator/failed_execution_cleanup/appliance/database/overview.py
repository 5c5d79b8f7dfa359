"""A cheap look at all contexts: which of them are worth reading in full.

One row per VM that ever failed over, one per volume, and nothing of a healthy VM's jobs, steps or logs. What is told here decides
nothing but who is looked at closely.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, distinct, exists, func, or_, select, union_all

from failed_execution_cleanup.appliance.database.records import read_oma_vm_ids
from failed_execution_cleanup.appliance.database.statements import not_in
from failed_execution_cleanup.appliance.database.tables import (
    TERMINAL_FAILOVER,
    TERMINAL_TRACKING,
    contexts,
    device_mappings,
    failover_jobs,
    job_steps,
    job_tracking,
    log_events,
    nbd_exports,
    ossea_volumes,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row, Subquery
    from sqlalchemy.ext.asyncio import AsyncConnection

_MOVED: Final = ("failed_over_test", "failed_over_live", "cleanup_required")
_EXPORT_PREFIX: Final = "migration-vol-"


@dataclass(frozen=True, slots=True)
class ContextOutline:
    """A protected VM and its `current_status`."""

    context_id: str
    vm_name: str
    vcenter_host: str
    status: str


@dataclass(frozen=True, slots=True)
class NewestFailover:
    """The newest failover job of a context, as far as rows tell."""

    context_id: str
    context_status: str
    job_id: str
    job_type: str
    status: str
    source_vm_name: str
    destination_vm_id: str | None


@dataclass(frozen=True, slots=True)
class VolumeOutline:
    """A volume and what the product believes of it."""

    volume_id: str
    recorded_snapshot: bool
    mapped_to: str | None
    device_path: str
    operation_mode: str | None
    exported: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """All contexts at one moment.

    Attributes:
        oma_vm_ids: `oma_vm_id` of each active configuration: exactly one is sound.
        newest: the newest failover job of each context that has one.
        open: contexts with an open failover, rollback or cleanup: its row, or a step left running.
        undone: contexts whose newest failover was rolled back, and not well by its rows.
        statuses: `current_status` of each context.
        volumes: volumes of each context; empty unless asked for.
        contexts: every context with its VM.
    """

    oma_vm_ids: tuple[str, ...]
    newest: tuple[NewestFailover, ...]
    open: frozenset[str]
    undone: frozenset[str]
    statuses: Mapping[str, str]
    volumes: Mapping[str, tuple[VolumeOutline, ...]]
    contexts: tuple[ContextOutline, ...] = ()


async def read_overview(connection: AsyncConnection, *, volumes: bool) -> Overview:
    """Look at all contexts, inside one transaction.

    Args:
        connection: in a transaction.
        volumes: whether volumes are wanted.
    """
    columns = (contexts.c.context_id, contexts.c.vm_name, contexts.c.vcenter_host, contexts.c.current_status)
    outlines = tuple(
        ContextOutline(row.context_id, row.vm_name or "", row.vcenter_host or "", row.current_status or "")
        for row in await connection.execute(select(*columns))
    )
    statuses = {outline.context_id: outline.status for outline in outlines}
    newest = _newest()
    rows = await connection.execute(
        select(failover_jobs, newest.c.context_id).join(newest, newest.c.row_id == failover_jobs.c.id)
    )
    return Overview(
        oma_vm_ids=await read_oma_vm_ids(connection),
        newest=tuple(_failover(row, statuses) for row in rows),
        open=await _read_open(connection),
        undone=await _read_undone(connection, newest),
        statuses=statuses,
        volumes=await _read_volumes(connection) if volumes else {},
        contexts=outlines,
    )


def _owned() -> Subquery:
    """Failover jobs with their context: by id; rows without one by the VMware id, never by name (appliance facts 10.1)."""
    job = failover_jobs.c
    stray = or_(job.vm_context_id.is_(None), job.vm_context_id == "")
    columns = (job.id.label("row_id"), job.status, job.created_at)
    return union_all(
        select(job.vm_context_id.label("context_id"), *columns).where(job.vm_context_id != ""),
        select(contexts.c.context_id, *columns).join(contexts, contexts.c.vmware_vm_id == job.vm_id).where(stray),
    ).subquery()


def _newest() -> Subquery:
    owned = _owned()
    return (
        select(
            owned.c.context_id, func.max(owned.c.row_id).label("row_id"), func.max(owned.c.created_at).label("since")
        )
        .group_by(owned.c.context_id)
        .subquery()
    )


def _failover(row: Row[Any], statuses: Mapping[str, str]) -> NewestFailover:
    return NewestFailover(
        context_id=row.context_id,
        context_status=statuses.get(row.context_id, ""),
        job_id=row.job_id,
        job_type=row.job_type,
        status=row.status,
        source_vm_name=row.source_vm_name,
        destination_vm_id=row.destination_vm_id or None,
    )


async def _read_open(connection: AsyncConnection) -> frozenset[str]:
    owned = _owned()
    tracked = job_tracking.c
    jobs = await connection.scalars(
        select(distinct(owned.c.context_id)).where(not_in(owned.c.status, TERMINAL_FAILOVER))
    )
    running = exists().where(job_steps.c.job_id == tracked.id, job_steps.c.status == "running")
    tracking = await connection.scalars(
        select(distinct(tracked.context_id)).where(
            tracked.context_id != "",
            tracked.job_type.in_(("failover", "cleanup")),
            or_(not_in(tracked.status, TERMINAL_TRACKING), running),
        )
    )
    return frozenset(jobs) | frozenset(tracking)


async def _read_undone(connection: AsyncConnection, newest: Subquery) -> frozenset[str]:
    """A rollback's own status is `completed` whatever happened (appliance facts 0.9): steps, log and context tell."""
    tracked, step, log = job_tracking.c, job_steps.c, log_events.c
    failed = exists().where(step.job_id == tracked.id, step.status == "failed")
    problems = exists().where(log.job_id == tracked.id, log.level.in_(("WARN", "ERROR")))
    found = await connection.scalars(
        select(distinct(tracked.context_id))
        .join(newest, and_(newest.c.context_id == tracked.context_id, newest.c.since <= tracked.started_at))
        .join(contexts, contexts.c.context_id == tracked.context_id)
        .where(
            tracked.job_type == "cleanup",
            tracked.operation.like("%-rollback"),
            or_(contexts.c.current_status.in_(_MOVED), failed, problems),
        )
    )
    return frozenset(found)


async def _read_volumes(connection: AsyncConnection) -> dict[str, tuple[VolumeOutline, ...]]:
    volume, mapping, export = ossea_volumes.c, device_mappings.c, nbd_exports.c
    exported: set[str] = set()
    for row in await connection.execute(select(export.volume_id, export.export_name)):
        exported |= {row.volume_id, (row.export_name or "").removeprefix(_EXPORT_PREFIX)}
    found: dict[str, list[VolumeOutline]] = {}
    for row in await connection.execute(
        select(
            volume.vm_context_id,
            volume.volume_id,
            volume.snapshot_id,
            mapping.vm_id,
            mapping.device_path,
            mapping.operation_mode,
        ).outerjoin(device_mappings, mapping.volume_uuid == volume.volume_id)
    ):
        outline = VolumeOutline(
            volume_id=row.volume_id or "",
            recorded_snapshot=bool(row.snapshot_id),
            mapped_to=row.vm_id,
            device_path=row.device_path or "",
            operation_mode=row.operation_mode,
            exported=row.volume_id in exported,
        )
        found.setdefault(row.vm_context_id, []).append(outline)
    return {context_id: tuple(outlines) for context_id, outlines in found.items()}
