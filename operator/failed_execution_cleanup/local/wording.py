"""A report as lines of text: what changed since the last one, the plan, and the result. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup, Holder, Phase
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus, get_condition
from failed_execution_cleanup.resources.reasons import GOALS, ConditionType


class Shown(Protocol):
    """A cleanup at one moment, whoever works on it."""

    @property
    def cleanup(self) -> FailedExecutionCleanup:
        """The resource, or the one that somebody would have applied."""
        ...

    @property
    def status(self) -> CleanupStatus:
        """How far it is."""
        ...

    @property
    def ready(self) -> Condition | None:
        """The verdict; None before the first look."""
        ...

    @property
    def remedy(self) -> str:
        """What a person does next, where one has to."""
        ...


def printable(text: str) -> str:
    """The text without characters that steer a terminal: names come from vCenter and from other people's tables."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def job_line(status: CleanupStatus) -> str | None:
    """The failed job in one line; None while it is not known."""
    job = status.failed_job
    if job is None:
        return None
    parts = [f"{job.type.value if job.type else 'failover'} job {job.id}"]
    if job.state:
        parts.append(f"recorded as {job.state}")
    if job.stuck_since:
        parts.append(f"no sign of life since {job.stuck_since:%Y-%m-%d %H:%M:%S} UTC")
    if job.last_step:
        parts.append(f"last step {job.last_step}")
    return ", ".join(parts)


def phase_line(phase: Phase) -> str:
    """A phase and how far it is."""
    count = f" {phase.done}/{phase.total}" if phase.total and phase.done is not None else ""
    return f"{phase.name.value}: {phase.state.value}{count}"


def changes(before: Shown, after: Shown) -> Iterator[str]:
    """What a person who reads along has to be told."""
    old, new = before.status, after.status
    if new.failed_job is not None and old.failed_job is None:
        yield f"after {job_line(new)}"
    if new.cleanup_job_id is not None and new.cleanup_job_id != old.cleanup_job_id:
        yield f"job log: job_tracking {new.cleanup_job_id}"
    steps = {volume.id: volume.step for volume in old.volumes}
    for volume in new.volumes:
        if volume.step is not None and volume.step != steps.get(volume.id):
            yield f"{volume.disk or volume.id}: {volume.step}"
    phases = {phase.name: phase_line(phase) for phase in old.phases}
    for phase in new.phases:
        if phase.started_at is not None and phase_line(phase) != phases.get(phase.name):
            yield phase_line(phase)
    was, now = before.ready, after.ready
    told = was is not None and now is not None and (was.reason, was.message) == (now.reason, now.message)
    if now is not None and not told and now.status is not ConditionStatus.UNKNOWN:
        yield f"{now.reason}: {now.message}"


def plan(report: Shown, again: str) -> Iterator[str]:
    """The plan as a table, and how to have exactly it carried out.

    Args:
        report: of a plan.
        again: the command line that cleans up this VM.
    """
    status, ready = report.status, report.ready
    yield f"{report.cleanup.spec.vm_name}: {job_line(status) or 'no failover job'}"
    if ready is not None:
        yield f"{ready.reason}: {ready.message}"
    planned = get_condition(status.conditions, ConditionType.PLANNED)
    if planned is not None and status.plan and ready is not None and ready.reason != planned.reason:
        yield planned.message
    if status.plan:
        rows = [(str(a.step), a.phase.value, a.action, a.object, a.why) for a in status.plan]
        yield ""
        yield from _table(("step", "phase", "action", "object", "why"), rows)
        yield ""
        yield f"plan hash: {status.plan_hash}"
        yield f"to do this and nothing else: {again} --approve {status.plan_hash}"
    yield from _left(status)


def result(report: Shown) -> Iterator[str]:
    """How it ended, the four goals, what was left behind, and what a person does next."""
    status, ready = report.status, report.ready
    if ready is None:
        return
    yield ""
    yield f"{ready.reason}: {ready.message}"
    goals = [(g.value, c.status.value, c.message) for g in GOALS if (c := get_condition(status.conditions, g))]
    yield from _table(("goal", "reached", ""), goals)
    suspect = get_condition(status.conditions, ConditionType.DATA_SUSPECT)
    if suspect is not None:
        yield f"content suspect: {suspect.message}"
    yield from _left(status)
    if report.remedy:
        yield f"next: {report.remedy}"


def _left(status: CleanupStatus) -> Iterator[str]:
    for volume in status.volumes:
        if volume.holder is not Holder.OMA:
            yield f"not on the appliance: volume {volume.id} ({volume.disk}) is {volume.holder.value}"
    for leftover in status.leftovers:
        yield f"left behind: {leftover.kind.value} {leftover.id}: {leftover.message}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    every = [head, *rows]
    widths = [max(len(printable(row[column])) for row in every) for column in range(len(head))]
    for row in every:
        cells = (printable(cell).ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()
