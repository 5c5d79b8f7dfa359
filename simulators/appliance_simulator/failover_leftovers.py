"""Rows F: what a failover leaves behind.

"Hang" rows leave the engine's tracking row and step `running`; "error" rows leave tracking `failed`. `failover_jobs`
stays `pending` in both.
"""

from typing import Final

from appliance_simulator.cloud import GIB
from appliance_simulator.leftover_registry import leftover
from appliance_simulator.product_flows import Failover
from appliance_simulator.replicated_vm import ReplicatedDisk
from appliance_simulator.scene import Scene

INJECTION_ERROR: Final = "driver injection failed: virt-v2v-in-place: exit status 1"
DAEMON_TIMEOUT: Final = "operation timed out after 3m0s"

# --- before anything moved --------------------------------------------------------------------------------------


@leftover("F01")
async def _validation_failed(scene: Scene) -> None:
    """Validation error: only job tracking to close."""
    flow = Failover(scene)
    await flow.request()
    await flow.job.step("validation", "validation failed: VM is not ready")
    await flow.fail("validation failed: VM is not ready")


@leftover("F01-hang")
async def _validation_hangs(scene: Scene) -> None:
    """Validation hangs: a tracking row and a step stay running, nothing else was made."""
    flow = Failover(scene)
    await flow.request()
    await flow.job.begin("validation")


@leftover("F02")
async def _no_failover_row(scene: Scene) -> None:
    """The failover_jobs row could not be created."""
    flow = Failover(scene)
    await flow.request()
    await flow.job.step("validation")
    await flow.fail("failed to create failover job: no replication job")


@leftover("F02b")
async def _job_log_never_began(scene: Scene) -> None:
    """The job log refused the job: the caller got an id, and no row was written at all."""


@leftover("F03", kind="live")
async def _power_off_failed(scene: Scene) -> None:
    """Live: the source VM could not be powered off."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.power_off_source("power off timed out after 2m0s")
    await flow.fail("source VM power-off failed")


@leftover("F03-hang", kind="live")
async def _power_off_hangs(scene: Scene) -> None:
    """Live: the OMA API died while the source VM was powered off."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.job.begin("source-vm-power-off")


@leftover("F04", kind="live")
async def _final_sync_refused(scene: Scene) -> None:
    """Live: the final sync could not start; the source VM is off."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.power_off_source()
    await flow.job.step("final-sync", "failed to start replication: 401")
    await flow.fail("final sync failed")


@leftover("F05", kind="live")
async def _final_sync_hangs(scene: Scene) -> None:
    """Live: the final sync hangs and its replication may still write."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.power_off_source()
    await flow.job.begin("final-sync")
    await scene.site.running_replication(scene.vm)


@leftover("F05-error", kind="live")
async def _final_sync_timed_out(scene: Scene) -> None:
    """Live: the engine gave up the final sync after its 30 minutes; the replication goes on."""
    await _give_up_final_sync(scene)
    await scene.site.running_replication(scene.vm)


@leftover("F05-failed", kind="live")
async def _final_sync_failed_late(scene: Scene) -> None:
    """Live: the engine gave up, and the final sync failed after it had written."""
    await _give_up_final_sync(scene)
    await scene.site.running_replication(scene.vm)
    await scene.site.fail_replication(scene.vm, bytes_transferred=GIB)


@leftover("F05-stored", kind="live")
async def _final_sync_stored_late(scene: Scene) -> None:
    """Live: the engine gave up, and the final sync was stored all the same."""
    await _give_up_final_sync(scene)
    await scene.site.running_replication(scene.vm)
    await scene.site.finish_sync(scene.vm)


async def _give_up_final_sync(scene: Scene) -> None:
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.power_off_source()
    await flow.job.step("final-sync", "replication timed out after 30m0s")
    await flow.fail("final sync failed")


