"""A whole installation on this machine: pretend appliance, custom resources, RBAC and the operator as a real process.

Used by the cluster and crash tests. The operator runs with the token and the rights of its own service account.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx
import yaml
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from development.control_plane import ControlPlane, KubectlError, namespace_with_account
from development.preloaded import start_program
from development.processes import Process

ROOT: Final = Path(__file__).resolve().parent.parent
PRODUCT_NAMESPACE: Final = "failed-execution-cleanup"
SHIPPED_RIGHTS: Final = (
    "base/rbac.yaml",
    "base/roles.yaml",
    "base/admission-policy.yaml",
    "components/console/rbac.yaml",
)
"""Files of `manifests` with roles, their bindings and policies, for a whole cluster."""
QUICK: Final[dict[str, Any]] = {
    "settle": {"quietSeconds": 1, "revertQuietSeconds": 2, "revertSecondsPerGiB": 0},
    "limits": {"requestsPerSecond": 200},
}
"""Times of an appliance under test: what takes minutes in production takes a second."""


class Stand:
    """One appliance, one operator, one namespace for the operator and one for cleanups; a context manager.

    Attributes:
        namespace: where cleanups live.
        operator_namespace: where the operator, its Lease and the Secrets live.
        appliance: name of the Appliance.
        service_account: of the operators; whoever installs another one says so before the first is started.
        simulator: HTTP client of the simulator's control API.
        operators: the operator processes that were started, in order.
        database_url: SQLAlchemy URL of the OMA database; on MariaDB it holds a password.
        preloaded: whether operators are forked from a process that has imported them; else they start from disk, and their memory is
            their own.
    """

    def __init__(
        self,
        control_plane: ControlPlane,
        database_url: str | None = None,
        *,
        settings: Mapping[str, Any] | None = None,
        installed: Callable[[Stand], Iterable[Mapping[str, Any]]] | None = None,
    ) -> None:
        """Prepare names; nothing is started yet.

        Args:
            control_plane: a running one.
            database_url: empty MariaDB database for the appliance; SQLite in a temporary directory when omitted.
            settings: fields of the Appliance's spec, over `QUICK`.
            installed: what is installed instead of the shipped rights, for the names that the stand has by then.
        """
        suffix = uuid.uuid4().hex[:8]
        self.control_plane = control_plane
        self.directory = Path(tempfile.mkdtemp(prefix="stand-"))
        self.namespace = f"dr-{suffix}"
        self.operator_namespace = f"fec-{suffix}"
        self.appliance = f"oma-{suffix}"
        self.database_url = database_url or f"sqlite+aiosqlite:///{self.directory / 'oma.db'}"
        self.service_account = PRODUCT_NAMESPACE
        self._settings = {**QUICK, **(settings or {})}
        self._installed = installed or Stand._base
        self._processes: list[Process] = []
        self.operators: list[Process] = []
        self.preloaded = True
        self.simulator = httpx.Client(trust_env=False, timeout=60)

    def __enter__(self) -> Self:
        try:
            self._start_simulator()
            self._install()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            for process in self._processes:
                sys.stderr.write(f"--- {process.name}\n{process.log_tail(60)}\n")
        self.stop()

    def stop(self) -> None:
        """End all processes and remove the temporary directory."""
        self.simulator.close()
        for process in reversed(self._processes):
            process.stop(grace_seconds=5)
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- the operator -------------------------------------------------------------------------------------------

    def start_operator(self, **environment: str) -> Process:
        """Start an operator process; it logs to the stand's directory."""
        number = len(self.operators) + 1
        kubeconfig = self.control_plane.service_account_kubeconfig(self.operator_namespace, self.service_account)
        env = {
            **os.environ,
            "PYTHONPATH": str(ROOT / "operator"),
            "KUBECONFIG": str(kubeconfig),
            "FEC_NAMESPACE": self.operator_namespace,
            "FEC_WATCH_NAMESPACES": json.dumps([self.namespace]),
            "FEC_APPLIANCES": json.dumps([self.appliance]),
            "FEC_HEALTH_PORT": "0",
            # A busy machine loses a shorter one, and the operator ends as it should.
            "FEC_LEASE_SECONDS": "30",
            "FEC_HTTP_TIMEOUT_SECONDS": "5",
            **environment,
        }
        name, log = f"operator-{number}", self.directory / f"operator-{number}.log"
        if self.preloaded:
            process = start_program(name, "failed_execution_cleanup", "run", log=log, env=env)
        else:
            process = Process.start(name, [sys.executable, "-m", "failed_execution_cleanup", "run"], log=log, env=env)
        self._processes.append(process)
        self.operators.append(process)
        return process

    # --- the appliance ------------------------------------------------------------------------------------------

    def build(self, row: str, vm_name: str, **arguments: Any) -> dict[str, Any]:
        """Put a new VM into a leftover state."""
        return self._post("build", {"row": row, "vm_name": vm_name, **arguments})

    def act(self, action: str, **arguments: Any) -> dict[str, Any]:
        """Run an action of the simulator."""
        return self._post("actions", {"action": action, **arguments})

    def fault(self, **arguments: Any) -> None:
        """Arm a fault of the simulator."""
        self._post("faults", arguments)

    def latency(self, **seconds: float) -> None:
        """Set how long commands take."""
        self._post("latency", seconds)

    def state(self) -> dict[str, Any]:
        """Volumes, VMs and snapshots by id."""
        return self._get("state")

    def requests(self, command: str | None = None, *, about: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Mutating requests of clients that reached OSSEA or the daemon, in order.

        Args:
            command: only requests of this command.
            about: a built VM; only requests that name one of its volumes, snapshots or the VM its failover made.
        """
        named = None if about is None else objects_of(about)
        return [
            entry
            for entry in self.journal()
            if entry["entry"] == "request"
            and entry["caller"] == "client"
            and command in (None, entry["command"])
            and (named is None or named & set(entry["object_ids"]))
        ]

    def effects(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Changes of the cloud, in order."""
        return [entry for entry in self.journal() if entry["entry"] == "effect" and kind in (None, entry["kind"])]

    def journal(self) -> list[dict[str, Any]]:
        """Mutating requests and changes of the cloud, in order."""
        entries: list[dict[str, Any]] = self._get("journal")["entries"]
        return entries

    def contents(self, built: Mapping[str, Any]) -> dict[str, str]:
        """What the volumes of a built VM hold."""
        volumes = self.state()["volumes"]
        return {volume_id: volumes[volume_id]["content"] for volume_id in built["volume_ids"]}

    def holders(self, built: Mapping[str, Any]) -> set[str | None]:
        """Which VMs hold the volumes of a built VM."""
        volumes = self.state()["volumes"]
        return {volumes[volume_id]["virtualmachineid"] for volume_id in built["volume_ids"]}

    def snapshots(self, built: Mapping[str, Any]) -> list[dict[str, Any]]:
        """Snapshots that OSSEA still has of the volumes of a built VM."""
        return [
            snapshot
            for snapshot in self.state()["snapshots"].values()
            if snapshot["volume_id"] in built["volume_ids"] and snapshot["state"] != "Destroyed"
        ]

    def rows(self, statement: str, **parameters: object) -> list[dict[str, Any]]:
        """Run a statement on the OMA database and return the rows of its result, if it has any."""

        async def run() -> list[dict[str, Any]]:
            engine = create_async_engine(self.database_url, poolclass=NullPool)
            try:
                async with engine.begin() as connection:
                    result = await connection.execute(text(statement), parameters)
                    return [dict(row) for row in result.mappings()] if result.returns_rows else []
            finally:
                await engine.dispose()

        return asyncio.run(run())

    @property
    def oma_vm_id(self) -> str:
        """The appliance's own VM."""
        return str(self.state()["oma_vm_id"])

    # --- the cluster --------------------------------------------------------------------------------------------

    def manifest(self, name: str, vm_name: str, **spec: Any) -> dict[str, Any]:
        """A cleanup as a person would write it."""
        return {
            "apiVersion": "failover.ossea.io/v1alpha1",
            "kind": "FailedExecutionCleanup",
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"vmName": vm_name, "applianceRef": {"name": self.appliance}, **spec},
        }

    def apply_cleanup(self, name: str, vm_name: str, **spec: Any) -> None:
        """`kubectl apply` a cleanup."""
        self.apply(self.manifest(name, vm_name, **spec))

    def apply(self, *documents: Mapping[str, Any]) -> None:
        """`kubectl apply` documents."""
        self.control_plane.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(documents))

    def annotate(self, name: str, **annotations: str) -> None:
        """Set annotations `failover.ossea.io/…` on a cleanup."""
        pairs = [f"failover.ossea.io/{key}={value}" for key, value in annotations.items()]
        self.kubectl("annotate", "--overwrite", f"fec/{name}", *pairs)

    def kubectl(self, *arguments: str) -> str:
        """Run kubectl in the cleanups' namespace as the administrator and return what it prints."""
        return self.control_plane.kubectl(f"--namespace={self.namespace}", *arguments).stdout

    def cleanup(self, name: str) -> dict[str, Any]:
        """A cleanup as stored."""
        return self._read(f"apis/failover.ossea.io/v1alpha1/namespaces/{self.namespace}/failedexecutioncleanups/{name}")

    def wait_for(self, name: str, condition: str, *, seconds: int = 90) -> dict[str, Any]:
        """`kubectl wait --for=condition=…` and return the cleanup.

        Raises:
            KubectlError: it did not come to that in time; the message ends with the conditions it had.
        """
        self._wait(name, f"condition={condition}", seconds)
        return self.cleanup(name)

    def wait_for_reason(self, name: str, reason: str, *, seconds: int = 90) -> dict[str, Any]:
        """`kubectl wait` until Ready has this reason, whatever its status, and return the cleanup.

        Raises:
            KubectlError: it did not come to that in time; the message ends with the conditions it had.
        """
        self._wait(name, f"""jsonpath={{.status.conditions[?(@.type=="Ready")].reason}}={reason}""", seconds)
        return self.cleanup(name)

    def wait_until_handled(self, name: str, token: str, *, seconds: int = 90) -> dict[str, Any]:
        """`kubectl wait` until the status speaks of the run that `requestedAt` asked for, and return the cleanup.

        Raises:
            KubectlError: it did not come to that in time; the message ends with the conditions it had.
        """
        self._wait(name, f"jsonpath={{.status.lastHandledRequest}}={token}", seconds)
        return self.cleanup(name)

    def wait_until_gone(self, name: str, *, seconds: int = 90) -> None:
        """`kubectl wait --for=delete`.

        Raises:
            KubectlError: it was still there in the end.
        """
        self._wait(name, "delete", seconds)

    def _wait(self, name: str, awaited: str, seconds: int) -> None:
        deadline = time.monotonic() + seconds
        while True:
            left = max(1, min(25, int(deadline - time.monotonic())))
            command = ("wait", f"--for={awaited}", f"--timeout={left}s", f"fec/{name}")
            done = self.control_plane.kubectl(f"--namespace={self.namespace}", *command, check=False)
            if done.returncode == 0:
                return
            if time.monotonic() >= deadline:
                shown = self.control_plane.kubectl(
                    f"--namespace={self.namespace}",
                    "get",
                    "fec",
                    name,
                    "--output=jsonpath={.status.conditions}",
                    check=False,
                )
                raise KubectlError(done.returncode, command, done.stdout, f"{done.stderr}{shown.stdout}")

    def wait_until(self, reached: Callable[[], object], *, seconds: float = 60.0, what: str) -> None:
        """Poll until something holds.

        Raises:
            TimeoutError: it did not in time.
        """
        deadline = time.monotonic() + seconds
        while not reached():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not in {seconds:.0f} s: {what}")
            time.sleep(0.1)

    def events(self, name: str) -> list[dict[str, Any]]:
        """Events (events.k8s.io/v1) of the cleanup of this name that exists now, oldest first."""
        uid = self.cleanup(name)["metadata"]["uid"]
        items: list[dict[str, Any]] = self._read(f"apis/events.k8s.io/v1/namespaces/{self.namespace}/events")["items"]
        return sorted((e for e in items if e["regarding"]["uid"] == uid), key=lambda e: str(e["eventTime"]))

    def _read(self, path: str) -> dict[str, Any]:
        """An object or a list; tests ask again and again, which is too much for `kubectl`."""
        body: dict[str, Any] = self.control_plane.administrator.get(path).raise_for_status().json()
        return body

    def ready(self, name: str) -> tuple[str, str]:
        """Status and reason of the condition Ready; two empty texts when there is none."""
        conditions = self.cleanup(name).get("status", {}).get("conditions", [])
        return next(((c["status"], c["reason"]) for c in conditions if c["type"] == "Ready"), ("", ""))

    # --- starting -----------------------------------------------------------------------------------------------

    def _start_simulator(self) -> None:
        ready = self.directory / "simulator.json"
        process = start_program(
            "simulator",
            "appliance_simulator",
            *("--database", self.database_url, "--ready-file", ready),
            log=self.directory / "simulator.log",
            env={**os.environ, "PYTHONPATH": str(ROOT / "simulators")},
        )
        self._processes.append(process)
        process.wait_until(ready.exists, seconds=30)
        self.address: dict[str, Any] = json.loads(ready.read_text())

    def _install(self) -> None:
        self.control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
        self.control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", ROOT / "crds")
        self.apply(
            *(part for name in (self.namespace, self.operator_namespace) for part in namespace_with_account(name)),
            *self._installed(self),
            self.secret_manifest("oma-database", url=self.database_url),
            self.appliance_manifest(self.appliance),
        )

    def apply_secret(self, name: str, **values: str) -> None:
        """`kubectl apply` a Secret in the operator's namespace."""
        self.apply(self.secret_manifest(name, **values))

    def secret_manifest(self, name: str, **values: str) -> dict[str, Any]:
        """A Secret in the operator's namespace."""
        metadata = {"name": name, "namespace": self.operator_namespace}
        return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}

    def apply_appliance(self, name: str, **spec: Any) -> None:
        """`kubectl apply` an Appliance that is this stand's, but for these fields of its spec."""
        self.apply(self.appliance_manifest(name, **spec))

    def appliance_manifest(self, name: str, **spec: Any) -> dict[str, Any]:
        """An Appliance that is this stand's, but for these fields of its spec."""
        settings = {
            "allowedNamespaces": [self.namespace],
            "waivers": ["RunningTestVM", "AcceptContent"],
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": self.address["daemon_url"]},
            **self._settings,
            **spec,
        }
        return {
            "apiVersion": "failover.ossea.io/v1alpha1",
            "kind": "Appliance",
            "metadata": {"name": name},
            "spec": settings,
        }

    def _base(self) -> list[dict[str, Any]]:
        """Rights of operator and console as shipped in manifests, bound in this stand's own namespaces; roles and policies."""
        documents = [
            document
            for file in SHIPPED_RIGHTS
            for document in yaml.safe_load_all((ROOT / "manifests" / file).read_text(encoding="utf-8"))
        ]
        for document in documents:
            if "namespace" in document["metadata"]:
                document["metadata"]["namespace"] = self.operator_namespace
            for subject in document.get("subjects", []):
                subject["namespace"] = self.operator_namespace
            if document["kind"] == "ClusterRoleBinding":
                document["metadata"]["name"] += f"-{self.operator_namespace}"
        return documents

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self.simulator.post(f"{self.address['control_url']}/control/{path}", json=body)
        if response.is_error:
            raise RuntimeError(f"simulator: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.simulator.get(f"{self.address['control_url']}/control/{path}").json()
        return answer


def objects_of(built: Mapping[str, Any]) -> set[str]:
    """Ids of a built VM's volumes and snapshots, and of the VM its failover made."""
    return {*built["volume_ids"], *built["snapshot_ids"].values(), *filter(None, [built["destination_vm_id"]])}
