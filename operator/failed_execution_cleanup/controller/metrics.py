"""All metrics of the process, in one registry. Names follow controller-runtime and client-go where they mean the same.

Labels are few and bounded: systems, commands, reasons, phases, appliances and namespaces, never a VM or a job.

    appliance            name of the Appliance resource
    namespace            of the cleanups; a scrape must keep it (`honorLabels`)
    controller, name     `failedexecutioncleanup` or `appliance`: whose reconciles and queue; for the leader: name of the Lease
    priority             lane of a queue, the most urgent first: deletion, change, retry, startup, drift
    system               of requests: `OSSEA`, `Volume Daemon`; of fec_appliance_up: `Database`, `VolumeDaemon`, `OSSEA`
    command              OSSEA's command, or method and path of the daemon without ids
    outcome              HTTP status of the answer, or the class of the failure: NotExecuted, Untrusted, Unavailable, Unknown, Cancelled
    operation            of a stuck failover: `test` or `live`
    state                of cleanups: working, waiting, stalled, suspended, planned, finished
    reason               of the condition Ready (docs/reasons)
    phase                as in status.phases

`docs/reference/metrics.md` is generated from here.
"""

from __future__ import annotations

import time
from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from failed_execution_cleanup import __version__
from failed_execution_cleanup.appliance.calls import Call
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, SUCCESSES
from failed_execution_cleanup.resources.appliance import StuckJob
from failed_execution_cleanup.resources.cleanup import CleanupStatus, JobType, PhaseName, PhaseState
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import ConditionType
from failed_execution_cleanup.run.cleanup import Taken
from failed_execution_cleanup.run.queue import Lane, WorkQueue

CONTROLLER: Final = "failedexecutioncleanup"
"""Value of the label `controller`, and of `name` for the queue of cleanups."""

APPLIANCE_CONTROLLER: Final = "appliance"
"""The same for Appliances."""

_QUICK: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_LONG: Final = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 14400.0)


@dataclass(frozen=True, slots=True)
class CleanupCount:
    """How many cleanups of an appliance and namespace are in a state, for one reason."""

    appliance: str
    namespace: str
    state: str
    reason: str
    count: int


@dataclass(frozen=True, slots=True)
class CleanupCensus:
    """All cleanups at one moment.

    Attributes:
        counts: one entry for each combination that occurs.
        oldest_unfinished: since when the oldest cleanup of each appliance works or waits, in seconds since the epoch.
    """

    counts: tuple[CleanupCount, ...] = ()
    oldest_unfinished: tuple[tuple[str, float], ...] = ()


