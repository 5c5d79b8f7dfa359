"""Everything the database says about many contexts at once, by as many queries as for one.

Builds the same `Records` as `records.read_records`, by the same bounds; a context whose rows cannot be understood is told apart and
hides no other.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import and_, func, or_, select

from failed_execution_cleanup.appliance.database import envelope, records, statements
from failed_execution_cleanup.appliance.database.clock import read_clock
from failed_execution_cleanup.appliance.database.failures import UnexpectedRow
from failed_execution_cleanup.appliance.database.tables import (
    TERMINAL_FAILOVER,
    TERMINAL_REPLICATION,
    TERMINAL_TRACKING,
    cbt_history,
    contexts,
    device_mappings,
    failover_jobs,
    job_tracking,
    ossea_volumes,
    replication_jobs,
    vm_disks,
)
from failed_execution_cleanup.recovery.world import Records

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from sqlalchemy import ColumnElement, Row, Table
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import KeyedColumnElement

    from failed_execution_cleanup.recovery.world import Clock, ContextRow

_TOGETHER: Final = 500
"""Contexts read by one round of queries; more take further rounds, so that no statement grows without bounds."""


@dataclass(frozen=True, slots=True)
class ContextRecords:
    """One context of a set.

    Attributes:
        records: what `records.read_records` would have read.
        memories: text of the memory of each claim of this software that has one, by failover job.
    """

    records: Records
    memories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RecordSet:
    """Contexts as of one moment.

    Attributes:
        contexts: by context id; one that is gone is absent.
        unreadable: why a context could not be understood, by context id.
    """

    contexts: Mapping[str, ContextRecords]
    unreadable: Mapping[str, UnexpectedRow]


async def read_record_set(connection: AsyncConnection, context_ids: Collection[str]) -> RecordSet:
    """Read contexts; run it inside one transaction, as `records.read_records`."""
    found: dict[str, ContextRecords] = {}
    unreadable: dict[str, UnexpectedRow] = {}
    if context_ids:
        clock = await read_clock(connection)
        oma_vm_ids = await records.read_oma_vm_ids(connection)
        for some in _chunks(sorted(context_ids)):
            rows = await _read_rows(connection, some, clock)
            for context in rows.contexts:
                try:
                    found[context.context_id] = rows.of(context, clock, oma_vm_ids)
                except UnexpectedRow as error:
                    unreadable[context.context_id] = error
    return RecordSet(found, unreadable)


@dataclass(slots=True)
class _Rows:
    """Rows of some contexts, by context id or by what else ties them to one."""

    contexts: tuple[ContextRow, ...]
    failovers: defaultdict[str, list[Row[Any]]]
    strays: defaultdict[str, list[Row[Any]]]
    owners: dict[str, int]
    tracking: _Tracking
    activity: Mapping[str, records.JobActivity]
    replications: defaultdict[str, list[Row[Any]]]
    syncs: defaultdict[str, list[Row[Any]]]
    disks: defaultdict[str, list[Row[Any]]]
    volumes: defaultdict[str, list[Row[Any]]]
    mappings: Mapping[str, Row[Any]]
    named_by_context: Mapping[str, Sequence[str]]
    operations: defaultdict[str, list[Row[Any]]]
    exports: frozenset[str]
    namesakes: dict[str, int]

    def of(self, context: ContextRow, clock: Clock, oma_vm_ids: tuple[str, ...]) -> ContextRecords:
        """One context.

        Raises:
            UnexpectedRow: a row cannot be attributed or lacks a time it always has.
        """
        id_ = context.context_id
        if self.strays[id_] and self.owners.get(id_) != 1:
            raise records.nobodys_failover(self.strays[id_][0], context)
        failovers = tuple(map(records.failover_row, _newest_failovers((*self.failovers[id_], *self.strays[id_]))))
        wanted = _wanted_jobs((*self.failovers[id_], *self.strays[id_]))
        claims, memories, foreign = [], {}, []
        for row in self.tracking.of(id_, wanted):
            stored = records.own_claim(row)
            if stored is None:
                foreign.append(row)
                continue
            claims.append(records.claim_row(row.id, stored, clock))
            if stored.memory is not None:
                memories[stored.envelope.job] = stored.memory
        volumes = tuple(map(records.volume_row, self.volumes[id_]))
        volume_ids = {volume.volume_id for volume in volumes}
        operations = [row for volume_id in volume_ids for row in self.operations[volume_id]]
        return ContextRecords(
            Records(
                clock=clock,
                oma_vm_ids=oma_vm_ids,
                context=context,
                failovers=failovers,
                tracking=tuple(records.tracking_row(row, self.activity[row.id]) for row in foreign),
                replications=records.replication_rows(self.replications[id_]),
                syncs=records.sync_rows(self.syncs[id_]),
                disks=tuple(map(records.disk_row, self.disks[id_])),
                volumes=volumes,
                mappings=tuple(map(records.mapping_row, self._mappings_of(id_, volume_ids))),
                operations=tuple(
                    sorted(
                        map(records.operation_row, sorted(operations, key=lambda row: str(row.id))),
                        key=lambda operation: operation.created_at,
                        reverse=True,
                    )
                ),
                exports=self.exports & volume_ids,
                claims=tuple(sorted(claims, key=lambda claim: claim.id)),
                namesakes=self.namesakes.get(id_, 0),
            ),
            memories,
        )

    def _mappings_of(self, context_id: str, volume_ids: set[str]) -> list[Row[Any]]:
        """Also those that name the context and a volume it does not know: such a volume is missing."""
        known = (volume_ids & self.mappings.keys()) | set(self.named_by_context.get(context_id, ()))
        return [self.mappings[volume_id] for volume_id in sorted(known)]


@dataclass(slots=True)
class _Tracking:
    """Rows of `job_tracking` of some contexts."""

    by_id: dict[str, Row[Any]]
    by_context: defaultdict[str, list[Row[Any]]] = field(init=False)
    unattributed: list[Row[Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.by_context = defaultdict(list)
        for row in self.by_id.values():
            self.by_context[row.context_id or ""].append(row)
        self.unattributed = [
            row
            for row in self.by_context[""]
            if row.job_type == envelope.JOB_TYPE and row.operation == envelope.OPERATION
        ]

    def of(self, context_id: str, wanted: set[str]) -> list[Row[Any]]:
        """Rows of a context, of these jobs, and those that may be of any VM; newest first."""
        named = [self.by_id[job_id] for job_id in wanted if job_id in self.by_id]
        found = {row.id: row for row in (*self.by_context[context_id], *named, *self.unattributed)}
        return sorted(found.values(), key=records.began, reverse=True)


async def _read_rows(connection: AsyncConnection, ids: Sequence[str], clock: Clock) -> _Rows:
    found = tuple(
        records.context_row(row)
        for row in await connection.execute(statements.context_columns().where(contexts.c.context_id.in_(ids)))
    )
    failovers = await _grouped(connection, failover_jobs, failover_jobs.c.vm_context_id, ids)
    strays, owners = await _read_strays(connection, ids)
    wanted: set[str] = set()
    for id_ in ids:
        wanted |= _wanted_jobs((*failovers[id_], *strays[id_]))
    tracking, activity = await _read_tracking(connection, ids, wanted)
    volumes = await _grouped(connection, ossea_volumes, ossea_volumes.c.vm_context_id, ids)
    volume_ids = [row.volume_id or "" for rows in volumes.values() for row in rows]
    mappings, named_by_context = await _read_mappings(connection, ids, volume_ids)
    operations: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    recent = {"volume_ids": volume_ids, "since": clock.utc - statements.OPERATION_AGE}
    for row in await connection.execute(statements.OPERATIONS, recent):
        operations[row.volume_id].append(row)
    return _Rows(
        contexts=found,
        failovers=failovers,
        strays=strays,
        owners=owners,
        tracking=tracking,
        activity=activity,
        replications=await _read_replications(connection, ids, found),
        syncs=await _read_syncs(connection, ids),
        disks=await _grouped(connection, vm_disks, vm_disks.c.vm_context_id, ids),
        volumes=volumes,
        mappings=mappings,
        named_by_context=named_by_context,
        operations=operations,
        exports=await records.read_exports(connection, volume_ids),
        namesakes=await _count_namesakes(connection, ids),
    )


async def _read_mappings(
    connection: AsyncConnection, ids: Sequence[str], volume_ids: Collection[str]
) -> tuple[dict[str, Row[Any]], defaultdict[str, list[str]]]:
    column = device_mappings.c
    by_volume: dict[str, Row[Any]] = {}
    by_context: defaultdict[str, list[str]] = defaultdict(list)
    for row in await connection.execute(
        select(device_mappings).where(or_(column.volume_uuid.in_(volume_ids), column.vm_context_id.in_(ids)))
    ):
        by_volume[row.volume_uuid] = row
        by_context[row.vm_context_id or ""].append(row.volume_uuid)
    return by_volume, by_context


async def _grouped(
    connection: AsyncConnection, table: Table, key: KeyedColumnElement[Any], ids: Sequence[str]
) -> defaultdict[str, list[Row[Any]]]:
    """Rows of a table by context, in the order of their ids."""
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(select(table).where(key.in_(ids)).order_by(table.c.id)):
        grouped[getattr(row, key.key)].append(row)
    return grouped


async def _read_strays(
    connection: AsyncConnection, ids: Sequence[str]
) -> tuple[defaultdict[str, list[Row[Any]]], dict[str, int]]:
    """Failovers without context, by the contexts that have their VMware id; and how many contexts have it."""
    job, other = failover_jobs.c, contexts.alias()
    strays: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(
        select(failover_jobs, contexts.c.context_id.label("owner"))
        .join(contexts, contexts.c.vmware_vm_id == job.vm_id)
        .where(or_(job.vm_context_id.is_(None), job.vm_context_id == ""), contexts.c.context_id.in_(ids))
    ):
        strays[row.owner].append(row)
    if not strays:
        return strays, {}
    counted = await connection.execute(
        select(contexts.c.context_id, func.count())
        .join(other, other.c.vmware_vm_id == contexts.c.vmware_vm_id)
        .where(contexts.c.context_id.in_(list(strays)))
        .group_by(contexts.c.context_id)
    )
    return strays, {row[0]: row[1] for row in counted}


def _newest_failovers(rows: Iterable[Row[Any]]) -> list[Row[Any]]:
    return sorted(rows, key=lambda row: (row.created_at or records.NEVER, row.id), reverse=True)


def _wanted_jobs(rows: Iterable[Row[Any]]) -> set[str]:
    """Jobs whose tracking rows are read whatever context these name."""
    ordered = _newest_failovers(rows)
    return {row.job_id for row in ordered if row.status not in TERMINAL_FAILOVER} | {
        row.job_id for row in islice(ordered, statements.TRACKING_LIMIT)
    }


async def _read_tracking(
    connection: AsyncConnection, ids: Sequence[str], wanted: set[str]
) -> tuple[_Tracking, Mapping[str, records.JobActivity]]:
    """Foreign rows and claims, and the activity of the foreign ones."""
    column = job_tracking.c
    age = func.coalesce(column.started_at, column.created_at)
    is_open = statements.not_in(column.status, TERMINAL_TRACKING)
    unattributed = statements.is_unattributed()
    newest = select(job_tracking).order_by(age.desc(), column.id).limit(statements.TRACKING_LIMIT)
    ours = column.context_id.in_(ids)
    found: dict[str, Row[Any]] = {}
    for selection in (
        select(job_tracking).where(
            _newest_of_each(job_tracking, column.context_id, (age.desc(), column.id), statements.TRACKING_LIMIT, ours)
        ),
        select(job_tracking).where(ours, is_open),
        select(job_tracking).where(column.id.in_(wanted)),
        newest.where(unattributed),
        select(job_tracking).where(unattributed, is_open),
    ):
        found |= {row.id: row for row in await connection.execute(selection)}
    jobs = [row for row in found.values() if not _is_ours(row)]
    limit = statements.PROBLEM_LIMIT * len(ids)
    activity = await records.read_activity(connection, [row.id for row in jobs], limit=limit)
    await records.read_mentions(connection, [row.id for row in jobs if not row.context_id], activity)
    return _Tracking(found), activity


def _is_ours(row: Row[Any]) -> bool:
    try:
        return records.own_claim(row) is not None
    except UnexpectedRow:
        return True  # a damaged claim: told where its context is put together


async def _read_replications(
    connection: AsyncConnection, ids: Sequence[str], found: Iterable[ContextRow]
) -> defaultdict[str, list[Row[Any]]]:
    column = replication_jobs.c
    named = [job for row in found for job in (row.current_job_id, row.last_successful_job_id) if job is not None]
    ours = column.vm_context_id.in_(ids)
    newest = _newest_of_each(
        replication_jobs,
        column.vm_context_id,
        (column.created_at.desc(), column.id.desc()),
        statements.REPLICATION_LIMIT,
        ours,
    )
    kept = or_(newest, statements.not_in(column.status, TERMINAL_REPLICATION), column.id.in_(named))
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(select(replication_jobs).where(ours, kept)):
        grouped[row.vm_context_id].append(row)
    return grouped


async def _read_syncs(connection: AsyncConnection, ids: Sequence[str]) -> defaultdict[str, list[Row[Any]]]:
    column = cbt_history.c
    ours = column.vm_context_id.in_(ids)
    newest = _newest_of_each(
        cbt_history, column.vm_context_id, (column.created_at.desc(), column.id.desc()), statements.SYNC_LIMIT, ours
    )
    newest_of_disk = (
        select(func.max(column.id))
        .where(ours)
        .group_by(column.vm_context_id, column.disk_id, column.sync_type, column.sync_success)
    )
    grouped: defaultdict[str, list[Row[Any]]] = defaultdict(list)
    for row in await connection.execute(select(cbt_history).where(ours, or_(newest, column.id.in_(newest_of_disk)))):
        grouped[row.vm_context_id].append(row)
    return grouped


def _newest_of_each(
    table: Table,
    key: KeyedColumnElement[Any],
    order: tuple[ColumnElement[Any], ...],
    limit: int,
    where: ColumnElement[bool],
) -> ColumnElement[bool]:
    """The first `limit` rows of each key in this order."""
    place = func.row_number().over(partition_by=key, order_by=order).label("place")
    ranked = select(table.c.id, place).where(where).subquery()
    return table.c.id.in_(select(ranked.c.id).where(ranked.c.place <= limit))


async def _count_namesakes(connection: AsyncConnection, ids: Sequence[str]) -> dict[str, int]:
    other = contexts.alias()
    counted = await connection.execute(
        select(contexts.c.context_id, func.count())
        .join(other, and_(other.c.vm_name == contexts.c.vm_name, other.c.context_id != contexts.c.context_id))
        .where(contexts.c.context_id.in_(ids))
        .group_by(contexts.c.context_id)
    )
    return {row[0]: row[1] for row in counted}


def _chunks(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _TOGETHER):
        yield ids[start : start + _TOGETHER]
