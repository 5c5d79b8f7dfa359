"""A token bucket: how many requests per second an appliance is asked to bear."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


class RateLimit:
    """Lets `per_second` entries a second through, in the order they came; at most `burst` of them at once.

    `async with limit:` waits for the turn and takes one token; nothing is given back at the end. A cancelled waiter
    takes none. CloudStack counts per account and fixed window (CloudStack facts 1.7): share one limit among all
    clients of an account, so that a pause the server asks one of them for is kept by all.
    """

    def __init__(self, per_second: float, *, burst: int = 1, waited: Callable[[float], None] | None = None) -> None:
        """Open the bucket full.

        Args:
            per_second: entries a second.
            burst: entries at once.
            waited: hears how many seconds an entry waited for its turn, if it had to; must not block or raise.

        Raises:
            ValueError: no positive rate, or no burst.
        """
        if per_second <= 0 or burst < 1:
            raise ValueError(
                f"A rate limit needs a positive rate and a burst of at least 1, not {per_second} and {burst}."
            )
        self._interval = 1.0 / per_second
        self._tolerance = (burst - 1) * self._interval
        self._full_at = float("-inf")  # loop time at which the bucket is full again
        self._closed_until = float("-inf")  # loop time before which nothing passes
        self._turn = asyncio.Lock()
        self._waited = waited
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many wait for their turn now."""
        return self._waiting

    def pause(self, seconds: float) -> None:
        """Let nothing pass for so long; a longer pause that runs already stays."""
        self._closed_until = max(self._closed_until, asyncio.get_running_loop().time() + seconds)

    async def spare(self, *, at_most_seconds: float) -> None:
        """Wait until half of the burst could pass at once, or at most so long: what can wait takes no turn from what cannot."""
        loop = asyncio.get_running_loop()
        latest = loop.time() + at_most_seconds
        while (  # noqa: ASYNC110 (nothing tells when tokens are there but the clock)
            ready_at := min(max(self._full_at - self._tolerance / 2, self._closed_until), latest)
        ) > loop.time():
            await asyncio.sleep(ready_at - loop.time())

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        came_at = loop.time()
        self._waiting += 1
        try:
            async with self._turn:
                opened_at = float("-inf")
                # Again after a sleep in which a longer pause began.
                while (opens_at := max(self._full_at - self._tolerance, self._closed_until)) > max(
                    opened_at, loop.time()
                ):
                    await asyncio.sleep(opens_at - loop.time())
                    opened_at = opens_at
                self._full_at = max(self._full_at, loop.time()) + self._interval
        finally:
            self._waiting -= 1
        if self._waited is not None and (seconds := loop.time() - came_at) > 0:
            self._waited(seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        return None
