"""Envelope, lists, job shapes and client-chosen job ids of OSSEA."""

import uuid

import pytest

from appliance_simulator import Door, SimulatedAppliance
from tests.unit.simulator.clients import OsseaClient


async def test_unknown_command_answers_under_errorresponse(ossea: OsseaClient) -> None:
    answer = await ossea.request("deployNothing")
    assert (answer.status_code, list(answer.json())) == (401, ["errorresponse"])


async def test_answer_is_xml_unless_json_is_asked_for(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    unsigned = ossea.signed("listZones")
    answer = await ossea.send({**unsigned, "signature": "wrong", "response": "xml"})
    assert answer.headers["content-type"].startswith("text/xml")


async def test_empty_list_is_an_empty_object(ossea: OsseaClient) -> None:
    assert await ossea.call("listSnapshots") == {}


async def test_page_past_the_end_has_only_a_count(ossea: OsseaClient) -> None:
    assert await ossea.call("listVolumes", page="2", pagesize="500") == {"count": 1}


@pytest.mark.parametrize("paging", [{"page": "1"}, {"pagesize": "10"}, {"page": "1", "pagesize": "501"}])
async def test_bad_paging_is_refused(ossea: OsseaClient, paging: dict[str, str]) -> None:
    assert (await ossea.request("listVolumes", **paging)).status_code == 431


async def test_pages_together_are_the_whole_list(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    await appliance.replicate("pgtest1", disks=3)
    pages = [await ossea.call("listVolumes", page=str(page), pagesize="3") for page in (1, 2)]
    assert {row["id"] for page in pages for row in page["volume"]} == set(appliance.cloud.volumes)
    assert {page["count"] for page in pages} == {4}


async def test_id_that_never_existed_is_431(ossea: OsseaClient) -> None:
    for command in ("listVolumes", "listVirtualMachines", "listSnapshots", "detachVolume"):
        assert (await ossea.request(command, id=str(uuid.uuid4()))).status_code == 431


async def test_id_of_a_removed_object_lists_nothing(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    vm = appliance.cloud.add_vm("gone")
    await ossea.run("destroyVirtualMachine", id=vm.id, expunge="true")
    assert await ossea.call("listVirtualMachines", id=vm.id) == {}
    refused = await ossea.request("startVirtualMachine", id=vm.id)
    assert "Unable to find uuid" in refused.json()["startvirtualmachineresponse"]["errortext"]


async def test_ids_are_matched_in_lower_case(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    found = await ossea.call("listVirtualMachines", id=appliance.oma_vm_id.upper())
    assert found["virtualmachine"][0]["id"] == appliance.oma_vm_id


async def test_vm_name_filter_is_a_substring_and_volume_name_exact(
    ossea: OsseaClient, appliance: SimulatedAppliance
) -> None:
    appliance.cloud.add_vm("pgtest1-test-1")
    assert (await ossea.call("listVirtualMachines", name="test1-test"))["count"] == 1
    assert await ossea.call("listVolumes", name="ROOT-pgtest1") == {}
    assert (await ossea.call("listVolumes", name="ROOT-pgtest1-test-1"))["count"] == 1


async def test_state_present_leaves_out_destroyed_vms(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    vm = appliance.cloud.add_vm("doomed")
    await ossea.run("destroyVirtualMachine", id=vm.id)
    assert await ossea.call("listVirtualMachines", id=vm.id, state="present") == {}
    assert (await ossea.call("listVirtualMachines", id=vm.id))["virtualmachine"][0]["state"] == "Destroyed"
    appliance.set_option(see_destroyed_vms=False)
    assert await ossea.call("listVirtualMachines", id=vm.id) == {}


async def test_detached_volume_names_no_vm(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    row = (await ossea.call("listVolumes", id=volume.id))["volume"][0]
    assert not {"virtualmachineid", "deviceid", "attached"} & row.keys()


async def test_vm_snapshots_have_their_own_spelling(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    appliance.cloud.add_vm_snapshot(appliance.oma_vm_id, "before")
    assert (await ossea.call("listVMSnapshot", virtualmachineid=appliance.oma_vm_id))["vmSnapshot"][0][
        "name"
    ] == "before"


async def test_hosts_are_for_administrators(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    assert (await ossea.call("listHosts"))["host"][0]["state"] == "Up"
    appliance.set_option(list_hosts=False)
    assert (await ossea.request("listHosts")).status_code == 432


async def test_rows_show_a_job_only_while_it_is_pending(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    appliance.faults.arm("job_hangs", "attachVolume")
    submitted = await ossea.call("attachVolume", id=volume.id, virtualmachineid=appliance.oma_vm_id)
    assert (await ossea.call("listVolumes", id=volume.id))["volume"][0]["jobid"] == submitted["jobid"]
    assert (await ossea.call("listAsyncJobs"))["asyncjobs"][0]["jobid"] == submitted["jobid"]
    appliance.jobs.release_hanging()
    await appliance.jobs.jobs[submitted["jobid"]].ended.wait()
    assert "jobid" not in (await ossea.call("listVolumes", id=volume.id))["volume"][0]
    assert await ossea.call("listAsyncJobs") == {}


async def test_successful_job_carries_the_entity(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    job = await ossea.run("attachVolume", id=volume.id, virtualmachineid=appliance.oma_vm_id)
    assert (job["jobstatus"], job["jobresult"]["volume"]["id"]) == (1, volume.id)


async def test_successful_snapshot_deletion_carries_success(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    snapshot = appliance.cloud.add_snapshot(volume, "s")
    job = await ossea.run("deleteSnapshot", id=snapshot.id)
    assert (job["jobstatus"], job["jobresult"]) == (1, {"success": True})


async def test_failed_precondition_is_the_jobs_failure(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    job = await ossea.run("detachVolume", id=volume.id)
    assert (job["jobstatus"], job["jobresultcode"], job["jobresult"]["errorcode"]) == (2, 431, 431)
    assert "not attached" in job["jobresult"]["errortext"]


@pytest.mark.parametrize("code", [530, 0])
async def test_job_can_fail_without_a_result(ossea: OsseaClient, appliance: SimulatedAppliance, code: int) -> None:
    vm = appliance.cloud.add_vm("test", state="Running")
    appliance.faults.arm("job_fails_without_result", "stopVirtualMachine", code=code, executed=True)
    job = await ossea.run("stopVirtualMachine", id=vm.id)
    assert (job["jobstatus"], job["jobresultcode"], "jobresult" in job) == (2, code, False)
    assert vm.state == "Stopped"


async def test_internal_errors_are_hidden_from_ordinary_accounts(
    ossea: OsseaClient, appliance: SimulatedAppliance
) -> None:
    appliance.set_option(see_internal_errors=False)
    appliance.faults.arm("job_fails", "stopVirtualMachine", errortext="libvirt: domain is busy")
    job = await ossea.run("stopVirtualMachine", id=appliance.cloud.add_vm("test", state="Running").id)
    assert "libvirt" not in job["jobresult"]["errortext"]


async def test_purged_job_is_431(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    job = await ossea.run("stopVirtualMachine", id=appliance.cloud.add_vm("test").id)
    appliance.jobs.purge(job["jobid"])
    assert (await ossea.request("queryAsyncJobResult", jobid=job["jobid"])).status_code == 431


async def test_client_may_choose_the_job_id_once(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    vm, chosen = appliance.cloud.add_vm("test"), str(uuid.uuid4())
    assert (await ossea.call("stopVirtualMachine", id=vm.id, customjobid=chosen))["jobid"] == chosen
    assert (await ossea.request("stopVirtualMachine", id=vm.id, customjobid=chosen)).status_code == 431


async def test_server_may_ignore_the_chosen_job_id(ossea: OsseaClient, appliance: SimulatedAppliance) -> None:
    appliance.set_option(honours_customjobid=False)
    vm, chosen = appliance.cloud.add_vm("test"), str(uuid.uuid4())
    assert (await ossea.call("stopVirtualMachine", id=vm.id, customjobid=chosen))["jobid"] != chosen


async def test_journal_orders_requests_and_effects_without_secrets(
    ossea: OsseaClient, appliance: SimulatedAppliance
) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    await ossea.run("attachVolume", id=volume.id, virtualmachineid=appliance.oma_vm_id)
    request, effect = appliance.journal.requests("attachVolume")[0], appliance.journal.effects("attached")[0]
    assert (request.door, request.executed, request.status) == (Door.OSSEA, True, 200)
    assert request.object_ids == (volume.id, appliance.oma_vm_id)
    assert request.sequence < effect.sequence
    assert effect.details["virtualmachineid"] == appliance.oma_vm_id
    assert not {"apikey", "signature"} & {name.lower() for name in request.parameters}
    assert appliance.journal.reads["queryAsyncJobResult"] == 1


async def test_restarted_server_fails_pending_jobs_without_result(
    ossea: OsseaClient, appliance: SimulatedAppliance
) -> None:
    volume = appliance.cloud.add_volume("data", 1, content="replica:1")
    snapshot = appliance.cloud.add_snapshot(volume, "s")
    appliance.faults.arm("job_hangs", "revertSnapshot")
    job_id = (await ossea.call("revertSnapshot", id=snapshot.id))["jobid"]
    await ossea.call("listVolumes", id=volume.id)
    await appliance.restart_management_server()
    job = await ossea.call("queryAsyncJobResult", jobid=job_id)
    assert (job["jobstatus"], job["jobresultcode"], "jobresult" in job) == (2, 530, False)
    assert (await ossea.call("listVolumes", id=volume.id))["volume"][0]["state"] == "RevertSnapshotting"
