"""What a cleanup's status says, computed from the status it has and from what is known by now. Pure: no I/O, no clock.

Ready follows from one reason, and the reason's kind settles what stands beside it (see `resources.reasons`): kstatus,
Flux, Argo CD and `kubectl wait` then agree on what they see. A status may be erased at any moment: everything but the
times of transitions, the history and when a waiver was first used comes back from the claim's memory and the next
observation.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from failed_execution_cleanup.controller.reason_link import DOCS_URL, linked
from failed_execution_cleanup.recovery import volumes as located
from failed_execution_cleanup.recovery.actions import Action
from failed_execution_cleanup.recovery.actions import Phase as PhaseOfRun
from failed_execution_cleanup.recovery.approval import plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.incident import Incident, as_utc
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.plan import Assessment, VolumeAssessment
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, SUCCESSES
from failed_execution_cleanup.recovery.reasons import Reason as CoreReason
from failed_execution_cleanup.recovery.world import World
from failed_execution_cleanup.resources.cleanup import (
    MAX_HISTORY,
    MAX_VOLUMES,
    CleanupStatus,
    FailedExecutionCleanup,
    FailedJob,
    FoundGoal,
    Holder,
    IncidentVM,
    JobType,
    Leftover,
    LeftoverKind,
    Phase,
    PhaseName,
    PhaseState,
    PlannedAction,
    Run,
    UsedWaiver,
    VMContext,
    VolumeStatus,
)
from failed_execution_cleanup.resources.conditions import (
    Condition,
    ConditionStatus,
    get_condition,
    remove_condition,
    set_condition,
)
from failed_execution_cleanup.resources.reasons import GOALS, ConditionType, Reason, ReasonKind, Waiver
from failed_execution_cleanup.run.order import Progress
from failed_execution_cleanup.run.phases import NOT_NEEDED

__all__ = ["is_finished", "project", "project_waiting"]

MAX_PLAN: Final = 1024
MAX_TEST_VMS: Final = 32
MAX_LEFTOVERS: Final = 256
MAX_WAIVERS: Final = 64

_SAME_ATTEMPT: Final = timedelta(seconds=2)
"""A next attempt that moves by less is the same one: whole seconds jitter, and a status is not written for that."""

_READY: Final = {
    ReasonKind.FINISHED: ConditionStatus.TRUE,
    ReasonKind.WORKING: ConditionStatus.UNKNOWN,
    ReasonKind.WAITING: ConditionStatus.FALSE,
    ReasonKind.HELD: ConditionStatus.FALSE,
    ReasonKind.STALLED: ConditionStatus.FALSE,
}

_WHY_SKIPPED: Final = {
    PhaseOfRun.DETACH: Reason.VOLUMES_IN_PLACE,
    PhaseOfRun.SNAPSHOTS: Reason.NO_SNAPSHOTS,
    PhaseOfRun.REATTACH: Reason.VOLUMES_IN_PLACE,
    PhaseOfRun.TEST_VM: Reason.NO_TEST_VM,
    PhaseOfRun.DATABASE: Reason.ROWS_IN_PLACE,
}


def project(
    cleanup: FailedExecutionCleanup,
    progress: Progress,
    now: datetime,
    *,
    planned: bool = False,
    ordered: FailedExecutionCleanup | None = None,
    docs_url: str = DOCS_URL,
) -> CleanupStatus:
    """Return the status a cleanup is to have.

    What was not observed this time keeps its last value. A finished cleanup is frozen: as long as nobody asks for
    another run its result, goals, phases and times stay as they were at its end (rule 18), even while the appliance
    cannot be reached.

    Args:
        cleanup: the object as last stored; its status is what the new one goes on from.
        progress: what is known by now.
        now: this moment, with a time zone.
        planned: mode Plan, and the plan is not approved. The plan is shown; phases, times and history of earlier runs
            stay. Where nothing is left to do, Ready says so as in mode Execute.
        ordered: the object as it was when the order was made, if that may be older than `cleanup`. Its generation and
            request are those that were taken into account; a change in between must not look handled.
        docs_url: where the reasons are explained, see `reason_link.linked`.
    """
    ordered = ordered or cleanup
    case = _Case(
        present=cleanup.status,
        progress=replace(progress, decision=_settled(progress)),
        now=now.astimezone(UTC).replace(microsecond=0),
        generation=ordered.metadata.generation,
        request=_request(cleanup.status, progress, ordered, planned=planned),
        approved=cleanup.approved_plan,
        suspended=ordered.suspended,
        planned=planned,
        docs_url=docs_url,
    )
    if case.finished_before and progress.world is None and isinstance(progress.decision, Wait | Stopped):
        return _still_finished(case)
    phases = _phases(case)
    told: dict[str, object] = {
        **dict(case.present),
        **_observed(case),
        **_plan(case),
        **_run(case),
        "observed_generation": case.generation,
        "conditions": _conditions(case),
        "phases": phases,
        "phase_summary": _summary(phases),
        "last_handled_request": case.request,
        "next_attempt_at": _next_attempt(case),
        "queue_position": None,
    }
    return CleanupStatus.model_validate(told)


def project_waiting(cleanup: FailedExecutionCleanup, place: int | None, now: datetime) -> CleanupStatus:
    """Return the status of a cleanup that waits for its turn; one that was looked at before keeps what it says.

    Args:
        cleanup: the object as last stored.
        place: place in the line of its appliance, from 1; None when it is too far back to be counted.
        now: this moment, with a time zone.
    """
    status = cleanup.status.model_copy(update={"queue_position": place})
    ready = get_condition(status.conditions, ConditionType.READY)
    if ready is not None and ready.reason != Reason.QUEUED:
        return status
    ahead = "many cleanups" if place is None else f"{place - 1} cleanup(s)"
    message = f"It waits for its turn; {ahead} of the same appliance are ahead of it."
    found = {
        ConditionType.READY: (ConditionStatus.UNKNOWN, Reason.QUEUED, message),
        ConditionType.RECONCILING: (ConditionStatus.TRUE, Reason.QUEUED, message),
        **dict.fromkeys(GOALS, (ConditionStatus.UNKNOWN, Reason.NOT_OBSERVED, "")),
    }
    conditions = status.conditions
    for type_, (state, reason, text) in found.items():
        generation = cleanup.metadata.generation
        conditions = set_condition(
            conditions, type_, state, reason=reason, message=text, observed_generation=generation, now=now
        )
    return status.model_copy(update={"conditions": conditions, "observed_generation": cleanup.metadata.generation})


def is_finished(status: CleanupStatus) -> bool:
    """Whether a run ended clean or final, so that nothing is done without a new request (rules 17, 18)."""
    ready = get_condition(status.conditions, ConditionType.READY)
    if ready is None:
        return False
    return ready.status is ConditionStatus.TRUE or ready.reason in {reason.value for reason in FINAL_FAILURES}


@dataclass(frozen=True, slots=True)
class _Case:
    """Everything a part of the status may depend on.

    Attributes:
        generation: the one that was taken into account.
        request: the `requestedAt` token that was taken into account.
        approved: hash of the plan that a person approved.
        suspended: a person suspended it, so a stop is not the plan's doing.
    """

    present: CleanupStatus
    progress: Progress
    now: datetime
    generation: int
    request: str | None
    approved: str | None
    suspended: bool
    planned: bool
    docs_url: str

    @property
    def decision(self) -> Decision:
        return self.progress.decision

    @property
    def assessment(self) -> Assessment:
        return self.progress.decision.assessment

    @property
    def memory(self) -> Memory:
        return self.progress.memory

    @property
    def assessed(self) -> bool:
        """Whether this observation got as far as comparing the world with the goals."""
        return self.progress.world is not None and bool(self.assessment.goals)

    @property
    def plan(self) -> tuple[Action, ...]:
        """Everything that may be done from here to the end."""
        world = self.progress.world
        return plan_of(world, self.assessment) if world is not None and self.assessed else ()

    @property
    def finished_before(self) -> bool:
        """Whether the cleanup had finished already, and nobody asked for another run."""
        return is_finished(self.present) and self.present.last_handled_request == self.request

    @property
    def frozen(self) -> bool:
        """Whether this is only a later look at the same end."""
        if not isinstance(self.decision, Done) or not self.finished_before:
            return False
        ready = get_condition(self.present.conditions, ConditionType.READY)
        return ready is not None and ready.reason == self.decision.reason.value


def _request(
    present: CleanupStatus, progress: Progress, ordered: FailedExecutionCleanup, *, planned: bool
) -> str | None:
    """The `requestedAt` token that counts as handled now: the run's own, as far as there is one."""
    if progress.claim_id is not None or (progress.world is not None and not planned):
        return progress.memory.handled_request
    if isinstance(progress.decision, Stopped) and not planned:
        # Stopped before anything was looked at: the request waits for the end of the suspension.
        return present.last_handled_request
    return ordered.requested_at


