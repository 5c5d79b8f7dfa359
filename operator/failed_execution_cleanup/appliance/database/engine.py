"""SQLAlchemy engines for the two databases: MariaDB in production, SQLite in the demo and in unit tests."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from sqlalchemy import URL, Connection
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
    from sqlalchemy.pool import ConnectionPoolEntry

MARIADB: Final = "mysql+asyncmy"
SQLITE: Final = "sqlite+aiosqlite"

_BEGIN = "sqlite_begin"
_ROW_WAIT_SECONDS = 10


def parse_url(url: str) -> URL:
    """Parse and check the database's URL.

    Raises:
        ValueError: it is no URL, names another driver or no database; the text never repeats the URL, which holds a
            password.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("the database URL cannot be parsed") from None
    if parsed.drivername not in (MARIADB, SQLITE):
        raise ValueError(f"the database URL must begin with {MARIADB}:// or {SQLITE}:///")
    if parsed.database in (None, "", ":memory:"):
        raise ValueError("the database URL names no database; one in memory cannot be shared")
    return parsed


def create_engine(url: URL, *, connect_timeout: float, dedicated: bool) -> AsyncEngine:
    """Make an engine.

    Args:
        url: a URL from `parse_url`.
        connect_timeout: seconds to wait for a connection; on SQLite, for another writer.
        dedicated: every `connect()` opens a connection of its own, and `close()` ends it. A session-level lock must
            never go back into a pool.
    """
    options: dict[str, Any] = {"hide_parameters": True}
    if dedicated:
        options["poolclass"] = NullPool
    else:
        options |= {"pool_pre_ping": True, "pool_timeout": connect_timeout, "pool_recycle": 1800}
    if url.drivername == MARIADB:
        options["connect_args"] = {"connect_timeout": connect_timeout}
        # One snapshot for all statements of a read.
        options["isolation_level"] = "REPEATABLE READ"
    else:
        options["connect_args"] = {"timeout": connect_timeout}
    engine = create_async_engine(url, **options)
    if url.drivername == MARIADB:
        event.listen(engine.sync_engine, "connect", _limit_row_waits)
    else:
        event.listen(engine.sync_engine, "connect", _leave_begin_to_us)
        event.listen(engine.sync_engine, "begin", _begin_sqlite)
    return engine


@asynccontextmanager
async def transaction(connection: AsyncConnection, *, write: bool) -> AsyncIterator[None]:
    """Run a transaction: committed at the end of the block, rolled back when it raises.

    SQLite knows no row locks, so a writing transaction takes the database's write lock at its beginning; what it then
    reads stays true until it commits, as `SELECT … FOR UPDATE` ensures on MariaDB.
    """
    await connection.execution_options(**{_BEGIN: "BEGIN IMMEDIATE" if write else "BEGIN"})
    async with connection.begin():
        yield


def _limit_row_waits(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # MariaDB's default is 50 s: longer than a heartbeat may be late.
    _run(connection, f"SET SESSION innodb_lock_wait_timeout = {_ROW_WAIT_SECONDS}")


def _leave_begin_to_us(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
    # The driver would otherwise begin only before the first write, and a read of several statements would be no
    # snapshot.
    connection.isolation_level = None
    _run(connection, "PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(_BEGIN, "BEGIN"))


def _run(connection: DBAPIConnection, statement: str) -> None:
    cursor = connection.cursor()
    cursor.execute(statement)
    cursor.close()