class Metrics:
    """Everything this process counts and measures."""

    def __init__(self) -> None:
        """Create all metrics at zero, in a registry of their own."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.unfinished = Unfinished()
        registry.register(self.unfinished)
        self.reconciles = Counter(
            "controller_runtime_reconcile",
            "Looks at cleanups by result: success, requeue_after (it comes back by itself), error.",
            ("controller", "result"),
            registry=registry,
        )
        self.reconcile_errors = Counter(
            "controller_runtime_reconcile_errors",
            "Looks at cleanups that raised; each is retried after its backoff.",
            ("controller",),
            registry=registry,
        )
        self.reconcile_seconds = Histogram(
            "controller_runtime_reconcile_time_seconds",
            "Length of one look at a cleanup; a whole run under a claim is one look.",
            ("controller",),
            buckets=_LONG,
            registry=registry,
        )
        self.active_workers = Gauge(
            "controller_runtime_active_workers",
            "Workers that look at a cleanup now.",
            ("controller",),
            registry=registry,
        )
        self.max_workers = Gauge(
            "controller_runtime_max_concurrent_reconciles",
            "Workers there are (FEC_WORKERS).",
            ("controller",),
            registry=registry,
        )
        self.queue_adds = Counter(
            "workqueue_adds", "Keys added to a queue, by lane.", ("name", "priority"), registry=registry
        )
        self.queue_retries = Counter(
            "workqueue_retries", "Keys queued again after a failure.", ("name",), registry=registry
        )
        self.queue_wait_seconds = Histogram(
            "workqueue_queue_duration_seconds",
            "Time a key waited for a worker, by lane.",
            ("name", "priority"),
            buckets=_QUICK,
            registry=registry,
        )
        self.queue_work_seconds = Histogram(
            "workqueue_work_duration_seconds",
            "Time a worker spent on a key.",
            ("name",),
            buckets=_LONG,
            registry=registry,
        )
        self.build_info = Gauge(
            "fec_build_info", "1, with the version of this software.", ("version",), registry=registry
        )
        self.build_info.labels(__version__).set(1)
        self.leader = Gauge(
            "leader_election_master_status", "1 while this process leads, else 0.", ("name",), registry=registry
        )
        self.requests = Counter(
            "fec_appliance_requests",
            "Requests to an appliance's systems, by command and by HTTP status or class of failure.",
            ("appliance", "system", "command", "outcome"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "fec_appliance_request_duration_seconds",
            "Length of requests to an appliance's systems, answered or not.",
            ("appliance", "system", "command"),
            buckets=_QUICK,
            registry=registry,
        )
        self.throttled_seconds = Counter(
            "fec_appliance_throttled_seconds",
            "Time requests waited for their turn under limits.requestsPerSecond.",
            ("appliance", "system"),
            registry=registry,
        )
        self.appliance_up = Gauge(
            "fec_appliance_up",
            "1 while a part of an appliance answers as it should, 0 while not, absent while nobody can tell.",
            ("appliance", "system"),
            registry=registry,
        )
        self.stuck_vms = Gauge(
            "fec_stuck_vms",
            "VMs with a failed job and no cleanup for it, by operation (test, live), as of the last scan.",
            ("appliance", "operation"),
            registry=registry,
        )
        self.last_scan = Gauge(
            "fec_appliance_last_scan_timestamp_seconds",
            "End of the last scan for stuck jobs that worked, in seconds since the epoch.",
            ("appliance",),
            registry=registry,
        )
        self.phase_seconds = Histogram(
            "fec_cleanup_phase_duration_seconds",
            "Length of completed phases.",
            ("appliance", "phase"),
            buckets=_LONG,
            registry=registry,
        )
        self.cleanup_seconds = Histogram(
            "fec_cleanup_duration_seconds",
            "Time from the first request of a cleanup to its end.",
            ("appliance",),
            buckets=_LONG,
            registry=registry,
        )
        self.finished = Counter(
            "fec_cleanups_finished",
            "Cleanups that ended, by the reason of their Ready condition.",
            ("appliance", "reason"),
            registry=registry,
        )
        self.claims = Counter(
            "fec_claims",
            "Claims taken: new, resumed (our own again) or takeover (after an owner that is gone).",
            ("appliance", "how"),
            registry=registry,
        )

    def called(self, appliance: str) -> Callable[[Call], None]:
        """Return the listener that counts the calls of one appliance."""

        def count(call: Call) -> None:
            self.requests.labels(appliance, call.system, call.command, call.outcome).inc()
            self.request_seconds.labels(appliance, call.system, call.command).observe(call.seconds)

        return count

    def throttled(self, appliance: str, system: str) -> Callable[[float], None]:
        """Return the listener that adds up how long the requests to a system waited for their turn."""
        return self.throttled_seconds.labels(appliance, system).inc

    def claimed(self, appliance: str) -> Callable[[Taken], None]:
        """Return the listener that counts the claims taken on an appliance."""
        return lambda how: self.claims.labels(appliance, how.value).inc()

    def cleanup_changed(self, appliance: str, before: CleanupStatus, after: CleanupStatus) -> None:
        """Measure the phases and the run that ended between two statuses of a cleanup."""
        ended_before = {(phase.name, phase.completed_at) for phase in before.phases}
        for phase in after.phases:
            if phase.state is not PhaseState.COMPLETED or (phase.name, phase.completed_at) in ended_before:
                continue
            if phase.started_at is not None and phase.completed_at is not None:
                seconds = (phase.completed_at - phase.started_at).total_seconds()
                self.phase_seconds.labels(appliance, phase.name.value).observe(seconds)
        ready = get_condition(after.conditions, ConditionType.READY)
        if ready is None or after.completed_at is None or after.completed_at == before.completed_at:
            return
        self.finished.labels(appliance, ready.reason).inc()
        if after.started_at is not None:
            self.cleanup_seconds.labels(appliance).observe((after.completed_at - after.started_at).total_seconds())

    def looked_at(self, appliance: str, parts: Mapping[str, bool | None]) -> None:
        """Tell which parts of an appliance answer as they should; None: nobody can tell.

        What is counted begins at 0 here: a counter that is born at 1 hides its first event from `increase()`.
        """
        for how in Taken:
            self.claims.labels(appliance, how.value)
        for phase in PhaseName:
            self.phase_seconds.labels(appliance, phase.value)
        for reason in SUCCESSES | FINAL_FAILURES:
            self.finished.labels(appliance, reason.value)
        self.cleanup_seconds.labels(appliance)
        for system, answers in parts.items():
            if answers is None:
                self.appliance_up.remove_by_labels({"appliance": appliance, "system": system})
            else:
                self.appliance_up.labels(appliance, system).set(answers)

    def scanned(self, appliance: str, stuck: Iterable[StuckJob]) -> None:
        """Tell what a complete scan of an appliance found, now."""
        vms: dict[JobType, set[str]] = {type_: set() for type_ in JobType}
        for job in stuck:
            if job.type is not None and job.cleanup is None:
                vms[job.type].add(job.context_id or job.vm_name)
        for type_, found in vms.items():
            self.stuck_vms.labels(appliance, type_.value).set(len(found))
        self.last_scan.labels(appliance).set_to_current_time()

    def forget_appliance(self, appliance: str) -> None:
        """Drop the gauges of an appliance that is gone; what was counted stays."""
        for gauge in (self.appliance_up, self.stuck_vms, self.last_scan):
            gauge.remove_by_labels({"appliance": appliance})


class QueueMetrics:
    """Hears what a queue does (`run.queue.QueueListener`)."""

    def __init__(self, metrics: Metrics, name: str) -> None:
        """Count the queue under `name`."""
        self._metrics, self._name = metrics, name
        self._begun: dict[object, float] = metrics.unfinished.of(name)

    def added(self, lane: Lane) -> None:
        """Count a key that was added."""
        self._metrics.queue_adds.labels(self._name, lane.name.lower()).inc()

    def picked(self, key: object, lane: Lane, waited_seconds: float) -> None:
        """Count a key that got its worker."""
        self._metrics.queue_wait_seconds.labels(self._name, lane.name.lower()).observe(waited_seconds)
        self._metrics.active_workers.labels(self._name).inc()
        self._begun[key] = time.monotonic()

    def worked(self, key: object, *, after_seconds: float | None, failed: bool) -> None:
        """Count the end of the work on a key.

        Args:
            key: the key.
            after_seconds: when it comes back by itself; None: not at all.
            failed: the work raised.
        """
        seconds = time.monotonic() - self._begun.pop(key)
        metrics, name = self._metrics, self._name
        metrics.active_workers.labels(name).dec()
        metrics.queue_work_seconds.labels(name).observe(seconds)
        metrics.reconcile_seconds.labels(name).observe(seconds)
        result = "error" if failed else "success" if after_seconds is None else "requeue_after"
        metrics.reconciles.labels(name, result).inc()
        if failed:
            metrics.reconcile_errors.labels(name).inc()
            metrics.queue_retries.labels(name).inc()


class QueueDepth(Collector):
    """Depth and oldest wait of queues, read when they are asked for. One for all queues: a family is told only once."""

    def __init__(self, name: str, queue: WorkQueue[Any]) -> None:
        """Read from the queue when collected."""
        self._queues: dict[str, WorkQueue[Any]] = {name: queue}

    def add(self, name: str, queue: WorkQueue[Any]) -> None:
        """Read from one more queue."""
        self._queues[name] = queue

    def collect(self) -> Iterator[Metric]:
        """One sample for each lane."""
        labels = ("name", "priority")
        depth = GaugeMetricFamily("workqueue_depth", "Keys that wait for a worker, by lane.", labels=labels)
        wait = GaugeMetricFamily(
            "fec_queue_oldest_wait_seconds", "Time the longest waiting key of a lane has waited.", labels=labels
        )
        for name, queue in self._queues.items():
            for lane, count in queue.depth.items():
                depth.add_metric((name, lane.name.lower()), count)
            for lane, seconds in queue.oldest_wait.items():
                wait.add_metric((name, lane.name.lower()), seconds)
        yield depth
        yield wait


class Census(Collector):
    """Cleanups by state, and the age of the oldest unfinished one, read when they are asked for."""

    def __init__(self, census: Callable[[], CleanupCensus]) -> None:
        """Read from `census` when collected."""
        self._census = census

    def collect(self) -> Iterator[Metric]:
        """One sample for each combination that occurs."""
        census = self._census()
        cleanups = GaugeMetricFamily(
            "fec_cleanups",
            "Cleanups by state (working, waiting, stalled, suspended, planned, finished) and reason of their Ready condition.",
            labels=("appliance", "namespace", "state", "reason"),
        )
        tally: Tally[tuple[str, str, str, str]] = Tally()
        for entry in census.counts:
            tally[entry.appliance, entry.namespace, entry.state, entry.reason] += entry.count
        for labels, count in tally.items():
            cleanups.add_metric(labels, count)
        yield cleanups
        oldest = GaugeMetricFamily(
            "fec_oldest_unfinished_cleanup_timestamp_seconds",
            "When the oldest cleanup of an appliance that works or waits was created or its run began, in seconds since the epoch.",
            labels=("appliance",),
        )
        for appliance, created in census.oldest_unfinished:
            oldest.add_metric((appliance,), created)
        yield oldest


class Unfinished(Collector):
    """Work that has begun and not ended, by queue."""

    def __init__(self) -> None:
        self._begun: dict[str, dict[object, float]] = {}

    def of(self, name: str) -> dict[object, float]:
        """Monotonic time at which each key's work began, for the listener of a queue to keep."""
        return self._begun.setdefault(name, {})

    def collect(self) -> Iterator[Metric]:
        """One sample for each queue."""
        now = time.monotonic()
        total = GaugeMetricFamily(
            "workqueue_unfinished_work_seconds", "Sum of the time of all work that has not ended.", labels=("name",)
        )
        longest = GaugeMetricFamily(
            "workqueue_longest_running_processor_seconds",
            "Time of the longest work that has not ended.",
            labels=("name",),
        )
        for name, begun in self._begun.items():
            ages = [now - at for at in begun.values()]
            total.add_metric((name,), sum(ages))
            longest.add_metric((name,), max(ages, default=0.0))
        yield total
        yield longest