@leftover("F06")
async def _mode_switch_failed(scene: Scene) -> None:
    """Context marked as failed over, mode switch failed, nothing moved."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.mark_context()
    await flow.switch_mode("database error: deadlock found")
    await flow.fail("failed to switch volume mode")


@leftover("F06-hang")
async def _crash_in_mode_switch(scene: Scene) -> None:
    """The OMA API died in the mode switch: one mapping is switched, nothing moved."""
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.mark_context()
    await flow.job.begin("volume-mode-switch-failover")
    await scene.switch_mode("failover", scene.vm.os_disk)


# --- snapshots --------------------------------------------------------------------------------------------------


@leftover("F07")
async def _snapshot_hangs(scene: Scene) -> None:
    """Snapshot creation hangs: all but the last taken, the last one Creating and untracked."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.job.begin("multi-volume-snapshot-creation")
    for disk in scene.vm.disks[:-1]:
        await scene.take_snapshot(disk)
    await scene.take_snapshot(scene.vm.disks[-1], tracked=False, state="Creating")


@leftover("F08")
async def _some_snapshots_missing(scene: Scene) -> None:
    """The last disk got no snapshot, the flow went on and died in injection."""
    flow = Failover(scene)
    await _snapshot_all_but(flow, scene.vm.disks[-1])
    await flow.end_injection(await flow.begin_injection(), INJECTION_ERROR)
    await flow.fail(INJECTION_ERROR)


@leftover("F08-os")
async def _os_snapshot_missing(scene: Scene) -> None:
    """The OS disk got no snapshot, the flow went on and died in injection."""
    flow = Failover(scene)
    await _snapshot_all_but(flow, scene.vm.os_disk)
    await flow.end_injection(await flow.begin_injection(), INJECTION_ERROR)
    await flow.fail(INJECTION_ERROR)


@leftover("F08-started")
async def _some_snapshots_missing_and_started(scene: Scene) -> None:
    """The last disk got no snapshot, the flow went on and died in the start of the VM."""
    flow = Failover(scene)
    await _snapshot_all_but(flow, scene.vm.disks[-1])
    await flow.inject()
    await flow.create_vm()
    await flow.job.begin("volume-attachment")
    flow.remove_default_root()
    for disk in scene.vm.disks:
        await scene.move_to_destination(disk)
    step = await flow.job.begin("vm-startup-and-validation")
    flow.touch_all()
    await flow.job.end(step, "timeout waiting for VM to start")
    await flow.fail("VM startup failed")


async def _snapshot_all_but(flow: Failover, missing: ReplicatedDisk) -> None:
    await flow.prepare()
    step = await flow.job.begin("multi-volume-snapshot-creation")
    for disk in flow.scene.vm.disks:
        if disk is not missing:
            await flow.scene.take_snapshot(disk)
    await flow.job.log("ERROR", "Failed to create volume snapshot", step, volume_id=missing.volume_id)
    await flow.job.end(step)


@leftover("F09")
async def _all_snapshots_failed(scene: Scene) -> None:
    """No snapshot could be taken; one timed out in the client and exists untracked."""
    flow = Failover(scene)
    await flow.prepare()
    await scene.take_snapshot(scene.vm.os_disk, tracked=False)
    await flow.job.step("multi-volume-snapshot-creation", "no volume snapshot could be created")
    await flow.fail("snapshot creation failed")


@leftover("F10")
async def _snapshot_not_tracked(scene: Scene) -> None:
    """A snapshot was taken, recording it failed, the flow ended there."""
    flow = Failover(scene)
    await flow.prepare()
    step = await flow.job.begin("multi-volume-snapshot-creation")
    for disk in scene.vm.disks:
        await scene.take_snapshot(disk, tracked=disk is not scene.vm.os_disk)
    await flow.job.end(step, "failed to record snapshot: 0 rows affected")
    await flow.fail("snapshot tracking failed")


# --- driver injection -------------------------------------------------------------------------------------------


