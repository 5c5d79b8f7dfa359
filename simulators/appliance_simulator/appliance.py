"""One pretend appliance: OSSEA, Volume Daemon and OMA database together, in this process, on loopback.

`simulator` runs it as an asynchronous context manager:

    async with simulator("sqlite+aiosqlite:////tmp/oma.db") as appliance:
        built = await appliance.build("F11", vm_name="pgtest1", disks=3)
"""

import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass, field
from typing import Any

from sqlalchemy import insert, update
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance_simulator import schema
from appliance_simulator.async_jobs import AsyncJobs
from appliance_simulator.cloud import Cloud
from appliance_simulator.cloud_commands import CloudCommands, CloudRights
from appliance_simulator.cloud_views import Views
from appliance_simulator.connections import Connections, serve
from appliance_simulator.control_api import control_app
from appliance_simulator.database import clock_at, create_schema, has_schema, open_engine
from appliance_simulator.faults import Faults, Latencies
from appliance_simulator.journal import Journal
from appliance_simulator.leftovers import LEFTOVERS
from appliance_simulator.ossea_api import OsseaApi, OsseaSettings
from appliance_simulator.ossea_lists import Lists
from appliance_simulator.ossea_signature import Credentials
from appliance_simulator.product_acts import ProductActs
from appliance_simulator.product_flows import Failover
from appliance_simulator.replicated_vm import ReplicatedVM, Site
from appliance_simulator.scene import Scene
from appliance_simulator.volume_daemon import DaemonSettings, VolumeDaemon
from appliance_simulator.volume_daemon_api import VolumeDaemonApi

DEFAULT_VCENTER = "vc01.example.com"
REPLICATED_BEFORE_FAILOVER_SECONDS = 3600


@dataclass(frozen=True)
class Built:
    """What `build` made.

    Attributes:
        row: Row of the failure table, or `replicated`.
        vm: The replicated VM.
        failover_job_id: Id of the failover's rows; None where the failover has no `failover_jobs` row.
        destination_vm_id: The VM the failover created, whether recorded or not.
        snapshot_ids: Snapshots the failover took, by volume id.
    """

    row: str
    vm: ReplicatedVM
    failover_job_id: str | None = None
    destination_vm_id: str | None = None
    snapshot_ids: dict[str, str] = field(default_factory=dict)

    @property
    def volume_ids(self) -> tuple[str, ...]:
        """The VM's volumes, the OS disk first."""
        return tuple(disk.volume_id for disk in self.vm.disks)

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {**asdict(self), "volume_ids": list(self.volume_ids)}