def _still_finished(case: _Case) -> CleanupStatus:
    """The status of a finished cleanup that nobody could, or wanted to, look at again."""
    if isinstance(case.decision, Wait):
        # The change that led here is not taken into account yet, so observedGeneration stays behind.
        return case.present.model_copy(update={"next_attempt_at": _next_attempt(case)})
    return case.present.model_copy(
        update={
            "observed_generation": case.generation,
            "conditions": _taken_into_account(case),
            "next_attempt_at": None,
            "queue_position": None,
        }
    )


def _settled(progress: Progress) -> Decision:
    """The decision; an end or a stop is none while the claim is held for what still runs: whoever waits would take it for the last word."""
    decision = progress.decision
    if not progress.claimed:
        return decision
    match decision:
        case Done(assessment=seen):
            return Wait(None, "everything is as wanted; the last steps are ending", timedelta(0), seen)
        case Refuse(reason=reason, message=message, assessment=seen):
            said = f"stops for {reason.value} when its last steps have ended: {message}"
            return Wait(None, said, timedelta(0), seen)
        case Stopped(message=message, assessment=seen):
            return Wait(None, f"stops when its last steps have ended: {message}", timedelta(0), seen)
    return decision


# -- conditions --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Finding:
    """One condition to be set."""

    type: ConditionType
    status: ConditionStatus
    reason: Reason
    message: str