@leftover("F11")
async def _injection_hangs(scene: Scene) -> None:
    """Driver injection hangs: two steps running, OS disk partly modified."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.begin_injection()


@leftover("F12")
async def _injection_failed(scene: Scene) -> None:
    """Driver injection failed."""
    flow = Failover(scene)
    await fail_in_injection(flow)


async def fail_in_injection(flow: Failover) -> None:
    """A failover that ended with an error in driver injection."""
    await flow.prepare()
    await flow.take_snapshots()
    await flow.end_injection(await flow.begin_injection(), INJECTION_ERROR)
    await flow.fail(INJECTION_ERROR)


@leftover("F12b")
async def _injection_marked_completed(scene: Scene) -> None:
    """Injection hung; somebody set steps and job to completed by hand."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.end_injection(await flow.begin_injection())
    await flow.job.finish("completed")


@leftover("F13")
async def _crash_during_injection(scene: Scene) -> None:
    """The OMA API died during injection: running for ever."""
    await _injection_hangs(scene)


@leftover("F14")
async def _deploy_refused(scene: Scene) -> None:
    """The deploy request failed."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.job.step("vm-creation", "CloudStack API error 431: invalid networkids")
    await flow.fail("VM creation failed")


# --- destination VM ---------------------------------------------------------------------------------------------


@leftover("F15")
async def _deploy_timed_out(scene: Scene) -> None:
    """Deployment timed out in the client: the VM exists unrecorded, with its own root."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    step = await flow.job.begin("vm-creation")
    flow.deploy()
    await flow.job.end(step, "timeout waiting for VM deployment")
    await flow.fail("VM creation failed")


@leftover("F15-hang")
async def _crash_in_deployment(scene: Scene) -> None:
    """The OMA API died while it waited for the deployment: the VM exists unrecorded."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.job.begin("vm-creation")
    flow.deploy()


@leftover("F16")
async def _vm_not_recorded(scene: Scene) -> None:
    """VM created, crash before destination_vm_id was stored."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.create_vm(recorded=False)


@leftover("F16-error")
async def _vm_not_recorded_after_error(scene: Scene) -> None:
    """VM created, its id could not be stored."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.create_vm(recorded=False)
    await flow.fail("failed to update destination VM id")


@leftover("F17")
async def default_root_stays(scene: Scene) -> None:
    """The template's root volume could not be removed."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.create_vm()
    await flow.job.step("volume-attachment", "failed to delete root volume")
    await flow.fail("volume attachment failed")


@leftover("F17-orphan")
async def _default_root_detached(scene: Scene) -> None:
    """The template's root volume was detached and could not be deleted: it belongs to nobody now."""
    flow = Failover(scene)
    await flow.prepare()
    await flow.take_snapshots()
    await flow.inject()
    await flow.create_vm()
    step = await flow.job.begin("volume-attachment")
    (root,) = scene.site.cloud.volumes_of(scene.created_vm().id)
    scene.site.cloud.lift(root)
    await flow.job.end(step, "failed to delete root volume")
    await flow.fail("volume attachment failed")


# --- volumes on the move ----------------------------------------------------------------------------------------


@leftover("F18")
async def _os_detach_timed_out(scene: Scene) -> None:
    """Detach of the OS volume from the OMA timed out; it is still there."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await scene.operation("detach", scene.vm.os_disk, status="executing")
    await flow.job.end(step, DAEMON_TIMEOUT)
    await flow.fail("OS volume detach failed")


@leftover("F18-late")
async def _os_detach_came_late(scene: Scene) -> None:
    """Detach of the OS volume from the OMA timed out in the engine and completed later."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await flow.job.end(step, DAEMON_TIMEOUT)
    await flow.fail("OS volume detach failed")
    await scene.detach(scene.vm.os_disk)


@leftover("F19")
async def _crash_between_detach_and_attach(scene: Scene) -> None:
    """Crash with the OS volume detached, data volumes on the OMA."""
    flow = Failover(scene)
    await flow.until_attachment()
    await scene.detach(scene.vm.os_disk)


