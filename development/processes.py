"""Child processes that log to a file, are waited for until ready, and never outlive the process that started them.

A child runs in a process group of its own, so that Ctrl-C reaches only the parent, which then stops its children in
order. If the parent is killed outright, the kernel kills the child (`prctl(2)`, `PR_SET_PDEATHSIG`). The kernel ties
that to the *thread* that started the child: start processes from the main thread, never from a thread pool.
"""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

LOOPBACK = "127.0.0.1"

# Below the kernel's range for outgoing connections (32768 and up), so that no connection takes the port in between.
_PORT_RANGE = range(20000, 32000)
_PORT_ATTEMPTS = 100
_POLL_SECONDS = 0.05
# A parent that died before the kernel was asked to watch it is noticed by comparing pids afterwards.
_UNLESS_ORPHANED = '[ "$PPID" = "$0" ] && exec "$@"'
_LOG_TAIL_BYTES = 16 * 1024


class ProcessError(RuntimeError):
    """A process ended by itself or did not become ready in time; the message ends with its last log lines."""


class MissingProgramError(RuntimeError):
    """A program that has to be installed or built was not found; the message says how to get it."""


class Handle(Protocol):
    """What a process is seen and ended by; `subprocess.Popen` is one."""

    @property
    def pid(self) -> int:
        """The process id; stays known after the end."""
        ...

    def poll(self) -> int | None:
        """Exit code, negative signal number when killed, or None while the process runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Block until the end and return the exit code.

        Raises:
            subprocess.TimeoutExpired: It still runs after `timeout` seconds.
        """
        ...

    def terminate(self) -> None:
        """Send SIGTERM."""
        ...

    def kill(self) -> None:
        """Send SIGKILL."""
        ...


class Process:
    """A running child process, identified by its pid; it logs to a file.

    Attributes:
        name: What messages call the process.
        log: The file that receives its standard output and standard error.
    """

    def __init__(self, name: str, handle: Handle, log: Path) -> None:
        self.name = name
        self.log = log
        self._handle = handle

    @classmethod
    def start(
        cls,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Self:
        """Start a program without waiting for it to become ready.

        Args:
            name: What messages call the process.
            command: Program and arguments, taken as they are: no shell expands them.
            log: File to append standard output and standard error to.
            env: The whole environment; the parent's when omitted.
            cwd: Working directory; the parent's when omitted.

        Raises:
            MissingProgramError: When `setpriv`, which ties the child's life to its parent's, is not installed.
        """
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            raise MissingProgramError("setpriv not found: install util-linux 2.33 or newer (Linux only)")
        with log.open("ab") as output:
            popen = subprocess.Popen(
                # Each of the three replaces itself with the next, so the pid is the program's own.
                [
                    *(setpriv, "--pdeathsig", "KILL", "--"),
                    *("/bin/sh", "-c", _UNLESS_ORPHANED, str(os.getpid())),
                    *map(str, command),
                ],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                process_group=0,
            )
        return cls(name, popen, log)

    def __repr__(self) -> str:
        return f"<Process {self.name} pid={self.pid}>"

    @property
    def pid(self) -> int:
        """The process id; stays known after the end."""
        return self._handle.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, negative signal number when killed, or None while the process runs."""
        return self._handle.poll()

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the log, for messages."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - _LOG_TAIL_BYTES))
            text = log.read().decode(errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def ensure_running(self) -> None:
        """Check that the process has not ended.

        Raises:
            ProcessError: When it has.
        """
        if self.returncode is not None:
            raise ProcessError(f"{self.name} ended with exit code {self.returncode}:\n{self.log_tail()}")

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Block until `ready()` is true.

        Raises:
            ProcessError: When the process ends first, or the time is over.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            self.ensure_running()
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready within {seconds:g} s:\n{self.log_tail()}")
            time.sleep(_POLL_SECONDS)

    def wait(self, *, seconds: float) -> int:
        """Block until the process ends by itself and return its exit code.

        Raises:
            ProcessError: When it still runs after this time.
        """
        try:
            return self._handle.wait(seconds)
        except subprocess.TimeoutExpired:
            message = f"{self.name} still runs after {seconds:g} s:\n{self.log_tail()}"
            raise ProcessError(message) from None

    def terminate(self) -> None:
        """Send SIGTERM and return at once."""
        self._handle.terminate()

    def kill(self) -> None:
        """Send SIGKILL and wait for the end; does nothing to a process that has ended."""
        self._handle.kill()
        self._handle.wait()

    def stop(self, *, grace_seconds: float = 10.0) -> int:
        """End the process: SIGTERM, then SIGKILL once the grace is over. Returns the exit code; may be called again."""
        self._handle.terminate()
        try:
            return self._handle.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            self._handle.kill()
            return self._handle.wait()


def free_port() -> int:
    """Return a TCP port of the loopback interface that nothing listens on.

    Raises:
        OSError: When no port was found.
    """
    # The system's randomness: under pytest the seed is fixed, and parallel runs would all pick the same ports.
    for port in random.SystemRandom().sample(_PORT_RANGE, _PORT_ATTEMPTS):
        with socket.socket() as probe:
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    raise OSError(f"no free TCP port on {LOOPBACK} between {_PORT_RANGE.start} and {_PORT_RANGE.stop}")