def _taken_into_account(case: _Case) -> tuple[Condition, ...]:
    """The present conditions for the present generation; those of other writers are left alone."""
    ours = {type_.value for type_ in ConditionType}
    return tuple(
        kept.model_copy(update={"observed_generation": case.generation}) if kept.type in ours else kept
        for kept in case.present.conditions
    )


def _conditions(case: _Case) -> tuple[Condition, ...]:
    conditions = _taken_into_account(case)
    if not case.frozen:
        # Drift is a property of a finished cleanup; a new run mends it or ends without it.
        conditions = remove_condition(conditions, ConditionType.DRIFTED)
    for found in (*_verdict(case), *_goals(case), *_content(case)):
        conditions = set_condition(
            conditions,
            found.type,
            found.status,
            reason=found.reason,
            message=found.message,
            observed_generation=case.generation,
            now=case.now,
        )
    return conditions


def _verdict(case: _Case) -> Iterator[_Finding]:
    """Ready, and the conditions that follow from its reason."""
    reason, text = _reason(case)
    message = linked(text, reason, case.docs_url)
    yield _Finding(ConditionType.READY, _READY[reason.kind], reason, message)
    beside = {
        ConditionType.RECONCILING: reason.kind in {ReasonKind.WORKING, ReasonKind.WAITING},
        ConditionType.STALLED: reason.kind is ReasonKind.STALLED,
        ConditionType.SUSPENDED: reason is Reason.SUSPENDED,
    }
    for type_, true in beside.items():
        yield _Finding(type_, _status(true), reason, message)
    if not case.planned or _plan_made(case):
        yield _Finding(ConditionType.PLANNED, _status(case.planned), Reason.PLAN_READY, _plan_message(case))


