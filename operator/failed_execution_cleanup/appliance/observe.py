"""One observation: the database first and last, OSSEA between (rule 9: location is OSSEA's word)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace

from failed_execution_cleanup.appliance.errors import NotFound, Unavailable
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.recovery.world import Cloud, CloudSnapshot, CloudVM, CloudVolume, Records, World


async def observe(ossea: OSSEAClient, read: Callable[[], Awaitable[Records]]) -> World:
    """Read everything afresh.

    Args:
        ossea: the cloud.
        read: reads the database in one transaction; called twice.

    Raises:
        NotExecuted, Refused: a part could not be read; an error is an error, never "gone".
    """
    first = await read()
    async with together() as group:
        vms_task = group.create_task(ossea.list_virtual_machines())
        volumes_task = group.create_task(_volumes(ossea, first))
        snapshot_tasks = {row.volume_id: group.create_task(_snapshots(ossea, row.volume_id)) for row in first.volumes}
    vms = {vm.id: vm for vm in vms_task.result()}
    volumes = volumes_task.result()
    snapshots = {volume_id: task.result() for volume_id, task in snapshot_tasks.items()}
    for volume_id in volumes.keys() & {volume_id for volume_id, found in snapshots.items() if found is None}:
        raise Unavailable(
            f"listSnapshots does not know volume {volume_id}, which listVolumes shows.",
            system="OSSEA",
            remedy="It is asked again.",
        )
    watched = candidates(first, vms, volumes)
    async with together() as group:
        seen = [group.create_task(ossea.list_vm_snapshots(vm_id)) for vm_id in sorted(watched & vms.keys())]
        with_hosts = group.create_task(_with_host_states(ossea, vms, watched - set(first.oma_vm_ids)))
    last = await read()
    return World(
        records=last,
        cloud=Cloud(
            vms=with_hosts.result(),
            volumes=volumes,
            snapshots={volume_id: found or () for volume_id, found in snapshots.items()},
            vm_snapshots=tuple(snapshot for task in seen for snapshot in task.result()),
        ),
        first=first,
    )


@contextlib.asynccontextmanager
async def together() -> AsyncIterator[asyncio.TaskGroup]:
    """Tasks that live and fail together; the first failure comes out as itself, not as a group."""
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None


async def _volumes(ossea: OSSEAClient, records: Records) -> dict[str, CloudVolume]:
    """All volumes; one of the context that the long list lacks is asked for by its id before it counts as missing."""
    volumes = {volume.id: volume for volume in await ossea.list_volumes()}
    for row in records.volumes:
        if row.volume_id not in volumes:
            volumes.update(
                {v.id: v for v in await ossea.list_volumes(volume_id=row.volume_id) if v.id == row.volume_id}
            )
    return volumes


async def _snapshots(ossea: OSSEAClient, volume_id: str) -> tuple[CloudSnapshot, ...] | None:
    """Snapshots of a volume; None when OSSEA does not know the volume."""
    try:
        return await ossea.list_snapshots(volume_id)
    except NotFound:
        return None


def candidates(records: Records, vms: Mapping[str, CloudVM], volumes: Mapping[str, CloudVolume]) -> set[str]:
    """VMs whose state matters: the OMA, holders of our volumes, recorded destinations and anything named like a test VM of ours."""
    ours = {row.volume_id for row in records.volumes}
    found = set(records.oma_vm_ids)
    found |= {v.vm_id for v in volumes.values() if v.id in ours and v.vm_id is not None}
    found |= {job.destination_vm_id for job in records.failovers if job.destination_vm_id is not None}
    prefixes = tuple({f"{job.source_vm_name}-test-" for job in records.failovers})
    found |= {vm.id for vm in vms.values() if prefixes and vm.display_name.startswith(prefixes)}
    return found


async def _with_host_states(ossea: OSSEAClient, vms: dict[str, CloudVM], candidates: set[str]) -> dict[str, CloudVM]:
    running = [vms[i] for i in candidates if i in vms and vms[i].state == "Running" and vms[i].host_id is not None]
    if not running:
        return vms
    hosts = await ossea.list_hosts()
    states = {host.id: host.state for host in hosts or ()}
    return vms | {vm.id: replace(vm, host_state=states.get(vm.host_id or "")) for vm in running}
