"""What a queue does, and what an appliance answers, comes out as samples."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from failed_execution_cleanup.appliance.calls import Call
from failed_execution_cleanup.controller.metrics import (
    APPLIANCE_CONTROLLER,
    CONTROLLER,
    Census,
    CleanupCensus,
    CleanupCount,
    Metrics,
    QueueDepth,
    QueueMetrics,
)
from failed_execution_cleanup.resources.appliance import StuckJob
from failed_execution_cleanup.resources.cleanup import CleanupStatus, JobType, Phase, PhaseName, PhaseState
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus
from failed_execution_cleanup.run.cleanup import Taken
from failed_execution_cleanup.run.queue import Lane, Result, WorkQueue, work


def sample(metrics: Metrics, metric: str, /, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(metric, labels)


@pytest.mark.looptime
async def test_a_queue_is_counted_by_lane_and_by_result() -> None:
    metrics = Metrics()
    queue = WorkQueue[str](listener=QueueMetrics(metrics, CONTROLLER))
    metrics.registry.register(QueueDepth(CONTROLLER, queue))
    queue.add("fails", Lane.CHANGE)
    queue.add("comes back", Lane.STARTUP)
    queue.add("ends", Lane.STARTUP)
    assert sample(metrics, "workqueue_depth", name=CONTROLLER, priority="startup") == 2
    begun = asyncio.Event()

    async def reconcile(key: str) -> Result:
        if key == "fails":
            raise ValueError(key)
        if key == "ends":
            begun.set()
            assert sample(metrics, "controller_runtime_active_workers", controller=CONTROLLER) == 1
        return Result.requeue_after(3600.0) if key == "comes back" else Result.done()

    workers = asyncio.create_task(work(queue, reconcile, 1))
    async with asyncio.timeout(10):
        await begun.wait()
        await asyncio.sleep(0.1)
    queue.close()
    await workers
    results = {
        result: sample(metrics, "controller_runtime_reconcile_total", controller=CONTROLLER, result=result)
        for result in ("success", "requeue_after", "error")
    }
    assert results == {"success": 1, "requeue_after": 1, "error": 1}
    assert sample(metrics, "controller_runtime_reconcile_errors_total", controller=CONTROLLER) == 1
    assert sample(metrics, "workqueue_adds_total", name=CONTROLLER, priority="startup") == 2
    assert sample(metrics, "workqueue_queue_duration_seconds_count", name=CONTROLLER, priority="change") == 1
    assert sample(metrics, "controller_runtime_active_workers", controller=CONTROLLER) == 0
    assert sample(metrics, "workqueue_unfinished_work_seconds", name=CONTROLLER) == 0


def test_calls_are_counted_by_appliance_command_and_outcome() -> None:
    metrics = Metrics()
    heard = metrics.called("default")
    for outcome in ("200", "530", "530"):
        heard(Call("OSSEA", "detachVolume", True, outcome, datetime.now(UTC), 0.5))
    labels = {"appliance": "default", "system": "OSSEA", "command": "detachVolume"}
    assert sample(metrics, "fec_appliance_requests_total", outcome="530", **labels) == 2
    assert sample(metrics, "fec_appliance_request_duration_seconds_sum", **labels) == 1.5


def test_the_gauges_of_an_appliance_go_with_it() -> None:
    metrics = Metrics()
    for appliance in ("east", "west"):
        metrics.stuck_vms.labels(appliance, "failover").set(3)
        metrics.appliance_up.labels(appliance, "OSSEA").set(1)
    metrics.forget_appliance("east")
    assert sample(metrics, "fec_stuck_vms", appliance="east", operation="failover") is None
    assert sample(metrics, "fec_appliance_up", appliance="west", system="OSSEA") == 1


def test_cleanups_of_one_kind_are_added_up() -> None:
    metrics = Metrics()
    stalled = CleanupCount("default", "dr", "stalled", "RunningTestVM", 2)
    metrics.registry.register(Census(lambda: CleanupCensus((stalled, stalled), (("default", 1.5e9),))))
    labels = {"appliance": "default", "namespace": "dr", "state": "stalled", "reason": "RunningTestVM"}
    assert sample(metrics, "fec_cleanups", **labels) == 4
    assert sample(metrics, "fec_oldest_unfinished_cleanup_timestamp_seconds", appliance="default") == 1.5e9


def test_the_exposition_is_readable_with_nothing_counted_yet() -> None:
    text = generate_latest(Metrics().registry).decode()
    assert "# HELP fec_appliance_requests_total" in text


def test_two_queues_share_their_families() -> None:
    metrics = Metrics()
    QueueMetrics(metrics, CONTROLLER)
    QueueMetrics(metrics, APPLIANCE_CONTROLLER)
    text = generate_latest(metrics.registry).decode()
    assert text.count("# HELP workqueue_unfinished_work_seconds") == 1
    assert sample(metrics, "workqueue_unfinished_work_seconds", name=APPLIANCE_CONTROLLER) == 0


STARTED, ENDED = datetime(2026, 1, 31, 10, 0, tzinfo=UTC), datetime(2026, 1, 31, 10, 1, tzinfo=UTC)
DETACHED = Phase(name=PhaseName.DETACH_VOLUMES, state=PhaseState.COMPLETED, started_at=STARTED, completed_at=ENDED)
CLEANED = CleanupStatus(
    conditions=(
        Condition(type="Ready", status=ConditionStatus.TRUE, reason="Cleaned", message="", last_transition_time=ENDED),
    ),
    phases=(DETACHED,),
    started_at=STARTED,
    completed_at=ENDED,
)


def test_a_phase_and_an_end_are_measured_when_they_come_and_not_again() -> None:
    metrics = Metrics()
    running = CleanupStatus(phases=(DETACHED,), started_at=STARTED)
    for before, after in ((CleanupStatus(), running), (running, running), (running, CLEANED), (CLEANED, CLEANED)):
        metrics.cleanup_changed("default", before, after)
    labels = {"appliance": "default", "phase": "detach-volumes"}
    assert sample(metrics, "fec_cleanup_phase_duration_seconds_count", **labels) == 1
    assert sample(metrics, "fec_cleanup_phase_duration_seconds_sum", **labels) == 60
    assert sample(metrics, "fec_cleanups_finished_total", appliance="default", reason="Cleaned") == 1
    assert sample(metrics, "fec_cleanup_duration_seconds_sum", appliance="default") == 60


def test_stuck_vms_are_those_without_a_cleanup_and_fall_back_to_zero() -> None:
    metrics = Metrics()
    stuck = [
        StuckJob(job_id="a", vm_name="vm1", context_id="c1", type=JobType.TEST),
        StuckJob(job_id="b", vm_name="vm2", context_id="c2", type=JobType.TEST, cleanup="dr/vm2"),
        StuckJob(job_id="c", vm_name="vm3", context_id="c3", type=JobType.LIVE),
    ]
    metrics.scanned("default", stuck)
    found = {
        type_: sample(metrics, "fec_stuck_vms", appliance="default", operation=type_) for type_ in ("test", "live")
    }
    assert found == {"test": 1, "live": 1}
    metrics.scanned("default", [])
    assert sample(metrics, "fec_stuck_vms", appliance="default", operation="live") == 0
    assert (sample(metrics, "fec_appliance_last_scan_timestamp_seconds", appliance="default") or 0) > 0


def test_a_part_nobody_can_look_at_has_no_sample() -> None:
    metrics = Metrics()
    metrics.looked_at("default", {"Database": True, "OSSEA": True})
    metrics.looked_at("default", {"Database": False, "OSSEA": None})
    assert sample(metrics, "fec_appliance_up", appliance="default", system="Database") == 0
    assert sample(metrics, "fec_appliance_up", appliance="default", system="OSSEA") is None


def test_claims_and_throttling_are_added_up() -> None:
    metrics = Metrics()
    metrics.claimed("default")(Taken.TAKEOVER)
    for seconds in (0.5, 1.5):
        metrics.throttled("default", "OSSEA")(seconds)
    assert sample(metrics, "fec_claims_total", appliance="default", how="takeover") == 1
    assert sample(metrics, "fec_appliance_throttled_seconds_total", appliance="default", system="OSSEA") == 2


def test_what_is_counted_begins_at_zero_so_that_the_first_event_is_an_increase() -> None:
    metrics = Metrics()
    metrics.looked_at("default", {"Database": True})
    assert sample(metrics, "fec_claims_total", appliance="default", how="takeover") == 0
    assert sample(metrics, "fec_cleanups_finished_total", appliance="default", reason="CleanedDataSuspect") == 0
    assert sample(metrics, "fec_cleanup_phase_duration_seconds_count", appliance="default", phase="detach-volumes") == 0
