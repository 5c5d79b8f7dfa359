"""Rows C: what the product's own failed-execution cleanup leaves behind."""

from appliance_simulator.failover_leftovers import default_root_stays, fail_in_injection
from appliance_simulator.leftover_registry import leftover
from appliance_simulator.product_flows import Failover, ProductCleanup
from appliance_simulator.scene import Scene


async def _cleanup_after_injection(scene: Scene) -> ProductCleanup:
    await fail_in_injection(Failover(scene))
    cleanup = ProductCleanup(scene)
    await cleanup.begin()
    return cleanup


@leftover("C01")
async def _cleanup_stale_mapping(scene: Scene) -> None:
    """Cleanup aborts for ever: volumes detached in the cloud, mappings stale, detach answers 431."""
    cleanup = await _cleanup_after_injection(scene)
    for disk in scene.vm.disks:
        scene.site.cloud.lift(scene.volume(disk))
    step = await cleanup.job.begin("detach-attached-volumes")
    error = "CloudStack API error 431: The specified volume is not attached to a VM."
    await scene.operation("detach", scene.vm.os_disk, status="failed", error=error)
    await cleanup.abort(step, error)


@leftover("C02")
async def _cleanup_between_reverts(scene: Scene) -> None:
    """Cleanup aborted after the first revert: all detached."""
    cleanup = await _cleanup_after_injection(scene)
    await cleanup.detach_all()
    step = await cleanup.begin_snapshots()
    scene.revert(scene.vm.os_disk)
    await cleanup.abort(step, "failed to revert snapshot: timeout after 5m0s")


@leftover("C03")
async def _cleanup_delete_failed(scene: Scene) -> None:
    """Cleanup: all reverted, the first snapshot deleted, the second not; the ids are all still recorded."""
    cleanup = await _cleanup_after_injection(scene)
    await cleanup.detach_all()
    step = await cleanup.begin_snapshots()
    await cleanup.revert_all(step)
    scene.delete_snapshot(scene.vm.os_disk)
    await cleanup.abort(step, "failed to delete snapshot: timeout after 3m0s")


@leftover("C04")
async def _cleanup_client_gone(scene: Scene) -> None:
    """Cleanup cut off by its client after one detach: running for ever."""
    cleanup = await _cleanup_after_injection(scene)
    await cleanup.job.begin("detach-attached-volumes")
    await scene.detach(scene.vm.os_disk)


@leftover("C04-error")
async def _cleanup_cut_off_and_failed(scene: Scene) -> None:
    """Cleanup cut off by its client after one detach: ended failed."""
    cleanup = await _cleanup_after_injection(scene)
    step = await cleanup.job.begin("detach-attached-volumes")
    await scene.detach(scene.vm.os_disk)
    await cleanup.abort(step, "failed to detach volume: context canceled")


@leftover("C04-rows")
async def _cleanup_client_gone_at_the_end(scene: Scene) -> None:
    """Cleanup cut off by its client before its last step: volumes home, snapshots gone, only rows are left to write."""
    cleanup = await _cleanup_after_injection(scene)
    await cleanup.detach_all()
    await cleanup.clean_snapshots()
    await cleanup.reattach_all()


@leftover("C05")
async def _cleanup_reattach_incomplete(scene: Scene) -> None:
    """Cleanup aborted in reattach: OS volume on the OMA without mapping, the others detached."""
    cleanup = await _cleanup_after_injection(scene)
    await cleanup.detach_all()
    await cleanup.clean_snapshots()
    step = await cleanup.job.begin("reattach-all-volumes")
    await scene.attach_to_oma(scene.vm.os_disk, mapped=False)
    await cleanup.abort(step, "by-id device resolution failed")


@leftover("C06")
async def _cleanup_left_the_vm(scene: Scene) -> None:
    """Cleanup succeeded and left the test VM over."""
    await default_root_stays(scene)
    cleanup = ProductCleanup(scene)
    await cleanup.begin()
    await cleanup.detach_all()
    await cleanup.clean_snapshots()
    await cleanup.reattach_all()
    await cleanup.reset()
