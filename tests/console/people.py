"""The people of the console tests: service accounts, what each was given, and requests in their name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from development.stand import Stand

ROLES: Final[Mapping[str, tuple[str, ...]]] = {
    "stranger": (),
    "viewer": ("fec-viewer",),
    "planner": ("plan",),
    "clerk": ("fec-cleanup-operator",),
    "user": ("fec-cleanup-operator", "use", "plan"),
    "waiver": ("fec-cleanup-operator", "use", "plan", "fec-waiver"),
}
"""ClusterRoles bound in the cleanups' namespace; `use` and `plan` are copies for this stand's Appliance, bound in the whole cluster."""


def tokens(stand: Stand) -> dict[str, str]:
    """Make everybody's service account and bindings; returns their tokens by name."""
    suffix = stand.appliance
    documents: list[dict[str, Any]] = [
        _cluster_role(f"use-{suffix}", "appliances", "use", suffix),
        _cluster_role(f"plan-{suffix}", "appliances/plan", "get", suffix),
    ]
    for person, roles in ROLES.items():
        documents.append(
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": person, "namespace": stand.namespace}}
        )
        for role in roles:
            everywhere = role in {"use", "plan"}
            name = f"{role}-{suffix}" if everywhere else role
            documents.append(_binding(person, name, stand.namespace, everywhere=everywhere))
    stand.apply(*documents)
    return {person: stand.kubectl("create", "token", person, "--duration=2h").strip() for person in ROLES}


def newcomer(stand: Stand, person: str, *roles: str) -> str:
    """Make one more service account, with roles of the others; returns its token."""
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": person, "namespace": stand.namespace}}
    everywhere = {role: role in {"use", "plan"} for role in roles}
    stand.apply(
        account,
        *(
            _binding(person, f"{role}-{stand.appliance}" if wide else role, stand.namespace, everywhere=wide)
            for role, wide in everywhere.items()
        ),
    )
    return stand.kubectl("create", "token", person, "--duration=2h").strip()


def user_name(stand: Stand, person: str) -> str:
    """How the API server calls somebody."""
    return f"system:serviceaccount:{stand.namespace}:{person}"


def _cluster_role(name: str, resource: str, verb: str, appliance: str) -> dict[str, Any]:
    rule = {
        "apiGroups": ["failover.ossea.io"],
        "resources": [resource],
        "verbs": [verb],
        "resourceNames": [appliance],
    }
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": {"name": name}, "rules": [rule]}


def _binding(person: str, role: str, namespace: str, *, everywhere: bool) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding" if everywhere else "RoleBinding",
        "metadata": {"name": f"{person}-{role}", **({} if everywhere else {"namespace": namespace})},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": person, "namespace": namespace}],
    }
