"""The three doors of one appliance, opened together and limited together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient


@dataclass(frozen=True, slots=True)
class Doors:
    """Database, Volume Daemon and OSSEA of one appliance.

    Attributes:
        reverts: how many reverts may run side by side on the whole appliance; each may copy a full volume.
    """

    database: OMADatabase
    daemon: VolumeDaemonClient
    ossea: OSSEAClient
    reverts: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))

    async def close(self) -> None:
        """Close all connections."""
        await self.daemon.aclose()
        await self.ossea.aclose()
        await self.database.close()
