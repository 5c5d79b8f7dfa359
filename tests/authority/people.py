"""The people of the authority tests: what each was given, and requests in their name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

GROUP: Final = "failover.ossea.io"
NAMESPACE: Final = "authority"
APPLIANCE: Final = "authority-default"
JOB: Final = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"
WAIVER: Final = {"reason": "RunningTestVM", "object": "job"}

USE_ONE: Final = "authority-use-one"
"""A copy of fec-appliance-user for one Appliance, as the documentation recommends."""

PATCH_ONLY: Final = "authority-patch-only"
"""Rights like the operator's own."""

_HERE, _THERE, _EVERYWHERE = NAMESPACE, f"{NAMESPACE}-elsewhere", ""

ACCOUNTS: Final[Mapping[str, tuple[tuple[str, str], ...]]] = {
    "stranger": (),
    "viewer": (("fec-viewer", _HERE),),
    "clerk": (("fec-cleanup-operator", _HERE),),
    "user": (("fec-cleanup-operator", _HERE), (USE_ONE, _EVERYWHERE)),
    # Appliances have no namespace, so a right bound in one is none.
    "misbound": (("fec-cleanup-operator", _HERE), ("fec-appliance-user", _HERE)),
    "waiver": (("fec-cleanup-operator", _HERE), (USE_ONE, _EVERYWHERE), ("fec-waiver", _HERE)),
    "waiver-elsewhere": (("fec-cleanup-operator", _HERE), (USE_ONE, _EVERYWHERE), ("fec-waiver", _THERE)),
    "administrator": (("fec-appliance-administrator", _EVERYWHERE),),
}
"""Roles of each person, with the namespace they are bound in; an empty one is the whole cluster."""

PATCHER: Final = "patcher"


def bindings() -> list[dict[str, Any]]:
    """The roles of the tests, and everybody's bindings."""
    kinds = ["appliances", "failedexecutioncleanups"]
    return [
        _role(USE_ONE, {"resources": ["appliances"], "resourceNames": [APPLIANCE], "verbs": ["use"]}),
        _role(PATCH_ONLY, {"resources": kinds, "verbs": ["get", "patch", "use", "waive"]}),
        _binding(PATCHER, PATCH_ONLY, _EVERYWHERE),
        *(_binding(person, role, namespace) for person, roles in ACCOUNTS.items() for role, namespace in roles),
    ]


def _role(name: str, rule: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name},
        "rules": [{"apiGroups": [GROUP], **rule}],
    }


def _binding(person: str, role: str, namespace: str) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": {"name": f"{person}-{role}", **({"namespace": namespace} if namespace else {})},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": person}],
    }


def cleanup(name: str, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A cleanup as a person would write it."""
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "FailedExecutionCleanup",
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})},
        "spec": {"vmName": "pgtest1", "applianceRef": {"name": APPLIANCE}, **spec},
    }


def appliance(name: str) -> dict[str, Any]:
    """An Appliance that passes its schema."""
    return {
        "apiVersion": f"{GROUP}/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": name},
        "spec": {
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": "http://oma.example.com:8090"},
        },
    }


@dataclass(frozen=True)
class Person:
    """Somebody with a client certificate. Every request is a dry run: decided as if it were real, and not stored."""

    name: str
    client: httpx.Client

    def create(self, document: Mapping[str, Any]) -> str:
        """Create an object; returns the refusal, or an empty text."""
        return self._send("POST", _collection(document), json=document)

    def patch(self, document: Mapping[str, Any], change: Mapping[str, Any], subresource: str = "") -> str:
        """Merge a change into a stored object; returns the refusal, or an empty text."""
        path = _path(document) + (f"/{subresource}" if subresource else "")
        return self._send("PATCH", path, json=change, headers={"Content-Type": "application/merge-patch+json"})

    def apply(self, document: Mapping[str, Any]) -> str:
        """Apply on the server's side, forcing conflicts as GitOps tools do; returns the refusal, or an empty text."""
        return self._send(
            "PATCH",
            f"{_path(document)}?fieldManager=gitops&force=true",
            json=document,
            headers={"Content-Type": "application/apply-patch+yaml"},
        )

    def delete(self, document: Mapping[str, Any]) -> str:
        """Delete a stored object; returns the refusal, or an empty text."""
        return self._send("DELETE", _path(document))

    def read(self, document: Mapping[str, Any]) -> str:
        """Read a stored object; returns the refusal, or an empty text."""
        return self._send("GET", _path(document))

    def _send(self, method: str, path: str, **rest: Any) -> str:
        dry = "" if method == "GET" else ("&" if "?" in path else "?") + "dryRun=All"
        response = self.client.request(method, path + dry, **rest)
        if response.is_success:
            return ""
        assert response.status_code == httpx.codes.FORBIDDEN, response.text
        return str(response.json()["message"])


def _collection(document: Mapping[str, Any]) -> str:
    namespace = document["metadata"].get("namespace")
    scope = f"/namespaces/{namespace}" if namespace else ""
    plural = "failedexecutioncleanups" if document["kind"] == "FailedExecutionCleanup" else "appliances"
    return f"/apis/{document['apiVersion']}{scope}/{plural}"


def _path(document: Mapping[str, Any]) -> str:
    return f"{_collection(document)}/{document['metadata']['name']}"
