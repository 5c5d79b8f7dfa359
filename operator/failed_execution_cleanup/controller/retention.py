"""Deletes finished cleanups when the time they ask to be kept for is over (`spec.ttlSecondsAfterFinished`).

One task and one heap serve all of them, so ten thousand cost an entry each and no timer. Nothing is remembered across processes: the
due time follows from the resource alone (`status.completedAt`), and a new leader sees every resource when it begins to watch. What
needs a person is kept: only Ready=True counts, and not while drift is reported.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    CustomResource,
    KubernetesError,
    NotFound,
)
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import ConditionStatus, get_condition
from failed_execution_cleanup.resources.identifiers import FINALIZER
from failed_execution_cleanup.resources.reasons import ConditionType

__all__ = ["Retention", "RetentionApi", "expires_at"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]

RETRY: Final = timedelta(seconds=10)
"""Pause after a deletion that failed."""

LOOK_SECONDS: Final = 60.0
"""Longest sleep: due times are of the wall clock, which may be set while we sleep."""


class RetentionApi(Protocol):
    """The calls that are made; `KubernetesApi` has them."""

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        """Read an object."""
        ...

    async def delete(
        self, resource: CustomResource, namespace: str | None, name: str, *, uid: str, resource_version: str
    ) -> None:
        """Delete an object if it is still the one that was read; `Conflict` if not."""
        ...


def expires_at(cleanup: FailedExecutionCleanup) -> datetime | None:
    """When a cleanup is to be deleted; None while it is to be kept.

    That is a time after its end, if it ended well, nobody asked for another run, no claim is held, and no drift waits for a person.
    """
    status, metadata = cleanup.status, cleanup.metadata
    ready = get_condition(status.conditions, ConditionType.READY)
    drifted = get_condition(status.conditions, ConditionType.DRIFTED)
    ttl = cleanup.spec.ttl_seconds_after_finished
    if ttl is None or status.completed_at is None or ready is None or ready.status is not ConditionStatus.TRUE:
        return None
    if ready.observed_generation != metadata.generation or cleanup.requested_at != status.last_handled_request:
        return None
    if drifted is not None and drifted.status is ConditionStatus.TRUE:
        return None
    if metadata.deletion_timestamp is not None or FINALIZER in metadata.finalizers:
        return None
    return status.completed_at + timedelta(seconds=ttl)


class Retention:
    """The due times of all finished cleanups that have one, and the task that keeps them."""

    def __init__(self, api: RetentionApi, *, now: Callable[[], datetime] | None = None) -> None:
        """Prepare; nothing is read or deleted before `run`.

        Args:
            api: where to delete.
            now: the wall clock, with a time zone.
        """
        self._api = api
        self._now = now or (lambda: datetime.now(UTC))
        self._due: dict[Key, datetime] = {}
        self._heap: list[tuple[datetime, Key]] = []
        self._earlier = asyncio.Event()

    def see(self, body: Mapping[str, Any]) -> None:
        """Take in a cleanup as it is now."""
        metadata = body["metadata"]
        key: Key = (metadata["namespace"], metadata["name"])
        kept = "ttlSecondsAfterFinished" not in body.get("spec", {}) or "completedAt" not in (body.get("status") or {})
        due = None if kept else expires_at(FailedExecutionCleanup.model_validate(body))
        if due is None:
            self.forget(key)
        elif self._due.get(key) != due:
            self._set(key, due)

    def forget(self, key: Key) -> None:
        """A cleanup is gone, or is to be kept."""
        self._due.pop(key, None)  # its place in the heap is passed over when its time comes

    def __len__(self) -> int:
        """How many cleanups have a due time."""
        return len(self._due)

    async def run(self) -> None:
        """Delete what is due, for ever."""
        while True:
            while self._heap and self._heap[0][0] <= self._now():
                due, key = heapq.heappop(self._heap)
                if self._due.get(key) == due:
                    await self._delete(key)
            self._earlier.clear()
            pause = LOOK_SECONDS
            if self._heap:
                pause = min(pause, max(0.0, (self._heap[0][0] - self._now()).total_seconds()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._earlier.wait()

    async def _delete(self, key: Key) -> None:
        """Delete a cleanup, if it still is due as it is now."""
        try:
            body = await self._api.get(CLEANUPS, *key)
            due = expires_at(FailedExecutionCleanup.model_validate(body))
            if due is None or due > self._now():
                self.see(body)
                return
            metadata = body["metadata"]
            await self._api.delete(CLEANUPS, *key, uid=metadata["uid"], resource_version=metadata["resourceVersion"])
        except NotFound:
            self.forget(key)
        except KubernetesError as error:
            logger.warning("Not deleted after its time; it is tried again", extra={"key": key, "cause": str(error)})
            self._set(key, self._now() + RETRY)
        else:
            self.forget(key)
            logger.info("Deleted after its time", extra={"key": key, "due": due.isoformat()})

    def _set(self, key: Key, due: datetime) -> None:
        self._due[key] = due
        heapq.heappush(self._heap, (due, key))
        if self._heap[0] == (due, key):
            self._earlier.set()
