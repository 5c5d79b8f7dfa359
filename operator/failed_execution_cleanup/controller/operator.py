"""The operator's process: health server, leadership, workers, and Kopf while leading.

    settings ─► health ─► wait for the Lease ─► workers ─► kopf.operator(standalone) ─► hand claims over ─► release the Lease

Everything that must outlive Kopf is created before it takes the loop, because Kopf cancels younger tasks when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

import kopf

from failed_execution_cleanup.controller.appliance_status import ApplianceStatusKeeper
from failed_execution_cleanup.controller.appliances import Appliances
from failed_execution_cleanup.controller.call_log import CallLog
from failed_execution_cleanup.controller.claimed_appliances import ClaimedAppliances
from failed_execution_cleanup.controller.cleanup_index import CleanupIndex
from failed_execution_cleanup.controller.drift_writer import DriftWriter
from failed_execution_cleanup.controller.events import EventRecorder
from failed_execution_cleanup.controller.garbage import keep_sparing_survivors
from failed_execution_cleanup.controller.health import (
    api_check,
    health_application,
    leadership_check,
    serve,
    task_check,
)
from failed_execution_cleanup.controller.http_pages import add_calls, add_metrics
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi
from failed_execution_cleanup.controller.leadership import LeaderElection
from failed_execution_cleanup.controller.loop_watch import watched_loop
from failed_execution_cleanup.controller.metrics import (
    APPLIANCE_CONTROLLER,
    CONTROLLER,
    Census,
    Metrics,
    QueueDepth,
    QueueMetrics,
)
from failed_execution_cleanup.controller.progress_watch import ProgressWatch
from failed_execution_cleanup.controller.queue_positions import QueuePositions
from failed_execution_cleanup.controller.reconcile import Key, Reconciler
from failed_execution_cleanup.controller.retention import Retention
from failed_execution_cleanup.controller.scanning import ApplianceScanner
from failed_execution_cleanup.controller.settings import OperatorSettings
from failed_execution_cleanup.controller.watching import Watching
from failed_execution_cleanup.run.cleanup import Limits
from failed_execution_cleanup.run.queue import WorkQueue, work

logger = logging.getLogger(__name__)

LEASE_NAME = "failed-execution-cleanup"
DRAIN_SECONDS = 20.0
_APPLIANCE_WORKERS = 2
_CONNECTIONS = 32
"""To the API server; it is asked by more runs than that at once only in a storm."""


async def run_operator(settings: OperatorSettings) -> int:
    """Run until SIGTERM, SIGINT or the loss of the leadership; returns the exit code.

    Raises:
        KubernetesError: there is no usable configuration.
    """
    if settings.kubeconfig is not None:
        os.environ["KUBECONFIG"] = str(settings.kubeconfig)  # the only way Kopf's own login takes a path
    async with await KubernetesApi.connect(settings.kubeconfig, connections=_CONNECTIONS) as api:
        election = LeaderElection(
            api,
            settings.namespace,
            LEASE_NAME,
            settings.identity,
            lease_seconds=settings.lease_seconds,
            renew_seconds=settings.lease_seconds * 2 / 3,
            retry_seconds=min(2.0, settings.lease_seconds / 6),
        )
        metrics, progress = Metrics(), ProgressWatch()
        calls = CallLog(metrics, progress)
        queue: WorkQueue[Key] = WorkQueue(default_limit=10, listener=QueueMetrics(metrics, CONTROLLER))
        claimed = ClaimedAppliances(api)
        leaving = asyncio.Event()
        reconciler = Reconciler(
            api=api,
            appliances=Appliances(api, settings.namespace, settings.http_timeout_seconds, calls),
            events=EventRecorder(api, settings.identity),
            queue=queue,
            identity=settings.identity,
            namespace=settings.namespace,
            limits=Limits(http_seconds=settings.http_timeout_seconds, expiry_seconds=settings.claim_expiry_seconds),
            claimed=claimed,
            leaving=leaving,
            docs_url=settings.docs_url,
            metrics=metrics,
            watch=progress,
        )
        workers: asyncio.Task[None] = asyncio.create_task(
            work(queue, reconciler.reconcile, settings.workers), name="workers"
        )
        appliances: WorkQueue[str] = WorkQueue(listener=QueueMetrics(metrics, APPLIANCE_CONTROLLER))
        index = CleanupIndex()
        drift = DriftWriter(api, reconciler.events, queue)
        scanner = ApplianceScanner(
            api, index, reconciler.events, drift, settings.namespace, watched=settings.watch_namespaces
        )
        keeper = ApplianceStatusKeeper(
            api, reconciler.appliances, claimed, reconciler.events, scanner, metrics, progress
        )
        lookers: asyncio.Task[None] = asyncio.create_task(
            work(appliances, keeper.reconcile, _APPLIANCE_WORKERS), name="appliances"
        )
        retention = Retention(api)
        watchmen: asyncio.Task[None] = asyncio.create_task(
            _together(retention, QueuePositions(api, queue)), name="retention and queue positions"
        )
        application = health_application(
            live={"workers": task_check(workers, lookers, watchmen), "progress": progress.check()},
            ready={"leadership": leadership_check(election), "kubernetes": api_check(api)},
        )
        metrics.leader.labels(LEASE_NAME).set_function(lambda: election.leading)
        metrics.max_workers.labels(CONTROLLER).set(settings.workers)
        metrics.max_workers.labels(APPLIANCE_CONTROLLER).set(_APPLIANCE_WORKERS)
        depth = QueueDepth(CONTROLLER, queue)
        depth.add(APPLIANCE_CONTROLLER, appliances)
        metrics.registry.register(depth)
        metrics.registry.register(Census(index.census))
        add_metrics(application, metrics.registry)
        add_calls(application, calls.recent)
        async with watched_loop(), serve(application, settings.health_host, settings.health_port):
            if not await _acquire(election):
                for task in (workers, lookers, watchmen):
                    task.cancel()
                await asyncio.gather(workers, lookers, watchmen, return_exceptions=True)
                return 0

            async def hand_over() -> None:
                leaving.set()
                watchmen.cancel()
                await asyncio.gather(watchmen, return_exceptions=True)
                await _drain(appliances, lookers, seconds=0.0)
                await _drain(queue, workers, seconds=DRAIN_SECONDS)

            watching = Watching(queue, appliances, settings.appliances, retention, index)
            try:
                await _lead(api, election, watching, settings, leaving, hand_over)
            finally:
                lost = election.lost.is_set()
                await hand_over()  # where Kopf failed before it came to that
                await election.release()
            logger.info("Stopped", extra={"leadership_lost": lost})
            return 1 if lost else 0


async def _together(retention: Retention, positions: QueuePositions) -> None:
    """What goes on beside the workers; the end of one is the end of all."""
    async with asyncio.TaskGroup() as group:
        group.create_task(retention.run(), name="retention")
        group.create_task(positions.run(), name="queue positions")


async def _acquire(election: LeaderElection) -> bool:
    """Wait for the leadership; False when told to stop before. Kopf takes the signals over once it runs."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    acquiring = asyncio.create_task(election.acquire())
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait([acquiring, stopping], return_when=asyncio.FIRST_COMPLETED)
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
        for task in (acquiring, stopping):
            if not task.done():
                task.cancel()
        await asyncio.gather(acquiring, stopping, return_exceptions=True)
    return not stop.is_set() and acquiring.exception() is None


