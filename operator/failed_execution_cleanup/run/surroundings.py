"""What a cleanup works with: the appliance's doors and settings, who asked, and the database's clock."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from failed_execution_cleanup.appliance.database import ContextLock
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.observe import look_again, observe
from failed_execution_cleanup.recovery.goals import Settings, Wish
from failed_execution_cleanup.recovery.world import Cloud, Records, World
from failed_execution_cleanup.run.order import Order, Reporter


@dataclass(slots=True)
class Surroundings:
    """One appliance and one asker, for the time of one run.

    Attributes:
        leaving: set when this process is about to end: nothing is begun any more.
    """

    doors: Doors
    settings: Settings
    reporter: Reporter
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    _clock: tuple[datetime, float] | None = field(default=None, init=False)

    async def observe(self, lock: ContextLock) -> World:
        """Observe on the lock's own connection, and set the clock."""
        world = await observe(self.doors.ossea, lock.read)
        self._set_clock(world.records)
        return world

    async def look_again(self, cloud: Cloud, volume_ids: Collection[str]) -> Cloud | None:
        """An earlier look with these volumes as they are now; None where OSSEA does not show them all."""
        return await look_again(self.doors.ossea, cloud, volume_ids)

    async def read(self, lock: ContextLock) -> Records:
        """Read the rows alone, and set the clock."""
        records = await lock.read()
        self._set_clock(records)
        return records

    def _set_clock(self, records: Records) -> None:
        self._clock = (records.clock.utc, asyncio.get_running_loop().time())

    def now(self) -> datetime:
        """The database's UTC clock, carried on from the last observation by the loop's own; naive digits."""
        if self._clock is None:
            raise RuntimeError("no observation was made yet")
        stamp, at = self._clock
        return stamp + timedelta(seconds=asyncio.get_running_loop().time() - at)

    def wish(self, order: Order, job_id: str | None) -> Wish:
        """The order as the core wants it."""
        return wish_of(order, job_id, self.settings)


def wish_of(order: Order, job_id: str | None, settings: Settings) -> Wish:
    """An order as the core wants it."""
    return Wish(
        job_id=job_id,
        waivers=order.waivers,
        stopping=order.stopping,
        deadline=order.deadline,
        execute=order.execute,
        approved_plan=order.approved_plan,
        settings=settings,
    )
