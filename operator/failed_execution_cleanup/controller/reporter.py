"""A cleanup resource as the engine's asker: what it wants now, and where it hears how it goes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from failed_execution_cleanup.controller.kubernetes_api import KubernetesError
from failed_execution_cleanup.controller.projection import project
from failed_execution_cleanup.controller.reason_link import DOCS_URL
from failed_execution_cleanup.controller.status_writer import StatusWriter
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.cleanup import CleanupStatus, DriftPolicy, FailedExecutionCleanup, Mode
from failed_execution_cleanup.resources.conditions import ConditionStatus, get_condition
from failed_execution_cleanup.resources.identifiers import FINALIZER
from failed_execution_cleanup.resources.reasons import ConditionType, Reason
from failed_execution_cleanup.run.order import Order, Progress

logger = logging.getLogger(__name__)

CLEAN_ENDS: Final = frozenset({Reason.CLEANED, Reason.ALREADY_CLEAN})
"""Ends after which the goals held: what differs later has drifted."""


def corrects_drift(cleanup: FailedExecutionCleanup) -> bool:
    """Whether a cleanup that ended clean puts right what drifted since, without being asked (rule 18)."""
    ready = get_condition(cleanup.status.conditions, ConditionType.READY)
    drifted = get_condition(cleanup.status.conditions, ConditionType.DRIFTED)
    spec = cleanup.spec
    return (
        spec.drift_policy is DriftPolicy.CORRECT
        and spec.mode is Mode.EXECUTE
        and not cleanup.suspended
        and cleanup.metadata.deletion_timestamp is None
        and ready is not None
        and ready.status is ConditionStatus.TRUE
        and ready.reason in CLEAN_ENDS
        and drifted is not None
        and drifted.status is ConditionStatus.TRUE
        and cleanup.requested_at == cleanup.status.last_handled_request
    )


def order_of(cleanup: FailedExecutionCleanup, allowed: frozenset[str]) -> Order:
    """What a resource asks for. A job that was pinned earlier stays pinned while its status is there (rule 2).

    Args:
        cleanup: the resource.
        allowed: reasons the appliance lets people waive.
    """
    spec, status = cleanup.spec, cleanup.status
    pinned = status.failed_job.id if status.failed_job is not None else None
    return Order(
        vm_name=spec.vm_name,
        vcenter_host=spec.vcenter_host,
        job_id=spec.failover_job_id or pinned,
        asker=cleanup.metadata.uid,
        requested_at=cleanup.requested_at,
        waivers=frozenset(Waiver(w.reason.value, w.object) for w in spec.waive if w.reason.value in allowed),
        deadline=timedelta(seconds=spec.deadline_seconds),
        execute=spec.mode is Mode.EXECUTE,
        approved_plan=cleanup.approved_plan,
        correcting=corrects_drift(cleanup),
        stopping=cleanup.suspended or cleanup.metadata.deletion_timestamp is not None,
        note=spec.note,
    )


class ResourceReporter:
    """Implements `run.order.Reporter` on one FailedExecutionCleanup.

    Attributes:
        allowed: reasons the appliance lets people waive; none until the appliance is known.
        hold_appliance: keeps the Appliance from being deleted, told whether a claim is taken over; set once it is known.
        began: a claim was taken, or nearly.
    """

    def __init__(
        self,
        writer: StatusWriter,
        changed: asyncio.Event,
        told: Callable[[CleanupStatus, CleanupStatus], None],
        docs_url: str = DOCS_URL,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            writer: the resource and its status.
            changed: set by the queue when the resource was changed or deleted while a worker has it.
            told: hears the status before and after each projection, for Events.
            docs_url: where the reasons are explained.
        """
        self._writer = writer
        self._changed = changed
        self.allowed: frozenset[str] = frozenset()
        self.hold_appliance: Callable[[bool], Awaitable[None]] = _hold_nothing
        self.began = False
        self._told = told
        self._docs_url = docs_url
        self._ordered = writer.cleanup

    async def order(self) -> Order:
        """What is wanted now; reads the resource again only after it changed. A resource that is gone wants to stop."""
        if self._changed.is_set():
            self._changed.clear()
            try:
                await self._writer.refresh()
            except KubernetesError as error:
                self._changed.set()
                logger.warning("Cannot read the changed resource; going on as before", extra={"cause": str(error)})
        self._ordered = self._writer.cleanup
        order = order_of(self._ordered, self.allowed)
        return replace(order, stopping=True) if self._writer.gone else order

    async def claiming(self) -> None:
        """Put our finalizer on the Appliance and on the resource, so that their deletion waits for the action in flight."""
        self.began = True
        resuming = FINALIZER in self._writer.cleanup.metadata.finalizers
        # Side by side, and each to its end: one that was cut in the middle might have been stored.
        held, ours = await asyncio.gather(
            self.hold_appliance(resuming), self._writer.ensure_finalizer(), return_exceptions=True
        )
        if held is not None:
            if ours is None and not resuming:
                await self._writer.drop_finalizer()  # nothing was claimed: a deletion has nothing to wait for
            raise held
        if ours is not None:
            raise ours

    async def progress(self, progress: Progress) -> None:
        """Project what is known into status; trouble with the API server never stops a cleanup."""
        before = self._writer.cleanup.status
        await self._writer.write(self._projection(progress))
        self._told(before, self._writer.cleanup.status)

    async def finish(self, progress: Progress) -> bool:
        """Write the last word of a run; returns whether it is stored."""
        before = self._writer.cleanup.status
        await self._writer.write(self._projection(progress), force=True)
        stored = await self._writer.flush()
        self._told(before, self._writer.cleanup.status)
        return stored

    def _projection(self, progress: Progress) -> Callable[[FailedExecutionCleanup], CleanupStatus]:
        ordered = self._ordered

        def make(cleanup: FailedExecutionCleanup) -> CleanupStatus:
            planned = ordered.spec.mode is Mode.PLAN and not progress.approved
            now, docs_url = datetime.now(UTC), self._docs_url
            return project(cleanup, progress, now, planned=planned, ordered=ordered, docs_url=docs_url)

        return make

    async def pause(self, seconds: float) -> None:
        """Sleep, but wake up when the resource changed; what could not be written yet is written meanwhile."""
        settling = asyncio.create_task(self._settle())
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
        finally:
            settling.cancel()
            await asyncio.gather(settling, return_exceptions=True)

    async def _settle(self) -> None:
        before = self._writer.cleanup.status
        try:
            await self._writer.settle()
        finally:
            self._told(before, self._writer.cleanup.status)


async def _hold_nothing(_resuming: bool) -> None:
    """Until the Appliance is known."""
