"""The claim on a VM and its memory: written ahead, compared and set, kept alive by a heartbeat.

The claim is one row of the appliance's own job log, so that a new owner finds it where the work was done, whatever became of the
cluster. Whoever holds the advisory lock and raised the number last may send requests; every save compares the number.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter

from failed_execution_cleanup.appliance.database import ContextLock, StoredClaim
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.recovery.actions import Action
from failed_execution_cleanup.recovery.memory import Memory, Request

logger = logging.getLogger(__name__)

_MEMORY: Final = TypeAdapter(Memory)


def dump_memory(memory: Memory) -> str:
    """Memory as JSON text."""
    return _MEMORY.dump_json(memory, exclude_defaults=True).decode()


def load_memory(text: str | None, job_id: str) -> Memory:
    """Memory from JSON text; an empty one for a claim that has none yet."""
    return _MEMORY.validate_json(text) if text else Memory(job_id)


class Claim:
    """A claim held by this process: all changes of its memory go through here, one after the other."""

    def __init__(self, lock: ContextLock, stored: StoredClaim, memory: Memory, *, heartbeat_seconds: float) -> None:
        """Wrap a claim that was just taken."""
        self.lock = lock
        self.stored = stored
        self.memory = memory
        self._heartbeat_seconds = heartbeat_seconds
        self._saving = asyncio.Lock()
        self.lost = asyncio.Event()

    async def change(self, change: Callable[[Memory], Memory]) -> Memory:
        """Change the memory and store it; returns the new one.

        Raises:
            ClaimLost, LockLost, DatabaseUnavailable: nothing was stored, and nothing may be sent any more.
        """
        async with self._saving:
            memory = change(self.memory)
            try:
                self.stored = await self.lock.save_claim(self.stored, dump_memory(memory))
            except ApplianceError:
                self.lost.set()
                raise
            self.memory = memory
            return memory

    async def write_ahead(self, action: Action, at: datetime) -> Request:
        """Store an open request for the action; without it nothing is sent."""
        written: list[Request] = []

        def change(memory: Memory) -> Memory:
            memory, request = memory.write_ahead(action, at)
            written.append(request)
            return memory

        await self.change(change)
        return written[0]

    async def settle(self, request: Request) -> None:
        """Store what is known of a request by now."""
        await self.change(lambda memory: memory.with_request(request))

    async def forget(self, request: Request) -> None:
        """Drop a request that was certainly never sent."""
        await self.change(
            lambda memory: replace(
                memory,
                requests=tuple(r for r in memory.requests if (r.key, r.attempt) != (request.key, request.attempt)),
            )
        )

    @contextlib.asynccontextmanager
    async def kept_alive(self) -> AsyncIterator[None]:
        """Send heartbeats until the block ends; a heartbeat that fails sets `lost`."""

        async def beat() -> None:
            while True:
                await asyncio.sleep(self._heartbeat_seconds)
                async with self._saving:
                    try:
                        self.stored = await self.lock.heartbeat(self.stored)
                    except ApplianceError as error:
                        logger.warning("Heartbeat of the claim failed", extra={"cause": str(error)})
                        self.lost.set()
                        return

        task = asyncio.create_task(beat(), name=f"heartbeat of claim {self.stored.id}")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