def _reason(case: _Case) -> tuple[Reason, str]:
    match case.decision:
        case Done(reason=ended, message=message):
            ready = get_condition(case.present.conditions, ConditionType.READY)
            return Reason(ended.value), ready.message if case.frozen and ready is not None else message
        case Refuse(reason=guard, message=message):
            return Reason(guard.value), message
        case Wait(reason=reason, message=message):
            if reason is not None:
                return Reason(reason.value), message
            return Reason.PROGRESSING_WITH_RETRY if _retrying(case.memory) else Reason.PROGRESSING, message
        case Act(actions=actions) if not case.planned or case.progress.claimed:
            return Reason.PROGRESSING, _listed([action.why for action in actions])
        case Stopped(message=message) if case.suspended or not case.planned:
            return Reason.SUSPENDED, message
        case Act() | Stopped():
            return Reason.PLAN_READY, _plan_message(case)


def _retrying(memory: Memory) -> bool:
    """Whether nothing is in flight because an attempt failed and the pause before the next one runs."""
    if any(request.open for request in memory.requests):
        return False
    return any(memory.failures(request.kind, request.object) for request in memory.requests)


def _goals(case: _Case) -> Iterator[_Finding]:
    if case.frozen:
        return
    ended = isinstance(case.decision, Done)
    if not case.assessed:
        for type_ in GOALS:
            if not ended and get_condition(case.present.conditions, type_) is None:
                yield _Finding(type_, ConditionStatus.UNKNOWN, Reason.NOT_OBSERVED, "")
        return
    succeeded = isinstance(case.decision, Done) and case.decision.reason in SUCCESSES
    for goal, state in case.assessment.goals.items():
        type_ = ConditionType(goal.value)
        if state.reached:
            yield _Finding(type_, ConditionStatus.TRUE, Reason.GOAL_REACHED, state.message)
        elif succeeded:
            # The status was erased after a clean end, and this look is a later one.
            message = "It was reached when the cleanup finished."
            yield _Finding(type_, ConditionStatus.TRUE, Reason.GOAL_REACHED, message)
        else:
            undeserved = case.assessment.undeserved if type_ is ConditionType.CONTEXT_READY else None
            reason = Reason(undeserved.value) if undeserved is not None else Reason.GOAL_NOT_REACHED
            yield _Finding(type_, ConditionStatus.FALSE, reason, state.message)


def _content(case: _Case) -> Iterator[_Finding]:
    """DataSuspect: kept while nobody looked, true while the content of a volume cannot be vouched for."""
    decision, suspects = case.decision, case.assessment.suspects
    if case.frozen or not (case.assessed or isinstance(decision, Done)):
        return
    final = isinstance(decision, Done) and decision.reason is CoreReason.CLEANED_DATA_SUSPECT
    succeeded = isinstance(decision, Done) and decision.reason in SUCCESSES
    accepted = {obj for reason, obj in case.memory.waivers_used if reason == Waiver.ACCEPT_CONTENT}
    only_accepted = bool(suspects) and {v.volume.id for v in suspects} <= accepted
    names = ", ".join(v.volume.label for v in suspects)
    yield _Finding(
        ConditionType.DATA_SUSPECT,
        _status(final or (bool(suspects) and not succeeded)),
        Reason.CONTENT_ACCEPTED if only_accepted else Reason.CONTENT_UNPROVEN,
        f"The content of {names or 'a volume'} cannot be vouched for: a full replication is needed.",
    )


def _status(true: bool) -> ConditionStatus:
    return ConditionStatus.TRUE if true else ConditionStatus.FALSE


# -- plan --------------------------------------------------------------------------------------------------------------


def _plan_made(case: _Case) -> bool:
    """Whether there is a plan to show; none while volumes are still brought home, which changes it."""
    return (case.assessed or isinstance(case.decision, Done)) and not case.progress.claimed


