"""Shows cleanups that wait for their turn where they stand in the line of their appliance (`status.queuePosition`).

Writes are bounded: only who has waited for a while, only the first of each line, and only places that changed. Whoever gets his turn
writes a status without a place himself; a write that meets his is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Conflict,
    KubernetesError,
    NotFound,
    StatusApi,
    merge_patch,
)
from failed_execution_cleanup.controller.projection import project_waiting
from failed_execution_cleanup.controller.status_writer import stored_form
from failed_execution_cleanup.controller.transitions_log import log_conditions
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.run.queue import WorkQueue

__all__ = ["QueuePositions"]

logger = logging.getLogger(__name__)

Key = tuple[str, str]

INTERVAL_SECONDS: Final = 5.0
"""Pause between looks at the queue; who waits for less is not told."""

SHOWN: Final = 50
"""How many of a line are told their place; the others are told when they come nearer."""


class QueuePositions:
    """Tells waiting cleanups their place."""

    def __init__(self, api: StatusApi, queue: WorkQueue[Key], *, now: Callable[[], datetime] | None = None) -> None:
        """Prepare; nothing is written before `run`."""
        self._api = api
        self._queue = queue
        self._now = now or (lambda: datetime.now(UTC))
        self._told: dict[Key, int | None] = {}
        self._waited: set[Key] = set()

    async def run(self) -> None:
        """Look and tell, for ever."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Tell every place that changed since the last look."""
        places: dict[Key, int | None] = dict(self._queue.waiting(SHOWN))
        pushed_back = {key: None for key in self._told if key not in places and self._queue.position(key) is not None}
        waited, self._waited = self._waited, set(places)
        self._told = {key: place for key, place in self._told.items() if key in places or key in pushed_back}
        for key, place in (places | pushed_back).items():
            if (key in waited or key in pushed_back) and self._told.get(key) != place:
                await self._tell(key, place)

    async def _tell(self, key: Key, place: int | None) -> None:
        try:
            body = await self._api.get(CLEANUPS, *key)
            cleanup = FailedExecutionCleanup.model_validate(body)
            status = project_waiting(cleanup, place, self._now())
            patch = merge_patch(body.get("status") or {}, stored_form(status))
            if self._queue.position(key) is None:
                return
            if patch:
                version = body["metadata"]["resourceVersion"]
                await self._api.patch_status(CLEANUPS, *key, patch, resource_version=version)
                log_conditions(cleanup, status)
        except (Conflict, NotFound):
            return  # a worker has it by now, or somebody changed or deleted it: the next look tells
        except KubernetesError as error:
            logger.warning("Place in the queue not written", extra={"key": key, "cause": str(error)})
            return
        self._told[key] = place
