"""SQLite's asyncio driver without its threads: for tests whose many small statements would mostly be changes of thread.

The driver runs each connection in a thread, so that a statement which waits for another writer stops nobody else. Each of
the some thousand statements of a trial then costs four changes of thread and as many fights for the interpreter's lock:
more than half of a trial's time. Here a statement runs at once, and one that has to wait for another writer is tried
again by the event loop, so that neither stops anybody.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias
from unittest.mock import patch

import aiosqlite.core

_PAUSE_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 15.0

_Work: TypeAlias = tuple[asyncio.Future[Any] | None, Callable[[], Any]]


class _AtOnce:
    """Takes the place of the queue to a connection's thread: what is put in is done, in order."""

    def __init__(self) -> None:
        self._waiting: deque[_Work] = deque()
        self._until = 0.0

    def put_nowait(self, work: _Work) -> None:
        self._waiting.append(work)
        if len(self._waiting) == 1:
            self._until = time.monotonic() + _PATIENCE_SECONDS
            self._go_on()

    def _go_on(self) -> None:
        while self._waiting:
            future, function = self._waiting[0]
            try:
                result = function()
            except sqlite3.OperationalError as error:
                # Not BUSY_SNAPSHOT and its like: waiting does not help there, and the driver does not wait either.
                if error.sqlite_errorcode == sqlite3.SQLITE_BUSY and future and time.monotonic() < self._until:
                    future.get_loop().call_later(_PAUSE_SECONDS, self._go_on)
                    return
                _tell(aiosqlite.core.set_exception, future, error)
            except BaseException as error:  # noqa: BLE001 (as the driver's thread does: it is the caller's)
                _tell(aiosqlite.core.set_exception, future, error)
            else:
                if isinstance(result, sqlite3.Connection):
                    result.execute("PRAGMA busy_timeout = 0")
                _tell(aiosqlite.core.set_result, future, result)
            self._waiting.popleft()
            self._until = time.monotonic() + _PATIENCE_SECONDS


def _tell(how: Callable[[asyncio.Future[Any], Any], None], future: asyncio.Future[Any] | None, what: object) -> None:
    if future is not None:
        # Not at once: between two statements others have their turn, as with threads.
        future.get_loop().call_soon(how, future, what)


class _NoThread:
    def __init__(self, **_arguments: object) -> None:
        self.daemon = False

    def start(self) -> None:
        """There is nothing to start."""


@contextlib.contextmanager
def sqlite_without_threads() -> Iterator[None]:
    """Connections opened in the block do their work in the event loop."""
    with patch.object(aiosqlite.core, "SimpleQueue", _AtOnce), patch.object(aiosqlite.core, "Thread", _NoThread):
        yield