def _plan(case: _Case) -> dict[str, object]:
    """What waits for an approval is shown as it is now; what was approved stays as it was when it was approved."""
    awaiting = isinstance(case.decision, Refuse) and case.decision.reason is CoreReason.AWAITING_APPROVAL
    if (case.planned or awaiting) and _plan_made(case):
        plan = case.plan
        shown = tuple(
            PlannedAction(
                step=number,
                phase=PhaseName(action.phase.value),
                action=action.kind.value,
                object=action.object,
                why=action.why,
            )
            for number, action in enumerate(plan[:MAX_PLAN], start=1)
        )
        return {"plan": shown, "plan_hash": plan_hash(plan)}
    if case.planned or (case.approved is not None and case.approved == case.present.plan_hash):
        return {}
    return {"plan": (), "plan_hash": None}


def _plan_message(case: _Case) -> str:
    steps, blocks, plan = case.assessment.steps, case.assessment.blocks, case.plan
    phases = {step.phase for step in steps}
    text = f"{len(plan)} action(s) in {len(phases)} phase(s) are planned; nothing is touched."
    if not steps:
        text = "Nothing is left to do; nothing is touched."
    elif unneeded := [f"{phase} ({NOT_NEEDED[phase]})" for phase in PhaseOfRun if phase not in phases]:
        text += f" Not needed: {_listed(unneeded, len(PhaseOfRun))}."
    if blocks:
        text += " Forbidden at present: " + _listed([f"{block.reason}: {block.message}" for block in blocks])
    if isinstance(case.decision, Stopped) and case.decision.away:
        text += f" Not on the appliance: {', '.join(case.decision.away)}."
    return text


# -- runs and phases ---------------------------------------------------------------------------------------------------


def _run(case: _Case) -> dict[str, object]:
    """What tells of runs; a look that is none leaves it as it is."""
    present, memory = case.present, case.memory
    ended = isinstance(case.decision, Done)
    told: dict[str, object] = {}
    if ended and not (case.frozen and present.completed_at):
        told["completed_at"] = _ended_at(case)
    if case.planned or case.progress.world is None:
        return told
    if not ended:
        told["completed_at"] = None
    if not case.frozen or memory.started_at is not None:
        told["started_at"] = _utc(memory.started_at)
    return {
        **told,
        "cleanup_job_id": case.progress.claim_id or present.cleanup_job_id,
        "waivers_used": _waivers_used(case),
        "history": _history(case),
        "found": _found(case),
    }


def _found(case: _Case) -> tuple[FoundGoal, ...]:
    """The goals as the run found them; a later look at its end leaves them as they are."""
    found = case.memory.found
    if case.frozen and not found:
        return case.present.found
    return tuple(FoundGoal(type=goal.value, met=state.reached, message=state.message) for goal, state in found.items())


def _ended_at(case: _Case) -> datetime:
    """When the run ended; after an erased status as well as the memory can tell."""
    completed = [r.completed_at for r in case.memory.phases.values() if r.completed_at is not None]
    if case.memory.finished is None or not completed:
        return case.now
    return max(completed).replace(tzinfo=UTC)


def _history(case: _Case) -> tuple[Run, ...]:
    history, memory, decision = case.present.history, case.memory, case.decision
    started = _utc(memory.started_at)
    if not isinstance(decision, Done) or started is None:
        return history
    run = Run(
        run=max((past.run for past in history), default=0) + 1,
        cleanup_job_id=case.progress.claim_id,
        requested_at=memory.handled_request,
        started_at=started,
        completed_at=_ended_at(case),
        # A finished run that was superseded later ended as it ended.
        result=memory.finished or decision.reason.value,
        message=decision.message,
    )
    # Times are stored in whole seconds, and a run may be shorter than that.
    if any((past.started_at, past.requested_at) == (run.started_at, run.requested_at) for past in history):
        return history
    return (run, *history)[:MAX_HISTORY]


def _waivers_used(case: _Case) -> tuple[UsedWaiver, ...]:
    since = {(used.reason.value, used.object): used.used_at for used in case.present.waivers_used}
    return tuple(
        UsedWaiver(reason=Waiver(reason), object=obj, used_at=since.get((reason, obj), case.now))
        for reason, obj in case.memory.waivers_used[:MAX_WAIVERS]
    )


