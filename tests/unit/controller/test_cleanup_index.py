"""What the index counts, from bodies as the API server shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from failed_execution_cleanup.controller.cleanup_index import CleanupIndex
from failed_execution_cleanup.controller.metrics import CleanupCount

CREATED, BEGUN, CHANGED = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z"


def seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).astimezone(UTC).timestamp()


def body(name: str = "pgtest1", reason: str | None = None, **status: Any) -> dict[str, Any]:
    if reason is not None:
        ready = {"type": "Ready", "status": "False", "reason": reason, "lastTransitionTime": CHANGED}
        status["conditions"] = [ready]
    return {
        "metadata": {"name": name, "namespace": "dr", "uid": name, "creationTimestamp": CREATED},
        "spec": {"vmName": name, "applianceRef": {"name": "default"}},
        "status": status,
    }


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        (None, "working"),
        ("Progressing", "working"),
        ("ReplicationActive", "waiting"),
        ("RunningTestVM", "stalled"),
        ("CleanedDataSuspect", "stalled"),
        ("Suspended", "suspended"),
        ("PlanReady", "planned"),
        ("Cleaned", "finished"),
        ("FromAnotherVersion", "waiting"),
    ],
)
def test_state_follows_from_the_reason_of_ready(reason: str | None, state: str) -> None:
    index = CleanupIndex()
    index.see(body(reason=reason))
    (count,) = index.census().counts
    assert (count.state, count.appliance, count.namespace, count.count) == (state, "default", "dr", 1)


@pytest.mark.parametrize(
    ("status", "since"),
    [
        ({}, CREATED),
        ({"startedAt": BEGUN}, BEGUN),
        ({"history": [{"run": 1}]}, CHANGED),
        ({"history": [{"run": 1}], "startedAt": BEGUN}, BEGUN),
    ],
)
def test_age_counts_from_the_run_and_not_from_a_creation_long_ago(status: dict[str, Any], since: str) -> None:
    index = CleanupIndex()
    index.see(body(reason="Progressing", **status))
    assert index.census().oldest_unfinished == (("default", seconds(since)),)


def test_oldest_is_of_those_that_go_on_by_themselves() -> None:
    index = CleanupIndex()
    index.see(body("old", "RunningTestVM"))
    index.see(body("done", "Cleaned"))
    assert index.census().oldest_unfinished == ()
    index.see(body("young", "QuietTime", startedAt=CHANGED))
    index.see(body("older", "QuietTime", startedAt=BEGUN))
    assert index.census().oldest_unfinished == (("default", seconds(BEGUN)),)


def test_a_cleanup_that_changed_is_counted_once_and_one_that_is_gone_not_at_all() -> None:
    index = CleanupIndex()
    index.see(body("one", "Progressing"))
    index.see(body("one", "Cleaned"))
    index.see(body("two", "Cleaned"))
    assert index.census().counts == (CleanupCount("default", "dr", "finished", "Cleaned", 2),)
    index.forget(("dr", "one"))
    index.forget(("dr", "two"))
    assert index.census().counts == ()
