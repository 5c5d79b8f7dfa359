"""An API server as the contract tests talk to it: plain HTTP, nothing of a client library in between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import yaml

ROOT = Path(__file__).resolve().parents[2]
CRDS = ROOT / "crds"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "/apis/failover.ossea.io/v1alpha1"
MERGE_PATCH = {"Content-Type": "application/merge-patch+json"}
JSON_PATCH = {"Content-Type": "application/json-patch+json"}


@dataclass(frozen=True, slots=True)
class ApiServer:
    """One of the two servers, with our custom resources served.

    Attributes:
        http: an administrator's connection.
        kubeconfig: the same for other clients.
    """

    http: httpx.Client
    kubeconfig: Path

    def create_namespace(self) -> str:
        """A new namespace; never deleted, since nothing would finish the deletion."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        self.http.post("/api/v1/namespaces", json={"metadata": {"name": name}}).raise_for_status()
        return name


@dataclass(frozen=True, slots=True)
class Cleanups:
    """The FailedExecutionCleanups of one namespace, over plain HTTP."""

    http: httpx.Client
    namespace: str

    @property
    def path(self) -> str:
        """The collection."""
        return f"{GROUP}/namespaces/{self.namespace}/failedexecutioncleanups"

    def post(self, name: str, *, spec: dict[str, Any] | None = None, **fields: Any) -> httpx.Response:
        """Try to create one; `fields` go into its metadata."""
        body = {
            "apiVersion": "failover.ossea.io/v1alpha1",
            "kind": "FailedExecutionCleanup",
            "metadata": {"name": name, **fields},
            "spec": {"vmName": name, "applianceRef": {"name": "default"}, **(spec or {})},
            "status": {"phaseSummary": "5/5"},
        }
        return self.http.post(self.path, json=body)

    def create(self, name: str, **fields: Any) -> dict[str, Any]:
        """Create one."""
        return content(self.post(name, **fields), 201)

    def get(self, name: str) -> httpx.Response:
        """Try to read one."""
        return self.http.get(f"{self.path}/{name}")

    def patch(self, name: str, patch: dict[str, Any], subresource: str = "") -> httpx.Response:
        """Try to change one by a merge patch."""
        return self.http.patch(f"{self.path}/{name}{subresource}", json=patch, headers=MERGE_PATCH)

    def json_patch(self, name: str, *operations: dict[str, Any]) -> httpx.Response:
        """Try to change one by a JSON patch."""
        return self.http.patch(f"{self.path}/{name}", json=operations, headers=JSON_PATCH)

    def delete(self, name: str, **preconditions: str) -> httpx.Response:
        """Try to delete one."""
        return self.http.request("DELETE", f"{self.path}/{name}", json={"preconditions": preconditions})


def content(response: httpx.Response, status: int = 200) -> dict[str, Any]:
    """The JSON object of an answer that must have this status."""
    assert response.status_code == status, response.text
    body: dict[str, Any] = response.json()
    return body


def wait_until(reached: Callable[[], object], *, seconds: float = 30.0, what: str) -> None:
    """Poll until something holds."""
    deadline = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < deadline, f"not in {seconds:.0f} s: {what}"
        time.sleep(0.1)


def define(http: httpx.Client) -> None:
    """Create our definitions over HTTP, unless another test's are there, and wait until they are served."""
    for path in CRDS.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text(encoding="utf-8"))
        created = http.post(DEFINITIONS, json=definition)
        if created.status_code != httpx.codes.CONFLICT:
            content(created, 201)
        served = f"{GROUP}/{definition['spec']['names']['plural']}"
        wait_until(partial(_answers, http, served), what=f"{served} is served")


def _answers(http: httpx.Client, path: str) -> bool:
    return http.get(path).is_success
