"""The last transaction: the incident's rows are closed and the context is handed back, all or nothing (rule 16).

Locking reads come first and compare every row with what was observed; the updates follow on rows nobody else can touch
any more.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import case, func, or_, select, update

from failed_execution_cleanup.appliance.database import envelope
from failed_execution_cleanup.appliance.database.claims import ClaimRows
from failed_execution_cleanup.appliance.database.clock import LocalNow, read_clock
from failed_execution_cleanup.appliance.database.failures import RowsChanged, no_such_context
from failed_execution_cleanup.appliance.database.product_rows import volumes_of
from failed_execution_cleanup.appliance.database.statements import not_in
from failed_execution_cleanup.appliance.database.tables import (
    TERMINAL_REPLICATION,
    TERMINAL_TRACKING,
    contexts,
    device_mappings,
    failover_jobs,
    job_steps,
    job_tracking,
    replication_jobs,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from sqlalchemy import ColumnElement, Row, Update
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import KeyedColumnElement

    from failed_execution_cleanup.appliance.database.claims import StoredClaim
    from failed_execution_cleanup.recovery.actions import Closing

_READY: Final = "ready_for_failover"


class ClosingRows(ClaimRows):
    """Closing an incident of the locked context."""

    async def close_incident(self, claim: StoredClaim, closing: Closing) -> None:
        """Close the incident (appliance facts 10.2).

        Failover jobs, tracking rows and running steps become `failed`, keeping an error text they have; legacy snapshot
        ids of the mappings go; the context gets its status, no current job, and a summary of this cleanup for the
        product's screens.

        Args:
            claim: the claim as this owner knows it.
            closing: the rows and the statuses they were seen in.

        Raises:
            ClaimLost: the claim is not this owner's any more.
            RowsChanged: anything differs from what was observed, a newer failover job or activity is there, or a
                replication is active.
            NotFound: the context is gone.
        """
        self._require_context(closing.context_id)
        async with self.transaction(write=True) as connection:
            claim_row = await self._verify_claim(connection, claim)
            context = await _lock_context(connection, closing)
            jobs = await _lock_failovers(connection, closing, context.vmware_vm_id)
            await _check_replications(connection, closing)
            await _lock_tracking(connection, closing, jobs)
            await _check_no_newer_activity(connection, closing, claim_row)
            await _lock_steps(connection, closing)

            await _close(connection, failover_jobs, [row_id for row_id, _ in closing.failovers], closing.message)
            await _close(connection, job_tracking, [row_id for row_id, _ in closing.tracking], closing.message)
            await _close(connection, job_steps, closing.steps, closing.message)
            await _clear_legacy_snapshots(connection, closing.context_id)
            await _hand_back(connection, closing, await _summary(connection, closing, claim_row))


async def _lock_context(connection: AsyncConnection, closing: Closing) -> Row[Any]:
    row = (
        await connection.execute(
            select(contexts.c.current_status, contexts.c.vmware_vm_id)
            .where(contexts.c.context_id == closing.context_id)
            .with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise no_such_context(closing.context_id)
    if row.current_status not in closing.context_from:
        raise RowsChanged(
            "vm_replication_contexts", "current_status", row.current_status, expected=" or ".join(closing.context_from)
        )
    return row


async def _lock_failovers(connection: AsyncConnection, closing: Closing, vmware_vm_id: str) -> set[str]:
    column = failover_jobs.c
    rows = await connection.execute(
        select(column.id, column.job_id, column.status, column.vm_context_id, column.vm_id)
        # By the foreign key's index alone, so that the lock also covers rows that are only about to be inserted.
        .where(
            or_(column.vm_context_id == closing.context_id, column.vm_context_id.is_(None), column.vm_context_id == "")
        )
        .with_for_update()
    )
    ours = {row.id: row for row in rows if row.vm_context_id or row.vm_id == vmware_vm_id}
    newest = max(ours, default=0)
    if newest != closing.newest_failover:
        raise RowsChanged("failover_jobs", "id", str(newest), expected=f"{closing.newest_failover} as the newest")
    for row_id, status in closing.failovers:
        _expect_status("failover_jobs", row_id, ours.get(row_id), status)
    return {row.job_id for row in ours.values()}


async def _check_replications(connection: AsyncConnection, closing: Closing) -> None:
    column = replication_jobs.c
    rows = await connection.execute(
        select(column.id, column.status)
        .where(column.vm_context_id == closing.context_id, not_in(column.status, TERMINAL_REPLICATION))
        .with_for_update()
    )
    for row in rows:
        if row.id not in closing.dead_replications:
            raise RowsChanged("replication_jobs", "status", row.status, expected="no active replication")


async def _lock_tracking(connection: AsyncConnection, closing: Closing, jobs: set[str]) -> None:
    column = job_tracking.c
    wanted = dict(closing.tracking)
    rows = await connection.execute(
        select(column.id, column.status, column.context_id).where(column.id.in_(wanted)).with_for_update()
    )
    found = {row.id: row for row in rows}
    for row_id, status in wanted.items():
        row = found.get(row_id)
        _expect_status("job_tracking", row_id, row, status)
        unnamed = row_id in jobs or row_id in closing.nameless
        if row is not None and row.context_id != closing.context_id and (row.context_id or not unnamed):
            raise RowsChanged("job_tracking", "context_id", row.context_id, expected=closing.context_id)


async def _check_no_newer_activity(connection: AsyncConnection, closing: Closing, claim_row: Row[Any]) -> None:
    # A failover is tracked before it has a row in failover_jobs. What was there when this claim was taken has been
    # judged by the guards.
    column = job_tracking.c
    rows = await connection.execute(
        select(column.id, column.operation, column.metadata.label("content"))
        .where(
            column.context_id == closing.context_id,
            column.id.not_in([row_id for row_id, _ in closing.tracking]),
            not_in(column.status, TERMINAL_TRACKING),
            column.started_at > claim_row.started_at,
        )
        .order_by(column.id)
    )
    for row in rows:
        if row.operation != envelope.OPERATION or envelope.parse(row.id, row.content) is None:
            raise RowsChanged("job_tracking", "operation", row.operation, expected="no job newer than this cleanup")


async def _lock_steps(connection: AsyncConnection, closing: Closing) -> None:
    column = job_steps.c
    jobs = [row_id for row_id, _ in closing.tracking]
    rows = await connection.execute(
        select(column.id, column.status)
        .where(or_(column.id.in_(closing.steps), column.job_id.in_(jobs)))
        .with_for_update()
    )
    found = {row.id: row for row in rows}
    for step_id in closing.steps:
        _expect_status("job_steps", step_id, found.get(step_id), "running")
    for step_id, row in found.items():
        if row.status == "running" and step_id not in closing.steps:
            raise RowsChanged(
                "job_steps", "status", row.status, expected=f"no newer running step than observed (row {step_id})"
            )


def _expect_status(table: str, row_id: object, row: Row[Any] | None, observed: str | None) -> None:
    if row is None:
        raise RowsChanged(table, "id", None, expected=str(row_id))
    if row.status != observed:
        raise RowsChanged(table, "status", row.status, expected=f"{observed!r} in row {row_id}")


async def _close(connection: AsyncConnection, table: Any, row_ids: Collection[int | str], message: str) -> None:
    if not row_ids:
        return
    values: dict[str, Any] = {
        "status": "failed",
        "completed_at": LocalNow(),
        "error_message": _keep_or(table.c.error_message, message),
    }
    if "updated_at" in table.c:
        values["updated_at"] = LocalNow()
    await _count(connection, update(table).where(table.c.id.in_(row_ids)).values(values), table.name, len(row_ids))


def _keep_or(column: KeyedColumnElement[str], message: str) -> ColumnElement[str]:
    # What the engine wrote about its own failure is worth more than our sentence.
    return case((func.coalesce(column, "") == "", message), else_=column)


async def _count(connection: AsyncConnection, statement: Update, table: str, expected: int) -> None:
    matched = (await connection.execute(statement)).rowcount
    if matched != expected:
        raise RowsChanged(table, "id", None, expected=f"{expected} matching rows, not {matched},")


async def _clear_legacy_snapshots(connection: AsyncConnection, context_id: str) -> None:
    column = device_mappings.c
    await connection.execute(
        update(device_mappings)
        .where(column.volume_uuid.in_(volumes_of(context_id)), func.coalesce(column.ossea_snapshot_id, "") != "")
        .values(ossea_snapshot_id=None, snapshot_created_at=None, snapshot_status="none", updated_at=LocalNow())
    )


async def _summary(connection: AsyncConnection, closing: Closing, claim_row: Row[Any]) -> str:
    """`last_operation_summary` as the product's screens read it (appliance facts 5): an operation was undone."""
    column = job_steps.c
    counted = await connection.execute(
        select(column.status, func.count().label("steps")).where(column.job_id == claim_row.id).group_by(column.status)
    )
    steps = {row.status: row.steps for row in counted}
    clock = await read_clock(connection)
    seconds = 0 if claim_row.started_at is None else max(0, int(clock.age(claim_row.started_at).total_seconds()))
    ready = closing.context_to == _READY
    return json.dumps(
        {
            "job_id": claim_row.id,
            "external_job_id": "",
            "operation_type": "rollback",
            "status": "completed" if ready else "failed",
            "progress": 100.0,
            "timestamp": f"{clock.utc.isoformat(timespec='seconds')}Z",
            "steps_completed": steps.get("completed", 0) + steps.get("skipped", 0),
            "steps_total": sum(steps.values()),
            "duration_seconds": seconds,
            "error_message": "" if ready else closing.message,
            "error_category": "success" if ready else "storage",
            "error_severity": "info" if ready else "error",
            "actionable_steps": [] if ready else ["Replicate the VM, then fail over again."],
        }
    )


async def _hand_back(connection: AsyncConnection, closing: Closing, summary: str) -> None:
    values: dict[str, Any] = {
        "current_status": closing.context_to,
        "current_job_id": None,
        "last_operation_summary": summary,
        "last_status_change": LocalNow(),
        "updated_at": LocalNow(),
    }
    statement = update(contexts).where(contexts.c.context_id == closing.context_id).values(values)
    await _count(connection, statement, "vm_replication_contexts", 1)
