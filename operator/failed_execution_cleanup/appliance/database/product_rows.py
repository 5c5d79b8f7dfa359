"""The single-row writes to the product's tables.

Each is a short transaction of its own that first locks and checks the claim's row, so that a late owner writes nothing,
then changes only a row that is as it was observed, and counts what it matched. Rows of volumes are reached only through
the claim's context.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, or_, select, update

from failed_execution_cleanup.appliance.database.claims import ClaimRows
from failed_execution_cleanup.appliance.database.clock import LocalNow, read_clock
from failed_execution_cleanup.appliance.database.failures import RowsChanged
from failed_execution_cleanup.appliance.database.statements import not_in
from failed_execution_cleanup.appliance.database.tables import (
    TERMINAL_OPERATION,
    contexts,
    device_mappings,
    ossea_volumes,
    volume_operations,
)

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Row, ScalarSelect
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.elements import KeyedColumnElement

    from failed_execution_cleanup.appliance.database.claims import StoredClaim

OPERATION_LIMIT: Final = timedelta(seconds=420)
"""A daemon operation older than this no longer acts: its own limit is 300 s (appliance facts 10.4)."""


class ProductRows(ClaimRows):
    """Writes to rows of the locked context. All raise `ClaimLost` when the claim is not this owner's any more."""

    async def mark_cleanup_required(self, claim: StoredClaim, context_id: str, observed_status: str) -> None:
        """Take the context out of the scheduler's hands (rule 7).

        Raises:
            RowsChanged: the context has another status than was observed.
        """
        self._require_context(context_id)
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            changed = await connection.execute(
                update(contexts)
                .where(contexts.c.context_id == context_id, same(contexts.c.current_status, observed_status))
                .values(current_status="cleanup_required", last_status_change=LocalNow(), updated_at=LocalNow())
            )
            if changed.rowcount != 1:
                now = await connection.scalar(
                    select(contexts.c.current_status).where(contexts.c.context_id == context_id).with_for_update()
                )
                raise RowsChanged("vm_replication_contexts", "current_status", now, expected=repr(observed_status))

    async def set_mode_oma(self, claim: StoredClaim, volume_id: str, observed_mode: str, oma_vm_id: str) -> None:
        """Correct the mode of a volume that never left the OMA.

        Raises:
            RowsChanged: the mapping is gone, of another VM or in another mode than was observed.
        """
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            mapping = await _mapping(connection, claim, volume_id)
            _expect("device_mappings", "vm_id", None if mapping is None else mapping.vm_id, oma_vm_id)
            _expect(
                "device_mappings", "operation_mode", None if mapping is None else mapping.operation_mode, observed_mode
            )
            changed = await connection.execute(
                update(device_mappings)
                .where(device_mappings.c.volume_uuid == volume_id)
                .values(operation_mode="oma", updated_at=LocalNow())
            )
            _expect_one("device_mappings", "volume_uuid", changed.rowcount, volume_id)

    async def mark_reverted(self, claim: StoredClaim, volume_id: str, snapshot_id: str | None) -> None:
        """Record that the volume's content is that of its restore point (rule 12).

        Raises:
            RowsChanged: the row names another snapshot than was observed.
        """
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            row = await _volume(connection, claim, volume_id)
            _expect("ossea_volumes", "snapshot_id", row.snapshot_id or None, snapshot_id)
            changed = await connection.execute(
                update(ossea_volumes)
                .where(ossea_volumes.c.id == row.id)
                .values(snapshot_status="rollback_complete", updated_at=LocalNow())
            )
            _expect_one("ossea_volumes", "volume_id", changed.rowcount, volume_id)

    async def clear_snapshot(self, claim: StoredClaim, volume_id: str, snapshot_id: str | None) -> bool:
        """Forget the snapshot of one volume, in all its columns at once (appliance facts 10.5).

        Returns:
            False when the row was clear already.

        Raises:
            RowsChanged: the row names another snapshot than was observed.
        """
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            row = await _volume(connection, claim, volume_id)
            if (row.snapshot_id, row.snapshot_created_at, row.snapshot_status) == (None, None, "none"):
                return False
            # An empty id with other columns set is what the product's own cleanup leaves.
            if row.snapshot_id:
                _expect("ossea_volumes", "snapshot_id", row.snapshot_id, snapshot_id)
            changed = await connection.execute(
                update(ossea_volumes)
                .where(ossea_volumes.c.id == row.id)
                .values(snapshot_id=None, snapshot_created_at=None, snapshot_status="none", updated_at=LocalNow())
            )
            _expect_one("ossea_volumes", "volume_id", changed.rowcount, volume_id)
            return True

    async def remove_stale_mapping(
        self, claim: StoredClaim, volume_id: str, vm_id: str, *, operation_limit: timedelta = OPERATION_LIMIT
    ) -> bool:
        """Delete the one mapping row of a detached volume; its `nbd_exports` rows go with it by foreign key (rule 16).

        The caller has seen in OSSEA that the volume is attached to nobody.

        Args:
            claim: the claim as this owner knows it.
            volume_id: the volume.
            vm_id: VM the mapping names.
            operation_limit: age at which an operation of the daemon that has not ended counts as dead.

        Returns:
            False when there was no mapping.

        Raises:
            RowsChanged: the mapping is of another VM, or the daemon works on the volume.
        """
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            mapping = await _mapping(connection, claim, volume_id)
            if mapping is None:
                return False
            _expect("device_mappings", "vm_id", mapping.vm_id, vm_id)
            clock = await read_clock(connection)
            column = volume_operations.c
            alive = (
                await connection.execute(
                    select(column.id, column.status).where(
                        column.volume_id == volume_id,
                        not_in(column.status, TERMINAL_OPERATION),
                        or_(column.created_at.is_(None), column.created_at > clock.utc - operation_limit),
                    )
                )
            ).first()
            if alive is not None:
                raise RowsChanged("volume_operations", "status", alive.status, expected="no operation in flight")
            removed = await connection.execute(delete(device_mappings).where(device_mappings.c.id == mapping.id))
            _expect_one("device_mappings", "volume_uuid", removed.rowcount, volume_id)
            return True


