"""What processes cost: seconds of CPU, resident memory, and who of them has a core to himself."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psutil

MEBIBYTE: Final = 2**20


def cpu_seconds(pid: int) -> float:
    """User and system time that a process has used so far."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def resident_mebibytes(pid: int) -> float:
    """Resident memory of a process in MiB."""
    return float(psutil.Process(pid).memory_info().rss / MEBIBYTE)


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stretch of time cost.

    Attributes:
        seconds: its length.
        cpu: seconds of CPU by name of process, those that worked at all, the busiest first.
    """

    seconds: float
    cpu: Mapping[str, float]

    @property
    def busiest(self) -> str:
        """Who used most, and how much of one core."""
        name, used = next(iter(self.cpu.items()))
        return f"{name} at {used / self.seconds:.0%} of one core"


class Meter:
    """Reads what every process that this one started has used; they are named by program."""

    def __init__(self, **names: int) -> None:
        """Start to measure.

        Args:
            names: process ids by the name to use for them.
        """
        self._names = {pid: name for name, pid in names.items()}
        self._begun = time.monotonic()
        self._before = self._read()

    def stop(self) -> Cost:
        """What was used since the start."""
        seconds = time.monotonic() - self._begun
        used = {name: spent - self._before.get(name, 0.0) for name, spent in self._read().items()}
        busy = sorted(((spent, name) for name, spent in used.items() if spent > 0.0), reverse=True)
        return Cost(seconds, {name: spent for spent, name in busy})

    def _read(self) -> dict[str, float]:
        spent: dict[str, float] = {}
        for process in (psutil.Process(), *psutil.Process().children(recursive=True)):
            try:
                with process.oneshot():
                    times, name = process.cpu_times(), self._name(process)
            except psutil.NoSuchProcess:
                continue
            spent[name] = spent.get(name, 0.0) + times.user + times.system
        return spent

    def _name(self, process: psutil.Process) -> str:
        if process.pid == os.getpid():
            return "benchmark"
        # Every Python program that the stand forks and nobody named is the pretend appliance.
        return self._names.get(process.pid) or {"python": "simulator"}.get(
            process.name().rstrip("0123456789."), process.name()
        )


@contextmanager
def sampled_memory(pid: int, *, every_seconds: float) -> Iterator[list[float]]:
    """Resident memory of a process in MiB, read again and again while the block runs."""
    samples: list[float] = []
    over = threading.Event()

    def sample() -> None:
        while not over.wait(every_seconds):
            samples.append(resident_mebibytes(pid))

    thread = threading.Thread(target=sample, name="memory")
    thread.start()
    try:
        yield samples
    finally:
        over.set()
        thread.join()


def wait_until_idle(pid: int, *, below_percent: float = 10.0, seconds: float = 300.0) -> float:
    """Wait until a process uses next to nothing for two seconds.

    Returns:
        Seconds of CPU that it has used until then.

    Raises:
        TimeoutError: it did not come to rest.
    """
    process = psutil.Process(pid)
    deadline = time.monotonic() + seconds
    process.cpu_percent()
    while process.cpu_percent(interval=2.0) > below_percent:
        if time.monotonic() > deadline:
            raise TimeoutError(f"process {pid} did not come to rest in {seconds:.0f} s")
    return cpu_seconds(pid)
