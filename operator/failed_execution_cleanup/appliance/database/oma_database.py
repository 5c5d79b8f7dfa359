"""The door to the OMA database."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Self

from pydantic import SecretStr

from failed_execution_cleanup.appliance.database import engine, records
from failed_execution_cleanup.appliance.database.advisory_lock import lock_of
from failed_execution_cleanup.appliance.database.claims import read_open_claims
from failed_execution_cleanup.appliance.database.closing import ClosingRows
from failed_execution_cleanup.appliance.database.configs import read_active_configs
from failed_execution_cleanup.appliance.database.failures import DRIVER_ERRORS, LockHeld, translated
from failed_execution_cleanup.appliance.database.job_log import JobLogRows
from failed_execution_cleanup.appliance.database.overview import read_overview
from failed_execution_cleanup.appliance.database.product_rows import ProductRows
from failed_execution_cleanup.appliance.database.record_sets import read_record_set

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from types import TracebackType

    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection

    from failed_execution_cleanup.appliance.database.advisory_lock import AdvisoryLock
    from failed_execution_cleanup.appliance.database.configs import OSSEAConfig
    from failed_execution_cleanup.appliance.database.overview import Overview
    from failed_execution_cleanup.appliance.database.record_sets import RecordSet
    from failed_execution_cleanup.recovery.world import ContextRow, Records


class ContextLock(ProductRows, ClosingRows, JobLogRows):
    """The right to work on a context, on a connection of its own: reads, the claim, writes and the job log.

    Calls run one after the other. Once the connection is lost every call raises `LockLost`.
    """

    async def read(self) -> Records:
        """Read the context, making sure in the same transaction that the lock is still ours.

        Raises:
            NotFound: the context is gone.
            UnexpectedRow: a row cannot be attributed or understood.
        """
        async with self.transaction(write=False) as connection:
            return await records.read_records(connection, self.context_id)


class OMADatabase:
    """The OMA database: a small pool for reads, and a connection for each lock.

    Its errors are those of `database.failures`; none tells the URL, a statement or a value of a parameter. `async with` may be
    nested by any number of users: the last one closes the pool, and it may be used again.
    """

    def __init__(self, url: URL, *, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._pool = engine.create_engine(url, connect_timeout=timeout, dedicated=False)
        self._dedicated = engine.create_engine(url, connect_timeout=timeout, dedicated=True)
        self._users = 0
        self._closing = asyncio.Lock()

    async def __aenter__(self) -> Self:
        async with self._closing:  # nobody connects to a pool that is being closed
            self._users += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._users -= 1
        async with self._closing:
            if self._users == 0:
                await self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._url.host or 'file'}/{self._url.database}>"

    @classmethod
    def open(cls, url: SecretStr | str, *, timeout: float = 30.0) -> Self:
        """Prepare access; nothing connects yet.

        Args:
            url: `mysql+asyncmy://user:password@host:port/name` or `sqlite+aiosqlite:///path`.
            timeout: seconds a connection and a transaction may take.

        Raises:
            ValueError: the URL is not one of these.
        """
        text = url.get_secret_value() if isinstance(url, SecretStr) else url
        return cls(engine.parse_url(text), timeout=timeout)

    async def close(self) -> None:
        """Close the pool. Locks end with their own blocks."""
        await self._pool.dispose()
        await self._dedicated.dispose()

    async def find_contexts(self, vm_name: str, vcenter_host: str | None) -> tuple[ContextRow, ...]:
        """Contexts of that very VM name, of one vCenter when given."""
        async with self._reading() as connection:
            return await records.find_contexts(connection, vm_name, vcenter_host)

    async def active_configs(self) -> tuple[OSSEAConfig, ...]:
        """Active `ossea_configs` rows: exactly one is sound. Read afresh, as keys are changed in the product."""
        async with self._reading() as connection:
            return await read_active_configs(connection)

    async def open_claims(self) -> tuple[str, ...]:
        """Ids of the claims that somebody holds, or held when he died.

        Raises:
            UnexpectedRow: a claim's row was changed by hand.
        """
        async with self._reading() as connection:
            return await read_open_claims(connection)

    async def overview(self, *, volumes: bool) -> Overview:
        """A cheap look at all contexts, by a constant number of queries; with an outline of their volumes if wanted."""
        async with self._reading() as connection:
            return await read_overview(connection, volumes=volumes)

    async def read_many(self, context_ids: Collection[str]) -> RecordSet:
        """Read everything about these contexts as of one moment, by as many queries as for one."""
        async with self._reading() as connection:
            return await read_record_set(connection, context_ids)

    async def read(self, context_id: str) -> Records:
        """Read everything about one context as of one moment.

        Raises:
            NotFound: there is no such context.
            UnexpectedRow: a row cannot be attributed or understood.
        """
        async with self._reading() as connection:
            return await records.read_records(connection, context_id)

    @asynccontextmanager
    async def lock(self, context_id: str, *, idle_seconds: float = 45.0) -> AsyncIterator[ContextLock]:
        """Hold the context's advisory lock for the block.

        On MariaDB `GET_LOCK` on a connection of its own; on SQLite `flock` on `<database>.<hash>.lock`, for processes
        of one machine.

        Args:
            context_id: the context.
            idle_seconds: how long this process may be silent, being stopped or cut off, before MariaDB ends the lock.

        Raises:
            LockHeld: somebody has it; it is not waited for.
            DatabaseUnavailable: no connection.
        """
        lock = lock_of(self._url, context_id, idle_seconds=idle_seconds)
        with translated():
            connection = await self._dedicated.connect()
        try:
            with translated():
                async with asyncio.timeout(self._timeout), engine.transaction(connection, write=False):
                    acquired = await lock.acquire(connection)
            if not acquired:
                raise LockHeld(context_id)
            held = ContextLock(connection, lock, context_id, timeout=self._timeout)
            keeping = asyncio.create_task(held.keep(idle_seconds / 3), name=f"keep the lock of {context_id}")
            try:
                yield held
            finally:
                async with held.between_statements():
                    keeping.cancel()
                await asyncio.gather(keeping, return_exceptions=True)
                await self._release(connection, lock)
        finally:
            with suppress(*DRIVER_ERRORS):
                await connection.close()

    async def _release(self, connection: AsyncConnection, lock: AdvisoryLock) -> None:
        # Ending the connection ends the lock too, but the server notices that later than the next owner asks.
        if lock.ends_with_connection and connection.invalidated:
            return
        with suppress(*DRIVER_ERRORS):
            async with asyncio.timeout(self._timeout), engine.transaction(connection, write=False):
                await lock.release(connection)

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[AsyncConnection]:
        with translated():
            async with (
                asyncio.timeout(self._timeout),
                self._pool.connect() as connection,
                engine.transaction(connection, write=False),
            ):
                yield connection
