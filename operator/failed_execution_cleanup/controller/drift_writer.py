"""The condition Drifted of finished cleanups: written when it changes, never otherwise (rule 18)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from failed_execution_cleanup.controller.cleanup_index import IndexedCleanup
from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import CLEANUPS, KubernetesApi, NotFound
from failed_execution_cleanup.controller.status_writer import StatusWriter, transitions
from failed_execution_cleanup.detection.drift import Drift, FinishedCleanup
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import ConditionStatus, get_condition, set_condition
from failed_execution_cleanup.resources.reasons import ConditionType, Reason
from failed_execution_cleanup.run.queue import Lane, WorkQueue

Key = tuple[str, str]


class DriftWriter:
    """Tells drift where people look for it, and queues the cleanups that put it right."""

    def __init__(self, api: KubernetesApi, events: EventRecorder, queue: WorkQueue[Key]) -> None:
        self._api = api
        self._events = events
        self._queue = queue

    async def tell(
        self, cleanups: Mapping[FinishedCleanup, IndexedCleanup], found: Mapping[FinishedCleanup, Drift | None]
    ) -> None:
        """Write what changed; what is as it was told costs nothing.

        Raises:
            KubernetesError: the API server failed.
        """
        for finished, drift in found.items():
            entry = cleanups[finished]
            message = None if drift is None else _message(drift, entry)
            if message != entry.drifted:
                await self._write(entry, message)
            if drift is not None and drift.obstacle is None and entry.correcting:
                self._queue.add(entry.key, Lane.DRIFT, group=entry.appliance)

    async def _write(self, entry: IndexedCleanup, message: str | None) -> None:
        """Write or remove the condition of the very object that was judged; one that has moved on is left to the next scan."""
        try:
            body = await self._api.get(CLEANUPS, *entry.key)
        except NotFound:
            return
        if body["metadata"]["uid"] != entry.uid:
            return
        writer = StatusWriter(self._api, body)
        before = writer.cleanup.status
        now = datetime.now(UTC).replace(microsecond=0)
        await writer.write(lambda cleanup: _with_drift(cleanup, entry, message, now), force=True)
        for note in transitions(before, writer.cleanup.status):
            await self._events.record(ObjectReference.of(body), note.type, note.reason, note.action, note.note)


def _message(drift: Drift, entry: IndexedCleanup) -> str:
    if entry.correcting and drift.obstacle is not None:
        return f"{drift.message}. Not put right by itself: {drift.obstacle}."
    return f"{drift.message}."


def _with_drift(
    cleanup: FailedExecutionCleanup, entry: IndexedCleanup, message: str | None, now: datetime
) -> CleanupStatus:
    status = cleanup.status
    ready = get_condition(status.conditions, ConditionType.READY)
    ended = entry.finished.ended_at if entry.finished is not None else None
    if ready is None or ready.status is not ConditionStatus.TRUE or status.completed_at != ended:
        return status  # another run began since
    conditions = set_condition(
        status.conditions,
        ConditionType.DRIFTED,
        ConditionStatus.FALSE if message is None else ConditionStatus.TRUE,
        reason=Reason.DRIFT_OBSERVED,
        message=message or "",
        observed_generation=ready.observed_generation,
        now=now,
    )
    return status.model_copy(update={"conditions": conditions})
