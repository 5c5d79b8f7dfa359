"""Whether what a finished cleanup reached still holds (rule 18). The core compares; nothing is touched."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from failed_execution_cleanup.appliance.observe_many import Observed
from failed_execution_cleanup.detection.explained import replicated_since
from failed_execution_cleanup.detection.stuck import Unsettled
from failed_execution_cleanup.recovery import guards
from failed_execution_cleanup.recovery.activity import activity
from failed_execution_cleanup.recovery.decide import Act, Decision, Refuse, Wait, decide
from failed_execution_cleanup.recovery.goals import Goal, Settings, Wish
from failed_execution_cleanup.recovery.incident import resolve, superseded_by
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.plan import assess
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.claim import load_memory


@dataclass(frozen=True, slots=True)
class FinishedCleanup:
    """A cleanup that ended clean.

    Attributes:
        job_id: the failover job it was bound to.
        ended_at: when.
    """

    context_id: str
    job_id: str
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Drift:
    """What differs from what was reached.

    Attributes:
        message: goal by goal; the same words as long as the same differs.
        obstacle: why it cannot be put right without a person; None if it can.
    """

    message: str
    obstacle: str | None


def drift_of(seen: Observed, cleanup: FinishedCleanup, settings: Settings) -> Drift | Unsettled | None:
    """Compare one context with what its cleanup reached; None when all holds, or something newer explains what does not.

    Raises:
        ValidationError: the memory of the claim cannot be read.
    """
    world = seen.world
    incident = resolve(world.records, cleanup.job_id)
    if incident is None or superseded_by(world.records, incident) is not None:
        return None
    memory = load_memory(seen.memories.get(cleanup.job_id), cleanup.job_id)
    wish = Wish(job_id=cleanup.job_id, settings=settings)
    at_work = (*guards.alive(incident, world, wish), *guards.replication(world, wish))
    changing = world.first is not None and activity(world.first, memory) != activity(world.records, memory)
    if changing or any(block.reason in _AT_WORK for block in at_work):
        return Unsettled.UNSETTLED
    # Judged as by whoever comes next: a taken claim is a new one, so no revert of the old one counts for a delete (rule 12).
    memory = replace(memory, number=memory.number + 1)
    goals = assess(world, incident, wish, memory).goals
    lost = {goal: state for goal, state in goals.items() if not state.reached}
    if replicated_since(world.records, cleanup.ended_at):
        lost.pop(Goal.CONTEXT_READY, None)
    if not lost:
        return None
    message = "; ".join(f"{goal}: {state.message}" for goal, state in lost.items())
    correction = memory.again(world.records.clock.utc, memory.handled_request, correcting=True)
    return Drift(message, _obstacle(decide(world, wish, correction), memory))


_AT_WORK = frozenset({Reason.FAILOVER_STILL_RUNNING, Reason.REPLICATION_ACTIVE})


def _obstacle(decision: Decision, memory: Memory) -> str | None:
    if isinstance(decision, Act):
        return None
    if any(request.open for request in memory.requests):
        return "requests are in flight"
    reason = decision.reason if isinstance(decision, Wait | Refuse) else None
    return reason.value if reason is not None else "nothing can be done about it now"
