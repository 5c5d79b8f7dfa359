"""What was asked of an appliance, call by call: for metrics, reports and the support bundle.

A call holds no parameter, so it can hold no secret.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias

RECENT_CALLS: Final = 200
"""How many calls of an appliance are remembered: several rounds of one cleanup."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request over the wire.

    Attributes:
        system: who was asked, as messages name it (`OSSEA`, `Volume Daemon`).
        command: what was asked, without ids: `listVolumes`, `POST /volumes/{id}/detach`.
        mutating: whether it changes something there.
        outcome: HTTP status of the answer (`200`, `530`), or the class of the failure (`NotExecuted`, `Unknown`, `Unavailable`, …).
        at: when it ended, with zone.
        seconds: from sending to the last byte of the answer.
    """

    system: str
    command: str
    mutating: bool
    outcome: str
    at: datetime
    seconds: float


CallListener: TypeAlias = Callable[[Call], None]
"""Hears every call; must not block or raise."""


class DoorsListener(Protocol):
    """Hears what goes through the doors of appliances, for whoever counts."""

    def called(self, appliance: str) -> CallListener:
        """Return the listener for the calls of an appliance."""

    def throttled(self, appliance: str, system: str) -> Callable[[float], None]:
        """Return the listener for the seconds that requests to a system wait for their turn."""


class RecentCalls:
    """The newest calls of one appliance, oldest first."""

    def __init__(self, size: int = RECENT_CALLS) -> None:
        """Remember at most `size` calls."""
        self._calls: deque[Call] = deque(maxlen=size)

    def __call__(self, call: Call) -> None:
        """Remember a call."""
        self._calls.append(call)

    def __iter__(self) -> Iterator[Call]:
        """Oldest first."""
        return iter(tuple(self._calls))