class SimulatedAppliance:
    """Handle on a running simulator: addresses, builders, and a look inside.

    Attributes:
        cloud: VMs, volumes, snapshots.
        jobs: Asynchronous jobs of the cloud.
        journal: What reached it and what it did.
        faults: What goes wrong.
        latencies: How long work takes.
        rights: What the OSSEA account may do.
        ossea_settings: How the OSSEA server is configured.
        daemon: The Volume Daemon.
        vms: Replicated VMs that were built, by name; of equal names the newest.
        product: What the product does by itself in the middle of somebody else's work.
    """

    def __init__(self, database_url: str, engine: AsyncEngine, credentials: Credentials, oma_vm_id: str | None) -> None:
        self.database_url = database_url
        self.engine = engine
        self.credentials = credentials
        self.ossea_url = ""
        self.daemon_url = ""
        self.control_url = ""
        self.journal = Journal()
        self.faults = Faults()
        self.latencies = Latencies()
        self.rights = CloudRights()
        self.ossea_settings = OsseaSettings()
        self.jobs = AsyncJobs()
        self.cloud = Cloud(self.journal, oma_vm_id)
        self.ossea_connections = Connections()
        self.daemon_connections = Connections()
        views = Views(self.cloud, self.jobs)
        self.commands = CloudCommands(self.cloud, self.jobs, views, self.faults, self.latencies, self.rights)
        self.lists = Lists(self.cloud, self.jobs, views, self.rights)
        self.daemon = VolumeDaemon(engine, self.commands, self.faults, self.latencies, self.journal, DaemonSettings())
        self.vms: dict[str, ReplicatedVM] = {}
        self._scenes: dict[str, Scene] = {}
        self._ossea_apis: list[OsseaApi] = []
        self.product = ProductActs(self.site, self.vms, self._scenes)

    @property
    def api_key(self) -> str:
        """Key of the OSSEA account."""
        return self.credentials.api_key

    @property
    def secret_key(self) -> str:
        """Secret of the OSSEA account."""
        return self.credentials.secret_key

    @property
    def oma_vm_id(self) -> str:
        """The appliance's own VM."""
        return self.cloud.oma_vm_id

    @contextlib.asynccontextmanager
    async def site(self) -> AsyncIterator[Site]:
        """A transaction on the OMA database together with the cloud."""
        async with self.engine.begin() as connection:
            yield Site(connection, self.cloud)

    # --- building -----------------------------------------------------------------------------------------------

    async def replicate(
        self, vm_name: str, *, disks: int = 3, vcenter_host: str = DEFAULT_VCENTER, age_seconds: float = 7200.0
    ) -> Built:
        """A VM whose replication ended `age_seconds` ago and that never failed over."""
        async with self.site() as site:
            vm = await site.replicate(vm_name, disks=disks, vcenter_host=vcenter_host, epoch=time.time() - age_seconds)
        self.vms[vm_name] = vm
        return Built("replicated", vm)

    async def build(
        self,
        row: str,
        *,
        vm_name: str,
        disks: int = 3,
        vcenter_host: str = DEFAULT_VCENTER,
        age_seconds: float = 7200.0,
        kind: str | None = None,
    ) -> Built:
        """A replicated VM in the leftover state of a row.

        Args:
            row: Row id of the failure table, for example `F11`.
            vm_name: Name of the source VM.
            disks: Number of disks, at least one.
            vcenter_host: vCenter of the source VM.
            age_seconds: How long ago the failover was requested; its steps took a second each.
            kind: `test` or `live`; by default what the row is about, else `test`.

        Raises:
            ValueError: Unknown row, no disk, or age not positive.
        """
        leftover = LEFTOVERS.get(row)
        if leftover is None:
            raise ValueError(f"unknown row {row}; known: {', '.join(sorted(LEFTOVERS))}")
        if age_seconds <= 0:
            raise ValueError(f"age_seconds must be positive, not {age_seconds}")
        replicated = time.time() - age_seconds - REPLICATED_BEFORE_FAILOVER_SECONDS
        async with self.site() as site:
            vm = await site.replicate(vm_name, disks=disks, vcenter_host=vcenter_host, epoch=replicated)
            scene = await Scene.begin(site, vm, kind or leftover.kind or "test", age_seconds)
            await leftover.tell(scene)
        self.vms[vm_name], self._scenes[vm_name] = vm, scene
        return _built(row, scene)

    async def fail_again(self, row: str, *, vm_name: str, age_seconds: float = 60.0, kind: str | None = None) -> Built:
        """A further failover of a VM that was built before, in the leftover state of a row; see `build`.

        Raises:
            KeyError: Unknown row, or no such VM.
        """
        leftover = LEFTOVERS[row]
        async with self.site() as site:
            scene = await Scene.begin(site, self.vms[vm_name], kind or leftover.kind or "test", age_seconds)
            await leftover.tell(scene)
        self._scenes[vm_name] = scene
        return _built(row, scene)

    async def add_healthy_failover(self, vm_name: str, *, age_seconds: float = 60.0) -> Built:
        """A newer, completed test failover: every volume on its running VM."""
        async with self.site() as site:
            scene = await Scene.begin(site, self.vms[vm_name], "test", age_seconds)
            await Failover(scene).succeed()
        self._scenes[vm_name] = scene
        return _built("F30", scene)

    async def wake_engine(self, vm_name: str, *, step: str = "vm-creation", deploys: bool = False) -> str | None:
        """The engine of the newest failover goes on now: it writes a step and may create its VM, unrecorded.

        Returns:
            Id of the VM it created.
        """
        async with self.site() as site:
            scene = await self._scenes[vm_name].resumed(site)
            flow = Failover(scene)
            await flow.wake(step)
            return flow.deploy().id if deploys else None

    async def add_running_replication(self, vm_name: str, *, idle_seconds: float = 0.0) -> str:
        """A replication that is writing, or was when last polled `idle_seconds` ago; gives its job id."""
        async with self.site() as site:
            return await site.running_replication(self.vms[vm_name], idle_seconds=idle_seconds)

    async def finish_sync(self, vm_name: str, disk_id: str | None = None, sync_type: str = "incremental") -> None:
        """A replication of one disk, or all, ends now and stores new change ids."""
        async with self.site() as site:
            await site.finish_sync(self.vms[vm_name], disk_id, sync_type)

    def set_state(self, object_id: str, state: str) -> None:
        """Somebody, or an accident, changes the state of a VM, volume, snapshot or host; no effect is noted.

        Raises:
            KeyError: No such object.
        """
        if state == "Running" and object_id in self.cloud.vms:
            self.commands.run(self.cloud.vms[object_id], self.cloud.any_host().id)
            return
        objects = self.cloud.vms | self.cloud.volumes | self.cloud.snapshots | self.cloud.hosts
        objects[object_id].state = state

    def set_option(self, **values: Any) -> None:
        """Change fields of `CloudRights`, `OsseaSettings` and `DaemonSettings` by name.

        Raises:
            ValueError: None of them has such a field.
        """
        for name, value in values.items():
            owner = next(
                (o for o in (self.rights, self.ossea_settings, self.daemon.settings) if hasattr(o, name)), None
            )
            if owner is None:
                raise ValueError(f"unknown option {name}")
            setattr(owner, name, value)

    # --- looking in ---------------------------------------------------------------------------------------------

    def contents(self, vm_name: str | None = None) -> dict[str, str]:
        """What volumes hold, by volume id: all, or those of one replicated VM."""
        everything = self.cloud.contents()
        if vm_name is None:
            return everything
        return {disk.volume_id: everything[disk.volume_id] for disk in self.vms[vm_name].disks}

    def holders(self, vm_name: str) -> dict[str, str | None]:
        """Which VM holds each volume of a replicated VM."""
        return {disk.volume_id: self.cloud.volumes[disk.volume_id].virtualmachineid for disk in self.vms[vm_name].disks}

    def state(self) -> dict[str, Any]:
        """The cloud as plain JSON values."""
        return {
            "oma_vm_id": self.oma_vm_id,
            "volumes": {volume.id: asdict(volume) for volume in self.cloud.volumes.values()},
            "virtual_machines": {vm.id: asdict(vm) for vm in self.cloud.vms.values()},
            "snapshots": {snapshot.id: asdict(snapshot) for snapshot in self.cloud.snapshots.values()},
            "vm_snapshots": {snapshot.id: asdict(snapshot) for snapshot in self.cloud.vm_snapshots.values()},
            "hosts": {host.id: asdict(host) for host in self.cloud.hosts.values()},
            "replicated_vms": {name: asdict(vm) for name, vm in self.vms.items()},
            "pending_jobs": [job.id for job in self.jobs.pending()],
        }

    def address(self) -> dict[str, Any]:
        """Everything another process needs to use the appliance; it holds the account's secret."""
        return {
            "ossea_url": self.ossea_url,
            "daemon_url": self.daemon_url,
            "control_url": self.control_url,
            "database_url": self.database_url,
            "api_key": self.api_key,
            "secret_key": self.secret_key,
            "oma_vm_id": self.oma_vm_id,
        }

    # --- life ---------------------------------------------------------------------------------------------------

    def ossea_app(self) -> Any:
        """OSSEA as an ASGI application."""
        api = OsseaApi(
            self.commands,
            self.lists,
            self.credentials,
            self.ossea_settings,
            self.faults,
            self.journal,
            self.ossea_connections,
        )
        self._ossea_apis.append(api)
        return api.app()

    def daemon_app(self) -> Any:
        """The Volume Daemon as an ASGI application."""
        return VolumeDaemonApi(self.daemon, self.faults, self.journal, self.daemon_connections).app()

    async def configure(self) -> None:
        """Make this appliance the one active row of `ossea_configs`."""
        table = schema.ossea_configs
        async with self.engine.begin() as connection:
            now = (await clock_at(connection)).local(time.time())
            await connection.execute(update(table).values(is_active=False))
            await connection.execute(
                insert(table).values(
                    name=f"ossea-{secrets.token_hex(4)}",
                    api_url=self.ossea_url,
                    api_key=self.api_key,
                    secret_key=self.secret_key,
                    domain="ROOT",
                    zone=self.cloud.zone_id,
                    oma_vm_id=self.oma_vm_id,
                    created_at=now,
                    updated_at=now,
                    is_active=True,
                )
            )

    async def rotate_keys(self) -> None:
        """The account gets a new key pair, which the OMA is told of; the old one is refused from now on."""
        self.credentials = Credentials(secrets.token_urlsafe(64), secrets.token_urlsafe(64))
        for api in self._ossea_apis:
            api.credentials = self.credentials
        table = schema.ossea_configs
        async with self.engine.begin() as connection:
            await connection.execute(
                update(table).where(table.c.is_active).values(api_key=self.api_key, secret_key=self.secret_key)
            )

    async def restart_management_server(self, *, work_continues: bool = False) -> None:
        """OSSEA restarts: pending jobs fail without a result, a revert's volume stays RevertSnapshotting.

        Args:
            work_continues: What hosts were told to do they do all the same, and nobody is told.
        """
        self.jobs.fail_pending(work_continues=work_continues)

    async def restart_daemon(self) -> None:
        """The Volume Daemon restarts: running operations stay `executing` for ever."""
        await self.daemon.abandon_operations()

    async def close(self) -> None:
        """Stop all work in progress."""
        await self.daemon.abandon_operations()
        await self.jobs.close()
        await self.engine.dispose()


