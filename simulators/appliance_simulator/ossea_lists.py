"""The reading commands of OSSEA: lists with filters and paging, jobs, capabilities (OSSEA facts 1.4, 1.5, 1.8, 2)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from appliance_simulator.async_jobs import AsyncJobs
from appliance_simulator.cloud import Cloud, CloudError, Snapshot, VirtualMachine, Volume, never_existed
from appliance_simulator.cloud_commands import CloudRights
from appliance_simulator.cloud_views import Views

PAGE_LIMIT: Final = 500

Parameters: TypeAlias = Mapping[str, str]
Entity = TypeVar("Entity")


class Lists:
    """Every command that only reads."""

    def __init__(self, cloud: Cloud, jobs: AsyncJobs, views: Views, rights: CloudRights) -> None:
        self._cloud = cloud
        self._jobs = jobs
        self._views = views
        self._rights = rights

    def commands(self) -> dict[str, Callable[[Parameters], dict[str, Any]]]:
        """The commands by name; each gives the body of its answer."""
        return {
            "listVirtualMachines": self.virtual_machines,
            "listVolumes": self.volumes,
            "listSnapshots": self.snapshots,
            "listVMSnapshot": self.vm_snapshots,
            "listHosts": self.hosts,
            "listZones": self.zones,
            "listCapabilities": self.capabilities,
            "listAsyncJobs": self.async_jobs,
            "queryAsyncJobResult": self.job_result,
        }

    def virtual_machines(self, p: Parameters) -> dict[str, Any]:
        """`name` is a substring; `state=present` leaves out Destroyed and Expunging."""

        def shown(vm: VirtualMachine) -> bool:
            gone = vm.state in ("Destroyed", "Expunging")
            state = p.get("state")
            return (
                (self._rights.see_destroyed_vms or not gone)
                and (state is None or (not gone if state == "present" else vm.state.lower() == state.lower()))
                and p.get("name", "").lower() in vm.name.lower()
                and p.get("hostid") in (None, vm.host_id)
            )

        found = _by_id(self._cloud.vms, p, lambda vm: vm.removed)
        return _page(p, "virtualmachine", map(self._views.virtual_machine, filter(shown, found)))

    def volumes(self, p: Parameters) -> dict[str, Any]:
        """`name` is exact, `type` a pattern, `virtualmachineid` the VM that holds them."""
        if "virtualmachineid" in p:
            _check_known(self._cloud.vms, p["virtualmachineid"], "virtualmachineid")

        def shown(volume: Volume) -> bool:
            return (
                p.get("virtualmachineid") in (None, volume.virtualmachineid)
                and p.get("name") in (None, volume.name)
                and p.get("type", "").upper() in volume.type.value
                and p.get("state", volume.state).lower() == volume.state.lower()
            )

        found = _by_id(self._cloud.volumes, p, lambda volume: volume.removed)
        return _page(p, "volume", map(self._views.volume, filter(shown, found)))

    def snapshots(self, p: Parameters) -> dict[str, Any]:
        """Without Destroyed ones; of one volume with `volumeid`."""
        if "volumeid" in p:
            _check_known(self._cloud.volumes, p["volumeid"], "volumeid")

        def shown(snapshot: Snapshot) -> bool:
            return (
                snapshot.state != "Destroyed"
                and p.get("volumeid") in (None, snapshot.volume_id)
                and p.get("name", "") in snapshot.name
            )

        found = _by_id(self._cloud.snapshots, p, lambda snapshot: snapshot.removed)
        return _page(p, "snapshot", map(self._views.snapshot, filter(shown, found)))

    def vm_snapshots(self, p: Parameters) -> dict[str, Any]:
        """Snapshots of whole VMs; the array's name has a capital letter."""
        found = [
            snapshot
            for snapshot in self._cloud.vm_snapshots.values()
            if p.get("virtualmachineid") in (None, snapshot.virtualmachineid)
            and p.get("vmsnapshotid") in (None, snapshot.id)
        ]
        return _page(p, "vmSnapshot", map(self._views.vm_snapshot, found))

    def hosts(self, p: Parameters) -> dict[str, Any]:
        """Administrators only."""
        if not self._rights.list_hosts:
            raise CloudError(432, "The user is not allowed to request the API command listHosts.")
        return _page(p, "host", map(self._views.host, _by_id(self._cloud.hosts, p, lambda _host: False)))

    def zones(self, p: Parameters) -> dict[str, Any]:
        """The one zone."""
        zone = {"id": self._cloud.zone_id, "name": self._cloud.zone_name, "allocationstate": "Enabled"}
        return _page(p, "zone", [zone])

    def capabilities(self, _p: Parameters) -> dict[str, Any]:
        """What the account may do."""
        capability = {
            "allowuserexpungerecovervm": self._rights.expunge,
            "allowuserviewdestroyedvm": self._rights.see_destroyed_vms,
            "allowuserforcestopvm": self._rights.force_stop,
            "kvmsnapshotenabled": True,
            "cloudstackversion": "4.20.0.0",
        }
        return {"capability": capability}

    def async_jobs(self, p: Parameters) -> dict[str, Any]:
        """Pending jobs only; `keyword` filters by command."""
        wanted = p.get("keyword", "").lower()
        pending = [job for job in self._jobs.pending() if wanted in job.command.lower()]
        return _page(p, "asyncjobs", map(self._views.job, pending))

    def job_result(self, p: Parameters) -> dict[str, Any]:
        """One job; 431 when it is unknown or purged."""
        job = self._jobs.jobs.get(p.get("jobid", ""))
        if job is None:
            raise never_existed("jobid", p.get("jobid", ""))
        row = self._views.job(job)
        result = row.get("jobresult", {})
        if "errortext" in result:
            row["jobresult"] = result | {"errortext": self._rights.readable(job.result_code, result["errortext"])}
        return row


def _check_known(entities: Mapping[str, Any], entity_id: str, name: str) -> None:
    if entity_id not in entities:
        raise never_existed(name, entity_id)


def _by_id(entities: Mapping[str, Entity], p: Parameters, removed: Callable[[Entity], bool]) -> list[Entity]:
    """All that are not removed, or those of `id` and `ids`; an id that never existed is a 431."""
    ids = [p["id"]] if "id" in p else [entity_id for entity_id in p.get("ids", "").split(",") if entity_id]
    for entity_id in ids:
        _check_known(entities, entity_id, "id")
    chosen = [entities[entity_id] for entity_id in ids] if ids else list(entities.values())
    return [entity for entity in chosen if not removed(entity)]


def _page(p: Parameters, name: str, rows: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The body of a list: nothing at all when empty, only `count` beyond the last page."""
    if ("page" in p) != ("pagesize" in p):
        raise CloudError(431, "page and pagesize must be given together.")
    try:
        page, size = int(p.get("page", "1")), int(p.get("pagesize", str(PAGE_LIMIT)))
    except ValueError:
        raise CloudError(430, "page and pagesize must be numbers.") from None
    if size > PAGE_LIMIT:
        raise CloudError(431, f"Page size can not exceed max allowed page size {PAGE_LIMIT}.")
    if page < 1 or size < 1:
        raise CloudError(431, "page and pagesize must be positive.")
    everything = list(rows)
    if not everything:
        return {}
    shown = everything[(page - 1) * size : page * size]
    return {"count": len(everything), name: shown} if shown else {"count": len(everything)}
