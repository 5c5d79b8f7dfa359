"""Asking until something is final."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from failed_execution_cleanup.appliance.errors import NotExecuted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_SHARE = 0.05
"""Of the time that has gone by: how late an end may be noticed."""
_LONGEST_RETRY_SECONDS = 30.0


async def poll(
    read: Callable[[], Awaitable[T]],
    *,
    final: Callable[[T], bool],
    first_seconds: float,
    longest_seconds: float,
    deadline_seconds: float | None,
    patience_seconds: float,
) -> T:
    """Read again and again until the answer is final or the time is over.

    Pauses grow with the time that has gone by: what ends is noticed at most a twentieth of it late. They end at common moments of the
    clock, so that reads of many who wait can be one (`SharedRead`). A read that raises `NotExecuted` is repeated, with pauses
    that double up to 30 s, and never earlier than the server asked (`retry_after`), but for the last one at the
    deadline.

    Args:
        read: one read.
        final: whether an answer is the last one.
        first_seconds: the shortest pause.
        longest_seconds: the longest pause between reads that work.
        deadline_seconds: time for all of it; None waits for ever.
        patience_seconds: how long reads may fail without one success in between.

    Returns:
        The final answer, or the latest one at the deadline.

    Raises:
        NotExecuted: reads failed for `patience_seconds` in a row, or the deadline came and the latest read had failed.
        ApplianceError: whatever else `read` raises, at once.
    """
    loop = asyncio.get_running_loop()
    deadline = None if deadline_seconds is None else loop.time() + deadline_seconds
    failure_pause = first_seconds
    began_at = worked_at = loop.time()
    while True:
        try:
            answer = await read()
        except NotExecuted as error:
            now = loop.time()
            if now - worked_at >= patience_seconds or _over(deadline, now):
                raise
            wait = max(failure_pause, error.retry_after or 0.0)
            failure_pause = min(failure_pause * 2, _LONGEST_RETRY_SECONDS)
        else:
            now = worked_at = loop.time()
            if final(answer) or _over(deadline, now):
                return answer
            wait = _until_common_moment(now, min((now - began_at) * _SHARE, longest_seconds), first_seconds)
            failure_pause = first_seconds
        # The last read comes at the deadline itself, so that a late answer still counts.
        await asyncio.sleep(wait if deadline is None else min(wait, deadline - now))


def _until_common_moment(now: float, latest_seconds: float, grid_seconds: float) -> float:
    """Seconds until the next multiple of a pause; coarser pauses are doubles of finer ones, so their moments are among theirs."""
    pause = grid_seconds
    while pause * 2 <= latest_seconds:
        pause *= 2
    return pause - now % pause


def _over(deadline: float | None, now: float) -> bool:
    return deadline is not None and now >= deadline
