"""Where a Python process spends its time, seen from outside by py-spy."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from development.processes import MissingProgramError

_PER_SECOND: Final = 100
_SHOWN: Final = 12
_OWN: Final = "failed_execution_cleanup/"


class Profile:
    """Samples of a process that were taken while it was observed.

    Attributes:
        samples: how often each stack was seen; a stack is a tuple of frames, the outermost first.
    """

    def __init__(self) -> None:
        self.samples: Counter[tuple[str, ...]] = Counter()

    def by_package(self) -> dict[str, float]:
        """Share of the time in each package, by the innermost frame of a package that is no part of Python itself."""
        return self._shares(
            lambda stack: next((name for frame in reversed(stack) if (name := _package(frame))), "Python")
        )

    def by_own_function(self) -> dict[str, float]:
        """Share of the time under each function of this software, the innermost one of a stack, libraries included."""
        return self._shares(
            lambda stack: next(
                (_place(frame) for frame in reversed(stack) if _OWN in frame), "outside of its functions"
            )
        )

    def _shares(self, name_of: Callable[[tuple[str, ...]], str]) -> dict[str, float]:
        shares: Counter[str] = Counter()
        for stack, count in self.samples.items():
            shares[name_of(stack)] += count
        total = shares.total() or 1
        return {name: count / total for name, count in shares.most_common(_SHOWN)}


def told(shares: Mapping[str, float]) -> str:
    """Shares as one line, the greatest first."""
    return ", ".join(f"{share:.0%} {name}" for name, share in shares.items())


def find_py_spy() -> Path:
    """Find py-spy.

    Raises:
        MissingProgramError: it is not installed.
    """
    found = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if found is None:
        raise MissingProgramError("py-spy not found: run `uv sync`, or leave throughput out")
    return Path(found)


@contextmanager
def profiled(pid: int) -> Iterator[Profile]:
    """Sample a process while the block runs; it goes on a little slower.

    Raises:
        MissingProgramError: py-spy is not installed.
        subprocess.CalledProcessError: it may not look into the process.
    """
    profile = Profile()
    with tempfile.TemporaryDirectory(prefix="profile-") as directory:
        raw = Path(directory) / "stacks"
        command = [str(find_py_spy()), "record", f"--pid={pid}", f"--rate={_PER_SECOND}", "--format=raw"]
        # SIGINT ends the recording; the duration is only the longest that it may take.
        command += [f"--output={raw}", "--duration=3600", "--nonblocking"]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
            try:
                yield profile
            finally:
                process.send_signal(2)
                _, said = process.communicate(timeout=60)
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, command, stderr=said)
        for line in raw.read_text(encoding="utf-8").splitlines():
            stack, _, count = line.rpartition(" ")
            profile.samples[tuple(stack.split(";"))] += int(count)


def _place(frame: str) -> str:
    """A frame such as `decide (failed_execution_cleanup/recovery/decide.py:12)` as `recovery/decide.py decide`."""
    function, _, place = frame.partition(" (")
    return f"{place.partition(_OWN)[2].rpartition(':')[0]} {function}"


def _package(frame: str) -> str:
    """The package a frame such as `read (httpcore/_async/http11.py:217)` is of; empty for Python's own."""
    _, _, place = frame.rpartition(" (")
    path = place.rpartition(":")[0]
    if _OWN in path:
        inside = path.partition(_OWN)[2]
        return f"failed_execution_cleanup.{inside.partition('/')[0].removesuffix('.py')}"
    name = path.rpartition("site-packages/")[2].partition("/")[0].removesuffix(".py")
    return name if "site-packages" in path or name in _SHORTENED else ""


_SHORTENED: Final = frozenset(
    {
        "aiohttp",
        "asyncmy",
        "httpcore",
        "httpx",
        "kopf",
        "kubernetes",
        "pydantic",
        "sqlalchemy",
        "anyio",
        "h11",
        "prometheus_client",
    }
)
"""Packages that py-spy shows without the directory they are installed in."""
