"""A condition is logged when it changes, and only then."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import pytest

from failed_execution_cleanup.controller.transitions_log import log_conditions
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup, FailedJob
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def condition(type_: str, status: ConditionStatus, reason: str, message: str = "") -> Condition:
    return Condition(type=type_, status=status, reason=reason, message=message, last_transition_time=NOW)


WORKING = condition("Ready", ConditionStatus.UNKNOWN, "Progressing", "two volumes are moved")
WORDS = condition("Ready", ConditionStatus.UNKNOWN, "Progressing", "one volume is moved")
CLEANED = condition("Ready", ConditionStatus.TRUE, "Cleaned", "all is well")
RECONCILING = condition("Reconciling", ConditionStatus.TRUE, "Progressing")
DRIFTED = condition("Drifted", ConditionStatus.TRUE, "DriftObserved", "a volume is away")


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ((), (WORKING, RECONCILING), [("Ready", "Absent", "Unknown", "Progressing")]),
        ((WORKING,), (WORDS,), []),
        ((WORKING, RECONCILING), (CLEANED,), [("Ready", "Unknown", "True", "Cleaned")]),
        ((CLEANED, DRIFTED), (CLEANED,), [("Drifted", "True", "Absent", "")]),
        ((CLEANED,), (CLEANED,), []),
    ],
)
def test_changes_of_status_or_reason_are_told(
    before: tuple[Condition, ...],
    after: tuple[Condition, ...],
    told: list[tuple[str, str, str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cleanup = FailedExecutionCleanup.model_validate(
        {
            "metadata": {"name": "pgtest1", "namespace": "dr", "uid": "u", "generation": 1},
            "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}},
        }
    ).model_copy(update={"status": CleanupStatus(conditions=before)})
    with caplog.at_level(logging.INFO):
        log_conditions(cleanup, CleanupStatus(conditions=after, failed_job=FailedJob(id="job-1")))
    found = [record.__dict__ for record in caplog.records]
    assert [(r["condition"], r["was"], r["status"], r["reason"]) for r in found] == told
    assert all((r["resource"], r["vm"], r["job"]) == ("dr/pgtest1", "pgtest1", "job-1") for r in found)