@leftover("F20")
async def _emergency_reattach_worked(scene: Scene) -> None:
    """Attach as root failed, the OS volume was brought back: mixed modes on the OMA."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await scene.detach(scene.vm.os_disk)
    await scene.operation("attach", scene.vm.os_disk, scene.created_vm().id, status="failed", error="530")
    await scene.attach_to_oma(scene.vm.os_disk)
    await flow.job.end(step, "root volume attachment failed")
    await flow.fail("root volume attachment failed")


@leftover("F21")
async def _emergency_reattach_failed(scene: Scene) -> None:
    """Attach as root and the way back both failed: OS volume detached."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await scene.detach(scene.vm.os_disk)
    await scene.operation("attach", scene.vm.os_disk, scene.created_vm().id, status="failed", error="530")
    await scene.operation("attach", scene.vm.os_disk, "", status="failed", error="431")
    await flow.job.end(step, "root volume attachment failed")
    await flow.fail("root volume attachment failed")


@leftover("F22")
async def _root_attached_without_mapping(scene: Scene) -> None:
    """Attach as root failed after the cloud's success: OS volume on the test VM, no mapping tells."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await scene.move_to_destination(scene.vm.os_disk, mapped=False)
    cloud_error = "431: Please specify a volume that is not attached to any VM."
    await scene.operation("attach", scene.vm.os_disk, scene.site.cloud.oma_vm_id, status="failed", error=cloud_error)
    await flow.job.end(step, "root volume attachment failed")
    await flow.fail("root volume attachment failed")


@leftover("F23")
async def _root_attached_late(scene: Scene) -> None:
    """Attach as root timed out in the engine and completed later."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    await flow.job.end(step, "operation timed out after 5m0s")
    await flow.fail("root volume attachment failed")
    await scene.move_to_destination(scene.vm.os_disk)


@leftover("F24")
async def _data_detach_failed(scene: Scene) -> None:
    """Detach of the last data volume failed: it is on the OMA, all others on the test VM."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    for disk in scene.vm.disks[:-1]:
        await scene.move_to_destination(disk)
    await scene.operation("detach", scene.vm.disks[-1], status="failed", error="530")
    await flow.job.end(step, "data volume detach failed")
    await flow.fail("data volume detach failed")


@leftover("F25")
async def _data_attach_failed(scene: Scene) -> None:
    """Attach of the last data volume failed and it was brought back to the OMA."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    for disk in scene.vm.disks[:-1]:
        await scene.move_to_destination(disk)
    await scene.detach(scene.vm.disks[-1])
    await scene.operation("attach", scene.vm.disks[-1], scene.created_vm().id, status="failed", error="530")
    await scene.attach_to_oma(scene.vm.disks[-1])
    await flow.job.end(step, "data volume attach failed")
    await flow.fail("data volume attach failed")


@leftover("F26")
async def _data_attached_without_mapping(scene: Scene) -> None:
    """Attach of the last volume failed after the cloud's success: on the test VM without mapping."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    for disk in scene.vm.disks[:-1]:
        await scene.move_to_destination(disk)
    await scene.move_to_destination(scene.vm.disks[-1], mapped=False)
    await flow.job.end(step, "data volume attach failed")
    await flow.fail("data volume attach failed")


# --- start ------------------------------------------------------------------------------------------------------


@leftover("F27")
async def _start_failed(scene: Scene) -> None:
    """VM start failed half-way: all volumes on the stopped test VM, possibly written to."""
    flow = Failover(scene)
    step = await flow.until_startup()
    flow.touch_all()
    await flow.job.end(step, "timeout waiting for VM to start")
    await flow.fail("VM startup failed")


@leftover("F28")
async def _crash_in_validation(scene: Scene) -> None:
    """Crash after the start: all volumes on the running test VM."""
    flow = Failover(scene)
    await flow.until_startup()
    flow.boot()


@leftover("F29")
async def _status_update_failed(scene: Scene) -> None:
    """VM runs, the final status could not be written."""
    flow = Failover(scene)
    step = await flow.until_startup()
    flow.boot()
    await flow.job.end(step)
    await flow.job.step("status-update", "database error: connection refused")
    await flow.fail("failed to mark failover job completed")


@leftover("F30")
async def _healthy(scene: Scene) -> None:
    """Control: a healthy failover, nothing to clean."""
    await Failover(scene).succeed()
