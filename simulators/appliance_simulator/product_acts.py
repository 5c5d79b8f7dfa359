"""What the product does by itself while somebody else is at work: an engine that wakes up, and jobs that begin and end.

Every act happens now, in one transaction, on rows and cloud as they are at that moment.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TypeAlias

from appliance_simulator.product_flows import INJECTION, Failover, ProductCleanup, Rollback
from appliance_simulator.replicated_vm import ReplicatedVM, Site
from appliance_simulator.scene import Scene

OpenSite: TypeAlias = Callable[[], AbstractAsyncContextManager[Site]]

WAKES_UNTIL = (INJECTION, "vm-creation", "volume-attachment", "status-update")
"""Steps after which an engine that woke up may fall silent again; the last one is the end of its flow."""


class ProductActs:
    """Acts on the VMs of one appliance.

    Attributes:
        scenes: the newest story of each VM, by name.
    """

    def __init__(self, site: OpenSite, vms: dict[str, ReplicatedVM], scenes: dict[str, Scene]) -> None:
        self._site = site
        self._vms = vms
        self.scenes = scenes
        self._begun: dict[str, Rollback | ProductCleanup] = {}

    async def wake_in_injection(self, vm_name: str, until: str = INJECTION) -> str | None:
        """A driver injection that seemed hung ends well after all, and its engine goes on (appliance facts 3.2).

        Args:
            vm_name: whose failover.
            until: one of `WAKES_UNTIL`: the step after which it falls silent for good.

        Returns:
            Id of the VM it created, which it records.

        Raises:
            ValueError: no injection of that VM is running, or an unknown step.
        """
        if until not in WAKES_UNTIL:
            raise ValueError(f"unknown step {until}; known: {', '.join(WAKES_UNTIL)}")
        async with self._site() as site:
            scene = self.scenes[vm_name] = await self.scenes[vm_name].resumed(site)
            await Failover(scene).go_on_from_injection(until)
            return scene.destination.id if scene.destination is not None else None

    async def begin_failover(self, vm_name: str) -> str | None:
        """A newer test failover begins: its rows, its validation, and a context marked as failed over; gives the job's id."""
        async with self._site() as site:
            scene = self.scenes[vm_name] = await Scene.begin(site, self._vms[vm_name], "test", 1.0)
            await Failover(scene).prepare()
            return scene.failover_job_id

    async def begin_rollback(self, vm_name: str) -> str:
        """A rollback of the newest failover begins; gives the job's id."""
        async with self._site() as site:
            flow = Rollback(await self.scenes[vm_name].resumed(site))
            await flow.begin()
        self._begun[flow.job.id] = flow
        return flow.job.id

    async def begin_product_cleanup(self, vm_name: str) -> str:
        """The product's own failed-execution cleanup begins; gives the job's id."""
        async with self._site() as site:
            flow = ProductCleanup(await self.scenes[vm_name].resumed(site))
            await flow.begin()
        self._begun[flow.job.id] = flow
        return flow.job.id

    async def end_job(self, job_id: str, error: str | None = None) -> None:
        """A rollback or product cleanup that was begun here ends without having changed anything more."""
        begun = self._begun.pop(job_id)
        async with self._site() as site:
            again = type(begun)(await begun.scene.resumed(site))
            again.job.id = job_id
            await again.job.finish("completed" if error is None else "failed", error)

    async def fail_replication(self, vm_name: str, bytes_transferred: int = 0) -> None:
        """The running replication fails, after it wrote this much."""
        async with self._site() as site:
            await site.fail_replication(self._vms[vm_name], bytes_transferred=bytes_transferred)
