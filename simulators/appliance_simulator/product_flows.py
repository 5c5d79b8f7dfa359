"""The product's failover, rollback and cleanup, told step by step up to where they died (appliance facts 3).

A flow changes cloud and database as the product's engine and its Volume Daemon would have at that point of the run,
with times in the past. The rows of `leftovers` compose flows.
"""

import json
import re
from typing import Final

from sqlalchemy import insert

from appliance_simulator import schema
from appliance_simulator.cloud import VirtualMachine
from appliance_simulator.joblog import ProductJob
from appliance_simulator.replicated_vm import ReplicatedDisk
from appliance_simulator.scene import Scene

INJECTION: Final = "virtio-driver-injection"


def cloudstack_name(displayname: str) -> str:
    """`name` the product derives from a display name: lower case, `[a-z0-9-]`, at most 63 characters."""
    name = re.sub(r"-+", "-", re.sub(r"[^a-z0-9-]", "-", displayname.lower())).strip("-")
    if name[:1].isdigit():
        name = f"vm-{name}"
    return name[:63].rstrip("-") or "test-vm"


class Failover:
    """The unified failover of a scene."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        operation = f"unified-{scene.kind}-failover"
        external = f"{operation}-{scene.vm.name}-{int(scene.clock.start)}"
        self.external_id = external
        self.job = ProductJob(
            scene.site.connection,
            scene.clock,
            "failover",
            operation,
            external_id=external[:64],
            context_id=scene.vm.context_id,
            category="failover",
            metadata={
                "context_id": scene.vm.context_id,
                "vmware_vm_id": scene.vm.vmware_vm_id,
                "vm_name": scene.vm.name,
                "failover_type": scene.kind,
                "failover_job_id": external,
                "external_job_id": external,
            },
        )

    async def request(self) -> None:
        """The tracking row."""
        await self.job.start()
        self.scene.tracking_id = self.job.id

    async def wake(self, step: str) -> None:
        """The engine that seemed dead goes on: it writes a new step to its own job."""
        self.job.id = self.scene.tracking_id or self.job.id
        await self.job.begin(step)

    async def go_on_from_injection(self, until: str) -> None:
        """An injection that seemed hung ends well, and the engine goes on in the world as it is by now.

        A volume that somebody else took off the OMA cannot be detached, which ends the flow with an error.

        Raises:
            ValueError: No injection is running.
        """
        scene = self.scene
        self.job.id = scene.tracking_id or self.job.id
        running = await self.job.running(INJECTION)
        if not running:
            raise ValueError(f"no {INJECTION} of {scene.vm.name} is running")
        for step_id in reversed(running):
            await self.job.end(step_id)
        if until == INJECTION:
            return
        await self.create_vm()
        if until == "vm-creation":
            return
        step = await self.job.begin("volume-attachment")
        self.remove_default_root()
        for disk in scene.vm.disks:
            if scene.volume(disk).virtualmachineid != scene.site.cloud.oma_vm_id:
                error = f"failed to detach volume {disk.volume_id}: The specified volume is not attached to any VM."
                await scene.operation("detach", disk, status="failed", error=error)
                await self.job.end(step, error)
                await self.fail(error)
                return
            await scene.move_to_destination(disk)
        await self.job.end(step)
        if until == "volume-attachment":
            return
        await self.end_startup(await self.job.begin("vm-startup-and-validation"))

    async def end_startup(self, step: int) -> None:
        """Step 8, begun, and step 9 end well."""
        self.boot()
        await self.job.end(step)
        await self.job.step("status-update")
        await self.mark_context()
        await self.scene.update_failover_job(status="completed", completed_at=self.scene.clock.now)
        await self.job.finish("completed")
        await self.scene.summarise(f"{self.scene.kind}_failover", "completed", self.job)

    async def validate(self) -> None:
        """Step 1 and the `failover_jobs` row, `pending` as long as it lives."""
        await self.job.step("validation")
        scene = self.scene
        scene.failover_job_id = self.job.id
        created = scene.clock.database.local(scene.clock.start)
        await scene.site.connection.execute(
            insert(schema.failover_jobs).values(
                vm_context_id=scene.vm.context_id,
                job_id=self.job.id,
                vm_id=scene.vm.vmware_vm_id,
                replication_job_id=scene.vm.replication_job_id,
                job_type=scene.kind,
                status="pending",
                source_vm_name=scene.vm.name,
                source_vm_spec=json.dumps({"name": scene.vm.name, "cpus": 2, "memory_mb": 4096}),
                destination_vm_id="",
                ossea_snapshot_id="",
                linstor_snapshot_name="",
                network_mappings="{}",
                error_message="",
                created_at=created,
                updated_at=created,
            )
        )

    async def power_off_source(self, error: str | None = None) -> None:
        """Step 2, live only."""
        await self.job.step("source-vm-power-off", error)
        if error is None:
            await self.scene.update_context(power_state="poweredOff")

    async def mark_context(self) -> None:
        """3a: the context says failed over although nothing has moved."""
        await self.scene.set_status(f"failed_over_{self.scene.kind}")

    async def prepare(self) -> None:
        """Everything up to the mode switch, which is included."""
        await self.request()
        await self.validate()
        if self.scene.kind == "live":
            await self.power_off_source()
            step = await self.job.begin("final-sync")
            await self.scene.site.finish_sync(self.scene.vm, epoch=self.scene.clock.epoch)
            await self.job.end(step)
        await self.mark_context()
        await self.switch_mode()

    async def switch_mode(self, error: str | None = None) -> None:
        """Step 3.5, by SQL, the volumes still on the OMA."""
        if error is None:
            await self.scene.switch_mode("failover")
        await self.job.step("volume-mode-switch-failover", error)

    async def take_snapshots(self) -> None:
        """Step 4, all of them well."""
        step = await self.job.begin("multi-volume-snapshot-creation")
        for disk in self.scene.vm.disks:
            await self.scene.take_snapshot(disk)
        await self.job.end(step)

    async def begin_injection(self) -> tuple[int, int]:
        """Step 5 begins, with its nested step of the same name; the OS disk is modified from here on."""
        outer = await self.job.begin(INJECTION)
        inner = await self.job.begin(INJECTION)
        self.scene.volume(self.scene.vm.os_disk).dirty("injection")
        return outer, inner

    async def end_injection(self, steps: tuple[int, int], error: str | None = None) -> None:
        """Step 5 ends."""
        outer, inner = steps
        await self.job.end(inner, error)
        await self.job.end(outer, error)

    async def inject(self) -> None:
        """Step 5, well."""
        await self.end_injection(await self.begin_injection())

    def deploy(self, state: str = "Stopped") -> VirtualMachine:
        """The cloud has the new VM, with the root volume of its template."""
        scene = self.scene
        suffix = f"-test-{int(scene.clock.start)}" if scene.kind == "test" else ""
        displayname = f"{scene.vm.name}{suffix}"
        vm = scene.site.cloud.add_vm(cloudstack_name(displayname), displayname, state=state)
        vm.created = scene.clock.epoch
        for volume in scene.site.cloud.volumes_of(vm.id):
            volume.created = vm.created
        scene.destination = vm
        return vm

    async def create_vm(self, *, recorded: bool = True) -> None:
        """Step 6 and, when recorded, `destination_vm_id`."""
        step = await self.job.begin("vm-creation")
        vm = self.deploy()
        await self.job.end(step)
        if recorded:
            await self.scene.update_failover_job(destination_vm_id=vm.id)

    def remove_default_root(self) -> None:
        """The template's root volume is detached and deleted."""
        cloud = self.scene.site.cloud
        for volume in cloud.volumes_of(self.scene.created_vm().id):
            if volume.deviceid == 0:
                cloud.discard(volume)

    async def until_attachment(self) -> int:
        """Everything up to step 7, begun and without the default root; gives the step's id."""
        await self.prepare()
        await self.take_snapshots()
        await self.inject()
        await self.create_vm()
        step = await self.job.begin("volume-attachment")
        self.remove_default_root()
        return step

    async def until_startup(self) -> int:
        """All volumes on the destination VM, step 8 begun; gives the step's id."""
        step = await self.until_attachment()
        for disk in self.scene.vm.disks:
            await self.scene.move_to_destination(disk)
        await self.job.end(step)
        return await self.job.begin("vm-startup-and-validation")

    def boot(self) -> None:
        """The destination VM runs and writes to everything it has."""
        vm = self.scene.created_vm()
        vm.state, vm.host_id = "Running", self.scene.site.cloud.any_host().id
        self.touch_all()

    def touch_all(self) -> None:
        """The destination VM has (or may have) written to every volume."""
        for disk in self.scene.vm.disks:
            self.scene.volume(disk).dirty("started")

    async def succeed(self) -> None:
        """The whole flow, well: a healthy failover."""
        await self.end_startup(await self.until_startup())

    async def fail(self, error: str) -> None:
        """The engine returns an error: tracking failed, `failover_jobs` stays as it is."""
        await self.job.finish("failed", error)
        await self.scene.summarise(f"{self.scene.kind}_failover", "failed", self.job, error)


