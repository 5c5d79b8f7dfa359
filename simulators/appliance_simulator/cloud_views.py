"""Objects of the cloud as OSSEA shows them in JSON; a field without a value is left out, never null."""

from datetime import UTC, datetime
from typing import Any

from appliance_simulator.async_jobs import AsyncJob, AsyncJobs, JobStatus
from appliance_simulator.cloud import Cloud, Host, Snapshot, VirtualMachine, VMSnapshot, Volume

ACCOUNT = "admin"
HYPERVISOR = "KVM"


def cloud_time(epoch: float) -> str:
    """A time stamp as CloudStack writes it, in UTC with offset."""
    return datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S%z")


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    """The row without its empty fields."""
    return {name: value for name, value in row.items() if value is not None}


class Views:
    """Rows of the list commands and entities of job results."""

    def __init__(self, cloud: Cloud, jobs: AsyncJobs) -> None:
        self._cloud = cloud
        self._jobs = jobs

    def _pending_job(self, instance_id: str) -> dict[str, Any]:
        job = self._jobs.pending_of(instance_id)
        return {} if job is None else {"jobid": job.id, "jobstatus": int(job.status)}

    def _place(self) -> dict[str, str]:
        return {"zoneid": self._cloud.zone_id, "zonename": self._cloud.zone_name, "account": ACCOUNT, "domain": "ROOT"}

    def volume(self, volume: Volume) -> dict[str, Any]:
        """A row of listVolumes (OSSEA facts 2.3): a detached volume names no VM, one in Destroy neither."""
        row: dict[str, Any] = {
            "id": volume.id,
            "name": volume.name,
            "type": volume.type.value,
            "state": volume.state,
            "size": volume.size,
            "created": cloud_time(volume.created),
            "destroyed": volume.state == "Destroy",
            "isextractable": True,
            "hypervisor": HYPERVISOR,
            "provisioningtype": "thin",
            "storage": "primary1",
            "storagetype": "shared",
            "path": volume.id,
            **self._place(),
            **self._pending_job(volume.id),
        }
        if volume.virtualmachineid is not None and volume.state != "Destroy":
            vm = self._cloud.vms[volume.virtualmachineid]
            row |= {
                "virtualmachineid": vm.id,
                "vmname": vm.name,
                "vmdisplayname": vm.displayname,
                "vmstate": vm.state,
                "deviceid": volume.deviceid,
                "attached": cloud_time(volume.attached or volume.created),
            }
        return row

    def snapshot(self, snapshot: Snapshot) -> dict[str, Any]:
        """A row of listSnapshots (OSSEA facts 2.7)."""
        volume = self._cloud.volumes.get(snapshot.volume_id)
        row = {
            "id": snapshot.id,
            "name": snapshot.name,
            "volumeid": snapshot.volume_id,
            "volumename": volume.name if volume else None,
            "volumetype": volume.type.value if volume else None,
            "volumestate": volume.state if volume else None,
            "state": snapshot.state,
            "revertable": snapshot.revertable,
            "locationtype": "SECONDARY",
            "snapshottype": "MANUAL",
            "intervaltype": "MANUAL",
            "created": cloud_time(snapshot.created),
            "physicalsize": snapshot.size,
            "virtualsize": snapshot.size,
            **self._place(),
            **self._pending_job(snapshot.id),
        }
        return without_nulls(row)

    def virtual_machine(self, vm: VirtualMachine) -> dict[str, Any]:
        """A row of listVirtualMachines (OSSEA facts 2.2); a host is named only while it runs there."""
        host = self._cloud.hosts.get(vm.host_id) if vm.host_id else None
        row = {
            "id": vm.id,
            "name": vm.name,
            "displayname": vm.displayname,
            "state": vm.state,
            "created": cloud_time(vm.created),
            "haenable": False,
            "hypervisor": HYPERVISOR,
            "hostid": host.id if host else None,
            "hostname": host.name if host else None,
            "displayvm": True,
            "nic": [],
            **self._place(),
            **self._pending_job(vm.id),
        }
        return without_nulls(row)

    def vm_snapshot(self, snapshot: VMSnapshot) -> dict[str, Any]:
        """A row of listVMSnapshot."""
        return {
            "id": snapshot.id,
            "name": snapshot.name,
            "displayname": snapshot.name,
            "state": snapshot.state,
            "type": "Disk",
            "current": True,
            "virtualmachineid": snapshot.virtualmachineid,
            "created": cloud_time(snapshot.created),
            **self._place(),
        }

    def host(self, host: Host) -> dict[str, Any]:
        """A row of listHosts."""
        return {
            "id": host.id,
            "name": host.name,
            "state": host.state,
            "resourcestate": "Enabled",
            "type": "Routing",
            "hypervisor": HYPERVISOR,
            "zoneid": self._cloud.zone_id,
            "zonename": self._cloud.zone_name,
        }

    def job(self, job: AsyncJob) -> dict[str, Any]:
        """The answer of queryAsyncJobResult and a row of listAsyncJobs (OSSEA facts 1.5)."""
        ended = job.status is not JobStatus.PENDING
        row = {
            "accountid": self._cloud.zone_id,
            "userid": self._cloud.zone_id,
            "cmd": f"org.apache.cloudstack.api.command.{job.command[0].upper()}{job.command[1:]}Cmd",
            "jobid": job.id,
            "jobstatus": int(job.status),
            "jobprocstatus": 0,
            "jobresultcode": job.result_code,
            "jobresulttype": "object" if job.result is not None else None,
            "jobresult": job.result,
            "jobinstancetype": job.instance_type,
            "jobinstanceid": job.instance_id,
            "created": cloud_time(job.created),
            "completed": cloud_time(job.completed) if ended and job.completed else None,
        }
        return without_nulls(row)
