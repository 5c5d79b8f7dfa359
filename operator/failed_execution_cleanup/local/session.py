"""One break-glass command on one VM: plan it, or clean it up and go on after waits, under the same claim as any operator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from typing import Final

from failed_execution_cleanup.access.doors import DoorOpener, Inconsistent
from failed_execution_cleanup.access.goals import settings_of, waivers_refused
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.recovery.decide import Refuse, Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.reasons import Waiver
from failed_execution_cleanup.run.cleanup import Cleanup, Limits
from failed_execution_cleanup.run.order import Order, Progress
from failed_execution_cleanup.run.worker import unreachable

_LONGEST_PAUSE: Final = 15.0
"""Seconds after which a wait is looked at again at the latest: somebody watches."""


@dataclass(slots=True)
class LocalReporter:
    """Implements `run.order.Reporter` for one command.

    Attributes:
        ordered: what the command line asks for; bound to one job as soon as one was seen (rule 2).
        told: hears of all progress; must not raise.
        claims: how often a claim was about to be taken.
    """

    ordered: Order
    told: Callable[[Progress], None]
    claims: int = field(default=0, init=False)

    async def order(self) -> Order:
        """What the command line asks for; it never changes but for the job it is bound to."""
        return self.ordered

    async def claiming(self) -> None:
        """Nobody else has to be told."""
        self.claims += 1

    async def progress(self, progress: Progress) -> None:
        """Keep to the job that was seen first, and tell."""
        incident = progress.decision.assessment.incident
        if self.ordered.job_id is None and incident is not None:
            self.ordered = replace(self.ordered, job_id=incident.job_id)
        self.told(progress)

    async def pause(self, seconds: float) -> None:
        """Sleep: what is wanted never changes."""
        await asyncio.sleep(seconds)


class Session:
    """One command on one VM."""

    def __init__(
        self,
        opener: DoorOpener,
        appliance: Appliance,
        order: Order,
        owner: str,
        limits: Limits,
        told: Callable[[Progress], None],
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            opener: opens the appliance's doors, afresh for each attempt.
            appliance: the appliance.
            order: what the command line asks for.
            owner: identity in claims; unique among all processes that may ever run.
            limits: times shared with every other owner.
            told: hears of all progress; must not raise.
        """
        self._opener = opener
        self._appliance = appliance
        self._owner = owner
        self._limits = limits
        self._reporter = LocalReporter(order, told)
        self._leaving = asyncio.Event()

    def leave(self) -> None:
        """End soon: what is in flight gets a few seconds, then the claim is handed over."""
        self._leaving.set()

    async def plan(self) -> Progress:
        """Say what a cleanup would do now; nothing is claimed or written."""
        return await self._attempt(Cleanup.preview)

    async def cleanup(self, *, patience: float) -> Progress:
        """Work until the VM is clean, a person is needed, or nothing cleared itself for too long.

        Args:
            patience: seconds to wait for what clears itself, counted anew each time work went on; 0 does not wait.
        """
        loop = asyncio.get_running_loop()
        waiting_since: float | None = None
        while True:
            claims = self._reporter.claims
            progress = await self._attempt(Cleanup.run)
            decision = progress.decision
            if not isinstance(decision, Wait):
                return progress
            if self._leaving.is_set():
                return replace(progress, decision=_interrupted(progress))
            if self._reporter.claims == 0 and decision.reason is Reason.APPLIANCE_UNREACHABLE:
                return progress  # nothing was begun, so nothing is left open by giving up
            now = loop.time()
            if waiting_since is None or self._reporter.claims > claims:
                waiting_since = now
            left = waiting_since + patience - now
            if left <= 0:
                return progress
            pause = min(max(decision.after.total_seconds(), 1.0), _LONGEST_PAUSE, left)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._leaving.wait()
                    return replace(progress, decision=_interrupted(progress))

    async def _attempt(self, look: Callable[[Cleanup], object]) -> Progress:
        raise NotImplementedError