class Rollback:
    """The product's rollback of a scene's failover."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        kind = scene.kind
        self.job = ProductJob(
            scene.site.connection,
            scene.clock,
            "cleanup",
            f"enhanced-{kind}-failover-rollback",
            external_id=f"rollback-{kind}-failover-{scene.vm.name}-{int(scene.clock.epoch)}"[:64],
            context_id=scene.vm.context_id,
            category="system",
        )

    async def begin(self) -> None:
        """Tracking row and step 1."""
        await self.job.start()
        await self.job.step("failover-job-retrieval")

    async def stop_vm(self) -> None:
        """Step 2."""
        vm = self.scene.created_vm()
        vm.state, vm.host_id = "Stopped", None
        await self.job.step("test-vm-shutdown")

    async def detach_all(self) -> None:
        """Step 3."""
        step = await self.job.begin("volume-detachment")
        for disk in self.scene.vm.disks:
            await self.scene.detach(disk)
        await self.job.end(step)

    async def clean_snapshots(self, *, failing: ReplicatedDisk | None = None) -> None:
        """Step 4: a failing revert is logged and its snapshot deleted all the same."""
        step = await self.job.begin("multi-volume-snapshot-cleanup")
        for disk in self.scene.vm.disks:
            snapshot = self.scene.snapshots[disk.disk_id]
            attrs = {"volume_id": disk.volume_id, "snapshot_id": snapshot.id}
            if disk is failing:
                error = "CloudStack API error 530: Failed to revert snapshot"
                await self.job.log("ERROR", "Failed to revert volume snapshot", step, error=error, **attrs)
            else:
                self.scene.revert(disk)
                await self.job.log("INFO", "Volume snapshot reverted", step, **attrs)
        for disk in self.scene.vm.disks:
            self.scene.delete_snapshot(disk)
        await self.scene.clear_snapshot_columns(None)
        await self.job.end(step)

    async def until_reattachment(self, *, failing: ReplicatedDisk | None = None) -> int:
        """Steps 1 to 7; gives the id of step 8, begun."""
        await self.begin()
        await self.stop_vm()
        await self.detach_all()
        await self.clean_snapshots(failing=failing)
        await self.job.step("volume-mode-switch-oma")
        return await self.job.begin("volume-reattachment-to-oma")

    async def until_deletion(self, *, failing: ReplicatedDisk | None = None) -> None:
        """Steps 1 to 8."""
        step = await self.until_reattachment(failing=failing)
        for disk in self.scene.vm.disks:
            await self.scene.attach_to_oma(disk)
        await self.job.end(step)

    def expunge_vm(self) -> None:
        """The destination VM goes with everything at its device 0."""
        vm = self.scene.created_vm()
        cloud = self.scene.site.cloud
        for volume in cloud.volumes_of(vm.id):
            if volume.deviceid == 0:
                cloud.discard(volume)
            else:
                cloud.lift(volume)
        vm.state, vm.removed = "Expunging", True

    async def until_the_end(self, *, failing: ReplicatedDisk | None = None) -> None:
        """Steps 1 to 11."""
        await self.until_deletion(failing=failing)
        self.expunge_vm()
        await self.job.step("test-vm-deletion")
        await self.scene.update_failover_job(status="completed", completed_at=self.scene.clock.now)
        await self.job.step("failover-job-status-update")
        await self.scene.set_status("ready_for_failover")
        await self.job.step("vm-context-status-update")

    async def finish(self) -> None:
        """The deferred end: `completed`, whatever happened."""
        await self.job.finish("completed")
        await self.scene.summarise("rollback", "completed", self.job)


class ProductCleanup:
    """The product's own failed-execution cleanup; its tracking row names no context."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.job = ProductJob(scene.site.connection, scene.clock, "cleanup", "failed-execution-cleanup")

    async def begin(self) -> None:
        """Tracking row and step 1."""
        await self.job.start()
        await self.job.log("INFO", "Starting failed execution cleanup", vm_name=self.scene.vm.name)
        await self.job.step("analyze-volume-state")

    async def detach_all(self) -> None:
        """Step 2."""
        step = await self.job.begin("detach-attached-volumes")
        for disk in self.scene.vm.disks:
            if self.scene.volume(disk).virtualmachineid is not None:
                await self.scene.detach(disk)
        await self.job.end(step)

    async def begin_snapshots(self) -> int:
        """Step 3 begins; gives its id."""
        return await self.job.begin("cleanup-snapshots")

    async def revert_all(self, step: int) -> None:
        """Every snapshot is reverted."""
        for disk in self.scene.vm.disks:
            self.scene.revert(disk)
            snapshot_id = self.scene.snapshots[disk.disk_id].id
            await self.job.log("INFO", "Snapshot reverted", step, volume_id=disk.volume_id, snapshot_id=snapshot_id)

    async def clean_snapshots(self) -> None:
        """Step 3, well."""
        step = await self.begin_snapshots()
        await self.revert_all(step)
        for disk in self.scene.vm.disks:
            self.scene.delete_snapshot(disk)
        await self.scene.clear_snapshot_columns("")
        await self.job.end(step)

    async def reattach_all(self) -> None:
        """Step 4, well."""
        step = await self.job.begin("reattach-all-volumes")
        for disk in self.scene.vm.disks:
            await self.scene.attach_to_oma(disk)
        await self.job.end(step)

    async def reset(self) -> None:
        """Step 5 and the end."""
        await self.scene.update_failover_job(status="failed")
        await self.scene.set_status("ready_for_failover")
        await self.scene.update_context(current_job_id=None)
        await self.job.step("reset-vm-state")
        await self.job.finish("completed")

    async def abort(self, step: int, error: str) -> None:
        """A step fails and with it the job."""
        await self.job.end(step, error)
        await self.job.finish("failed", error)