async def _lead(
    api: KubernetesApi,
    election: LeaderElection,
    watching: Watching,
    settings: OperatorSettings,
    leaving: asyncio.Event,
    hand_over: Callable[[], Awaitable[None]],
) -> None:
    """Watch until told to stop or the leadership is lost; `leaving` is set as soon as either is known.

    `hand_over` is awaited while Kopf still runs: five seconds later it cancels every task that is younger than itself.
    """
    registry = kopf.OperatorRegistry()
    watching.register(registry)
    kopf.on.login(registry=registry)(_login)
    stop = asyncio.Event()

    async def let_go(**_: Any) -> None:
        stop.set()  # after a signal Kopf would wait five seconds for its own task that awaits this flag
        await hand_over()

    kopf.on.cleanup(registry=registry)(let_go)
    watcher = asyncio.create_task(_stop_when_lost(election, leaving, stop))
    resync = asyncio.create_task(
        watching.keep_in_step(api, settings.watch_namespaces, settings.resync_seconds), name="resync"
    )
    sparing = asyncio.create_task(keep_sparing_survivors(), name="garbage")
    try:
        await kopf.operator(
            registry=registry,
            standalone=True,
            clusterwide=not settings.watch_namespaces,
            namespaces=settings.watch_namespaces,
            stop_flag=stop,
        )
    finally:
        beside: tuple[asyncio.Task[Any], ...] = (watcher, resync, sparing)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)


async def _login(**kwargs: Any) -> kopf.ConnectionInfo | None:
    """One way in, where Kopf would try every client library it finds."""
    return kopf.login_with_service_account(**kwargs) or kopf.login_with_kubeconfig(**kwargs)


async def _stop_when_lost(election: LeaderElection, leaving: asyncio.Event, stop: asyncio.Event) -> None:
    await election.lost.wait()
    leaving.set()
    stop.set()


async def _drain(queue: WorkQueue[Any], workers: asyncio.Task[None], *, seconds: float) -> None:
    """Let workers finish what is short and hand over the rest; who takes longer is cut, and taken up once his claim expired."""
    queue.close()
    with contextlib.suppress(TimeoutError, asyncio.CancelledError):
        async with asyncio.timeout(seconds):
            await workers
