"""The daemon answers as the deployed one does and is no more idempotent than it (appliance facts 1)."""

import pytest
from sqlalchemy import func, select, update

from appliance_simulator import SimulatedAppliance, schema
from appliance_simulator.volume_daemon import by_id_path
from tests.unit.simulator.clients import DaemonClient, OsseaClient


async def first_volume(appliance: SimulatedAppliance) -> str:
    return (await appliance.replicate("pgtest1", disks=2)).volume_ids[0]


async def volume_row(appliance: SimulatedAppliance, volume_id: str) -> tuple[str | None, str]:
    table = schema.ossea_volumes
    async with appliance.engine.connect() as connection:
        statement = select(table.c.device_path, table.c.status).where(table.c.volume_id == volume_id)
        row = (await connection.execute(statement)).one()
    return row.device_path, row.status


async def holder(appliance: SimulatedAppliance, volume_id: str) -> str | None:
    return appliance.cloud.volumes[volume_id].virtualmachineid


async def test_detach_from_the_oma_removes_mapping_and_export(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    operation = await daemon.run("detach", volume)
    assert operation["status"] == "completed"
    assert operation["response"]["device_path"] == by_id_path(volume)
    assert await volume_row(appliance, volume) == (None, "detached")
    missing = await daemon.get(f"/api/v1/volumes/{volume}/device")
    assert (missing.status_code, missing.json()) == (404, {"error": f"mapping not found for volume: {volume}"})
    assert (await daemon.get(f"/api/v1/exports/{volume}")).status_code == 404


async def test_attach_to_the_oma_maps_and_exports(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    await daemon.run("detach", volume)
    operation = await daemon.run("attach", volume, appliance.oma_vm_id)
    assert operation["response"]["device_path"] == by_id_path(volume)
    mapping = (await daemon.get(f"/api/v1/volumes/{volume}/device")).json()
    assert (mapping["id"], mapping["vm_context_id"], mapping["snapshot_status"]) == ("", None, "")
    assert (mapping["operation_mode"], mapping["linux_state"], mapping["vm_id"]) == (
        "oma",
        "detected",
        appliance.oma_vm_id,
    )
    export = (await daemon.get(f"/api/v1/exports/{volume}")).json()
    assert export["export_name"] == f"migration-vol-{volume}"
    assert await volume_row(appliance, volume) == (by_id_path(volume), "attached")


async def test_by_id_path_is_twenty_characters_of_the_uuid() -> None:
    assert by_id_path("b3bb9310-1b59-4f62-97e8-cefffdfe3804") == "/dev/disk/by-id/virtio-b3bb93101b594f6297e8"


async def test_attach_to_another_vm_is_failover_mode(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    vm = appliance.cloud.add_vm("test", root=False)
    await daemon.run("detach", volume)
    operation = await daemon.run("attach-root", volume, vm.id)
    assert operation["request"] == {"volume_id": volume, "vm_id": vm.id, "device_id": 0, "attach_as": "root"}
    mapping = (await daemon.get(f"/api/v1/volumes/{volume}/device")).json()
    assert (mapping["operation_mode"], mapping["device_path"]) == ("failover", f"remote-vm-root-{vm.id}")
    assert (mapping["cloudstack_device_id"], mapping["size"], mapping["linux_state"]) == (0, 0, "n/a")
    assert (await daemon.get(f"/api/v1/exports/{volume}")).status_code == 404


async def test_attach_of_an_attached_volume_fails_and_keeps_the_mapping(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    operation = await daemon.run("attach", volume, appliance.oma_vm_id)
    assert operation["status"] == "failed"
    assert operation["error"].startswith("CloudStack volume attachment failed: failed to attach volume")
    assert "response" not in operation
    assert (await daemon.get(f"/api/v1/volumes/{volume}/device")).status_code == 200


async def test_attach_while_on_another_vm_fails_without_effect(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    vm = appliance.cloud.add_vm("test")
    assert (await daemon.run("attach", volume, vm.id))["status"] == "failed"
    assert await holder(appliance, volume) == appliance.oma_vm_id


async def test_attach_over_a_stale_mapping_attaches_and_fails(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    appliance.cloud.lift(appliance.cloud.volumes[volume])
    operation = await daemon.run("attach", volume, appliance.oma_vm_id)
    assert (operation["status"], operation["error"][:23]) == ("failed", "mapping creation failed")
    assert await holder(appliance, volume) == appliance.oma_vm_id


async def test_second_data_disk_of_a_failover_vm_collides(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    first, second = (await appliance.replicate("pgtest1", disks=2)).volume_ids
    vm = appliance.cloud.add_vm("test")
    for volume in (first, second):
        await daemon.run("detach", volume)
    assert (await daemon.run("attach", first, vm.id))["status"] == "completed"
    operation = await daemon.run("attach", second, vm.id)
    assert (operation["status"], operation["error"][:23]) == ("failed", "mapping creation failed")
    assert await holder(appliance, second) == vm.id
    assert (await daemon.get(f"/api/v1/volumes/{second}/device")).status_code == 404


async def test_late_device_link_leaves_the_volume_attached_without_mapping(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    await daemon.run("detach", volume)
    appliance.faults.arm("device_link_late")
    operation = await daemon.run("attach", volume, appliance.oma_vm_id)
    assert (operation["status"], operation["error"][:29]) == ("failed", "by-id device resolution faile")
    assert await holder(appliance, volume) == appliance.oma_vm_id
    assert (await daemon.get(f"/api/v1/volumes/{volume}/device")).status_code == 404
    assert (await daemon.get(f"/api/v1/exports/{volume}")).status_code == 404


async def test_detach_of_a_detached_volume_without_mapping_fails(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    await daemon.run("detach", volume)
    operation = await daemon.run("detach", volume)
    assert operation["status"] == "failed"
    assert "431" in operation["error"]


async def test_detach_over_a_stale_mapping_fails_for_ever(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    appliance.cloud.lift(appliance.cloud.volumes[volume])
    for _ in range(2):
        assert (await daemon.run("detach", volume))["status"] == "failed"
    assert (await daemon.get(f"/api/v1/volumes/{volume}/device")).status_code == 200


async def test_detach_without_mapping_completes_with_an_empty_path(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    await daemon.run("detach", volume)
    appliance.cloud.place(appliance.cloud.volumes[volume], appliance.oma_vm_id)
    operation = await daemon.run("detach", volume)
    assert (operation["status"], operation["response"]["device_path"]) == ("completed", "")
    assert await volume_row(appliance, volume) == (None, "detached")


async def test_detach_of_the_root_of_a_running_vm_fails(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    built = await appliance.build("F28", vm_name="pgtest1", disks=1)
    assert (await daemon.run("detach", built.volume_ids[0]))["status"] == "failed"


async def test_delete_of_an_unknown_volume_fails(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    answer = await daemon._http.delete(f"{appliance.daemon_url}/api/v1/volumes/unknown")
    await appliance.daemon.idle()
    operation = (await daemon.get(f"/api/v1/operations/{answer.json()['id']}")).json()
    assert (answer.status_code, operation["status"]) == (201, "failed")


async def test_attach_with_an_empty_vm_id_is_accepted_and_fails_later(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    assert (await daemon.run("attach", await first_volume(appliance), ""))["status"] == "failed"


async def test_unknown_oma_vm_id_makes_every_attach_a_failover(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    await daemon.run("detach", volume)
    async with appliance.engine.begin() as connection:
        await connection.execute(update(schema.ossea_configs).values(oma_vm_id="somebody else"))
    await daemon.run("attach", volume, appliance.oma_vm_id)
    mapping = (await daemon.get(f"/api/v1/volumes/{volume}/device")).json()
    assert (mapping["operation_mode"], mapping["device_path"]) == ("failover", f"remote-vm-{appliance.oma_vm_id}")


async def test_two_operations_on_one_volume_run_side_by_side(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    appliance.faults.arm("job_hangs", "detachVolume")
    for _ in range(2):
        assert (await daemon.post(f"/api/v1/volumes/{volume}/detach")).status_code == 201
    operations = (await daemon.get("/api/v1/operations", volume_id=volume)).json()
    assert len(operations) == 2
    assert {operation["status"] for operation in operations} <= {"pending", "executing"}


async def test_operations_are_null_when_there_are_none(daemon: DaemonClient) -> None:
    assert (await daemon.get("/api/v1/operations", volume_id="none")).json() is None


async def test_volumes_of_an_unknown_vm_are_an_empty_list(daemon: DaemonClient) -> None:
    answer = await daemon.get("/api/v1/vms/none/volumes")
    assert (answer.status_code, answer.json()) == (200, [])


async def test_volumes_of_a_vm_come_from_the_database_only(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    appliance.cloud.lift(appliance.cloud.volumes[volume])
    rows = (await daemon.get(f"/api/v1/vms/{appliance.oma_vm_id}/volumes")).json()
    assert {row["volume_id"]: row["state"] for row in rows}[volume] == "attached"


async def test_unknown_operation_is_404(daemon: DaemonClient) -> None:
    answer = await daemon.get("/api/v1/operations/none")
    assert (answer.status_code, answer.json()) == (404, {"error": "operation not found: none"})


async def test_malformed_json_is_400(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    answer = await daemon._http.post(f"{appliance.daemon_url}/api/v1/volumes/x/attach", content=b"{")
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


async def test_export_needs_a_mapping_and_is_created_once(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    body = {"volume_id": volume, "vm_name": "pgtest1", "vm_id": appliance.oma_vm_id, "disk_number": 0}
    assert (await daemon.post("/api/v1/exports", body)).status_code == 201
    async with appliance.engine.connect() as connection:
        table = schema.nbd_exports
        count = select(func.count()).select_from(table).where(table.c.volume_id == volume)
        assert (await connection.execute(count)).scalar_one() == 1
    await daemon.run("detach", volume)
    assert (await daemon.post("/api/v1/exports", body)).status_code == 500


async def test_cloud_success_may_be_reported_as_failure(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    appliance.faults.arm("daemon_fails_after_cloud_success", "detach")
    assert (await daemon.run("detach", volume))["status"] == "failed"
    assert await holder(appliance, volume) is None


async def test_operations_of_a_restarted_daemon_stay_executing(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    volume = await first_volume(appliance)
    appliance.faults.arm("operation_abandoned", "detach")
    assert (await daemon.run("detach", volume))["status"] == "executing"
    assert await holder(appliance, volume) is None


async def test_sdk_gives_up_while_the_cloud_job_goes_on(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    volume = await first_volume(appliance)
    appliance.set_option(cloud_wait_seconds=0.01)
    appliance.faults.arm("job_hangs", "detachVolume")
    operation = await daemon.run("detach", volume)
    assert (operation["status"], "Timeout" in operation["error"]) == ("failed", True)
    (job,) = appliance.jobs.pending()
    appliance.jobs.release_hanging()
    await job.ended.wait()
    assert await holder(appliance, volume) is None


async def test_daemon_and_cloud_calls_are_both_in_the_journal(
    appliance: SimulatedAppliance, daemon: DaemonClient, ossea: OsseaClient
) -> None:
    volume = await first_volume(appliance)
    operation = await daemon.run("detach", volume)
    by_client, by_daemon = appliance.journal.requests("detach")[0], appliance.journal.requests(caller="daemon")[0]
    assert (by_client.object_ids, by_client.job_id) == ((volume,), operation["id"])
    assert (by_daemon.command, by_daemon.executed) == ("detachVolume", True)
    assert appliance.journal.effects("detached")[0].object_id == volume


async def test_health_tells_about_the_database(daemon: DaemonClient) -> None:
    health = (await daemon.get("/api/v1/health")).json()
    assert (health["status"], health["database_health"]) == ("healthy", "healthy")


@pytest.mark.parametrize("action", ["detach", "attach"])
async def test_daemon_reports_an_unreachable_cloud(
    appliance: SimulatedAppliance, daemon: DaemonClient, action: str
) -> None:
    volume = await first_volume(appliance)
    appliance.faults.arm("cloud_down")
    operation = await daemon.run(action, volume, appliance.oma_vm_id)
    assert (operation["status"], "connection refused" in operation["error"]) == ("failed", True)
    assert await holder(appliance, volume) == appliance.oma_vm_id
