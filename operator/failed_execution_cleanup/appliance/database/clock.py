"""The database's clocks. Ages are taken by them alone: this process's own clock may be wrong, or in another zone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from failed_execution_cleanup.appliance.database.tables import StoredTime
from failed_execution_cleanup.recovery.world import Clock

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.compiler import SQLCompiler

_SQLITE_FORMAT: Final = "%Y-%m-%d %H:%M:%f"
_SQLITE_LOCAL: Final = f"strftime('{_SQLITE_FORMAT}', 'now', 'localtime')"
_SQLITE_UTC: Final = f"strftime('{_SQLITE_FORMAT}', 'now')"


class LocalNow(FunctionElement[datetime]):
    """The OMA API's clock: local digits of the server; on SQLite of this process."""

    type = StoredTime()
    inherit_cache = True


class UTCNow(FunctionElement[datetime]):
    """UTC digits: the Volume Daemon's clock, and that of heartbeats, which must not jump."""

    type = StoredTime()
    inherit_cache = True


@compiles(LocalNow, "mysql")
def _local_mysql(_element: LocalNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "NOW(6)"


@compiles(UTCNow, "mysql")
def _utc_mysql(_element: UTCNow, _compiler: SQLCompiler, **_: Any) -> str:
    return "UTC_TIMESTAMP(6)"


@compiles(LocalNow, "sqlite")
def _local_sqlite(_element: LocalNow, _compiler: SQLCompiler, **_: Any) -> str:
    return _SQLITE_LOCAL


@compiles(UTCNow, "sqlite")
def _utc_sqlite(_element: UTCNow, _compiler: SQLCompiler, **_: Any) -> str:
    return _SQLITE_UTC


# The server's own zone rules are applied to the moment four hours ago, so no zone needs to be known here. No limit on
# the age of a live job is longer (45 minutes for a final sync).
_TEXTS: Final = {
    "mysql": (
        "SELECT NOW(6) AS local, UTC_TIMESTAMP(6) AS utc, FROM_UNIXTIME(UNIX_TIMESTAMP() - 14400) AS local_before,"
        " UTC_TIMESTAMP() - INTERVAL 14400 SECOND AS utc_before"
    ),
    "sqlite": (
        f"SELECT {_SQLITE_LOCAL} AS local, {_SQLITE_UTC} AS utc,"
        f" strftime('{_SQLITE_FORMAT}', 'now', '-14400 seconds', 'localtime') AS local_before,"
        f" strftime('{_SQLITE_FORMAT}', 'now', '-14400 seconds') AS utc_before"
    ),
}
_COLUMNS: Final = dict.fromkeys(("local", "utc", "local_before", "utc_before"), StoredTime())
_CLOCKS: Final = {dialect: text(words).columns(**_COLUMNS) for dialect, words in _TEXTS.items()}


async def read_clock(connection: AsyncConnection) -> Clock:
    """Read both clocks, and whether local time jumped within the last four hours (daylight saving)."""
    row = (await connection.execute(_CLOCKS[connection.dialect.name])).one()
    now = Clock(local=row.local, utc=row.utc)
    before = Clock(local=row.local_before, utc=row.utc_before)
    return Clock(local=row.local, utc=row.utc, shifted=now.offset != before.offset)