def _next_attempt(case: _Case) -> datetime | None:
    decision = case.decision
    if not isinstance(decision, Wait) or (decision.reason is None and not _retrying(case.memory)):
        return None
    at, told = case.now + decision.after, case.present.next_attempt_at
    return told if told is not None and abs(told - at) < _SAME_ATTEMPT else at.replace(microsecond=0)


def _summary(phases: Sequence[Phase]) -> str:
    done = sum(phase.state in {PhaseState.COMPLETED, PhaseState.SKIPPED} for phase in phases)
    return f"{done}/{len(PhaseOfRun)}"


def _phases(case: _Case) -> tuple[Phase, ...]:
    told = case.present.phases
    observed = case.assessed or isinstance(case.decision, Done)
    past = case.planned and case.present.started_at is not None
    if len(told) == len(PhaseOfRun) and (past or case.frozen or not observed):
        return told
    return tuple(_phase(case, phase) for phase in PhaseOfRun)


def _phase(case: _Case, phase: PhaseOfRun) -> Phase:
    record = case.memory.phases.get(phase)
    name = PhaseName(phase.value)
    steps = [step for step in case.assessment.steps if step.phase is phase]
    todo = _listed([step.why for step in steps]) or None
    if record is None or record.started_at is None:
        if isinstance(case.decision, Done):
            return _skipped(case, phase, case.decision)
        if case.planned and case.assessed and not steps:
            return _unneeded(phase)
        return Phase(name=name, state=PhaseState.PENDING, message=todo, done=0, total=len(steps))
    total = max(record.total, len(steps))
    begun = Phase(
        name=name,
        state=PhaseState.RUNNING,
        message=todo,
        started_at=_utc(record.started_at),
        done=total - len(steps) if case.assessed else None,
        total=total,
        requests=case.memory.sent(phase),
    )
    completed_at = _utc(record.completed_at)
    change: dict[str, object] = {}
    match case.decision:
        case Done():
            completed_at = completed_at or case.now
            change = {"state": PhaseState.COMPLETED, "message": None, "done": total, "completed_at": completed_at}
        case _ if completed_at is not None and not steps:
            change = {"state": PhaseState.COMPLETED, "completed_at": completed_at}
        case Refuse(reason=reason):
            told = (old for old in case.present.phases if old.name is name and old.state is PhaseState.FAILED)
            failed_at = next((old.completed_at for old in told), case.now)
            change = {"state": PhaseState.FAILED, "reason": reason.value, "completed_at": failed_at}
        case Stopped():
            change = {"state": PhaseState.PENDING, "reason": Reason.SUSPENDED.value}
        case Wait(reason=reason) if reason is not None:
            change = {"reason": reason.value}
    return begun.model_copy(update=change)


def _skipped(case: _Case, phase: PhaseOfRun, done: Done) -> Phase:
    if case.assessed or case.memory.phases:
        return _unneeded(phase)
    # NothingToDo and Superseded: nobody looked whether the phase is needed.
    name, reason = PhaseName(phase.value), done.reason.value
    return Phase(name=name, state=PhaseState.SKIPPED, reason=reason, message=done.message)


def _unneeded(phase: PhaseOfRun) -> Phase:
    reason = _WHY_SKIPPED[phase].value
    return Phase(name=PhaseName(phase.value), state=PhaseState.SKIPPED, reason=reason, message=NOT_NEEDED[phase])


# -- observed objects --------------------------------------------------------------------------------------------------


def _observed(case: _Case) -> dict[str, object]:
    """What this observation shows; what it did not get to see is left as it is."""
    world, incident = case.progress.world, case.assessment.incident
    if world is None:
        return {}
    seen: dict[str, object] = {"context": _context(world)}
    if incident is not None:
        seen["failed_job"] = _failed_job(case, world, incident)
    if case.assessed:
        seen["volumes"] = _volumes(case)
        seen["test_vms"] = _test_vms(case, world)
        seen["leftovers"] = _leftovers(case.assessment)
    return seen


