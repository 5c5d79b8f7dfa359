"""The Kubernetes API under one crash point: the emulator in this process, or a real kube-apiserver that points share."""

from __future__ import annotations

import contextlib
import json
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from development.stand import QUICK, ROOT
from failed_execution_cleanup.appliance.http_exchange import usual_authorities
from failed_execution_cleanup.controller.operator import LEASE_NAME
from kubernetes_emulator.server import emulator

GROUP: Final = "/apis/failover.ossea.io/v1alpha1"
NAME: Final = "pgtest1"
DEFINITIONS: Final[tuple[dict[str, Any], ...]] = tuple(
    definition for path in sorted((ROOT / "crds").glob("*.yaml")) for definition in yaml.safe_load_all(path.read_text())
)
"""Read once, in the process that others are forked from."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """An API server with a namespace for cleanups, one for the operator, and one Appliance, all of this point alone.

    Attributes:
        http: an administrator's connection.
        kubeconfig: the same for the operator.
        suffix: makes the names of this point its own.
    """

    http: httpx.AsyncClient
    kubeconfig: Path
    suffix: str

    @property
    def appliance(self) -> str:
        """Name of the Appliance."""
        return f"oma-{self.suffix}"

    @property
    def namespace(self) -> str:
        """Where the cleanup lives."""
        return f"dr-{self.suffix}"

    @property
    def operator_namespace(self) -> str:
        """Where the operator's Lease and the Secret live."""
        return f"fec-{self.suffix}"

    async def install(self, database_url: str, daemon_url: str) -> None:
        """Create the namespaces, the Secret with the database's address, and the Appliance."""
        for name in (self.namespace, self.operator_namespace):
            await self._create("/api/v1/namespaces", {"metadata": {"name": name}})
        secret = {"metadata": {"name": "oma-database"}, "stringData": {"url": database_url}}
        await self._create(f"/api/v1/namespaces/{self.operator_namespace}/secrets", secret)
        spec = {
            "allowedNamespaces": [self.namespace],
            "waivers": ["RunningTestVM"],
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": daemon_url},
            **QUICK,
        }
        await self._create(f"{GROUP}/appliances", _resource("Appliance", self.appliance, spec))

    async def define(self) -> None:
        """Create our definitions."""
        for definition in DEFINITIONS:
            await self._create("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)

    async def ask(self, vm_name: str, **spec: Any) -> None:
        """Create the cleanup."""
        whole = {"vmName": vm_name, "applianceRef": {"name": self.appliance}, **spec}
        await self._create(self._cleanups, _resource("FailedExecutionCleanup", NAME, whole))

    async def cleanup(self) -> dict[str, Any]:
        """The cleanup as stored."""
        response = await self.http.get(f"{self._cleanups}/{NAME}")
        response.raise_for_status()
        body: dict[str, Any] = response.json()
        return body

    async def remove_lease(self) -> None:
        """Remove the Lease of a dead operator, so that nobody need wait until it runs out."""
        leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.operator_namespace}/leases"
        await self.http.delete(f"{leases}/{LEASE_NAME}")

    async def remove_appliance(self) -> None:
        """Remove what is not in a namespace of this point, so that operators of other points need not list it."""
        await self.http.delete(f"{GROUP}/appliances/{self.appliance}")

    @property
    def _cleanups(self) -> str:
        return f"{GROUP}/namespaces/{self.namespace}/failedexecutioncleanups"

    async def _create(self, path: str, body: Mapping[str, Any]) -> None:
        response = await self.http.post(path, json=body)
        if response.is_error:
            raise RuntimeError(f"{path}: {response.text}")


def _resource(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "failover.ossea.io/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}


@contextlib.asynccontextmanager
async def cluster(directory: Path, real: Path | None) -> AsyncIterator[Cluster]:
    """A cluster for one point.

    Args:
        directory: for the emulator's kubeconfig.
        real: kubeconfig of an administrator of a kube-apiserver that serves our definitions; None: the emulator.
    """
    suffix = uuid.uuid4().hex[:8]
    async with contextlib.AsyncExitStack() as stack:
        if real is None:
            running = await stack.enter_async_context(emulator())
            kubeconfig = directory / "kubeconfig"
            kubeconfig.write_text(json.dumps(running.kubeconfig()))  # JSON is YAML
            http = httpx.AsyncClient(base_url=running.url, verify=usual_authorities(), trust_env=False, timeout=20)
        else:
            kubeconfig, http = real, _administrator(real)
        found = Cluster(await stack.enter_async_context(http), kubeconfig, suffix)
        if real is None:
            await found.define()
        yield found


def _administrator(kubeconfig: Path) -> httpx.AsyncClient:
    content = json.loads(kubeconfig.read_text())
    server, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    context = ssl.create_default_context(cafile=server["certificate-authority"])
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return httpx.AsyncClient(base_url=server["server"], verify=context, trust_env=False, timeout=20)
