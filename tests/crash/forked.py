"""Operator processes forked from one that has imported everything, and released one after the other.

A fork is only safe while its parent has neither threads nor an event loop, and an operator can be told where it works only once
simulators run in such a loop. So the processes are forked first and wait at a pipe for their orders.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final

from development.preloaded import die_with
from development.sqlite_without_threads import sqlite_without_threads
from failed_execution_cleanup import cli
from tests.crash.mutating_calls import Kill, Observer, Trail

FORK: Final = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Orders:
    """What a process needs to become an operator.

    Attributes:
        environment: its `FEC_…` variables.
        kill: the call at which it dies, if any.
    """

    environment: Mapping[str, str]
    kill: Kill | None


class ForkedOperator:
    """A process that becomes an operator when told to.

    Attributes:
        trail: what it called.
    """

    def __init__(self, directory: Path, number: int) -> None:
        """Fork it; call this before there is an event loop.

        Args:
            directory: for its log and its trail.
            number: place among the operators of the directory, from 1.
        """
        self.log = directory / f"operator-{number}.log"
        self.trail = Trail(directory / f"operator-{number}.calls")
        orders, self._orders = FORK.Pipe(duplex=False)
        self._process = FORK.Process(
            target=_wait_and_operate, args=(orders, self.log, self.trail.path, os.getpid()), name=f"operator-{number}"
        )
        self._process.start()
        orders.close()

    def begin(self, orders: Orders) -> None:
        """Let it begin."""
        self._orders.send(orders)

    def terminate(self) -> None:
        """Ask it to stop, as a pod is stopped."""
        self._process.terminate()

    async def exited(self) -> int:
        """Wait for its end; gives the exit code, negative for a signal."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self._process.sentinel, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self._process.sentinel)
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()

    def log_tail(self, lines: int = 40) -> str:
        """The end of what it logged."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])


def _wait_and_operate(pipe: Connection, log: Path, trail: Path, parent: int) -> None:
    die_with(parent)
    orders: Orders = pipe.recv()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(descriptor, stream)
    os.environ.update(orders.environment)
    Observer(trail, orders.kill).install()
    # A point that is about the database has MariaDB; elsewhere SQLite only stands in for it.
    with sqlite_without_threads():
        cli.app(["run"])
