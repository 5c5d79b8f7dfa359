"""The operator's own rights: enough for a whole cleanup, none too many, and no way to a Secret, a spec or anybody's workload."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import pytest
import yaml

from development.permission_page import sources
from development.stand import PRODUCT_NAMESPACE, ROOT, Stand
from tests.cluster.observed import assert_replica, condition

pytestmark = pytest.mark.timeout(150)

Right: TypeAlias = tuple[str, str, str]
"""API group, resource with subresource, verb."""

OURS: Final = "failover.ossea.io"

JUSTIFIED: Final[Mapping[Right, str]] = {
    ("events.k8s.io", "events", "patch"): "counts what repeats within ten minutes; this run repeats nothing",
    (OURS, "failedexecutioncleanups", "create"): "spec.detection.action of an Appliance; this one only reports",
    (OURS, "appliances", "use"): "goes with it, and is no request of its own but a question of the admission policy",
}
"""Rights that this run has no use for, with the occasion that has."""

NEVER: Final = (
    "list secrets",
    "watch secrets",
    "create secrets",
    "create pods",
    "create serviceaccounts --subresource=token",
    f"update failedexecutioncleanups.{OURS}",
    f"waive failedexecutioncleanups.{OURS}",
    f"create appliances.{OURS}",
    f"update appliances.{OURS}",
    f"delete appliances.{OURS}",
    "escalate clusterroles.rbac.authorization.k8s.io",
    "bind clusterroles.rbac.authorization.k8s.io",
    "impersonate users",
    "delete leases.coordination.k8s.io",
    "get leases.coordination.k8s.io/somebody-elses",
)


def granted(role: Mapping[str, Any]) -> set[Right]:
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def roles() -> list[Mapping[str, Any]]:
    """Those of an operator for the whole cluster."""
    documents = [source.document for kind in ("ClusterRole", "Role") for source in sources(kind)]
    names = {PRODUCT_NAMESPACE, f"{PRODUCT_NAMESPACE}-cleanups"}
    return [document for document in documents if document["metadata"]["name"] in names]


@dataclass(frozen=True)
class Requests:
    """What the operator asked of the API server in a whole cleanup.

    Attributes:
        used: rights that were made use of.
        denied: requests that were not permitted.
        secrets: namespaces whose Secrets were read.
    """

    used: frozenset[Right]
    denied: tuple[str, ...]
    secrets: frozenset[str]


@pytest.fixture(scope="module")
def worked(stand: Stand) -> Stand:
    """A stand whose operator, with the shipped service account and roles, cleaned F11 and removed a finished cleanup.

    It watches all namespaces first and then only the named ones, which takes other rights.
    """
    built = stand.build("F11", "pgtest1", disks=2)
    everywhere = stand.start_operator(FEC_WATCH_NAMESPACES="[]")
    stand.apply_cleanup("pgtest1", "pgtest1")
    assert condition(stand.wait_for("pgtest1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
    everywhere.stop(grace_seconds=20)
    stand.start_operator()
    stand.apply_cleanup("again", "pgtest1", ttlSecondsAfterFinished=0)
    stand.wait_until_gone("again")
    return stand


@pytest.fixture(scope="module")
def requests(worked: Stand) -> Requests:
    user = f"system:serviceaccount:{worked.operator_namespace}:{PRODUCT_NAMESPACE}"
    used: set[Right] = set()
    denied = []
    secrets = set()
    for line in worked.control_plane.audit_log.read_text().splitlines():
        event = json.loads(line)
        reference = event.get("objectRef", {})
        # The tests themselves send requests in the operator's name with kubectl.
        if event["user"]["username"] != user or "resource" not in reference or "kubectl" in event["userAgent"]:
            continue
        resource = "/".join(filter(None, [reference["resource"], reference.get("subresource")]))
        if event["responseStatus"]["code"] in {401, 403}:
            denied.append(f"{event['verb']} {event['requestURI']}: {event['responseStatus'].get('message')}")
        used.add((reference.get("apiGroup", ""), resource, event["verb"]))
        if resource == "secrets":
            secrets.add(reference["namespace"])
    return Requests(frozenset(used), tuple(denied), frozenset(secrets))


def test_the_shipped_rights_are_enough(requests: Requests) -> None:
    assert requests.denied == ()


def test_each_right_is_used_or_has_an_occasion(requests: Requests) -> None:
    everything = set().union(*map(granted, roles()))
    assert everything - requests.used - JUSTIFIED.keys() == set()
    assert JUSTIFIED.keys() - everything == set()


def test_secrets_are_read_in_the_operators_namespace_only(worked: Stand, requests: Requests) -> None:
    assert requests.secrets == {worked.operator_namespace}


@pytest.mark.parametrize("right", NEVER)
def test_the_operator_may_not(worked: Stand, right: str) -> None:
    user = f"--as=system:serviceaccount:{worked.operator_namespace}:{PRODUCT_NAMESPACE}"
    namespace = f"--namespace={worked.operator_namespace}"
    answer = worked.control_plane.kubectl("auth", "can-i", *right.split(), user, namespace, check=False)
    assert answer.stdout.strip() == "no"


def test_the_operator_may_read_no_secret_elsewhere(worked: Stand) -> None:
    user = f"--as=system:serviceaccount:{worked.operator_namespace}:{PRODUCT_NAMESPACE}"
    answer = worked.control_plane.kubectl(
        "auth", "can-i", "get", "secrets", user, f"--namespace={worked.namespace}", check=False
    )
    assert answer.stdout.strip() == "no"


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("fec/pgtest1", {"spec": {"note": "rewritten"}}),
        ("fec/pgtest1", {"spec": {"suspend": True}}),
        ("appliance", {"spec": {"volumeDaemon": {"url": "http://attacker.example.com"}}}),
    ],
)
def test_the_operator_reaches_no_spec(worked: Stand, kind: str, change: Mapping[str, Any]) -> None:
    name = f"appliance/{worked.appliance}" if kind == "appliance" else kind
    kubeconfig = worked.control_plane.service_account_kubeconfig(worked.operator_namespace, PRODUCT_NAMESPACE)
    result = worked.control_plane.kubectl(
        "patch", name, f"--namespace={worked.namespace}", "--type=merge", "-p", json.dumps(change),
        kubeconfig=kubeconfig, check=False,
    )  # fmt: skip
    assert result.returncode != 0
    assert "may not change the spec" in result.stderr


@pytest.mark.parametrize("role", [source.document for kind in ("ClusterRole", "Role") for source in sources(kind)])
def test_no_rule_has_a_wildcard_or_lists_secrets(role: Mapping[str, Any]) -> None:
    everything = granted(role)
    assert not [right for right in everything if "*" in right]
    assert {verb for group, resource, verb in everything if (group, resource) == ("", "secrets")} <= {"get"}
    assert role["kind"] == "Role" or not any(resource == "secrets" for _, resource, _ in everything)


def test_beyond_its_own_kinds_the_operator_writes_events_only() -> None:
    cluster_wide = [granted(role) for role in roles() if role["kind"] == "ClusterRole"]
    writing = {right for right in set().union(*cluster_wide) if right[2] not in {"get", "list", "watch"}}
    assert {right for right in writing if right[0] != OURS} == {
        ("events.k8s.io", "events", "create"),
        ("events.k8s.io", "events", "patch"),
    }


def test_only_reading_is_aggregated(worked: Stand) -> None:
    """The selectors are those of the API server's own roles; `edit` and `admin` select `view` and thereby ours."""
    ours = [source.document for source in sources("ClusterRole")]
    for target in ("view", "edit", "admin"):
        stored = json.loads(worked.control_plane.kubectl("get", "clusterrole", target, "-o", "json").stdout)
        selectors = [selector["matchLabels"] for selector in stored["aggregationRule"]["clusterRoleSelectors"]]
        selected = [
            role["metadata"]["name"]
            for role in ours
            if any(selector.items() <= role["metadata"].get("labels", {}).items() for selector in selectors)
        ]
        assert selected == (["fec-viewer"] if target == "view" else [])
    (viewer,) = (role for role in ours if role["metadata"]["name"] == "fec-viewer")
    assert {verb for _, _, verb in granted(viewer)} == {"get", "list", "watch"}


def test_the_documents_of_the_kustomization_are_all_there_are() -> None:
    base = ROOT / "manifests" / "base"
    listed = set(yaml.safe_load((base / "kustomization.yaml").read_text())["resources"])
    assert {path.name for path in base.glob("*.yaml")} - {"kustomization.yaml"} == listed
