"""One owner per context at a time, without a table: the database's own advisory lock.

MariaDB's `GET_LOCK` belongs to a session and ends with it, so a dead owner never blocks anybody. The server ends a
session that says nothing for a while, so neither does an owner that is stopped or cut off. SQLite has none: there
a file beside the database is locked with `flock`, which ends with the process. It serves processes of one machine only,
as SQLite itself does.
"""

from __future__ import annotations

import fcntl
import hashlib
import math
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from sqlalchemy import bindparam, func, select, text

from failed_execution_cleanup.appliance.database.engine import SQLITE

if TYPE_CHECKING:
    from sqlalchemy import URL
    from sqlalchemy.ext.asyncio import AsyncConnection


# Asked in each transaction, so it is built once.
_HELD: Final = select(func.is_used_lock(bindparam("name")) == func.connection_id())


class AdvisoryLock(Protocol):
    """A lock somebody holds or does not hold; never waited for."""

    ends_with_connection: bool
    """Whether a broken connection means a lost lock."""

    async def acquire(self, connection: AsyncConnection) -> bool:
        """Take it; False at once when somebody has it."""

    async def held(self, connection: AsyncConnection) -> bool:
        """Whether this session has it."""

    async def release(self, connection: AsyncConnection) -> None:
        """Give it back."""


def lock_of(url: URL, context_id: str, *, idle_seconds: float) -> AdvisoryLock:
    """The lock of a context. Every process that uses the database arrives at the same one.

    Args:
        url: the database.
        context_id: the context.
        idle_seconds: silence after which MariaDB ends the session that holds it.
    """
    # Names of MariaDB's locks are shared by all databases of a server and at most 64 characters long.
    digest = hashlib.sha256(f"{url.database}/{context_id}".encode()).hexdigest()[:40]
    if url.drivername == SQLITE:
        database = Path(url.database or "").resolve()
        digest = hashlib.sha256(context_id.encode()).hexdigest()[:40]
        return _FileLock(database.with_name(f"{database.name}.{digest}.lock"))
    return _SessionLock(f"fec:{digest}", idle_seconds)


class _SessionLock:
    """MariaDB's `GET_LOCK`."""

    ends_with_connection = True

    def __init__(self, name: str, idle_seconds: float) -> None:
        self._name = name
        self._idle_seconds = max(1, math.ceil(idle_seconds))

    async def acquire(self, connection: AsyncConnection) -> bool:
        # The server's own limit is eight hours: as long a stopped process would keep everybody else out.
        await connection.execute(text(f"SET SESSION wait_timeout = {self._idle_seconds}"))
        # 1: taken; 0: somebody has it; NULL: the server could not tell.
        return await connection.scalar(select(func.get_lock(self._name, 0))) == 1

    async def held(self, connection: AsyncConnection) -> bool:
        return await connection.scalar(_HELD, {"name": self._name}) == 1

    async def release(self, connection: AsyncConnection) -> None:
        await connection.execute(select(func.release_lock(self._name)))


class _FileLock:
    """`flock` on a file, which stays: removing it would let two owners lock two files of one name."""

    ends_with_connection = False

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: int | None = None

    async def acquire(self, connection: AsyncConnection) -> bool:  # noqa: ARG002 (the file needs none)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
            return False
        self._file = file
        return True

    async def held(self, connection: AsyncConnection) -> bool:  # noqa: ARG002 (the file needs none)
        with suppress(FileNotFoundError):
            return self._file is not None and os.path.samestat(os.fstat(self._file), self._path.stat())
        return False

    async def release(self, connection: AsyncConnection) -> None:  # noqa: ARG002 (the file needs none)
        if self._file is not None:
            os.close(self._file)
            self._file = None
