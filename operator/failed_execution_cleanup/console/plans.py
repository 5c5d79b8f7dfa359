"""What a cleanup of one VM would do now, by the operator's own observation and decision. Only reads; nothing is claimed or locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pydantic import ValidationError

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.errors import NotFound, Refused
from failed_execution_cleanup.appliance.observe import observe
from failed_execution_cleanup.console.judging import settings_for
from failed_execution_cleanup.recovery.actions import Action, Phase
from failed_execution_cleanup.recovery.approval import plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.goals import GoalState, Waiver, Wish
from failed_execution_cleanup.recovery.guards import Block
from failed_execution_cleanup.recovery.incident import as_utc, newest_job_id
from failed_execution_cleanup.recovery.leftovers import Leftover
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import needs_person
from failed_execution_cleanup.recovery.world import ContextRow, World
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.reasons import Reason
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from failed_execution_cleanup.resources.step_names import step_words
from failed_execution_cleanup.run.claim import load_memory
from failed_execution_cleanup.run.cleanup import Limits, preview_decision
from failed_execution_cleanup.run.phases import NOT_NEEDED

__all__ = ["Obstacle", "OfferedWaiver", "PhaseAhead", "Plan", "PlannedJob", "Plans"]

_FOR_THE_JOB: Final = frozenset(
    {WaiverReason.LIVE_FAILOVER, WaiverReason.RUNNING_TEST_VM, WaiverReason.ENGINE_MAY_WAKE}
)
"""Waivers that are granted for the word `job`; the others name a volume or a row."""


@dataclass(frozen=True, slots=True)
class OfferedWaiver:
    """What lets a cleanup pass an obstacle.

    Attributes:
        object: what it would be granted for.
        allowed: whether the Appliance lets people waive it.
    """

    reason: WaiverReason
    object: str
    allowed: bool


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One reason why nothing may be done now.

    Attributes:
        message: what was found, with the object.
        remedy: what a person does, or that nothing is to be done.
        object: id of what it is about.
        needs_person: it does not clear itself.
        waiver: what lets a cleanup pass it, where there is such a thing.
    """

    reason: Reason
    message: str
    remedy: str
    object: str
    volume_id: str | None
    needs_person: bool
    waiver: OfferedWaiver | None


