"""One break-glass command on one VM: plan it, or clean it up and go on after waits, under the same claim as any operator."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
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

    async def _attempt(self, look: Callable[[Cleanup], Awaitable[Progress]]) -> Progress:
        """One look, with doors opened afresh; trouble of the appliance is an outcome, never raised."""
        spec = self._appliance.spec
        waived = (Waiver(waiver.reason) for waiver in self._reporter.ordered.waivers)
        if (refusal := waivers_refused(self._appliance, waived)) is not None:
            return Progress(refusal)
        try:
            async with self._opener.doors(self._appliance) as doors:
                cleanup = Cleanup(doors, settings_of(spec), self._owner, self._reporter, self._limits, self._leaving)
                progress = await self._with_owner(doors, await look(cleanup))
        except Inconsistent as error:
            progress = Progress(Refuse(Reason.APPLIANCE_INCONSISTENT, str(error), Assessment()))
        except ApplianceError as error:
            progress = Progress(unreachable(error, 2))
        await self._reporter.progress(progress)
        return progress

    async def _with_owner(self, doors: Doors, progress: Progress) -> Progress:
        """Where somebody else holds the VM: say who, as far as the claims tell."""
        decision, order = progress.decision, self._reporter.ordered
        if not (isinstance(decision, Wait) and decision.reason is Reason.CLAIMED_ELSEWHERE):
            return progress
        holders: list[str] = []
        with contextlib.suppress(ApplianceError):
            for context in await doors.database.find_contexts(order.vm_name, order.vcenter_host):
                claims = (await doors.database.read(context.context_id)).claims
                holders += [f"{c.owner}, last heard of {c.heartbeat_age or 0:.0f} s ago" for c in claims if c.owner]
        if not holders:
            return progress
        message = f"{decision.message} The claim is held by {'; '.join(holders)}."
        return replace(progress, decision=replace(decision, message=message))


def _interrupted(progress: Progress) -> Wait:
    """What is said after Ctrl-C, by what became of the claim."""
    left = sum(request.open for request in progress.memory.requests)
    if progress.handed_over:
        message = "interrupted: the claim was handed over, and whoever comes next goes on at once."
        if left:
            message += f" {left} request(s) are still being carried out; the next owner follows them."
    else:
        message = "interrupted: this process holds no claim."
    return Wait(None, message, timedelta(0), progress.decision.assessment)
