"""The operator as a process between a Kubernetes API and an appliance that live in the test: both can be disturbed and looked into."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from appliance_simulator import SimulatedAppliance, simulator
from appliance_simulator.appliance import Built
from appliance_simulator.journal import Effect
from development.preloaded import start_program
from development.processes import Process
from development.stand import QUICK
from kubernetes_emulator import Emulator, emulator
from kubernetes_emulator.kinds import NAMESPACES, Kind
from tests.faults.trials import until

ROOT: Final = Path(__file__).resolve().parents[2]
OPERATOR_NAMESPACE: Final = "failed-execution-cleanup"
NAMESPACE: Final = "dr"
CLEANUPS: Final = "failedexecutioncleanups"
GROUP: Final = "failover.ossea.io"
MERGE: Final = "application/merge-patch+json"
RESYNC_SECONDS: Final = 2.0
CLEAN: Final = (("True", "Cleaned"), ("True", "AlreadyClean"))
"""Status and reason of a cleanup that reached its goal; the second where it was asked for again."""
WORK_SECONDS: Final = {"detachVolume": 0.1, "revertSnapshot": 0.3, "deleteSnapshot": 0.1, "attachVolume": 0.1}


@dataclass
class Installation:
    """One appliance, one namespace of cleanups, operators that come and go.

    Attributes:
        built: what was made of each VM, by name.
    """

    api: Emulator
    appliance: SimulatedAppliance
    directory: Path
    operators: list[Process] = field(default_factory=list)
    built: dict[str, Built] = field(default_factory=dict)

    @property
    def kind(self) -> Kind:
        """FailedExecutionCleanup as the API serves it."""
        return self.api.objects.kinds[GROUP, CLEANUPS]

    def start_operator(self, **environment: str) -> Process:
        """Start one more operator process."""
        kubeconfig = self.directory / "kubeconfig"
        kubeconfig.write_text(json.dumps(self.api.kubeconfig()))
        process = start_program(
            f"operator-{len(self.operators) + 1}",
            "failed_execution_cleanup",
            "run",
            log=self.directory / f"operator-{len(self.operators) + 1}.log",
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT / "operator"),
                "KUBECONFIG": str(kubeconfig),
                "FEC_NAMESPACE": OPERATOR_NAMESPACE,
                "FEC_WATCH_NAMESPACES": json.dumps([NAMESPACE]),
                "FEC_HEALTH_PORT": "0",
                "FEC_LEASE_SECONDS": "15",
                "FEC_HTTP_TIMEOUT_SECONDS": "10",
                "FEC_RESYNC_SECONDS": str(RESYNC_SECONDS),
                **environment,
            },
        )
        self.operators.append(process)
        return process

    async def stop_operator(self, process: Process) -> None:
        """End an operator in order; the API and the appliance go on answering meanwhile."""
        await asyncio.to_thread(process.stop, grace_seconds=30)

    async def stuck(self, row: str, vm_name: str, *, disks: int = 2, **arguments: Any) -> Built:
        """A VM in a leftover state."""
        self.built[vm_name] = await self.appliance.build(row, vm_name=vm_name, disks=disks, **arguments)
        return self.built[vm_name]

    def create(self, name: str, vm_name: str | None = None, **spec: Any) -> dict[str, Any]:
        """Create a cleanup of a VM."""
        wanted = {"vmName": vm_name or name, "applianceRef": {"name": "default"}, **spec}
        return self.api.objects.create(self.kind, NAMESPACE, {"metadata": {"name": name}, "spec": wanted})

    def get(self, name: str) -> dict[str, Any]:
        """A cleanup as stored."""
        return self.api.objects.get(self.kind, NAMESPACE, name)

    def patch(self, name: str, patch: Mapping[str, Any], *, status: bool = False) -> dict[str, Any]:
        """Change a cleanup by a merge patch, as a person does."""
        return self.api.objects.patch(self.kind, NAMESPACE, name, patch, MERGE, status=status)

    def replace_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Put another status in the place of the present one, as a restore from a backup does."""
        body = {field: value for field, value in self.get(name).items() if field != "status"}
        self.api.objects.replace(self.kind, NAMESPACE, name, {**body, "status": dict(status)}, status=True)

    def delete(self, name: str) -> None:
        """Delete a cleanup; it stays as long as a finalizer holds it."""
        self.api.objects.delete(self.kind, NAMESPACE, name, {})

    def strip_finalizers(self, name: str) -> None:
        """Take every finalizer off, as a person in a hurry does."""
        self.patch(name, {"metadata": {"finalizers": None}})

    def exists(self, name: str) -> bool:
        """Whether there is a cleanup of this name."""
        return self.api.objects.store.get(self.kind, (NAMESPACE, name)) is not None

    def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of the condition Ready; two empty texts without one."""
        conditions = self.get(name).get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))

    async def wait(self, reached: Callable[[], object], *, seconds: float = 240.0, what: str) -> None:
        """Wait for something; an operator that ends meanwhile is an error."""

        def now() -> object:
            self.operators[-1].ensure_running()
            return reached()

        await until(now, seconds=seconds, what=what)

    async def cleaned(self, *names: str, seconds: float = 240.0) -> None:
        """Wait until cleanups are over and let go, and look at what they did to their VMs.

        Raises:
            AssertionError: a VM is not as it should be.
        """
        for name in names:
            await self.wait(
                lambda name=name: self.ready(name) in CLEAN,  # type: ignore[misc]
                seconds=seconds,
                what=f"{name} is Cleaned; it is {self.ready(name)}",
            )
            await self.wait(
                lambda name=name: not self.get(name)["metadata"].get("finalizers"),  # type: ignore[misc]
                seconds=30,
                what=f"{name} has no finalizer",
            )
            assert self.wrong(self.get(name)["spec"]["vmName"]) == []

    def wrong(self, vm_name: str) -> list[str]:
        """What is not as a finished cleanup leaves it; empty when all is well."""
        contents, holders = self.appliance.contents(vm_name), self.appliance.holders(vm_name)
        found = [f"{v} holds {content}" for v, content in contents.items() if content != "replica:1"]
        found += [f"{v} is on {vm}" for v, vm in holders.items() if vm != self.appliance.oma_vm_id]
        snapshots = [self.appliance.cloud.snapshots[s] for s in self.built[vm_name].snapshot_ids.values()]
        return found + [f"snapshot {s.id} is {s.state}" for s in snapshots if s.state != "Destroyed"]

    def executed_twice(self) -> list[str]:
        """Effects that came more than once on one object."""
        times = Counter((e.kind, e.object_id) for e in self.appliance.journal.entries if isinstance(e, Effect))
        return [f"{object_id} was {kind} {count} times" for (kind, object_id), count in times.items() if count > 1]

    def sent_about(self, vm_name: str) -> int:
        """Mutating requests about a VM's volumes and snapshots that reached the appliance."""
        built = self.built[vm_name]
        ours = {*built.volume_ids, *built.snapshot_ids.values()}
        return sum(bool(ours & set(request.object_ids)) for request in self.appliance.journal.requests())

    def writes(self) -> Counter[tuple[str, str]]:
        """Mutating requests that reached the API, but for the operator's Lease and its Events."""
        served = ("leases", "events")
        counted = self.api.disturbances.writes
        return Counter({key: n for key, n in counted.items() if not any(f"/{plural}" in key[1] for plural in served)})


