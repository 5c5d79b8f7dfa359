"""What a queue does, and what an appliance answers, comes out as samples."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from prometheus_client import generate_latest

from failed_execution_cleanup.appliance.calls import Call
from failed_execution_cleanup.controller.metrics import (
    CONTROLLER,
    Census,
    CleanupCensus,
    CleanupCount,
    Metrics,
    QueueDepth,
    QueueMetrics,
)
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
