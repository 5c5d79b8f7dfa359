"""Somebody else acts at an exact moment of a run, and every request sent afterwards is held against what could be known.

A moment lies right before the read that a request is confirmed by (rule 7), so that what was done is visible to that very read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from failed_execution_cleanup.appliance.database import ContextLock, StoredClaim
from failed_execution_cleanup.appliance.perform import Performer
from failed_execution_cleanup.recovery.actions import Action, Closing, Kind
from failed_execution_cleanup.recovery.decide import Wait
from failed_execution_cleanup.recovery.memory import Request
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import World
from failed_execution_cleanup.run.order import Progress
from failed_execution_cleanup.run.surroundings import Surroundings
from tests.unit.run.engine import Asker, Engine

BEFORE: Final = {
    "before the first request": Kind.DETACH,
    "between detach and revert": Kind.REVERT,
    "between revert and delete": Kind.DELETE_SNAPSHOT,
    "before attach": Kind.ATTACH,
    "before the test VM goes": Kind.DESTROY_VM,
}
"""Moments right before the first request of a kind."""

IN_QUIET_TIME: Final = "in the quiet time"
DURING_ATTACH: Final = "during attach"
BEFORE_THE_LAST_TRANSACTION: Final = "before the last transaction"
OTHERS: Final = (IN_QUIET_TIME, DURING_ATTACH, BEFORE_THE_LAST_TRANSACTION)

Act = Callable[[Engine], Awaitable[None]]


@dataclass
class Intrusion:
    """One act at one moment of one engine's runs.

    Attributes:
        happened: the moment came.
        unseen: requests sent after the act although nothing had been observed since.
        after: all requests sent after the act, in order; those already confirmed by then are not among them.
    """

    run: Engine
    moment: str
    act: Act
    happened: bool = False
    unseen: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    _confirming: set[str] = field(default_factory=set)
    _observed: bool = False
    _begun: bool = False
    _over: asyncio.Event = field(default_factory=asyncio.Event)

    async def now(self, but: str | None = None) -> None:
        """The moment has come, in front of one request; others of its kind wait until the act is over."""
        if not self._begun:
            self._begun = True
            await self.act(self.run)
            self.happened = True
            self._confirming.discard(but or "")
            self._over.set()
        elif but is not None:
            await self._over.wait()
            self._confirming.discard(but)

    def sent(self, action: Action) -> None:
        """A request goes out."""
        if action.key in self._confirming:
            self._confirming.discard(action.key)
        elif self.happened:
            self.after.append(action.key)
            if not self._observed:
                self.unseen.append(action.key)

    def confirming(self, action: Action) -> None:
        """A request is about to be confirmed: until the act, nobody can hold it against it."""
        if self.happened:
            self._confirming.discard(action.key)
        else:
            self._confirming.add(action.key)

    def observed(self, begun_after: bool) -> None:
        """An observation ended."""
        self._observed = self._observed or begun_after


def intrude(monkeypatch: pytest.MonkeyPatch, run: Engine, moment: str, act: Act) -> Intrusion:
    """Let an act happen once, when a run of this engine comes to the moment.

    Raises:
        ValueError: there is no such moment.
    """
    if moment not in (*BEFORE, *OTHERS):
        raise ValueError(f"unknown moment {moment!r}")
    intrusion = Intrusion(run, moment, act)
    turn, submit, observe = Performer.turn, Performer.submit, Surroundings.observe
    close, progress = ContextLock.close_incident, Asker.progress

    async def turned(self: Performer, action: Action) -> None:
        await turn(self, action)
        intrusion.confirming(action)
        if action.kind is BEFORE.get(moment):
            await intrusion.now(action.key)

    async def submitted(self: Performer, action: Action, request: Request) -> str | None:
        intrusion.sent(action)
        answer = await submit(self, action, request)
        if action.kind is Kind.ATTACH and moment == DURING_ATTACH:
            await intrusion.now()
        return answer

    async def observing(self: Surroundings, lock: ContextLock) -> World:
        before = intrusion.happened
        world = await observe(self, lock)
        intrusion.observed(begun_after=before)
        return world

    async def closed(self: ContextLock, claim: StoredClaim, closing: Closing) -> None:
        if moment == BEFORE_THE_LAST_TRANSACTION:
            await intrusion.now()
        await close(self, claim, closing)

    async def heard(self: Asker, told: Progress) -> None:
        await progress(self, told)
        quiet = isinstance(told.decision, Wait) and told.decision.reason is Reason.QUIET_TIME
        if quiet and moment == IN_QUIET_TIME:
            await intrusion.now()

    patches: tuple[tuple[type[Any], str, Any], ...] = (
        (Performer, "turn", turned),
        (Performer, "submit", submitted),
        (Surroundings, "observe", observing),
        (ContextLock, "close_incident", closed),
        (Asker, "progress", heard),
    )
    for owner, name, replacement in patches:
        monkeypatch.setattr(owner, name, replacement)
    return intrusion
