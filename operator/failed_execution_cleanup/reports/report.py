"""What a report says, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from failed_execution_cleanup.resources.cleanup import (
    CleanupStatus,
    FailedExecutionCleanup,
    Leftover,
    Phase,
    PhaseName,
    PhaseState,
    Run,
    UsedWaiver,
    VolumeStatus,
)
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus, get_condition
from failed_execution_cleanup.resources.reasons import GOALS, ConditionType, Reason, ReasonKind

__all__ = ["GoalReport", "JobReport", "Outcome", "PhaseReport", "Report", "Verdict", "report_of"]


class Outcome(StrEnum):
    """How it ended, if it did."""

    CLEAN = "clean"
    NEEDS_PERSON = "needs a person"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How it ended.

    Attributes:
        reason: that of the condition Ready; empty before the first look.
        sentence: the verdict for people.
        remedy: what a person does next; empty where there is nothing to do.
        suspect: what is said of volumes whose content cannot be vouched for; None where there are none.
        drift: what is said of goals that no longer hold; None where all do.
    """

    outcome: Outcome
    reason: str
    sentence: str
    remedy: str
    suspect: str | None = None
    drift: str | None = None


@dataclass(frozen=True, slots=True)
class JobReport:
    """The failed job. `state` is that of its row at the last observation."""

    id: str
    type: str | None
    started_at: datetime | None
    stuck_since: datetime | None
    last_step: str | None
    state: str | None


@dataclass(frozen=True, slots=True)
class GoalReport:
    """One of the four goals, as the latest run found it and as it is now.

    Attributes:
        before: None where no run began, or an older version began it.
        after: None while nobody looked.
    """

    name: str
    meaning: str
    before: bool | None
    before_message: str
    after: bool | None
    after_message: str


@dataclass(frozen=True, slots=True)
class PhaseReport:
    """One of the five phases.

    Attributes:
        duration: from its first action to its completion; None while it runs or where it did not begin.
        requests: requests sent to the cloud and the Volume Daemon; None where it did not begin.
    """

    name: str
    title: str
    state: str
    started_at: datetime | None
    completed_at: datetime | None
    duration: timedelta | None
    requests: int | None
    done: int | None
    total: int | None
    message: str


@dataclass(frozen=True, slots=True)
class Report:
    """One cleanup.

    Attributes:
        requested_by: who asked; None where the resource does not say.
        note: why.
        asked_at: when the resource was created.
        job: None while no failed job is known.
        duration: of the latest run, suspensions included; None while it runs.
        cleanup_job_id: row of the claim in the appliance's job log.
        volumes: as last observed.
        history: the last runs, newest first.
    """

    name: str
    namespace: str
    vm_name: str
    vcenter_host: str | None
    appliance: str
    requested_by: str | None
    note: str | None
    asked_at: datetime | None
    job: JobReport | None
    verdict: Verdict
    started_at: datetime | None
    completed_at: datetime | None
    duration: timedelta | None
    cleanup_job_id: str | None
    goals: tuple[GoalReport, ...]
    phases: tuple[PhaseReport, ...]
    waivers: tuple[UsedWaiver, ...]
    volumes: tuple[VolumeStatus, ...]
    leftovers: tuple[Leftover, ...]
    history: tuple[Run, ...]

    @property
    def requests(self) -> int:
        """All requests the latest run sent."""
        return sum(phase.requests or 0 for phase in self.phases)


GOAL_MEANINGS: Final = {
    ConditionType.VOLUMES_ATTACHED: "Volumes on the appliance",
    ConditionType.SNAPSHOTS_REMOVED: "Snapshots of the failover removed",
    ConditionType.TEST_VM_REMOVED: "Test VM removed",
    ConditionType.CONTEXT_READY: "Ready for failover",
}

PHASE_TITLES: Final = {
    PhaseName.DETACH_VOLUMES: "Detach volumes",
    PhaseName.CLEANUP_SNAPSHOTS: "Revert and remove snapshots",
    PhaseName.REATTACH_VOLUMES: "Attach volumes to the appliance",
    PhaseName.CLEANUP_TEST_VM: "Remove the test VM",
    PhaseName.DATABASE_CLEANUP: "Close the records",
}


