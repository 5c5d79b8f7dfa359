"""Whether a failover hangs, since when, and what would keep a cleanup from running now. The core judges (rules 1, 5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from failed_execution_cleanup.appliance.observe_many import Observed
from failed_execution_cleanup.detection.explained import replicated_since
from failed_execution_cleanup.recovery import guards
from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.activity import activity
from failed_execution_cleanup.recovery.decide import Done, Refuse, Wait, decide
from failed_execution_cleanup.recovery.goals import Settings, Wish
from failed_execution_cleanup.recovery.incident import (
    TERMINAL_FAILOVER,
    Incident,
    as_utc,
    is_open,
    newest_job_id,
    resolve,
)
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason, needs_person
from failed_execution_cleanup.recovery.world import World
from failed_execution_cleanup.run.claim import load_memory


@dataclass(frozen=True, slots=True)
class StuckFailover:
    """A failover that died and was not cleaned up.

    Attributes:
        since: its last sign of life.
        last_step: the last step it began.
        reason: what would keep a cleanup from running to its end; None if nothing would.
    """

    job_id: str
    context_id: str
    vm_name: str
    vcenter_host: str
    live: bool
    operation: str
    since: datetime
    last_step: str | None
    reason: Reason | None


class Unsettled(Enum):
    """No verdict this time: others were at work while it was looked at. What was told before stands."""

    UNSETTLED = "unsettled"


def stuck_failover(seen: Observed, settings: Settings) -> StuckFailover | Unsettled | None:
    """Judge one context; None when nothing hangs there.

    Raises:
        ValidationError: the memory of a claim cannot be read.
    """
    world = seen.world
    job_id = newest_job_id(world.records)
    incident = resolve(world.records, job_id) if job_id is not None else None
    if incident is None:
        return None
    memory = _memory(seen.memories, incident.job_id)
    wish = Wish(job_id=incident.job_id, settings=settings)
    # A product cleanup that may be of any VM is no sign of life of this one: told as what a cleanup waits for.
    alive = any(block.object == incident.job_id for block in guards.alive(incident, world, wish))
    # A finished cleanup had the last word on this job (rule 18).
    if memory.finished or alive:
        return None
    if world.first is not None and activity(world.first, memory) != activity(world.records, memory):
        return Unsettled.UNSETTLED
    if _claimed(world, incident, settings):
        return _told(world, incident, Reason.CLAIMED_ELSEWHERE)
    decision = decide(world, wish, memory)
    match decision:
        case Done() | Refuse(reason=Reason.NOTHING_FAILED):
            return None
        case Wait(reason=Reason.OPERATION_IN_FLIGHT) if _young(world, incident, settings):
            return None
    if _only_status(incident, decision.assessment) and replicated_since(
        world.records, as_utc(incident.newest_activity, world.records.clock)
    ):
        return None
    if isinstance(decision, Wait | Refuse):
        return _told(world, incident, decision.reason)
    ahead = (block.reason for block in decision.assessment.blocks if needs_person(block.reason))
    return _told(world, incident, next(ahead, None))


def _memory(memories: Mapping[str, str], job_id: str) -> Memory:
    return load_memory(memories.get(job_id), job_id)


def _claimed(world: World, incident: Incident, settings: Settings) -> bool:
    """Whether a cleanup of this very job is at work."""
    return any(
        claim.job_id == incident.job_id
        and claim.owner is not None
        and claim.heartbeat_age is not None
        and claim.heartbeat_age < settings.owner_alive.total_seconds()
        for claim in world.records.claims
    )


def _young(world: World, incident: Incident, settings: Settings) -> bool:
    """What the engine left in the cloud may still come to rest, even where it ended the job itself."""
    return world.records.clock.age(incident.newest_activity) < settings.stuck_after


def _only_status(incident: Incident, assessment: Assessment) -> bool:
    """Whether nothing differs but the context's status: no row is open, no volume, snapshot or VM is out of place."""
    rows_open = any(job.status not in TERMINAL_FAILOVER for job in incident.failovers) or any(
        map(is_open, incident.relatives)
    )
    blocked = any(volume.blocks for volume in assessment.volumes)
    return not rows_open and not blocked and all(step.kind is Kind.CLOSE_INCIDENT for step in assessment.steps)


def _told(world: World, incident: Incident, reason: Reason | None) -> StuckFailover:
    context = world.records.context
    return StuckFailover(
        job_id=incident.job_id,
        context_id=context.context_id,
        vm_name=context.vm_name,
        vcenter_host=context.vcenter_host,
        live=incident.live,
        operation=incident.operation,
        since=as_utc(incident.newest_activity, world.records.clock),
        last_step=incident.last_step,
        reason=reason,
    )
