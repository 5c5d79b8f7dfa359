"""Many observations by the calls of one: the same `World` per context as `observe` builds, from lists of everything.

Two set reads of the database with five lists of OSSEA between, however many contexts there are; one more look for each volume that the
long list lacks. The Volume Daemon is not asked: what it believes is in its tables.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from failed_execution_cleanup.appliance.database import ContextRecords, RecordSet, UnexpectedRow
from failed_execution_cleanup.appliance.observe import candidates, with_missing
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.recovery.world import Cloud, CloudVM, World


@dataclass(frozen=True, slots=True)
class Observed:
    """One context of many.

    Attributes:
        memories: text of the memory of each claim of this software, by failover job.
    """

    world: World
    memories: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sight:
    """Contexts observed together.

    Attributes:
        contexts: by context id; one that is gone by the second read is absent.
        unreadable: contexts whose rows cannot be understood, and why.
    """

    contexts: Mapping[str, Observed]
    unreadable: Mapping[str, UnexpectedRow]


async def observe_many(ossea: OSSEAClient, read: Callable[[], Awaitable[RecordSet]]) -> Sight:
    """Observe all contexts that `read` reads.

    Args:
        ossea: the cloud.
        read: reads the same contexts in one transaction; called twice.

    Raises:
        NotExecuted, Refused: a part could not be read.
    """
    first = await read()
    skyline = await ossea.skyline()
    wanted = (volume.volume_id for context in first.contexts.values() for volume in context.records.volumes)
    volumes = await with_missing(ossea, skyline.volumes, wanted)
    hosts = await ossea.list_hosts()
    last = await read()
    watched = {id_: candidates(c.records, skyline.vms, volumes) for id_, c in first.contexts.items()}
    states = {host.id: host.state for host in hosts or ()}
    omas = {vm_id for c in first.contexts.values() for vm_id in c.records.oma_vm_ids}
    # Shared by all worlds: thousands of VMs are not copied for each.
    vms = dict(skyline.vms)
    vms |= {vm.id: vm for vm in _with_hosts(vms, set().union(*watched.values()) - omas, states)}

    def observed(id_: str, before: ContextRecords, after: ContextRecords) -> Observed:
        ours = [row.volume_id for row in before.records.volumes]
        cloud = Cloud(
            vms=vms,
            volumes=volumes,
            snapshots={volume_id: skyline.snapshots.get(volume_id, ()) for volume_id in ours},
            vm_snapshots=tuple(snapshot for snapshot in skyline.vm_snapshots if snapshot.vm_id in watched[id_]),
        )
        return Observed(World(after.records, cloud, before.records), after.memories)

    both = first.contexts.keys() & last.contexts.keys()
    return Sight(
        contexts={id_: observed(id_, first.contexts[id_], last.contexts[id_]) for id_ in sorted(both)},
        unreadable={**first.unreadable, **last.unreadable},
    )


def _with_hosts(vms: Mapping[str, CloudVM], wanted: set[str], states: Mapping[str, str]) -> list[CloudVM]:
    """The running VMs whose host matters."""
    found = (vms[vm_id] for vm_id in wanted & vms.keys())
    return [
        replace(vm, host_state=states.get(vm.host_id))
        for vm in found
        if vm.state == "Running" and vm.host_id is not None
    ]
