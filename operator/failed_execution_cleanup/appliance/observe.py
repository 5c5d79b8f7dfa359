"""One observation: the database first and last, OSSEA between (rule 9: location is OSSEA's word)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import replace

from failed_execution_cleanup.appliance.errors import NotFound, Unavailable
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.skyline import Skyline, together
from failed_execution_cleanup.recovery.world import Cloud, CloudSnapshot, CloudVM, CloudVolume, Records, World


async def observe(
    ossea: OSSEAClient,
    read: Callable[[], Awaitable[Records]],
) -> World:
    """Read everything afresh.

    Args:
        ossea: the cloud.
        read: reads the database in one transaction; called twice.

    Raises:
        NotExecuted, Refused: a part could not be read; an error is an error, never "gone".
    """
    first = await read()
    sky = await ossea.skyline()
    volumes = await with_missing(ossea, sky.volumes, (row.volume_id for row in first.volumes))
    snapshots = await _snapshots(ossea, first, volumes, sky)
    watched = candidates(first, sky.vms, volumes)
    vms = await _with_host_states(ossea, sky.vms, watched - set(first.oma_vm_ids))
    last = await read()
    return World(
        records=last,
        cloud=Cloud(
            vms=vms,
            volumes=volumes,
            snapshots=snapshots,
            vm_snapshots=tuple(snapshot for snapshot in sky.vm_snapshots if snapshot.vm_id in watched),
        ),
        first=first,
    )


async def look_again(ossea: OSSEAClient, cloud: Cloud, volume_ids: Collection[str]) -> Cloud | None:
    """What was seen before, with some volumes and their snapshots read afresh by their ids.

    Returns:
        None where OSSEA does not show one of them: only the long lists can tell what that means (rule 9).

    Raises:
        NotExecuted, Refused: they could not be read.
    """
    volumes, snapshots = dict(cloud.volumes), dict(cloud.snapshots)
    try:
        async with together() as group:
            found = {i: group.create_task(ossea.list_volumes(volume_id=i)) for i in volume_ids}
            theirs = {i: group.create_task(ossea.list_snapshots(i)) for i in volume_ids}
    except NotFound:
        return None
    for volume_id, task in found.items():
        if [volume.id for volume in task.result()] != [volume_id]:
            return None
        volumes[volume_id] = task.result()[0]
        snapshots[volume_id] = theirs[volume_id].result()
    return replace(cloud, volumes=volumes, snapshots=snapshots)


async def with_missing(
    ossea: OSSEAClient, listed: Mapping[str, CloudVolume], wanted: Iterable[str]
) -> Mapping[str, CloudVolume]:
    """The volumes listed, and those wanted that the long list lacks: each is asked for by its id before it counts as missing."""
    missing = sorted(set(wanted) - listed.keys())
    if not missing:
        return listed
    found = [volume for volume_id in missing for volume in await ossea.list_volumes(volume_id=volume_id)]
    return {**listed, **{volume.id: volume for volume in found if volume.id in missing}}


async def _snapshots(
    ossea: OSSEAClient, records: Records, volumes: Mapping[str, CloudVolume], sky: Skyline
) -> dict[str, tuple[CloudSnapshot, ...]]:
    """Snapshots of each volume of the context; one that a row names and the long list lacks is looked for by its volume."""
    found = {row.volume_id: sky.snapshots.get(row.volume_id, ()) for row in records.volumes}
    named = {row.volume_id: row.snapshot_id for row in records.volumes if row.snapshot_id is not None}
    for volume_id, snapshot_id in named.items():
        if any(snapshot.id == snapshot_id for snapshot in found[volume_id]):
            continue
        try:
            found[volume_id] = await ossea.list_snapshots(volume_id)
        except NotFound:
            if volume_id in volumes:
                raise Unavailable(
                    f"listSnapshots does not know volume {volume_id}, which listVolumes shows.",
                    system="OSSEA",
                    remedy="It is asked again.",
                ) from None
    return found


def candidates(records: Records, vms: Mapping[str, CloudVM], volumes: Mapping[str, CloudVolume]) -> set[str]:
    """VMs whose state matters: the OMA, holders of our volumes, recorded destinations and anything named like a test VM of ours."""
    ours = {row.volume_id for row in records.volumes}
    found = set(records.oma_vm_ids)
    found |= {v.vm_id for v in volumes.values() if v.id in ours and v.vm_id is not None}
    found |= {job.destination_vm_id for job in records.failovers if job.destination_vm_id is not None}
    prefixes = tuple({f"{job.source_vm_name}-test-" for job in records.failovers})
    found |= {vm.id for vm in vms.values() if prefixes and vm.display_name.startswith(prefixes)}
    return found


async def _with_host_states(
    ossea: OSSEAClient, vms: Mapping[str, CloudVM], candidates: set[str]
) -> Mapping[str, CloudVM]:
    running = [vms[i] for i in candidates if i in vms and vms[i].state == "Running" and vms[i].host_id is not None]
    if not running:
        return vms
    hosts = await ossea.list_hosts()
    states = {host.id: host.state for host in hosts or ()}
    return {**vms, **{vm.id: replace(vm, host_state=states.get(vm.host_id or "")) for vm in running}}
