"""A connection that holds a context's advisory lock, and the transactions run on it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from failed_execution_cleanup.appliance.database import engine
from failed_execution_cleanup.appliance.database.failures import (
    DRIVER_ERRORS,
    LockLost,
    transaction_conflict,
    unavailable,
    unknown_commit,
)
from failed_execution_cleanup.appliance.errors import ApplianceError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy.ext.asyncio import AsyncConnection

    from failed_execution_cleanup.appliance.database.advisory_lock import AdvisoryLock


class LockedSession:
    """Runs transactions one at a time, each only while the lock is still ours.

    A call that is cancelled in the middle of a statement ends the connection, and the lock with it.

    Attributes:
        context_id: the context whose lock it holds.
    """

    def __init__(self, connection: AsyncConnection, lock: AdvisoryLock, context_id: str, *, timeout: float) -> None:
        self.context_id = context_id
        self._connection = connection
        self._lock = lock
        self._timeout = timeout
        self._turn = asyncio.Lock()
        self._lost = False

    @asynccontextmanager
    async def transaction(self, *, write: bool) -> AsyncIterator[AsyncConnection]:
        """Run a transaction after making sure, in it, that the lock is ours.

        The lock cannot be lost and found again: where a later statement of the same connection succeeds, it was held
        all along.

        Raises:
            LockLost: the connection ended; every later call raises it too.
            DatabaseUnavailable: nothing was written, the lock is still ours.
            Unknown: the answer to the COMMIT of a writing transaction was lost.
        """
        async with self._turn:
            if self._lost:
                raise LockLost(self.context_id)
            committing = False
            try:
                async with asyncio.timeout(self._timeout), engine.transaction(self._connection, write=write):
                    if not await self._lock.held(self._connection):
                        self._lost = True
                        raise LockLost(self.context_id)
                    yield self._connection
                    committing = write
            except DRIVER_ERRORS as error:
                if self._lock.ends_with_connection and not transaction_conflict(error):
                    self._lost = True
                if committing:
                    raise unknown_commit() from None
                if self._lost:
                    raise LockLost(self.context_id) from None
                raise unavailable(error) from None
            finally:
                # SQLAlchemy would silently open another connection, which holds no lock.
                if self._lock.ends_with_connection and self._connection.invalidated:
                    self._lost = True

    @asynccontextmanager
    async def between_statements(self) -> AsyncIterator[None]:
        """Keep the connection idle for the block: tasks that are cancelled in it do not end the lock."""
        async with self._turn:
            yield

    async def keep(self, pause_seconds: float) -> None:
        """Use the connection now and then, for ever, so that the server does not end it; returns once the lock is lost."""
        while not self._lost:
            await asyncio.sleep(pause_seconds)
            with suppress(ApplianceError):
                async with self.transaction(write=False):
                    pass

    def _require_context(self, context_id: str) -> None:
        if context_id != self.context_id:
            raise ValueError(f"the lock is of context {self.context_id}, not of {context_id}")