def same(column: KeyedColumnElement[Any], value: str | None) -> ColumnElement[bool]:
    """NULL-safe equality: `<=>` on MariaDB, `IS` on SQLite."""
    return column.is_not_distinct_from(value)


def volumes_of(context_id: str) -> ScalarSelect[Any]:
    """OSSEA ids of the context's volumes."""
    return select(ossea_volumes.c.volume_id).where(ossea_volumes.c.vm_context_id == context_id).scalar_subquery()


async def _mapping(connection: AsyncConnection, claim: StoredClaim, volume_id: str) -> Row[Any] | None:
    await _volume(connection, claim, volume_id)
    column = device_mappings.c
    selection = select(column.id, column.vm_id, column.operation_mode).where(column.volume_uuid == volume_id)
    return (await connection.execute(selection.with_for_update())).one_or_none()


async def _volume(connection: AsyncConnection, claim: StoredClaim, volume_id: str) -> Row[Any]:
    column = ossea_volumes.c
    selection = select(
        column.id, column.volume_id, column.snapshot_id, column.snapshot_created_at, column.snapshot_status
    )
    row = (
        await connection.execute(
            selection.where(column.volume_id == volume_id, column.vm_context_id == claim.context_id).with_for_update()
        )
    ).one_or_none()
    if row is None:
        raise RowsChanged("ossea_volumes", "volume_id", None, expected=f"{volume_id} of context {claim.context_id}")
    return row


def _expect(table: str, column: str, value: str | None, observed: str | None) -> None:
    if value != observed:
        raise RowsChanged(table, column, value, expected=repr(observed))


def _expect_one(table: str, column: str, matched: int, key: str) -> None:
    if matched != 1:
        raise RowsChanged(table, column, key, expected=f"one matching row, not {matched},")