def _built(row: str, scene: Scene) -> Built:
    by_disk = {disk.disk_id: disk.volume_id for disk in scene.vm.disks}
    return Built(
        row,
        scene.vm,
        scene.failover_job_id,
        scene.destination.id if scene.destination else None,
        {by_disk[disk_id]: snapshot.id for disk_id, snapshot in scene.snapshots.items()},
    )


@contextlib.asynccontextmanager
async def simulator(
    database_url: str,
    *,
    ossea_port: int = 0,
    daemon_port: int = 0,
    control_port: int = 0,
    api_key: str | None = None,
    secret_key: str | None = None,
    oma_vm_id: str | None = None,
) -> AsyncIterator[SimulatedAppliance]:
    """Run an appliance on loopback.

    The tables are created when the database has none. The cloud is in memory: it starts empty but for the OMA's VM.

    Args:
        database_url: `mysql+asyncmy://…` or `sqlite+aiosqlite:///…` (a file).
        ossea_port: TCP port; 0 takes a free one.
        daemon_port: TCP port; 0 takes a free one.
        control_port: TCP port of the control API; 0 takes a free one.
        api_key: Key of the account; made up by default.
        secret_key: Secret of the account; made up by default.
        oma_vm_id: UUID of the appliance's VM; made up by default.
    """
    engine = open_engine(database_url)
    credentials = Credentials(api_key or secrets.token_urlsafe(64), secret_key or secrets.token_urlsafe(64))
    appliance = SimulatedAppliance(database_url, engine, credentials, oma_vm_id)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(appliance.close)
        if not await has_schema(engine):
            await create_schema(database_url)
        ossea = serve(appliance.ossea_app(), ossea_port, appliance.ossea_connections)
        daemon = serve(appliance.daemon_app(), daemon_port, appliance.daemon_connections)
        appliance.ossea_url = f"{await stack.enter_async_context(ossea)}/client/api"
        appliance.daemon_url = await stack.enter_async_context(daemon)
        appliance.control_url = await stack.enter_async_context(serve(control_app(appliance), control_port))
        await appliance.configure()
        yield appliance
