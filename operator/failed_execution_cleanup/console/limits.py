"""How often somebody may ask, and how much he may have open. Counted in this process; several replicas each count for themselves."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

__all__ = ["CallLimits", "TooMany"]

_REQUESTS: Final = "requests"
_REFUSED: Final = "refused tokens"


class TooMany(Exception):  # noqa: N818 - named for what happened
    """More than is allowed.

    Attributes:
        retry_after_seconds: whole seconds after which it is worth trying again.
    """

    def __init__(self, message: str, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class CallLimits:
    """Counts requests by user, refused tokens by address, and what is open by user."""

    def __init__(self, *, requests_per_minute: int, failed_logins_per_minute: int, streams_per_user: int) -> None:
        """Begin with nothing counted."""
        self._requests = RateLimitItemPerMinute(requests_per_minute)
        self._refused = RateLimitItemPerMinute(failed_logins_per_minute)
        self._windows = MovingWindowRateLimiter(MemoryStorage())
        self._streams_per_user = streams_per_user
        self._open: Counter[str] = Counter()

    async def request_of(self, user: str) -> None:
        """Count a request.

        Raises:
            TooMany: the user made as many as he may in the last minute.
        """
        if not await self._windows.hit(self._requests, _REQUESTS, user):
            raise TooMany(
                f"{user} made more than {self._requests.amount} requests in a minute.",
                await self._left(self._requests, _REQUESTS, user),
            )

    async def refused_token_from(self, address: str) -> None:
        """Count a token that was not accepted."""
        await self._windows.hit(self._refused, _REFUSED, address)

    async def may_present_a_token(self, address: str) -> None:
        """Make sure that an address may present a token that nobody knows yet.

        Raises:
            TooMany: as many tokens of the address were refused in the last minute as are allowed.
        """
        if not await self._windows.test(self._refused, _REFUSED, address):
            raise TooMany(
                "too many tokens from this address were not accepted.",
                await self._left(self._refused, _REFUSED, address),
            )

    @contextmanager
    def open_for(self, user: str) -> Iterator[None]:
        """While the block lasts the user has one stream or waiting request more.

        Raises:
            TooMany: he has as many as he may.
        """
        if self._open[user] >= self._streams_per_user:
            raise TooMany(f"{user} has {self._streams_per_user} streams or waiting requests open already.", 5)
        self._open[user] += 1
        try:
            yield
        finally:
            self._open[user] -= 1
            if not self._open[user]:
                del self._open[user]

    async def _left(self, item: RateLimitItemPerMinute, *identifiers: str) -> int:
        window = await self._windows.get_window_stats(item, *identifiers)
        return max(1, math.ceil(window.reset_time - time.time()))
