"""The OMA database: creating its tables, and a clock that knows the two kinds of digits stored in it."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from appliance_simulator import schema

SQLITE_BUSY_TIMEOUT_SECONDS = 15.0


def open_engine(url: str) -> AsyncEngine:
    """An engine for `mysql+asyncmy://` or `sqlite+aiosqlite:///`.

    SQLite gets foreign keys, write-ahead logging and a busy timeout, so that several processes can share the file.
    """
    on_sqlite = make_url(url).get_backend_name() == "sqlite"
    connect_args = {"timeout": SQLITE_BUSY_TIMEOUT_SECONDS} if on_sqlite else {}
    engine = create_async_engine(url, pool_pre_ping=True, connect_args=connect_args)
    if on_sqlite:

        @event.listens_for(engine.sync_engine, "connect")
        def _prepare(connection: Any, _record: Any) -> None:
            cursor = connection.cursor()
            cursor.execute("PRAGMA foreign_keys=ON")
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("PRAGMA synchronous=NORMAL")
            cursor.close()

    return engine


async def create_schema(url: str) -> None:
    """Create the product's tables and the view `active_jobs` in an empty database.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: The database is not reachable or not empty.
    """
    engine = open_engine(url)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(schema.metadata.create_all, checkfirst=False)
            for statement in _more_statements(engine.dialect.name):
                await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _more_statements(dialect: str) -> list[str]:
    view = (
        "CREATE VIEW active_jobs AS SELECT t.id, t.parent_job_id, t.job_type, t.operation, t.status, "
        f"t.percent_complete, t.owner, t.started_at, {schema.ACTIVE_JOBS_VIEW[dialect]} AS running_seconds, "
        "(SELECT COUNT(*) FROM job_execution_log l WHERE l.job_id = t.id AND l.log_level = 'ERROR') AS error_count "
        "FROM job_tracking t WHERE t.status IN ('pending', 'running')"
    )
    return [view, *schema.on_update_triggers()] if dialect == "sqlite" else [view]


async def has_schema(engine: AsyncEngine) -> bool:
    """Whether the product's tables exist."""
    async with engine.connect() as connection:
        return await connection.run_sync(lambda sync: engine.dialect.has_table(sync, "vm_replication_contexts"))


@dataclass(frozen=True)
class DatabaseClock:
    """Turns Unix times into stored digits.

    The OMA API writes the server's local time, the Volume Daemon UTC (appliance facts 2.2).

    Attributes:
        offset: Local digits minus UTC digits.
    """

    offset: timedelta

    def local(self, epoch: float) -> datetime:
        """Digits the OMA API stores for a Unix time."""
        return utc_digits(epoch) + self.offset


def utc_digits(epoch: float) -> datetime:
    """Digits the Volume Daemon stores for a Unix time."""
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None)


async def clock_at(connection: AsyncConnection, epoch: float | None = None) -> DatabaseClock:
    """The clock with the offset that is in force at `epoch`, by default now."""
    epoch = time.time() if epoch is None else epoch
    if connection.dialect.name == "sqlite":
        offset = datetime.fromtimestamp(epoch).astimezone().utcoffset() or timedelta()
        return DatabaseClock(offset)
    whole = int(epoch)
    local = (await connection.execute(text("SELECT FROM_UNIXTIME(:epoch)"), {"epoch": whole})).scalar_one()
    return DatabaseClock(local - utc_digits(whole))
