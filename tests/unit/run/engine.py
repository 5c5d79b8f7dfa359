"""The engine on a simulated appliance, in this process, without Kubernetes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from appliance_simulator import SimulatedAppliance, simulator
from appliance_simulator.appliance import Built
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient
from failed_execution_cleanup.recovery.decide import Decision, Wait
from failed_execution_cleanup.recovery.goals import Settings, Waiver
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.cleanup import Cleanup, Limits
from failed_execution_cleanup.run.order import Order, Progress

VM = "pgtest1"
QUICK = Settings(
    quiet=timedelta(seconds=0.5),
    revert_quiet=timedelta(seconds=2),
    revert_bytes_per_second=2**62,
    retry=timedelta(seconds=0.2),
    operation_limit=timedelta(seconds=4),
)
"""Times of an appliance under test: what takes minutes in production takes a second."""

LIMITS = Limits(http_seconds=20.0, expiry_seconds=3.0)


@dataclass
class Asker:
    """Asks for one cleanup and keeps what it hears."""

    wanted: Order
    heard: list[Progress] = field(default_factory=list)

    async def order(self) -> Order:
        return self.wanted

    async def claiming(self) -> None:
        pass

    async def progress(self, progress: Progress) -> None:
        self.heard.append(progress)

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass
class Engine:
    """A simulated appliance with one VM in a leftover state, and the engine that cleans it up.

    Attributes:
        memory: what the last run remembered.
    """

    appliance: SimulatedAppliance
    built: Built
    doors: Doors
    settings: Settings = QUICK
    limits: Limits = LIMITS
    memory: Memory = field(default_factory=lambda: Memory(""))

    def order(self, *waived: str) -> Order:
        """A cleanup of the VM, with waivers for its job."""
        waivers = frozenset(Waiver(reason, "job") for reason in waived)
        return Order(VM, job_id=self.built.failover_job_id, asker="test", waivers=waivers)

    async def run(self, *waived: str, owner: str = "engine-1", seconds: float = 45.0) -> Decision:
        """Run as the queue does: again after each wait, until it ended, a person is needed, or the time is over."""
        asker = Asker(self.order(*waived))
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            async with asyncio.timeout_at(deadline):
                progress = await Cleanup(self.doors, self.settings, owner, asker, self.limits).run()
            self.memory = progress.memory
            if not isinstance(progress.decision, Wait):
                return progress.decision
            pause = min(progress.decision.after.total_seconds(), 1.0)
            if loop.time() + pause > deadline:
                return progress.decision
            await asyncio.sleep(pause)

    def lost(self) -> list[str]:
        """Volumes that are no replica and whose restore point is gone."""
        found = []
        for volume_id, content in self.appliance.contents(VM).items():
            point = self.appliance.cloud.snapshots.get(self.built.snapshot_ids.get(volume_id, ""))
            if not content.startswith("replica") and (point is None or point.state != "BackedUp"):
                found.append(f"{volume_id}: {content}")
        return found

    def away(self) -> set[str]:
        """Volumes that are not on the appliance."""
        return {i for i, vm in self.appliance.holders(VM).items() if vm != self.appliance.oma_vm_id}

    def left_over(self) -> list[str]:
        """What a finished cleanup should not have left; empty when all is well."""
        contents, holders = self.appliance.contents(VM), self.appliance.holders(VM)
        volumes = self.appliance.cloud.volumes
        found = [
            f"content of {i} is {content}"
            for i, content in contents.items()
            if content != f"replica:{volumes[i].generation}"
        ]
        found += [f"{i} is on {vm}" for i, vm in holders.items() if vm != self.appliance.oma_vm_id]
        found += [
            f"snapshot {s.id} is {s.state}" for s in self.appliance.cloud.snapshots.values() if s.state != "Destroyed"
        ]
        kept = {self.appliance.oma_vm_id}
        found += [
            f"VM {vm.id} is {vm.state}"
            for vm in self.appliance.cloud.vms.values()
            if vm.id not in kept and not vm.removed
        ]
        return found


@contextlib.asynccontextmanager
async def engine(
    directory: Path,
    row: str,
    *,
    disks: int = 3,
    settings: Settings = QUICK,
    limits: Limits = LIMITS,
    kind: str | None = None,
) -> AsyncIterator[Engine]:
    """An engine on an appliance of its own, with one VM in the leftover state of a row."""
    async with simulator(f"sqlite+aiosqlite:///{directory}/oma.db") as appliance:
        built = await appliance.build(row, vm_name=VM, disks=disks, kind=kind)
        doors = Doors(
            OMADatabase.open(appliance.database_url, timeout=5.0),
            VolumeDaemonClient(appliance.daemon_url, timeout_seconds=limits.http_seconds),
            OSSEAClient(
                appliance.ossea_url, appliance.api_key, appliance.secret_key, timeout_seconds=limits.http_seconds
            ),
        )
        try:
            yield Engine(appliance, built, doors, settings, limits)
        finally:
            await doors.close()


def reason_of(decision: Decision) -> Reason | None:
    """Reason of a decision, where it has one."""
    return getattr(decision, "reason", None)
