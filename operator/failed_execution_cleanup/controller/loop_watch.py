"""Finds what blocks the event loop: a thread that looks whether the loop still beats, and logs where it hangs if not.

The probe itself needs no help: a blocked loop answers nobody, and no answer is a failed probe. But the kubelet then ends the process,
and without this nobody would learn why.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

__all__ = ["watched_loop"]

logger = logging.getLogger(__name__)

BLOCKED_SECONDS: Final = 5.0
"""Silence of the loop that is worth a look; renewals of leadership and claims begin to be late."""


@asynccontextmanager
async def watched_loop(blocked_seconds: float = BLOCKED_SECONDS) -> AsyncIterator[None]:
    """Watch the running loop while in the block.

    Args:
        blocked_seconds: silence after which it is logged, once for each time the loop is blocked.
    """
    watch = _LoopWatch(asyncio.get_running_loop(), blocked_seconds)
    watch.start()
    try:
        yield
    finally:
        watch.stop()


class _LoopWatch:
    def __init__(self, loop: asyncio.AbstractEventLoop, blocked_seconds: float) -> None:
        self._loop = loop
        self._blocked_seconds = blocked_seconds
        self._loop_thread = threading.get_ident()
        self._last_beat = time.monotonic()
        self._stopping = threading.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._thread = threading.Thread(target=self._look, name="loop watch", daemon=True)

    def start(self) -> None:
        self._beat()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.join()

    def _beat(self) -> None:
        self._last_beat = time.monotonic()
        self._timer = self._loop.call_later(self._blocked_seconds / 5, self._beat)

    def _look(self) -> None:
        blocked_since: float | None = None
        while not self._stopping.wait(self._blocked_seconds / 5):
            last_beat = self._last_beat
            if blocked_since is not None and last_beat != blocked_since:
                logger.warning("Event loop goes on", extra={"blocked_seconds": round(last_beat - blocked_since, 1)})
                blocked_since = None
            if blocked_since is None and time.monotonic() - last_beat > self._blocked_seconds:
                blocked_since = last_beat
                logger.error("Event loop is blocked", extra={"stack": self._stack()})

    def _stack(self) -> str:
        """Where the loop's thread is now: files, lines and functions, no values."""
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way to see another thread
        return "".join(traceback.format_stack(frame)) if frame is not None else ""