@contextlib.asynccontextmanager
async def installed(directory: Path, database_url: str | None = None, **settings: Any) -> AsyncIterator[Installation]:
    """API and appliance, and no operator yet; on a failure the operators' logs are shown.

    Args:
        directory: for logs and, without a database, for SQLite's file.
        database_url: an empty database for the appliance.
        settings: fields of the Appliance's spec.
    """
    url = database_url or f"sqlite+aiosqlite:///{directory}/oma.db"
    async with emulator(crds=ROOT / "crds", bookmark_seconds=1.0) as api, simulator(url) as appliance:
        for command, seconds in WORK_SECONDS.items():
            appliance.latencies.set(command, seconds)
        here = Installation(api, appliance, directory)
        _install(here, url, settings)
        try:
            yield here
        except BaseException:
            for process in here.operators:
                sys.stderr.write(f"--- {process.name}\n{process.log_tail(80)}\n")
            raise
        finally:
            for process in here.operators:
                await asyncio.to_thread(process.stop, grace_seconds=30)


def _install(here: Installation, database_url: str, settings: Mapping[str, Any]) -> None:
    objects = here.api.objects
    for name in (OPERATOR_NAMESPACE, NAMESPACE):
        objects.create(NAMESPACES, None, {"metadata": {"name": name}})
    secret = {"metadata": {"name": "oma-database"}, "stringData": {"url": database_url}}
    objects.create(objects.kinds["", "secrets"], OPERATOR_NAMESPACE, secret)
    spec = {
        "allowedNamespaces": [NAMESPACE],
        "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
        "volumeDaemon": {"url": here.appliance.daemon_url},
        **QUICK,
        **settings,
    }
    appliance = {"metadata": {"name": "default"}, "spec": spec}
    objects.create(objects.kinds[GROUP, "appliances"], None, appliance)
