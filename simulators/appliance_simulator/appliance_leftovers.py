"""Rows D: what a restarted daemon or a wrong configuration of the appliance leaves behind.

An appliance that cannot be reached (D02, D03) leaves nothing: that is a fault, see `faults`.
"""

from sqlalchemy import update

from appliance_simulator import schema
from appliance_simulator.cloud import new_id
from appliance_simulator.leftover_registry import leftover
from appliance_simulator.product_flows import Failover
from appliance_simulator.scene import Scene


@leftover("D01")
async def _daemon_restarted(scene: Scene) -> None:
    """The daemon died between the cloud's detach of the OS volume and its own rows: mapping stale, operation executing for ever."""
    flow = Failover(scene)
    step = await flow.until_attachment()
    scene.site.cloud.lift(scene.volume(scene.vm.os_disk))
    await scene.operation("detach", scene.vm.os_disk, status="executing")
    await flow.job.end(step, "operation timed out after 3m0s")
    await flow.fail("OS volume detach failed")


@leftover("D04")
async def _wrong_oma_vm_id(scene: Scene) -> None:
    """`oma_vm_id` names no VM: the daemon took the OMA for a foreign VM, and all volumes but one have no mapping for want of a path."""
    cloud = scene.site.cloud
    flow = Failover(scene)
    await flow.request()
    await flow.validate()
    await flow.mark_context()
    await flow.switch_mode("device_mappings: no rows matched")
    await flow.fail("failed to switch volume mode")
    path = f"remote-vm-{cloud.oma_vm_id}"
    for disk in scene.vm.disks:
        await scene.drop_mapping(disk)
    first = scene.vm.os_disk
    await scene.site.add_mapping(
        scene.vm.context_id,
        scene.volume(first),
        vm_id=cloud.oma_vm_id,
        mode="failover",
        path=path,
        epoch=scene.clock.epoch,
    )
    await scene.update_volume_row(first, device_path=path)
    table = schema.ossea_configs
    await scene.site.connection.execute(update(table).where(table.c.is_active).values(oma_vm_id=new_id()))
