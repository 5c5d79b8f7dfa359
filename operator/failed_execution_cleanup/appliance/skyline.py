"""What OSSEA lists of everything: four lists, whatever is looked for in them."""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from failed_execution_cleanup.appliance.ossea import OSSEAClient
    from failed_execution_cleanup.recovery.world import CloudSnapshot, CloudVM, CloudVolume, VMSnapshot


@dataclass(frozen=True, slots=True)
class Skyline:
    """Everything the account sees. Shared by many readers, so never changed.

    Attributes:
        vms: by id.
        volumes: by id.
        snapshots: by the id of their volume; a volume without any is absent.
        vm_snapshots: snapshots of whole VMs.
    """

    vms: Mapping[str, CloudVM]
    volumes: Mapping[str, CloudVolume]
    snapshots: Mapping[str, tuple[CloudSnapshot, ...]]
    vm_snapshots: tuple[VMSnapshot, ...] = ()


async def list_everything(ossea: OSSEAClient) -> Skyline:
    """All VMs, volumes and snapshots.

    Raises:
        NotExecuted, Refused: a list could not be read.
    """
    async with together() as group:
        vms = group.create_task(ossea.list_virtual_machines())
        volumes = group.create_task(ossea.list_volumes())
        snapshots = group.create_task(ossea.list_snapshots())
        vm_snapshots = group.create_task(ossea.list_vm_snapshots())
    by_volume: defaultdict[str, list[CloudSnapshot]] = defaultdict(list)
    for snapshot in snapshots.result():
        by_volume[snapshot.volume_id].append(snapshot)
    return Skyline(
        vms={vm.id: vm for vm in vms.result()},
        volumes={volume.id: volume for volume in volumes.result()},
        snapshots={volume_id: tuple(found) for volume_id, found in by_volume.items()},
        vm_snapshots=vm_snapshots.result(),
    )


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that live and fail together; the first failure comes out as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None
