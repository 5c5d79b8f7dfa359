"""What is asked of the engine, and what it tells: the two sides of a cleanup that knows nothing of Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from failed_execution_cleanup.recovery.decide import Decision
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.world import World


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done.

    Attributes:
        job_id: failover job it is bound to; None: the newest at the first successful observation.
        asker: identity of who asks, such as a resource's uid; a job pinned for the same asker stays pinned.
        requested_at: opaque token; a new one asks for one more run.
        waivers: those the appliance allows.
        execute: False: say what would be done, touch nothing before that plan is approved.
        approved_plan: digest of the plan a person approved: nothing outside of it is done.
        correcting: put right what drifted since the clean end of the last run; only phases that differ, and never by a revert.
        stopping: suspended or deleted: finish what is in flight, bring reverted volumes home, let go.
        note: for whoever reads the appliance's own job log: written there when the claim is taken.
    """

    vm_name: str
    vcenter_host: str | None = None
    job_id: str | None = None
    asker: str | None = None
    requested_at: str | None = None
    waivers: frozenset[Waiver] = frozenset()
    deadline: timedelta = timedelta(hours=4)
    execute: bool = True
    approved_plan: str | None = None
    correcting: bool = False
    stopping: bool = False
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """What is known by now.

    Attributes:
        world: None when nothing could be observed.
        claim_id: `job_tracking.id` of the claim, once there is one.
        claimed: the claim is held at this moment.
        approved: what is carried out is a plan that was approved, although only a plan is asked for.
        handed_over: the run ended in the middle, as its process ends or its secrets do: another goes on with the same memory.
    """

    decision: Decision
    world: World | None = None
    memory: Memory = field(default_factory=lambda: Memory(""))
    claim_id: str | None = None
    claimed: bool = False
    approved: bool = False
    handed_over: bool = False


class Reporter(Protocol):
    """Who asked: tells what is wanted now and hears how it goes."""

    async def order(self) -> Order:
        """What is wanted now; cheap when nothing changed."""

    async def claiming(self) -> None:
        """The claim is about to be taken: make sure that nobody forgets it."""

    async def progress(self, progress: Progress) -> None:
        """Something was observed or decided; must not raise for trouble of its own."""

    async def pause(self, seconds: float) -> None:
        """Sleep, but wake up early when what is wanted changed."""
