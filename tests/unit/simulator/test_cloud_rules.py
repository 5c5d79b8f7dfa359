"""What the cloud does with volumes, snapshots and VMs, in virtual time and without HTTP."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from appliance_simulator.async_jobs import AsyncJob, AsyncJobs, JobStatus
from appliance_simulator.cloud import UNDEFINED, Cloud, CloudError, VirtualMachine, Volume
from appliance_simulator.cloud_commands import CloudCommands, CloudRights
from appliance_simulator.cloud_views import Views
from appliance_simulator.faults import Faults, Latencies
from appliance_simulator.journal import Journal

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class World:
    """A cloud with one stopped VM without disks and one detached replicated volume."""

    def __init__(self) -> None:
        self.journal = Journal()
        self.cloud = Cloud(self.journal)
        self.jobs = AsyncJobs()
        self.faults = Faults()
        self.latencies = Latencies()
        self.rights = CloudRights()
        views = Views(self.cloud, self.jobs)
        self.commands = CloudCommands(self.cloud, self.jobs, views, self.faults, self.latencies, self.rights)
        self.vm = self.cloud.add_vm("test", root=False)
        self.volume = self.replica()

    def replica(self) -> Volume:
        return self.cloud.add_volume("replica", 10, content="replica:1")

    def start(self, vm: VirtualMachine) -> None:
        self.commands.run(vm, self.cloud.any_host().id)


async def end_of(job: AsyncJob) -> AsyncJob:
    await job.ended.wait()
    return job


def error_of(job: AsyncJob) -> int:
    assert job.status is JobStatus.FAILURE
    return job.result_code


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    await made.jobs.close()


async def test_device_zero_makes_a_volume_root(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    assert (world.volume.type, world.volume.deviceid) == ("ROOT", 0)
    await end_of(world.commands.detach_volume(world.volume.id))
    assert (world.volume.type, world.volume.virtualmachineid) == ("DATADISK", None)


async def test_expunging_a_vm_destroys_what_is_at_device_zero_and_spares_data_disks(world: World) -> None:
    data = world.replica()
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    await end_of(world.commands.attach_volume(data.id, world.vm.id))
    await end_of(world.commands.destroy_vm(world.vm.id, expunge=True))
    assert world.cloud.contents()[world.volume.id] == "destroyed"
    assert (world.cloud.contents()[data.id], data.virtualmachineid) == ("replica:1", None)


async def test_destroy_without_expunge_keeps_the_root_attached_until_recovery(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    await end_of(world.commands.destroy_vm(world.vm.id))
    assert (world.vm.state, world.volume.virtualmachineid) == ("Destroyed", world.vm.id)
    assert error_of(await end_of(world.commands.detach_volume(world.volume.id))) == 431
    world.commands.recover_vm(world.vm.id)
    assert (await end_of(world.commands.detach_volume(world.volume.id))).status is JobStatus.SUCCESS


async def test_expunge_needs_a_destroyed_vm_and_the_right(world: World) -> None:
    assert error_of(await end_of(world.commands.expunge_vm(world.vm.id))) == 530
    world.rights.expunge = False
    with pytest.raises(CloudError, match="531"):
        world.commands.expunge_vm(world.vm.id)
    with pytest.raises(CloudError, match="531"):
        world.commands.destroy_vm(world.vm.id, expunge=True)


async def test_volumeids_are_deleted_with_the_vm(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 1))
    await end_of(world.commands.destroy_vm(world.vm.id, volume_ids=(world.volume.id,)))
    assert world.cloud.contents()[world.volume.id] == "destroyed"


async def test_root_cannot_be_detached_from_a_running_vm(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    await end_of(world.commands.start_vm(world.vm.id))
    assert error_of(await end_of(world.commands.detach_volume(world.volume.id))) == 431


async def test_started_vm_writes_to_its_volumes(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    await end_of(world.commands.start_vm(world.vm.id))
    assert world.volume.content == "dirty:started test"


async def test_attach_to_the_running_oma_does_not_write(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.cloud.oma_vm_id))
    assert world.volume.content == "replica:1"


@pytest.mark.parametrize(("device_id", "code"), [(3, 530), (1, 530)])
async def test_reserved_or_occupied_device_id_is_refused(world: World, device_id: int, code: int) -> None:
    await end_of(world.commands.attach_volume(world.replica().id, world.vm.id, 1))
    assert error_of(await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, device_id))) == code


async def test_device_zero_needs_a_stopped_vm(world: World) -> None:
    assert error_of(await end_of(world.commands.attach_volume(world.volume.id, world.cloud.oma_vm_id, 0))) == 431


async def test_attached_volume_is_not_attached_again(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id))
    for vm_id in (world.vm.id, world.cloud.oma_vm_id):
        assert error_of(await end_of(world.commands.attach_volume(world.volume.id, vm_id))) == 431


async def test_vm_snapshots_block_attach_detach_and_revert(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id))
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.cloud.add_vm_snapshot(world.vm.id, "whole")
    assert error_of(await end_of(world.commands.attach_volume(world.replica().id, world.vm.id))) == 431
    assert error_of(await end_of(world.commands.detach_volume(world.volume.id))) == 431
    assert error_of(await end_of(world.commands.revert_snapshot(snapshot.id))) == 431


async def test_jobs_of_one_vm_run_one_after_the_other_in_order(world: World) -> None:
    world.latencies.set("attachVolume", 5)
    volumes = [world.replica() for _ in range(3)]
    jobs = [world.commands.attach_volume(volume.id, world.vm.id) for volume in volumes]
    elsewhere = world.commands.attach_volume(world.volume.id, world.cloud.oma_vm_id)
    await asyncio.sleep(6)
    assert [job.status for job in (*jobs, elsewhere)] == [1, 0, 0, 1]
    await asyncio.sleep(10)
    attached = [e.object_id for e in world.journal.effects("attached") if e.details["virtualmachineid"] == world.vm.id]
    assert attached == [volume.id for volume in volumes]


async def test_reverts_do_not_wait_for_the_queue_of_the_vm(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id))
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.faults.arm("job_hangs", "attachVolume")
    world.commands.attach_volume(world.replica().id, world.vm.id)
    assert (await end_of(world.commands.revert_snapshot(snapshot.id))).status is JobStatus.SUCCESS


async def test_revert_brings_back_what_the_snapshot_captured(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.volume.dirty("injection")
    world.latencies.set("revertSnapshot", 60)
    job = world.commands.revert_snapshot(snapshot.id)
    await asyncio.sleep(30)
    assert (world.volume.state, world.volume.content) == ("RevertSnapshotting", UNDEFINED)
    await end_of(job)
    assert (world.volume.state, world.volume.content) == ("Ready", "replica:1")


async def test_revert_that_fails_half_way_leaves_undefined_content(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.faults.arm("revert_half_way", "revertSnapshot")
    assert error_of(await end_of(world.commands.revert_snapshot(snapshot.id))) == 530
    assert (world.volume.state, world.volume.content) == ("Ready", UNDEFINED)
    await end_of(world.commands.revert_snapshot(snapshot.id))
    assert world.volume.content == "replica:1"


async def test_refused_revert_changes_nothing(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.faults.arm("job_fails", "revertSnapshot", errortext="storage says no")
    job = await end_of(world.commands.revert_snapshot(snapshot.id))
    assert job.result == {"errorcode": 530, "errortext": "storage says no"}
    assert world.volume.content == "replica:1"


async def test_second_revert_while_the_first_copy_goes_on_spoils_the_volume(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.faults.arm("revert_goes_on", "revertSnapshot", seconds=100)
    assert error_of(await end_of(world.commands.revert_snapshot(snapshot.id))) == 530
    await end_of(world.commands.revert_snapshot(snapshot.id))
    await asyncio.sleep(200)
    assert world.volume.content == UNDEFINED


async def test_patient_client_gets_its_content_back(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.volume.dirty("injection")
    world.faults.arm("revert_goes_on", "revertSnapshot", seconds=100)
    await end_of(world.commands.revert_snapshot(snapshot.id))
    assert world.volume.content == UNDEFINED
    await asyncio.sleep(200)
    await end_of(world.commands.revert_snapshot(snapshot.id))
    assert world.volume.content == "replica:1"


async def test_revert_needs_a_backed_up_snapshot_and_no_running_vm(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s", state="Creating")
    assert error_of(await end_of(world.commands.revert_snapshot(snapshot.id))) == 530
    snapshot.state = "BackedUp"
    await end_of(world.commands.attach_volume(world.volume.id, world.cloud.oma_vm_id))
    assert error_of(await end_of(world.commands.revert_snapshot(snapshot.id))) == 431


@pytest.mark.parametrize(
    ("state", "status"),
    [("BackedUp", 1), ("Error", 1), ("Allocated", 1), ("Creating", 2), ("BackingUp", 2), ("Destroyed", 2)],
)
async def test_snapshots_are_deleted_in_safe_states_only(world: World, state: str, status: int) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s", state=state)
    assert (await end_of(world.commands.delete_snapshot(snapshot.id))).status == status


async def test_failed_delete_leaves_the_snapshot_backed_up(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    world.faults.arm("job_fails", "deleteSnapshot")
    await end_of(world.commands.delete_snapshot(snapshot.id))
    assert snapshot.state == "BackedUp"


async def test_late_detach_hits_the_new_holder(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id))
    world.faults.arm("late_detach", "detachVolume", seconds=60)
    assert error_of(await end_of(world.commands.detach_volume(world.volume.id))) == 530
    await end_of(world.commands.detach_volume(world.volume.id))
    await end_of(world.commands.attach_volume(world.volume.id, world.cloud.oma_vm_id))
    await asyncio.sleep(120)
    assert world.volume.virtualmachineid is None


async def test_graceful_stop_fails_while_the_host_is_down(world: World) -> None:
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    world.start(world.vm)
    world.cloud.any_host().state = "Down"
    assert error_of(await end_of(world.commands.stop_vm(world.vm.id))) == 530
    assert world.vm.state == "Running"


async def test_forced_stop_of_an_unreachable_host_may_be_only_a_row(world: World) -> None:
    snapshot = world.cloud.add_snapshot(world.volume, "s")
    await end_of(world.commands.attach_volume(world.volume.id, world.vm.id, 0))
    world.start(world.vm)
    world.cloud.any_host().state = "Down"
    await end_of(world.commands.stop_vm(world.vm.id, forced=True))
    assert world.vm.state == "Stopped"
    await end_of(world.commands.detach_volume(world.volume.id))
    await end_of(world.commands.revert_snapshot(snapshot.id))
    assert world.volume.content == "dirty:still written by test"


async def test_created_snapshot_exists_before_its_job_ran(world: World) -> None:
    job, snapshot = world.commands.create_snapshot(world.volume.id, "mine")
    assert snapshot.state == "Allocated"
    await end_of(job)
    assert (snapshot.state, snapshot.content) == ("BackedUp", "replica:1")