@dataclass(frozen=True, slots=True)
class PhaseAhead:
    """One of the five phases: whether it is needed, and why not.

    Attributes:
        why: what it does, or why it is not needed.
    """

    phase: Phase
    needed: bool
    why: str


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """The failover job the plan is for, in words for people."""

    id: str
    operation: str
    live: bool
    since: datetime
    last_step: str | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What a cleanup would do from here to the end.

    Attributes:
        job: None where the VM has no failover job.
        reason: why it would stop or wait, or how it would end; None if it would begin at once.
        message: the same as a sentence.
        actions: everything that may be done, in order.
        goals: the four goals and whether they hold, by name.
        context_would_become: status the context would get.
        digest: what a person approves.
    """

    appliance: str
    context: ContextRow
    context_status: str
    job: PlannedJob | None
    reason: Reason | None
    message: str
    actions: tuple[Action, ...]
    phases: tuple[PhaseAhead, ...]
    obstacles: tuple[Obstacle, ...]
    leftovers: tuple[Leftover, ...]
    goals: tuple[tuple[str, GoalState], ...]
    context_would_become: str
    digest: str


class Plans:
    """Makes plans with the console's own rights; who may see them is the caller's matter."""

    def __init__(self, opener: DoorOpener, limits: Limits) -> None:
        """Prepare; nothing is read.

        Args:
            opener: opens appliances.
            limits: times shared with every owner of claims.
        """
        self._opener = opener
        self._limits = limits

    async def contexts(self, appliance: Appliance, vm_name: str, vcenter_host: str | None) -> tuple[ContextRow, ...]:
        """The VMs of that name that an appliance protects.

        Raises:
            ApplianceError: its database could not be read.
        """
        async with self._opener.database(appliance) as database:
            return await database.find_contexts(vm_name, vcenter_host)

    async def context(self, appliance: Appliance, context_id: str) -> ContextRow | None:
        """A VM that an appliance protects, by the id of its context; None if there is none.

        Raises:
            ApplianceError: its database could not be read.
        """
        async with self._opener.database(appliance) as database:
            try:
                return (await database.read(context_id)).context
            except NotFound:
                return None

    async def newest_job(self, appliance: Appliance, context_id: str) -> str | None:
        """The failover job that a cleanup would be bound to; None without one (rule 2).

        Raises:
            ApplianceError: the database could not be read.
        """
        async with self._opener.database(appliance) as database:
            return newest_job_id(await database.read(context_id))

    async def plan(
        self, appliance: Appliance, context: ContextRow, waivers: Callable[[str | None], frozenset[Waiver]]
    ) -> Plan:
        """What a cleanup of a VM would do if it were asked for now.

        Args:
            appliance: the appliance.
            context: the VM.
            waivers: those that the cleanup of a job has, or would be given; asked with the job it would be bound to.

        Raises:
            ApplianceError: a part could not be read.
        """
        async with self._opener.database(appliance) as database, self._opener.ossea(appliance, database) as ossea:
            world = await observe(ossea, lambda: database.read(context.context_id))
            job_id = newest_job_id(world.records)
            memory = await _memory(database, context.context_id, job_id)
        if memory.finished:
            memory = memory.again(world.records.clock.utc, None)
        allowed = frozenset(waiver for waiver in appliance.spec.waivers)
        granted = frozenset(waiver for waiver in waivers(job_id) if waiver.reason in allowed)
        wish = Wish(job_id=job_id, waivers=granted, settings=settings_for(appliance, self._limits))
        decision = preview_decision(world, wish, memory)
        return made(appliance.metadata.name, context, world, decision, allowed)


async def _memory(database: OMADatabase, context_id: str, job_id: str | None) -> Memory:
    """What earlier runs for the job remember.

    Raises:
        Refused: it cannot be read.
    """
    found = (await database.read_many([context_id])).contexts.get(context_id)
    try:
        return load_memory(found.memories.get(job_id or "") if found is not None else None, job_id or "")
    except ValidationError:
        raise Refused(
            f"the memory of the claim for failover job {job_id} cannot be read.",
            system="OMA database",
            remedy="Write a support bundle with fec diagnose, and ask the maintainers.",
        ) from None


def made(
    appliance: str, context: ContextRow, world: World, decision: Decision, allowed: frozenset[WaiverReason]
) -> Plan:
    """The plan that follows from an observation and a decision. Pure."""
    seen = decision.assessment
    actions = plan_of(world, seen) if seen.incident is not None else ()
    blocks = dict.fromkeys((*seen.blocks, *(block for volume in seen.volumes for block in volume.blocks)))
    reason, message = _verdict(decision)
    incident = seen.incident
    live = incident is not None and incident.live
    return Plan(
        appliance=appliance,
        context=context,
        context_status=world.records.context.current_status,
        job=None
        if incident is None
        else PlannedJob(
            id=incident.job_id,
            operation=incident.operation,
            live=incident.live,
            since=as_utc(incident.newest_activity, world.records.clock).replace(microsecond=0),
            last_step=step_words(incident.last_step),
        ),
        reason=reason,
        message=message,
        actions=actions,
        phases=tuple(_phases(actions)),
        obstacles=tuple(_obstacle(block, allowed, live=live) for block in blocks),
        leftovers=seen.leftovers,
        goals=tuple((goal.value, state) for goal, state in seen.goals.items()),
        context_would_become=seen.target,
        digest=plan_hash(actions),
    )


def _verdict(decision: Decision) -> tuple[Reason | None, str]:
    match decision:
        case Done(reason=ended, message=message):
            return Reason(ended.value), message
        case Refuse(reason=guard, message=message):
            return Reason(guard.value), message
        case Wait(reason=waits, message=message):
            return Reason(waits.value) if waits is not None else Reason.PROGRESSING, message
        case Stopped(message=message):
            return Reason.SUSPENDED, message
        case Act():
            return None, "The cleanup can begin at once."


def _phases(actions: tuple[Action, ...]) -> Iterator[PhaseAhead]:
    for phase in Phase:
        todo = [action for action in actions if action.phase is phase]
        yield PhaseAhead(phase, bool(todo), _listed(todo) if todo else NOT_NEEDED[phase])


def _listed(actions: list[Action], most: int = 3) -> str:
    named = "; ".join(action.why for action in actions[:most])
    return named if len(actions) <= most else f"{named}; and {len(actions) - most} more"


def _obstacle(block: Block, allowed: frozenset[WaiverReason], *, live: bool) -> Obstacle:
    reason = Reason(block.reason.value)
    return Obstacle(
        reason=reason,
        message=block.message,
        remedy=reason.remedy,
        object=block.object,
        volume_id=block.volume_id,
        needs_person=needs_person(block.reason),
        waiver=_waiver(reason, block, allowed, live=live),
    )


def _waiver(reason: Reason, block: Block, allowed: frozenset[WaiverReason], *, live: bool) -> OfferedWaiver | None:
    if reason.waiver is None:
        return None
    if reason is Reason.RUNNING_TEST_VM and live:
        return None  # the VM of a live failover is stopped by a person, never by a waiver
    if reason.waiver in _FOR_THE_JOB:
        return OfferedWaiver(reason.waiver, "job", reason.waiver in allowed)
    return OfferedWaiver(reason.waiver, block.volume_id or block.object, reason.waiver in allowed)
