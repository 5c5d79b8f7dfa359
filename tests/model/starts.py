"""Tell a start as a `Scene`: what is really there, contents included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Final

from failed_execution_cleanup.recovery.world import CloudVM, ReplicationRow
from tests.model.dimensions import Product, Start, VolumeStart
from tests.unit.recovery.worlds import DATA, JOB_AGE, OMA, OS, STRANGER, TVM, Disk, Scene, healthy_start, local

SPARE: Final = "vol-spare"
VOLUMES: Final = (OS, DATA, SPARE)
BYSTANDER: Final = "vm-bystander"
NAMESAKE: Final = "vm-namesake"
VM_STEPS: Final = frozenset({"volume-attachment", "vm-startup-and-validation", "unknown"})
INJECTED: Final = frozenset({"virtio-driver-injection", "volume-attachment"})
REVERTED_BY: Final = frozenset({"rollback good", "cleanup good"})
REMOVED_BY: Final = REVERTED_BY | {"rollback bad", "cleanup bad"}
SEQUEL_AGE: Final = timedelta(minutes=80)


def starts(product: Product) -> Iterator[Start]:
    """Every start of a product that can be, one of those that differ only by the order of equal volumes."""
    kinds = [VolumeStart(*v) for v in itertools.product(product.places, product.points, product.states)]
    rest = itertools.product(
        product.steps,
        product.endings,
        product.sequels,
        product.kinds,
        product.vms,
        product.recorded,
        product.replicas,
        product.waivers,
    )
    for values in rest:
        alike = values[0] not in INJECTED  # the OS disk is not, where injection wrote to it alone
        pick = itertools.combinations_with_replacement if alike else _ordered
        for volumes in pick(kinds, product.volumes):
            start = Start(tuple(volumes), *values)
            if possible(start):
                yield start


def _ordered(kinds: list[VolumeStart], count: int) -> Iterator[tuple[VolumeStart, ...]]:
    return itertools.product(kinds, repeat=count)


def possible(start: Start) -> bool:
    """Whether such a state can be left behind at all."""
    return _job_possible(start) and all(_volume_possible(start, volume) for volume in start.volumes)


def _job_possible(start: Start) -> bool:
    if start.vm == "none" and start.recorded == "unrecorded":
        return False
    if start.ending == "completed" and start.recorded == "unrecorded":
        return False
    if start.vm != "none" and start.step not in VM_STEPS:
        return False
    if start.vm == "Running" and start.step == "volume-attachment":
        return False
    if start.sequel.startswith("rollback"):
        return start.ending == "completed" and start.step in {"vm-startup-and-validation", "unknown"}
    if start.ending == "completed":
        return (
            start.step == "vm-startup-and-validation" and start.vm in {"Running", "Stopped"} and start.sequel == "none"
        )
    return True


def _volume_possible(start: Start, volume: VolumeStart) -> bool:
    if volume.place in {"vm", "vm-unmapped"} and start.vm in {"none", "Expunging"}:
        return False
    if start.step == "validation" and (
        volume.place not in {"oma", "mode"} or volume.points not in {"none", "obsolete"}
    ):
        return False
    if volume.points == "obsolete" and start.replica == "never":
        return False
    removed = start.sequel in REMOVED_BY
    # The product removes what it recorded; what it did not record stays.
    if removed and volume.points not in {"removed", "none"}:
        return False
    return removed or volume.points != "removed"


def build(start: Start) -> Scene:
    """The scene of a start, with bystanders that are never to be touched: VMs of like names, and a snapshot a person made."""
    scene = healthy_start()
    scene.disks = [Disk(volume_id, number) for number, volume_id in enumerate(VOLUMES[: len(start.volumes)])]
    for disk in scene.disks:
        disk.map_to_oma()
    scene.vms[BYSTANDER] = CloudVM(BYSTANDER, "pgtest1-test-1700000000", "pgtest1-test-1700000000", "Stopped")
    scene.vms[NAMESAKE] = CloudVM(NAMESAKE, "pgtest1", "pgtest1", "Running")
    _job(scene, start)
    _replicas(scene, start)
    for disk, volume in zip(scene.disks, start.volumes, strict=True):
        disk.content = "dirty" if modified(start, disk.id) else "replica"
        _snapshots(scene, disk, volume)
        _place(disk, volume)
    return scene


def modified(start: Start, volume_id: str) -> bool:
    """Whether a volume holds what the failover wrote."""
    if start.sequel in REVERTED_BY:
        return False
    if start.step in {"vm-startup-and-validation", "unknown"}:
        return True
    return volume_id == OS and start.step in INJECTED


def _job(scene: Scene, start: Start) -> None:
    live = start.kind == "live"
    status = {"by hand": "failed", "completed": "completed"}.get(start.ending, "pending")
    destination = TVM if start.vm != "none" and start.recorded == "recorded" else None
    scene.job(live=live, status=status, destination=destination)
    how = {"hangs": "running", "failed": "failed"}.get(start.ending, "completed")
    if start.step == "unknown":
        scene.tracked(status=how)
    else:
        scene.died_at(start.step, how)
    if start.vm != "none":
        scene.vms[TVM] = replace(scene.test_vm(start.vm, own_root=True), host_state="Up")
    if start.sequel.startswith("rollback"):
        _rollback(scene, start.sequel)
    elif start.sequel != "none":
        _product_cleanup(scene, start.sequel)


def _rollback(scene: Scene, sequel: str) -> None:
    died = sequel == "rollback died"
    steps = (("volume-detachment", "failed"),) if died else (("multi-volume-snapshot-cleanup", "completed"),)
    scene.tracked(
        row_id="rollback-1",
        job_type="cleanup",
        operation="enhanced-test-failover-rollback",
        status="failed" if died else "completed",
        steps=steps,
        age=SEQUEL_AGE,
        problems=("failed to revert volume snapshot",) if sequel == "rollback bad" else (),
    )


def _product_cleanup(scene: Scene, sequel: str) -> None:
    steps = {
        "cleanup good": ("cleanup-snapshots", "completed"),
        "cleanup bad": ("cleanup-snapshots", "failed"),
        "cleanup died": ("detach-attached-volumes", "failed"),
    }
    row = scene.tracked(
        row_id="product-cleanup",
        job_type="cleanup",
        operation="failed-execution-cleanup",
        status="completed" if sequel == "cleanup good" else "failed",
        steps=(steps[sequel],),
        error="failed to revert snapshot" if sequel == "cleanup bad" else None,
        context_id=None,
        age=SEQUEL_AGE,
    )
    scene.tracking[-1] = replace(row, mentions=(f"cleaning up {scene.vm_name}",))


def _replicas(scene: Scene, start: Start) -> None:
    if start.replica == "good":
        return
    if start.replica == "never":
        scene.replications.clear()
        scene.syncs.clear()
        scene.last_successful_job = None
        return
    at = local(JOB_AGE + timedelta(minutes=30))
    scene.replications.append(
        ReplicationRow(
            id="repl-0",
            status="failed" if start.replica == "failed since" else "replicating",
            created_at=at,
            started_at=at,
            updated_at=at,
            completed_at=None,
            last_poll_at=at,
            bytes_transferred=10,
        )
    )


def _snapshots(scene: Scene, disk: Disk, volume: VolumeStart) -> None:
    match volume.points:
        case "one" | "irrevertable" | "newer":
            scene.snapshot(disk.id, revertable=volume.points != "irrevertable")
        case "unrecorded":
            scene.snapshot(disk.id, recorded=False)
        case "obsolete":
            if len(scene.jobs) == 1:  # it is of an earlier failover
                scene.job(job_id="job-0", row_id=0, status="failed", age=timedelta(hours=9))
            scene.snapshot(disk.id, age=timedelta(hours=8), content="old")
        case "error":
            scene.snapshot(disk.id, state="Error", recorded=False)
        case "unfinished":
            scene.snapshot(disk.id, state="BackingUp", recorded=False)
        case "gone":
            scene.snapshot(disk.id)
            disk.snapshots.clear()
    if volume.points == "newer":
        scene.snapshot(disk.id, age=timedelta(minutes=100), content=disk.content)
    # Between sync and failover, with the very content a restore point has: only its name tells that it is not ours.
    scene.snapshot(disk.id, age=timedelta(minutes=115), recorded=False, name="before-the-upgrade", content="person")


def _place(disk: Disk, volume: VolumeStart) -> None:
    disk.state = volume.state
    match volume.place:
        case "mode":
            disk.map_to_oma("failover")
        case "unmapped":
            disk.detach()
            disk.holder = OMA
        case "unexported":
            disk.exported = False
        case "nobody":
            disk.detach()
        case "stale":
            stale = disk.mapping
            disk.detach()
            disk.mapping = stale
        case "vm" | "vm-unmapped":
            disk.move_to(TVM, mapped=volume.place == "vm")
        case "stranger":
            disk.move_to(STRANGER)
        case "missing":
            disk.gone = True