def report_of(cleanup: FailedExecutionCleanup) -> Report:
    """The report of a cleanup as it is."""
    spec, status, metadata = cleanup.spec, cleanup.status, cleanup.metadata
    context = status.context
    return Report(
        name=metadata.name,
        namespace=metadata.namespace or "",
        vm_name=spec.vm_name,
        vcenter_host=spec.vcenter_host or (context.vcenter_host if context is not None else None),
        appliance=spec.appliance_ref.name,
        requested_by=spec.requested_by,
        note=spec.note,
        asked_at=metadata.creation_timestamp,
        job=_job(cleanup),
        verdict=_verdict(cleanup),
        started_at=status.started_at,
        completed_at=status.completed_at,
        duration=_between(status.started_at, status.completed_at),
        cleanup_job_id=status.cleanup_job_id,
        goals=tuple(_goal(type_, status) for type_ in GOALS),
        phases=tuple(_phase(phase) for phase in status.phases),
        waivers=status.waivers_used,
        volumes=status.volumes,
        leftovers=status.leftovers,
        history=status.history,
    )


def _job(cleanup: FailedExecutionCleanup) -> JobReport | None:
    job = cleanup.status.failed_job
    if job is None:
        wanted = cleanup.spec.failover_job_id
        return None if wanted is None else JobReport(wanted, None, None, None, None, None)
    type_ = job.type.value if job.type is not None else None
    return JobReport(job.id, type_, job.started_at, job.stuck_since, job.last_step, job.state)


def _verdict(cleanup: FailedExecutionCleanup) -> Verdict:
    conditions = cleanup.status.conditions
    ready = get_condition(conditions, ConditionType.READY)
    if ready is None:
        return Verdict(Outcome.UNFINISHED, "", "The operator has not looked at it yet.", "")
    outcome, remedy = _judged(ready)
    vm = cleanup.spec.vm_name
    beginning = {
        Outcome.CLEAN: f"{vm} is clean",
        Outcome.NEEDS_PERSON: f"{vm} is not clean, and a person is needed",
        Outcome.UNFINISHED: f"{vm} is not clean yet",
    }[outcome]
    sentence = f"{beginning} ({ready.reason}): {ready.message}" if ready.message else f"{beginning} ({ready.reason})."
    suspect, drift = (get_condition(conditions, t) for t in (ConditionType.DATA_SUSPECT, ConditionType.DRIFTED))
    return Verdict(
        outcome,
        ready.reason,
        sentence,
        "" if outcome is Outcome.CLEAN else remedy,
        suspect.message if suspect is not None else None,
        drift.message if drift is not None else None,
    )


def _judged(ready: Condition) -> tuple[Outcome, str]:
    """How it ended, and what a person does next."""
    if ready.status is ConditionStatus.TRUE:
        return Outcome.CLEAN, ""
    try:
        reason = Reason(ready.reason)
    except ValueError:  # of a newer operator
        return Outcome.UNFINISHED, ""
    return Outcome.NEEDS_PERSON if reason.kind is ReasonKind.STALLED else Outcome.UNFINISHED, reason.remedy


def _goal(type_: ConditionType, status: CleanupStatus) -> GoalReport:
    found = next((goal for goal in status.found if goal.type == type_), None)
    now = get_condition(status.conditions, type_)
    known = now is not None and now.status is not ConditionStatus.UNKNOWN
    return GoalReport(
        name=type_.value,
        meaning=GOAL_MEANINGS[type_],
        before=found.met if found is not None else None,
        before_message=(found.message or "") if found is not None else "",
        after=now.status is ConditionStatus.TRUE if now is not None and known else None,
        after_message=now.message if now is not None else "",
    )


def _phase(phase: Phase) -> PhaseReport:
    begun = phase.started_at is not None and phase.state is not PhaseState.SKIPPED
    return PhaseReport(
        name=phase.name.value,
        title=PHASE_TITLES[phase.name],
        state=phase.state.value,
        started_at=phase.started_at,
        completed_at=phase.completed_at,
        duration=_between(phase.started_at, phase.completed_at),
        requests=phase.requests if begun else None,
        done=phase.done,
        total=phase.total,
        message=phase.message or "",
    )


def _between(start: datetime | None, end: datetime | None) -> timedelta | None:
    return None if start is None or end is None else end - start
