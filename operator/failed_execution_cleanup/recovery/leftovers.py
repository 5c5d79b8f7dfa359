"""What is found beside the goal: not ours to remove, or not possible to remove. Reported, never blocking."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .incident import CLOCK_TOLERANCE, Incident, as_utc, is_failover
from .volumes import Volume
from .world import World

VM_CREATION_STEP = "vm-creation"
POWER_OFF_STEP = "source-vm-power-off"
POWER_ON_STEP = "source-vm-power-on"


@dataclass(frozen=True, slots=True)
class Leftover:
    """One thing found.

    Attributes:
        kind: `Snapshot`, `Volume`, `VirtualMachine` or `Row`.
    """

    kind: str
    id: str
    message: str


def beside_the_goal(world: World, incident: Incident, volumes: tuple[Volume, ...]) -> Iterator[Leftover]:
    """What nobody removes, and a person should know of."""
    yield from _without_disk(volumes)
    yield from _orphan_roots(world, incident)
    yield from _source_vm(world, incident)


def _without_disk(volumes: tuple[Volume, ...]) -> Iterator[Leftover]:
    """A volume row no disk refers to: it is brought home all the same, but replication does not know it (S38)."""
    for volume in volumes:
        if volume.disk is None:
            yield Leftover(
                "Row",
                f"ossea_volumes/{volume.row.row_id}",
                f"no vm_disks row refers to {volume.label}: correct or remove one of them in the product.",
            )


def _orphan_roots(world: World, incident: Incident) -> Iterator[Leftover]:
    """Root volumes that a failover took off its new VM and did not delete (S09).

    Nothing ties them to the VM any more but the cloud's name for a root and the time: they are shown, never deleted.
    """
    clock = world.records.clock
    spans = [
        (as_utc(step.started_at, clock), as_utc(step.completed_at or incident.newest_activity, clock))
        for row in incident.relatives
        if is_failover(row)
        for step in row.steps
        if step.name == VM_CREATION_STEP and step.started_at is not None
    ]
    ours = {volume.volume_id for volume in world.records.volumes}
    for volume in world.cloud.volumes.values():
        if volume.id in ours or volume.vm_id is not None or not volume.name.startswith("ROOT-"):
            continue
        made = volume.created
        if made is not None and any(a - CLOCK_TOLERANCE <= made <= b + CLOCK_TOLERANCE for a, b in spans):
            yield Leftover(
                "Volume",
                volume.id,
                f"{volume.name} is attached to nobody and was made while the failover made its VM, probably as the root disk of the "
                "template: delete it in OSSEA if nobody needs it.",
            )


def _source_vm(world: World, incident: Incident) -> Iterator[Leftover]:
    """The source VM, where a live failover switched it off and no rollback switched it on again (S05).

    The steps tell; its power state in the database is only written by discovery.
    """
    steps = [step for row in incident.relatives for step in row.steps]
    off = [step for step in steps if step.name == POWER_OFF_STEP and step.status != "skipped"]
    on = [step.started_at for step in steps if step.name == POWER_ON_STEP and step.status == "completed"]
    newest = max((step.started_at for step in off if step.started_at is not None), default=None)
    if not off or any(at is not None and newest is not None and at > newest for at in on):
        return
    context = world.records.context
    how = "switched off" if any(step.status == "completed" for step in off) else "asked to shut down, with an error,"
    yield Leftover(
        "VirtualMachine",
        context.vmware_vm_id,
        f"source VM {context.vm_name} was {how} by the live failover, and no rollback is known to have switched it on: look at it in "
        f"vCenter {context.vcenter_host}.",
    )
