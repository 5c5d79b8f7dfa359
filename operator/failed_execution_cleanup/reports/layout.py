"""What a report for people shows, and in which order: the same facts and tables in Markdown and in HTML."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from failed_execution_cleanup.reports.report import Report
from failed_execution_cleanup.resources.step_names import step_words

UNKNOWN: Final = "-"


@dataclass(frozen=True, slots=True)
class Section:
    """A titled table; without rows there is nothing to tell."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def remarks(report: Report) -> tuple[tuple[str, str], ...]:
    """What stands right below the verdict, with its label."""
    verdict = report.verdict
    told = (("Next", verdict.remedy), ("Content", verdict.suspect), ("Drift", verdict.drift))
    return tuple((label, text) for label, text in told if text)


def facts(report: Report) -> tuple[tuple[str, str], ...]:
    """Who, what and why, with their labels."""
    return tuple(_facts(report))


def sections(report: Report) -> tuple[Section, ...]:
    """The tables."""
    return (
        Section(
            "Goals",
            ("goal", "before", "found", "after", "now"),
            tuple(
                (g.meaning, _answer(g.before), g.before_message, _answer(g.after), g.after_message)
                for g in report.goals
            ),
        ),
        Section(
            "Phases",
            ("phase", "state", "began", "took", "requests", "done", ""),
            tuple(
                (
                    phase.title,
                    phase.state,
                    moment(phase.started_at),
                    lasted(phase.duration),
                    UNKNOWN if phase.requests is None else str(phase.requests),
                    f"{phase.done}/{phase.total}" if phase.total and phase.done is not None else "",
                    phase.message,
                )
                for phase in report.phases
            ),
        ),
        Section(
            "Waivers used",
            ("stop passed", "granted for", "used"),
            tuple((waiver.reason.value, waiver.object, moment(waiver.used_at)) for waiver in report.waivers),
        ),
        Section(
            "Left behind",
            ("kind", "id", "why"),
            tuple((leftover.kind.value, leftover.id, leftover.message) for leftover in report.leftovers),
        ),
        Section(
            "Volumes",
            ("disk", "id", "on", "state", ""),
            tuple(
                (v.disk or UNKNOWN, v.id, v.holder.value, v.state or UNKNOWN, v.message or "") for v in report.volumes
            ),
        ),
        Section(
            "Runs",
            ("run", "began", "ended", "result", ""),
            tuple(
                (str(run.run), moment(run.started_at), moment(run.completed_at), run.result, run.message or "")
                for run in report.history
            ),
        ),
    )


def moment(stamp: datetime | None) -> str:
    """A moment in UTC."""
    return UNKNOWN if stamp is None else f"{stamp:%Y-%m-%d %H:%M:%S} UTC"


def lasted(duration: timedelta | None) -> str:
    """A duration, such as `1 h 02 min 05 s`."""
    if duration is None:
        return UNKNOWN
    minutes, seconds = divmod(int(duration.total_seconds()), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {seconds:02} s"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def _facts(report: Report) -> Iterator[tuple[str, str]]:
    yield "VM", report.vm_name + (f" (vCenter {report.vcenter_host})" if report.vcenter_host else "")
    yield "Appliance", report.appliance
    yield "Resource", f"{report.namespace}/{report.name}"
    yield "Asked by", report.requested_by or UNKNOWN
    yield "Asked at", moment(report.asked_at)
    yield "Why", report.note or UNKNOWN
    if report.job is not None:
        job = report.job
        yield "Failed job", f"{job.id} ({job.type or 'failover'}{f', recorded as {job.state}' if job.state else ''})"
        yield "Stuck since", moment(job.stuck_since)
        yield "Last step", step_words(job.last_step) or UNKNOWN
    if report.started_at is not None:
        yield "Run", f"{moment(report.started_at)} to {moment(report.completed_at)}, {lasted(report.duration)}"
    yield "Requests sent", str(report.requests)
    yield "Job log", report.cleanup_job_id or UNKNOWN


def _answer(true: bool | None) -> str:
    return UNKNOWN if true is None else "yes" if true else "no"
