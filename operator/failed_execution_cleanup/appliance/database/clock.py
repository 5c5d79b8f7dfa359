"""The database's clocks. Ages are taken by them alone: this process's own clock may be wrong, or in another zone."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from failed_execution_cleanup.appliance.database.tables import StoredTime
from failed_execution_cleanup.recovery.world import Clock

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection
    from sqlalchemy.sql.compiler import SQLCompiler

_SQLITE_FORMAT: Final = "%Y-%m-%d %H:%M:%f"


class LocalNow(FunctionElement[datetime]):
    """The OMA API's clock: local digits of the server; on SQLite of this process."""

    type = StoredTime()
    inherit_cache = True


class UTCNow(FunctionElement[datetime]):
    """UTC digits: the Volume Daemon's clock, and that of heartbeats, which must not jump."""

    type = StoredTime()
    inherit_cache = True


class _LocalBefore(FunctionElement[datetime]):
    """Local digits of the moment four hours ago."""

    type = StoredTime()
    inherit_cache = True


class _UTCBefore(FunctionElement[datetime]):
    """UTC digits of the moment four hours ago."""

    type = StoredTime()
    inherit_cache = True


# The server's own zone rules are applied to the moment four hours ago, so no zone needs to be known here. No limit on
# the age of a live job is longer (45 minutes for a final sync).
_TEXTS: Final[Mapping[type[FunctionElement[datetime]], Mapping[str, str]]] = {
    LocalNow: {"mysql": "NOW(6)", "sqlite": f"strftime('{_SQLITE_FORMAT}', 'now', 'localtime')"},
    UTCNow: {"mysql": "UTC_TIMESTAMP(6)", "sqlite": f"strftime('{_SQLITE_FORMAT}', 'now')"},
    _LocalBefore: {
        "mysql": "FROM_UNIXTIME(UNIX_TIMESTAMP() - 14400)",
        "sqlite": f"strftime('{_SQLITE_FORMAT}', 'now', '-14400 seconds', 'localtime')",
    },
    _UTCBefore: {
        "mysql": "UTC_TIMESTAMP() - INTERVAL 14400 SECOND",
        "sqlite": f"strftime('{_SQLITE_FORMAT}', 'now', '-14400 seconds')",
    },
}


def _compiled(element: FunctionElement[datetime], compiler: SQLCompiler, **_: Any) -> str:
    return _TEXTS[type(element)][compiler.dialect.name]


for _element in _TEXTS:
    compiles(_element, "mysql", "sqlite")(_compiled)

CLOCK_COLUMNS: Final = (
    LocalNow().label("local"),
    UTCNow().label("utc"),
    _LocalBefore().label("local_before"),
    _UTCBefore().label("utc_before"),
)
"""Columns of a row that `clock_of` understands; to be selected beside others."""
_CLOCK: Final = select(*CLOCK_COLUMNS)


def clock_of(row: Row[Any]) -> Clock:
    """Both clocks, and whether local time jumped within the last four hours (daylight saving)."""
    now = Clock(local=row.local, utc=row.utc)
    before = Clock(local=row.local_before, utc=row.utc_before)
    return Clock(local=row.local, utc=row.utc, shifted=now.offset != before.offset)


async def read_clock(connection: AsyncConnection) -> Clock:
    """Read the clocks alone."""
    return clock_of((await connection.execute(_CLOCK)).one())
