"""Whether work goes on: each key a worker has must show a sign of life now and then, or its worker hangs.

A run of hours is normal; one without a single call, observation or status in a quarter of an hour is not, because nothing a worker
does waits that long without looking. A restart repairs it: the next owner takes the claim over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from failed_execution_cleanup.controller.health import Check, Health

__all__ = ["STUCK_SECONDS", "ProgressWatch"]

STUCK_SECONDS: Final = 900.0
"""Longest silence of a worker. Requests, transactions and pauses of a run take a minute at most."""

_WORK: Final[ContextVar[object | None]] = ContextVar("work", default=None)


class ProgressWatch:
    """When each piece of work last showed a sign of life."""

    def __init__(self, *, stuck_seconds: float = STUCK_SECONDS, clock: Callable[[], float] = time.monotonic) -> None:
        """Prepare.

        Args:
            stuck_seconds: silence after which work counts as stuck.
            clock: monotonic seconds.
        """
        self._stuck_seconds = stuck_seconds
        self._clock = clock
        self._seen: dict[object, float] = {}

    @contextmanager
    def working(self, key: object) -> Iterator[None]:
        """Watch the block; signs from it and from tasks begun in it count for `key`, which only one worker has."""
        token = _WORK.set(key)
        self._seen[key] = self._clock()
        try:
            yield
        finally:
            del self._seen[key]
            _WORK.reset(token)

    def sign(self) -> None:
        """Work went on; outside of watched work this says nothing."""
        key = _WORK.get()
        if key in self._seen:
            self._seen[key] = self._clock()

    def stuck(self) -> dict[object, float]:
        """Work without a sign of life for too long, and for how many seconds."""
        now = self._clock()
        return {key: now - seen for key, seen in self._seen.items() if now - seen > self._stuck_seconds}

    def check(self) -> Check:
        """Return the liveness check."""

        async def check() -> Health:
            stuck = self.stuck()
            if not stuck:
                return Health(True, f"{len(self._seen)} at work")
            return Health(False, "; ".join(f"no sign of life of {_named(k)} for {s:.0f} s" for k, s in stuck.items()))

        return check


def _named(key: object) -> str:
    return "/".join(map(str, key)) if isinstance(key, tuple) else str(key)