def _context(world: World) -> VMContext:
    row = world.records.context
    return VMContext(id=row.context_id, vm_name=row.vm_name, vcenter_host=row.vcenter_host, status=row.current_status)


def _failed_job(case: _Case, world: World, incident: Incident) -> FailedJob:
    clock, job, tracking = world.records.clock, incident.job, incident.tracking
    told = case.present.failed_job
    stuck_since: datetime | None = as_utc(incident.newest_activity, clock)
    claimed_at = _utc(case.memory.started_at)
    if claimed_at is not None and as_utc(incident.newest_activity, clock) >= claimed_at:
        # Closing its rows is our own doing, no sign of life.
        stuck_since = told.stuck_since if told is not None and told.id == incident.job_id else None
    known_type = job is None or job.job_type in set(JobType)
    return FailedJob(
        id=incident.job_id,
        type=(JobType.LIVE if incident.live else JobType.TEST) if known_type else None,
        operation=tracking.operation if tracking is not None else None,
        started_at=as_utc(incident.created_at, clock),
        stuck_since=stuck_since,
        last_step=incident.last_step,
        state=job.status if job is not None else tracking.status if tracking is not None else None,
    )


def _volumes(case: _Case) -> tuple[VolumeStatus, ...]:
    shown = {v.volume.id: _volume(v, case.memory) for v in case.assessment.volumes if v.volume.id}
    return tuple(shown.values())[:MAX_VOLUMES]


def _volume(v: VolumeAssessment, memory: Memory) -> VolumeStatus:
    cloud = v.volume.cloud
    requests = [request for request in memory.requests if v.volume.id in {request.object, request.volume_id}]
    latest = max(requests, key=lambda request: (request.open, request.sent_at), default=None)
    message = None
    if v.blocks:
        message = v.blocks[0].message
    elif v.holder is located.Holder.MISSING:
        message = "OSSEA does not show it."
    elif v.suspect:
        message = "Its content cannot be vouched for: a full replication of the disk is needed."
    elif v.steps:
        message = v.steps[0].why
    return VolumeStatus(
        id=v.volume.id,
        disk=v.volume.disk_id,
        name=v.volume.row.name or None,
        holder=Holder.UNKNOWN if v.holder is located.Holder.MISSING else Holder(v.holder.value),
        holder_vm_id=cloud.vm_id if cloud is not None else None,
        snapshots=len(v.restore.deletable),
        state=cloud.state if cloud is not None else None,
        step=latest.kind.value if latest is not None else None,
        message=message,
    )


def _test_vms(case: _Case, world: World) -> tuple[IncidentVM, ...]:
    """The VMs of the incident; one that was shown before and is in no list any more is gone (rule 9)."""
    shown = {vm.id: IncidentVM(id=vm.id, name=vm.display_name or vm.name, state=vm.state) for vm in case.assessment.vms}
    incident, told = case.assessment.incident, case.present.failed_job
    if incident is not None and told is not None and told.id == incident.job_id:
        for before in case.present.test_vms:
            seen = world.cloud.vms.get(before.id)
            state = seen.state if seen is not None else "Expunged"
            shown.setdefault(before.id, before.model_copy(update={"state": state}))
    return tuple(shown[key] for key in sorted(shown))[:MAX_TEST_VMS]


def _leftovers(assessment: Assessment) -> tuple[Leftover, ...]:
    shown = {
        (item.kind, item.id): Leftover(kind=LeftoverKind(item.kind), id=item.id, message=item.message)
        for item in assessment.leftovers
    }
    return tuple(shown.values())[:MAX_LEFTOVERS]


def _listed(texts: Sequence[str], limit: int = 3) -> str:
    """The first texts, and how many more there are."""
    more = len(texts) - limit
    return "; ".join([*texts[:limit], *([f"and {more} more"] if more > 0 else [])])


def _utc(stamp: datetime | None) -> datetime | None:
    """A stamp of the memory (UTC digits) as a moment, in whole seconds as the API stores it."""
    return None if stamp is None else stamp.replace(microsecond=0, tzinfo=UTC)
