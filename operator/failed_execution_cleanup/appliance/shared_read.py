"""One read for all who ask at the same time."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class SharedRead(Generic[T]):
    """Shares a read among those who asked for it before it began.

    Whoever asks while one is under way gets the next one: no answer is older than its question, which rules 7 and 9 rest on. A
    failure is shared too, so that an outage is not asked about once for each who waits; a cancelled read is made anew by the next.
    """

    def __init__(self, *, gather_seconds: float = 0.005) -> None:
        """Begin without an answer.

        Args:
            gather_seconds: how long a read waits for others who ask at the same moment.
        """
        self._gather_seconds = gather_seconds
        self._turn = asyncio.Lock()
        self._begun = 0
        self._latest: tuple[int, T | Exception] | None = None

    async def __call__(self, read: Callable[[], Awaitable[T]]) -> T:
        """Read, or take what somebody else read since this was called.

        Args:
            read: the same for all who share.

        Raises:
            Exception: whatever `read` raised.
        """
        begun_before = self._begun
        async with self._turn:
            if self._latest is None or self._latest[0] <= begun_before:
                await asyncio.sleep(self._gather_seconds)
                self._begun += 1
                number = self._begun
                try:
                    self._latest = number, await read()
                except Exception as error:
                    self._latest = number, error
                    raise
                return self._latest[1]
            answer = self._latest[1]
        if isinstance(answer, Exception):
            raise answer
        return answer
