"""Armed faults strike the request they wait for, and the journal tells whether it was executed."""

import httpx
import pytest

from appliance_simulator import FaultKind, SimulatedAppliance
from appliance_simulator.faults import Faults, Latencies
from tests.unit.simulator.clients import DaemonClient, OsseaClient


def test_fault_strikes_as_often_as_armed() -> None:
    faults = Faults()
    faults.arm("http_429", "listVolumes", times=2)
    struck = [faults.take(FaultKind, "listVolumes") is not None for _ in range(3)]
    assert struck == [True, True, False]


def test_fault_waits_for_its_command_and_object() -> None:
    faults = Faults()
    faults.arm("job_fails", "revertSnapshot", object_id="s1")
    assert faults.take(FaultKind, "deleteSnapshot", ["s1"]) is None
    assert faults.take(FaultKind, "revertSnapshot", ["s2"]) is None
    assert faults.take(FaultKind, "revertSnapshot", ["s1", "v1"]) is not None


def test_outage_lasts_until_disarmed() -> None:
    faults = Faults()
    faults.arm("cloud_down")
    assert all(faults.take(FaultKind, "listVolumes") for _ in range(10))
    faults.disarm("cloud_down")
    assert faults.take(FaultKind, "listVolumes") is None


def test_nonsense_is_refused() -> None:
    with pytest.raises(ValueError, match="not a valid FaultKind"):
        Faults().arm("gremlins")
    with pytest.raises(ValueError, match="at least 1"):
        Faults().arm("http_429", times=0)
    with pytest.raises(ValueError, match="negative"):
        Latencies().set("attachVolume", -1)


@pytest.mark.parametrize(("kind", "executed"), [("response_lost_after", True), ("response_lost_before", False)])
async def test_lost_response_of_ossea(
    appliance: SimulatedAppliance, ossea: OsseaClient, kind: str, *, executed: bool
) -> None:
    vm = appliance.cloud.add_vm("test", state="Running")
    appliance.faults.arm(kind, "stopVirtualMachine")
    with pytest.raises(httpx.TransportError):
        await ossea.request("stopVirtualMachine", id=vm.id)
    (request,) = appliance.journal.requests()
    assert (request.executed, request.status, request.fault) == (executed, None, kind)
    for job in list(appliance.jobs.jobs.values()):
        await job.ended.wait()
    assert vm.state == ("Stopped" if executed else "Running")


@pytest.mark.parametrize(
    ("kind", "status", "executed"),
    [
        ("empty_body", 200, True),
        ("html_502", 502, False),
        ("http_429", 429, False),
        ("http_431", 431, False),
        ("http_503", 503, False),
        ("http_530", 530, False),
    ],
)
async def test_unusual_answer_of_ossea(
    appliance: SimulatedAppliance, ossea: OsseaClient, kind: str, status: int, *, executed: bool
) -> None:
    appliance.faults.arm(kind, "stopVirtualMachine")
    answer = await ossea.request("stopVirtualMachine", id=appliance.cloud.add_vm("test").id)
    assert answer.status_code == status
    assert appliance.journal.requests()[0].executed is executed
    assert (answer.content == b"") is (kind == "empty_body")


def test_fault_lets_requests_pass_before_it_strikes() -> None:
    faults = Faults()
    faults.arm("http_503", "listVolumes", skip=2)
    assert [faults.take(FaultKind, "listVolumes") is not None for _ in range(4)] == [False, False, True, False]
    with pytest.raises(ValueError, match="negative"):
        faults.arm("http_503", skip=-1)


async def test_request_that_comes_again_before_its_pause_is_over_is_noted(
    appliance: SimulatedAppliance, ossea: OsseaClient
) -> None:
    appliance.faults.arm("http_429", "listVolumes", seconds=30.0)
    throttled = await ossea.request("listVolumes")
    assert throttled.headers["Retry-After"] == "30"
    assert "retry after 30000 ms" in throttled.text
    await ossea.request("listSnapshots")
    assert appliance.journal.hasty == []
    await ossea.request("listVolumes")
    assert len(appliance.journal.hasty) == 1


async def test_purged_job_did_its_work_and_is_not_known(appliance: SimulatedAppliance, ossea: OsseaClient) -> None:
    vm = appliance.cloud.add_vm("test", state="Running")
    appliance.faults.arm("job_purged", "stopVirtualMachine")
    appliance.latencies.set("stopVirtualMachine", 0.1)
    answer = await ossea.request("stopVirtualMachine", id=vm.id)
    (body,) = answer.json().values()
    await appliance.jobs.jobs[body["jobid"]].ended.wait()
    assert vm.state == "Stopped"
    assert (await ossea.request("queryAsyncJobResult", jobid=body["jobid"])).status_code == 431


@pytest.mark.parametrize("executed", [True, False])
async def test_restart_in_the_middle_of_a_job(
    appliance: SimulatedAppliance, ossea: OsseaClient, *, executed: bool
) -> None:
    built = await appliance.build("C02", vm_name="pgtest1", disks=1)
    (volume_id,), (snapshot_id,) = built.volume_ids, built.snapshot_ids.values()
    appliance.faults.arm("server_restarts", "revertSnapshot", executed=executed)
    answer = await ossea.request("revertSnapshot", id=snapshot_id)
    (body,) = answer.json().values()
    job = appliance.jobs.jobs[body["jobid"]]
    await job.ended.wait()
    assert (job.status, job.result_code, job.result) == (2, 530, None)
    volume = appliance.cloud.volumes[volume_id]
    assert volume.state == "RevertSnapshotting"
    assert (volume.content == "replica:1") is executed


async def test_cloud_outage_closes_every_connection(appliance: SimulatedAppliance, ossea: OsseaClient) -> None:
    appliance.faults.arm("cloud_down")
    for _ in range(2):
        with pytest.raises(httpx.TransportError):
            await ossea.request("listVolumes")
    appliance.faults.disarm()
    assert (await ossea.request("listVolumes")).status_code == 200


@pytest.mark.parametrize(("kind", "executed"), [("response_lost_after", True), ("response_lost_before", False)])
async def test_lost_response_of_the_daemon(
    appliance: SimulatedAppliance, daemon: DaemonClient, kind: str, *, executed: bool
) -> None:
    volume = (await appliance.replicate("pgtest1", disks=1)).volume_ids[0]
    appliance.faults.arm(kind, "detach", object_id=volume)
    with pytest.raises(httpx.TransportError):
        await daemon.post(f"/api/v1/volumes/{volume}/detach")
    await appliance.daemon.idle()
    assert appliance.journal.requests("detach")[0].executed is executed
    assert (appliance.cloud.volumes[volume].virtualmachineid is None) is executed


async def test_daemon_outage_closes_every_connection(appliance: SimulatedAppliance, daemon: DaemonClient) -> None:
    appliance.faults.arm("daemon_down")
    with pytest.raises(httpx.TransportError):
        await daemon.get("/api/v1/health")
