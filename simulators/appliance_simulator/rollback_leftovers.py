"""Rows R: what a rollback leaves behind; its tracking row says `completed` whatever happened, but for a crash."""

import time
from typing import Final

from appliance_simulator.failover_leftovers import fail_in_injection
from appliance_simulator.leftover_registry import leftover
from appliance_simulator.product_flows import Failover, Rollback
from appliance_simulator.replicated_vm import ReplicatedDisk
from appliance_simulator.scene import Scene

REPLICATED_BEFORE_SECONDS: Final = 3600.0


async def _rollback_after_success(scene: Scene) -> Rollback:
    await Failover(scene).succeed()
    return Rollback(scene)


@leftover("R01")
async def _rollback_without_destination(scene: Scene) -> None:
    """Rollback of a failover that never created a VM: refused at its first step, recorded as completed."""
    await fail_in_injection(Failover(scene))
    rollback = Rollback(scene)
    await rollback.job.start()
    await rollback.job.step("failover-job-retrieval", "no destination VM recorded")
    await rollback.finish()


@leftover("R02")
async def _rollback_of_another_vm(scene: Scene) -> None:
    """Rollback found, by name alone, the failover of another vCenter's VM and rolled that one back."""
    await fail_in_injection(Failover(scene))
    epoch = scene.clock.start - REPLICATED_BEFORE_SECONDS
    namesake = await scene.site.replicate(
        scene.vm.name, disks=len(scene.vm.disks), vcenter_host="vc02.example.com", epoch=epoch
    )
    elsewhere = await Scene.begin(scene.site, namesake, scene.kind, time.time() - scene.clock.start)
    await Failover(elsewhere).succeed()
    rollback = Rollback(elsewhere)
    rollback.job.context_id = scene.vm.context_id
    await rollback.until_the_end()
    await rollback.finish()


@leftover("R03")
async def _rollback_stop_timed_out(scene: Scene) -> None:
    """Rollback: the guest ignored the stop, the VM runs."""
    rollback = await _rollback_after_success(scene)
    await rollback.begin()
    await rollback.job.step("test-vm-shutdown", "timeout waiting for VM to stop")
    await rollback.finish()


@leftover("R04")
async def _rollback_detach_failed(scene: Scene) -> None:
    """Rollback: the last volume stayed on the test VM, all others are detached and forgotten."""
    rollback = await _rollback_after_success(scene)
    await rollback.begin()
    await rollback.stop_vm()
    step = await rollback.job.begin("volume-detachment")
    for disk in scene.vm.disks[:-1]:
        await scene.detach(disk)
    await scene.operation("detach", scene.vm.disks[-1], status="failed", error="530")
    await rollback.job.end(step, "failed to detach volume")
    await rollback.finish()


@leftover("R05")
async def _rollback_without_mappings(scene: Scene) -> None:
    """Rollback saw no mappings: volumes on the stopped test VM, snapshots deleted, VM deletion failed."""
    await _roll_back_unmapped(scene)


@leftover("R05-revert-failed")
async def _rollback_without_mappings_or_revert(scene: Scene) -> None:
    """As R05, and the OS disk could not be reverted while it was attached."""
    await _roll_back_unmapped(scene, failing=scene.vm.os_disk)


async def _roll_back_unmapped(scene: Scene, *, failing: ReplicatedDisk | None = None) -> None:
    rollback = await _rollback_after_success(scene)
    for disk in scene.vm.disks:
        await scene.drop_mapping(disk)
    await rollback.begin()
    await rollback.stop_vm()
    await rollback.job.step("volume-detachment")
    await rollback.clean_snapshots(failing=failing)
    await rollback.job.step("test-vm-deletion", "CloudStack API error 530")
    await rollback.finish()


@leftover("R06")
async def _rollback_revert_failed(scene: Scene) -> None:
    """Rollback: the OS disk's revert failed, its snapshot was deleted all the same: silent damage."""
    rollback = await _rollback_after_success(scene)
    await rollback.until_the_end(failing=scene.vm.os_disk)
    await rollback.finish()


@leftover("R07")
async def _rollback_crashed_before_reattach(scene: Scene) -> None:
    """Rollback: crash with everything detached and reverted, snapshots gone."""
    rollback = await _rollback_after_success(scene)
    await rollback.until_reattachment()


@leftover("R08")
async def _rollback_reattach_incomplete(scene: Scene) -> None:
    """Rollback: OS volume detached, the first data volume on the OMA without mapping, others well."""
    rollback = await _rollback_after_success(scene)
    step = await rollback.until_reattachment()
    await scene.operation("attach", scene.vm.os_disk, scene.site.cloud.oma_vm_id, status="failed", error="530")
    for disk in scene.vm.data_disks:
        await scene.attach_to_oma(disk, mapped=disk is not scene.vm.data_disks[0])
    await rollback.job.end(step, "failed to reattach volumes")
    await rollback.finish()


@leftover("R09")
async def _rollback_deletion_failed(scene: Scene) -> None:
    """Rollback: all volumes home, the test VM could not be destroyed."""
    rollback = await _rollback_after_success(scene)
    await rollback.until_deletion()
    await rollback.job.step("test-vm-deletion", "CloudStack API error 530")
    await rollback.finish()


@leftover("R10")
async def _vm_deleted_by_hand(scene: Scene) -> None:
    """The test VM was deleted by hand after its volumes were detached in the cloud: mappings point to a dead VM."""
    rollback = await _rollback_after_success(scene)
    for disk in scene.vm.disks:
        scene.site.cloud.lift(scene.volume(disk))
    rollback.expunge_vm()
    await rollback.begin()
    await rollback.job.step("test-vm-shutdown", "virtual machine not found")
    await rollback.finish()


@leftover("R10b")
async def _vm_deleted_by_hand_with_root(scene: Scene) -> None:
    """The test VM was deleted by hand with our OS volume as its root: that volume is lost."""
    rollback = await _rollback_after_success(scene)
    rollback.expunge_vm()
    await rollback.begin()
    await rollback.job.step("test-vm-shutdown", "virtual machine not found")
    await rollback.finish()


@leftover("R11")
async def _rollback_status_not_written(scene: Scene) -> None:
    """Rollback: everything done but the database rows."""
    rollback = await _rollback_after_success(scene)
    await rollback.until_deletion()
    rollback.expunge_vm()
    await rollback.job.step("test-vm-deletion")
    await rollback.job.step("failover-job-status-update", "database error: connection refused")
    await rollback.finish()


@leftover("R12", kind="live")
async def _source_stays_off(scene: Scene) -> None:
    """Live rollback: all well but the source VM could not be powered on."""
    rollback = await _rollback_after_success(scene)
    await rollback.until_the_end()
    await rollback.job.step("source-vm-power-on", "power on timed out after 3m0s")
    await rollback.finish()
