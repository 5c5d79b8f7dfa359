"""What goes wrong on the way to the API server and back: refusals, watches that end, and watches that do not tell the truth.

Writes are counted, so that a test can say that nothing was written. Nothing here touches the objects themselves.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

from kubernetes_emulator.failures import ApiError, expired
from kubernetes_emulator.kinds import Kind

Event: TypeAlias = dict[str, Any]

_REASONS = {409: "Conflict", 429: "TooManyRequests", 500: "InternalError", 503: "ServiceUnavailable"}


class WatchMangler(Protocol):
    """Turns what a watch should tell into what it tells; one for all watches of a kind, so it may remember."""

    def __call__(self, event: Event) -> Iterable[Event]:
        """The events to be told instead of this one."""
        ...


@dataclass
class Refusal:
    """Requests that are refused, the next ones of their sort.

    Attributes:
        method: HTTP method.
        ending: how the path ends, for example `/status`.
        code: HTTP status of the answer: 409, 429, 500 or 503.
        remaining: how many are still refused.
        retry_after: seconds the answer asks to wait.
    """

    method: str
    ending: str
    code: int
    remaining: int
    retry_after: int | None = None


@dataclass
class Disturbances:
    """Everything that is wrong with one API server at the moment.

    Attributes:
        writes: mutating requests that arrived, by method and path; refused ones count too.
        refused: requests that were refused here, by method and path.
        manglers: by plural; watches that begin while there is none tell the truth.
    """

    writes: Counter[tuple[str, str]] = field(default_factory=Counter)
    refused: Counter[tuple[str, str]] = field(default_factory=Counter)
    manglers: dict[str, WatchMangler] = field(default_factory=dict)
    _refusals: list[Refusal] = field(default_factory=list)
    _endings: Counter[str] = field(default_factory=Counter)

    def refuse(self, method: str, ending: str, code: int, *, times: int = 1, retry_after: int | None = None) -> None:
        """Refuse the next requests of a method whose path ends like this.

        Raises:
            ValueError: no such refusal, or fewer than one time.
        """
        if code not in _REASONS or times < 1:
            raise ValueError(f"cannot refuse {times} times with {code}")
        self._refusals.append(Refusal(method, ending, code, times, retry_after))

    def expire_watches(self, plural: str) -> None:
        """End every open watch of a kind with 410 at its next event: the client has to list again."""
        self._endings[plural] += 1

    def take_in(self, method: str, path: str) -> None:
        """Count a request, and refuse it if one of its sort is to be refused.

        Raises:
            ApiError: it is.
        """
        if method != "GET":
            self.writes[method, path] += 1
        for refusal in self._refusals:
            if refusal.method == method and path.endswith(refusal.ending):
                refusal.remaining -= 1
                if not refusal.remaining:
                    self._refusals.remove(refusal)
                self.refused[method, path] += 1
                message = f"{method} {path} is refused for the sake of a test"
                raise ApiError(refusal.code, _REASONS[refusal.code], message, retry_after=refusal.retry_after)

    async def told(self, kind: Kind, events: AsyncIterator[Event]) -> AsyncIterator[Event]:
        """What a watch tells instead of these events."""
        mangler = self.manglers.get(kind.plural)
        endings = self._endings[kind.plural]
        async for event in events:
            if self._endings[kind.plural] != endings:
                yield {"type": "ERROR", "object": expired("too old resource version: the watch is ended").status}
                return
            if mangler is None or event["type"] in ("BOOKMARK", "ERROR"):
                yield event
                continue
            for told in mangler(event):
                yield told


class Untruthful:
    """A watch that loses events, tells them twice, in another order, and tells old ones again; by chance, from a seed."""

    def __init__(
        self, seed: int, *, lost: float = 0.0, doubled: float = 0.0, swapped: float = 0.0, stale: float = 0.0
    ) -> None:
        """Prepare.

        Args:
            seed: of the chances.
            lost: chance that an event is never told.
            doubled: chance that it is told twice.
            swapped: chance that it is told only after the one that follows.
            stale: chance that an older event of the same object is told again after it.
        """
        self._random = random.Random(seed)  # noqa: S311 - a replayable test, no secret
        self._chances = {"lost": lost, "doubled": doubled, "swapped": swapped, "stale": stale}
        self._held: Event | None = None
        self._earlier: dict[tuple[str, str], list[Event]] = {}
        self.done: Counter[str] = Counter()
        """How often each happened."""

    def __call__(self, event: Event) -> list[Event]:
        """The events to be told instead of this one."""
        metadata = event["object"]["metadata"]
        earlier = self._earlier.setdefault((metadata.get("namespace", ""), metadata["name"]), [])
        if self._happens("lost"):
            earlier.append(event)
            return []
        told = [event] * (2 if self._happens("doubled") else 1)
        if earlier and self._happens("stale"):
            told.append(self._random.choice(earlier))
        earlier.append(event)
        if self._held is not None:
            told, self._held = [*told, self._held], None
        elif self._happens("swapped"):
            self._held = told.pop()
        return told

    def _happens(self, what: str) -> bool:
        happens = self._random.random() < self._chances[what]
        self.done[what] += happens
        return happens
