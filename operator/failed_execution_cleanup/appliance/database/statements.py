"""The statements that read one context and the terms they share with those of many.

They are built once and take their values as parameters: a run reads its context before each request, and building each
statement anew took a quarter of a test run's CPU. Rows accumulate for years, so what is closed is bounded to the newest; what is
open is always read.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Integer, and_, bindparam, func, or_, select, union

from failed_execution_cleanup.appliance.database import envelope
from failed_execution_cleanup.appliance.database.clock import CLOCK_COLUMNS, UTCNow
from failed_execution_cleanup.appliance.database.tables import (
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

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import BindParameter, ColumnElement, Select, Table
    from sqlalchemy.sql.elements import KeyedColumnElement

TRACKING_LIMIT: Final = 100
PROBLEM_LIMIT: Final = 2000
MENTION_LIMIT: Final = 2000
REPLICATION_LIMIT: Final = 50
SYNC_LIMIT: Final = 200
OPERATION_AGE: Final = timedelta(days=1)

_CONTEXT_ID: Final[BindParameter[Any]] = bindparam("context_id")
_VM_NAME: Final[BindParameter[Any]] = bindparam("vm_name")
_VMWARE_VM_ID: Final[BindParameter[Any]] = bindparam("vmware_vm_id")
_VOLUME_IDS: Final[BindParameter[Any]] = bindparam("volume_ids", expanding=True)
_JOB_IDS: Final[BindParameter[Any]] = bindparam("job_ids", expanding=True)
_NAMED: Final[BindParameter[Any]] = bindparam("named", expanding=True)
_SINCE: Final[BindParameter[Any]] = bindparam("since")
_ROW_ID: Final[BindParameter[Any]] = bindparam("row_id")


def not_in(column: KeyedColumnElement[Any], terminal: Sequence[str]) -> ColumnElement[bool]:
    """A status outside the terminal ones: NULL and values nobody has seen count as open."""
    return or_(column.is_(None), column.not_in(terminal))


def any_of(table: Table, *ids: Select[tuple[Any]]) -> Select[Any]:
    """The rows of a table whose id one of these selections gives, each by its own index, in one statement.

    Only ids are brought together: MariaDB writes every intermediate result with a text column to disk.
    """
    wanted = union(*(select(selection.subquery().c.id) for selection in ids)).subquery()
    return select(table).join(wanted, wanted.c.id == table.c.id)


def is_unattributed() -> ColumnElement[bool]:
    """A cleanup of the product that names no context: it may be of any VM."""
    column = job_tracking.c
    return and_(
        or_(column.context_id.is_(None), column.context_id == ""),
        column.job_type == envelope.JOB_TYPE,
        column.operation == envelope.OPERATION,
    )


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


def _context() -> Select[Any]:
    other = contexts.alias()
    namesakes = (
        select(func.count())
        .select_from(other)
        .where(other.c.vm_name == contexts.c.vm_name, other.c.context_id != contexts.c.context_id)
        .scalar_subquery()
    )
    read = context_columns().add_columns(namesakes.label("namesakes"), *CLOCK_COLUMNS)
    return read.where(contexts.c.context_id == _CONTEXT_ID)


def _failovers() -> Select[Any]:
    # By id; rows without one by the VMware id, never by name (facts 10.1).
    column = failover_jobs.c
    nobodys = or_(column.vm_context_id.is_(None), column.vm_context_id == "")
    return (
        select(failover_jobs)
        .where(or_(column.vm_context_id == _CONTEXT_ID, and_(nobodys, column.vm_id == _VMWARE_VM_ID)))
        .order_by(column.created_at.desc(), column.id.desc())
    )


def _tracking() -> Select[Any]:
    column = job_tracking.c
    age = func.coalesce(column.started_at, column.created_at)
    every = select(column.id)
    newest = every.order_by(age.desc(), column.id).limit(TRACKING_LIMIT)
    is_open = not_in(column.status, TERMINAL_TRACKING)
    return any_of(
        job_tracking,
        newest.where(column.context_id == _CONTEXT_ID),
        every.where(column.context_id == _CONTEXT_ID, is_open),
        every.where(column.id.in_(_JOB_IDS)),
        newest.where(is_unattributed()),
        every.where(is_unattributed(), is_open),
    )


def _replications() -> Select[Any]:
    column = replication_jobs.c
    ours = select(column.id).where(column.vm_context_id == _CONTEXT_ID)
    return any_of(
        replication_jobs,
        ours.order_by(column.created_at.desc(), column.id.desc()).limit(REPLICATION_LIMIT),
        ours.where(or_(not_in(column.status, TERMINAL_REPLICATION), column.id.in_(_NAMED))),
    )


def _syncs() -> Select[Any]:
    column = cbt_history.c
    ours = select(column.id).where(column.vm_context_id == _CONTEXT_ID)
    # A VM of many disks must not lose sight of a disk that is synced seldom: its newest sync of each sort is always
    # read.
    newest_of_disk = (
        select(func.max(column.id).label("id"))
        .where(column.vm_context_id == _CONTEXT_ID)
        .group_by(column.disk_id, column.sync_type, column.sync_success)
    )
    return any_of(
        cbt_history,
        ours.order_by(column.created_at.desc(), column.id.desc()).limit(SYNC_LIMIT),
        newest_of_disk,
    )


def _operations() -> Select[Any]:
    column = volume_operations.c
    return (
        select(volume_operations)
        .where(
            column.volume_id.in_(_VOLUME_IDS),
            or_(not_in(column.status, TERMINAL_OPERATION), column.created_at >= _SINCE),
        )
        .order_by(column.created_at.desc(), column.id)
    )


def _claim() -> Select[Any]:
    column = job_tracking.c
    return select(
        column.id,
        column.context_id,
        column.status,
        column.started_at,
        column.metadata.label("content"),
        UTCNow().label("utc"),
    ).where(column.id == _ROW_ID)


_LOG: Final = log_events.c
_OF_JOBS: Final = _LOG.job_id.in_(_JOB_IDS)

CONTEXT: Final = _context()
"""One context, how many others have its name, and what time it is."""
CONTEXTS_OF_NAME: Final = context_columns().where(contexts.c.vm_name == _VM_NAME).order_by(contexts.c.context_id)
OWNERS: Final = select(func.count()).select_from(contexts).where(contexts.c.vmware_vm_id == _VMWARE_VM_ID)
"""How many contexts have a VMware id."""
OMA_VM_IDS: Final = select(ossea_configs.c.oma_vm_id).where(ossea_configs.c.is_active).order_by(ossea_configs.c.id)
FAILOVERS: Final = _failovers()
TRACKING: Final = _tracking()
"""Of a context, of jobs by id, and those that may be of any VM."""
STEPS: Final = select(job_steps).where(job_steps.c.job_id.in_(_JOB_IDS)).order_by(job_steps.c.job_id, job_steps.c.seq)
NEWEST_LOG: Final = (
    select(_LOG.job_id, func.max(_LOG.id).label("newest_id"), func.max(_LOG.ts).label("newest_at"))
    .where(_OF_JOBS)
    .group_by(_LOG.job_id)
)
PROBLEMS: Final = (
    select(_LOG.id, _LOG.job_id, _LOG.level, _LOG.message, _LOG.ts)
    .where(_OF_JOBS, _LOG.level.in_(("WARN", "ERROR")))
    .order_by(_LOG.id.desc())
    .limit(bindparam("limit", type_=Integer()))
)
MENTIONS: Final = (
    select(_LOG.job_id, _LOG.message, _LOG.attrs).where(_OF_JOBS).order_by(_LOG.id.desc()).limit(MENTION_LIMIT)
)
REPLICATIONS: Final = _replications()
SYNCS: Final = _syncs()
DISKS: Final = select(vm_disks).where(vm_disks.c.vm_context_id == _CONTEXT_ID).order_by(vm_disks.c.id)
VOLUMES: Final = select(ossea_volumes).where(ossea_volumes.c.vm_context_id == _CONTEXT_ID).order_by(ossea_volumes.c.id)
MAPPINGS: Final = (
    select(device_mappings)
    # Also those that name the context and a volume it does not know: such a volume is missing.
    .where(or_(device_mappings.c.volume_uuid.in_(_VOLUME_IDS), device_mappings.c.vm_context_id == _CONTEXT_ID))
    .order_by(device_mappings.c.volume_uuid)
)
OPERATIONS: Final = _operations()
"""Operations of the daemon on volumes that are open or recent, newest first."""
EXPORTS: Final = select(nbd_exports.c.volume_id, nbd_exports.c.export_name).where(
    or_(nbd_exports.c.volume_id.in_(_VOLUME_IDS), nbd_exports.c.export_name.in_(bindparam("names", expanding=True)))
)
CLAIM: Final = _claim()
LOCKED_CLAIM: Final = CLAIM.with_for_update()
