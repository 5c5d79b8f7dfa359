"""The report as data: keys are stable and camelCase, times are RFC 3339 in UTC, durations are seconds."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Any

from failed_execution_cleanup.reports.report import GoalReport, JobReport, PhaseReport, Report, Verdict


def as_json(report: Report) -> str:
    """The report as one JSON document, ending in a newline."""
    return json.dumps(as_document(report), ensure_ascii=False, indent=2) + "\n"


def as_document(report: Report) -> dict[str, Any]:
    """The report as plain data; what is not known is null."""
    return {
        "name": report.name,
        "namespace": report.namespace,
        "vmName": report.vm_name,
        "vcenterHost": report.vcenter_host,
        "appliance": report.appliance,
        "requestedBy": report.requested_by,
        "note": report.note,
        "askedAt": _moment(report.asked_at),
        "verdict": _verdict(report.verdict),
        "failedJob": None if report.job is None else _job(report.job),
        "cleanupJobID": report.cleanup_job_id,
        "startedAt": _moment(report.started_at),
        "completedAt": _moment(report.completed_at),
        "durationSeconds": _seconds(report.duration),
        "requests": report.requests,
        "goals": [_goal(goal) for goal in report.goals],
        "phases": [_phase(phase) for phase in report.phases],
        "waiversUsed": [waiver.to_kubernetes() for waiver in report.waivers],
        "volumes": [volume.to_kubernetes() for volume in report.volumes],
        "leftovers": [leftover.to_kubernetes() for leftover in report.leftovers],
        "history": [run.to_kubernetes() for run in report.history],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    return {
        "outcome": verdict.outcome.value,
        "reason": verdict.reason or None,
        "sentence": verdict.sentence,
        "remedy": verdict.remedy or None,
        "suspect": verdict.suspect,
        "drift": verdict.drift,
    }


def _job(job: JobReport) -> dict[str, Any]:
    return {
        "id": job.id,
        "type": job.type,
        "startedAt": _moment(job.started_at),
        "stuckSince": _moment(job.stuck_since),
        "lastStep": job.last_step,
        "state": job.state,
    }


def _goal(goal: GoalReport) -> dict[str, Any]:
    return {
        "name": goal.name,
        "before": {"met": goal.before, "message": goal.before_message or None},
        "after": {"met": goal.after, "message": goal.after_message or None},
    }


def _phase(phase: PhaseReport) -> dict[str, Any]:
    return {
        "name": phase.name,
        "state": phase.state,
        "startedAt": _moment(phase.started_at),
        "completedAt": _moment(phase.completed_at),
        "durationSeconds": _seconds(phase.duration),
        "requests": phase.requests,
        "done": phase.done,
        "total": phase.total,
        "message": phase.message or None,
    }


def _moment(stamp: datetime | None) -> str | None:
    return None if stamp is None else stamp.strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else int(duration.total_seconds())
