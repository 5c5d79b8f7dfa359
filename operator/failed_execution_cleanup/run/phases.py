"""The five phases as a person sees them: begun with their first action, completed when nothing of them is left."""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from functools import partial

from failed_execution_cleanup.recovery.actions import Action, Kind, Phase
from failed_execution_cleanup.recovery.memory import Memory, PhaseRecord
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.run.claim import Claim

logger = logging.getLogger(__name__)

NOT_NEEDED: dict[Phase, str] = {
    Phase.DETACH: "no volume must move, be reverted or be mapped anew",
    Phase.SNAPSHOTS: "no snapshot of the failed job is left",
    Phase.REATTACH: "every volume is on the appliance with mapping, mode and export",
    Phase.TEST_VM: "the failed job left no VM",
    Phase.DATABASE: "all rows are closed and the context is as wanted",
}


def remaining(assessment: Assessment, phase: Phase) -> int:
    """Steps of a phase that are left."""
    return sum(step.phase is phase for step in assessment.steps)


async def begin(claim: Claim, action: Action, assessment: Assessment, at: datetime) -> None:
    """Begin the phase of an action, unless it has begun."""
    phase = action.phase
    record = claim.memory.phases.get(phase, PhaseRecord())
    if action.kind is Kind.MARK_CONTEXT or (record.step_id is not None and record.completed_at is None):
        return
    step_id = await claim.lock.start_step(claim.stored, phase.value)
    left = remaining(assessment, phase)
    begun = PhaseRecord(started_at=record.started_at or at, step_id=step_id, total=max(record.total, left))
    await claim.change(partial(Memory.with_phase, phase=phase, record=begun))
    logger.info("Phase began", extra={"transition": "phase", "phase": phase.value, "state": "began"})


async def resume(claim: Claim) -> None:
    """After a take-over: the former owner's running steps were closed, so unfinished phases get new ones."""
    for phase, record in claim.memory.phases.items():
        if record.step_id is not None and record.completed_at is None:
            again = replace(record, step_id=await claim.lock.start_step(claim.stored, phase.value))
            await claim.change(partial(Memory.with_phase, phase=phase, record=again))
            logger.info("Phase goes on", extra={"transition": "phase", "phase": phase.value, "state": "resumed"})


async def complete(claim: Claim, assessment: Assessment, busy: set[Phase], at: datetime) -> None:
    """Complete every begun phase of which nothing is left or in flight; grow the totals of the others."""
    for phase, record in claim.memory.phases.items():
        if record.step_id is None or record.completed_at is not None:
            continue
        left = remaining(assessment, phase)
        if left == 0 and phase not in busy:
            await claim.lock.end_step(claim.stored, record.step_id, "completed")
            ended = replace(record, completed_at=at)
            await claim.change(partial(Memory.with_phase, phase=phase, record=ended))
            logger.info("Phase completed", extra={"transition": "phase", "phase": phase.value, "state": "completed"})
        elif left > record.total:
            grown = replace(record, total=left)
            await claim.change(partial(Memory.with_phase, phase=phase, record=grown))


async def skip_rest(claim: Claim) -> None:
    """At the end: every phase that never began had nothing to do."""
    for phase in Phase:
        if phase not in claim.memory.phases:
            reason = NOT_NEEDED[phase]
            await claim.lock.skip_step(claim.stored, phase.value, reason)
            await claim.change(partial(Memory.with_phase, phase=phase, record=PhaseRecord(skipped=reason)))
            told = {"transition": "phase", "phase": phase.value, "state": "skipped", "cause": reason}
            logger.info("Phase skipped", extra=told)
