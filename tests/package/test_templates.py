"""What the templates make of values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml

from development.chart.rendering import Helm, HelmError, Object, rendered
from development.chart.sources import CHART
from failed_execution_cleanup import __version__
from failed_execution_cleanup.controller.operator import DRAIN_SECONDS, LEASE_NAME
from tests.package.objects import by_identity, container, deployment, environment, identity, of_kind, one, pod, pods

DIGEST: Final = f"sha256:{'0123456789abcdef' * 4}"
CONSOLE: Final[Mapping[str, Any]] = {"console": {"enabled": True}}
PARTS: Final = ("operator", "console")


@pytest.fixture(scope="module")
def default() -> list[Object]:
    return rendered()


@pytest.fixture(scope="module")
def with_console() -> list[Object]:
    return rendered(CONSOLE)


# --- image ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ({}, f"failed-execution-cleanup:{__version__}"),
        ({"repository": "registry.example.com/dr/fec"}, f"registry.example.com/dr/fec:{__version__}"),
        ({"tag": "edge"}, "failed-execution-cleanup:edge"),
        ({"digest": DIGEST}, f"failed-execution-cleanup@{DIGEST}"),
        ({"digest": DIGEST, "tag": "edge"}, f"failed-execution-cleanup@{DIGEST}"),
    ],
)
def test_every_container_runs_the_same_image(image: Mapping[str, str], expected: str) -> None:
    objects = rendered({**CONSOLE, "image": image})
    assert {each["image"] for pod in pods(objects) for each in pod["spec"]["containers"]} == {expected}


def test_images_are_pulled_as_told_with_the_secrets_named() -> None:
    objects = rendered({**CONSOLE, "image": {"pullPolicy": "Always"}, "imagePullSecrets": [{"name": "registry"}]})
    judged = pods(objects)
    assert len(judged) == 3
    for each in judged:
        assert each["spec"]["imagePullSecrets"] == [{"name": "registry"}]
        assert {one["imagePullPolicy"] for one in each["spec"]["containers"]} == {"Always"}


# --- pods ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", PARTS)
def test_probes_differ_and_allow_for_a_busy_machine(with_console: list[Object], part: str) -> None:
    found = container(with_console, part)
    live, ready, startup = (found[f"{kind}Probe"] for kind in ("liveness", "readiness", "startup"))
    assert (live["httpGet"], live["timeoutSeconds"], live["failureThreshold"]) == (
        {"path": "/healthz", "port": "metrics"},
        5,
        3,
    )
    assert (ready["httpGet"]["path"], ready["timeoutSeconds"]) == ("/readyz", 6)
    assert startup["httpGet"] == live["httpGet"]
    assert startup["failureThreshold"] * startup["periodSeconds"] >= 120


@pytest.mark.parametrize("part", PARTS)
def test_a_port_is_where_the_process_listens(with_console: list[Object], part: str) -> None:
    ports = {each["name"]: str(each["containerPort"]) for each in container(with_console, part)["ports"]}
    found = environment(with_console, part)
    prefix = "FEC_CONSOLE" if part == "console" else "FEC"
    assert found[f"{prefix}_HEALTH_HOST"] == "0.0.0.0"  # noqa: S104 - in the pod, behind a network policy
    assert ports["metrics"] == found[f"{prefix}_HEALTH_PORT"]
    if part == "console":
        assert ports["http"] == found["FEC_CONSOLE_PORT"]
    else:
        assert set(ports) == {"metrics"}


@pytest.mark.parametrize("part", PARTS)
def test_a_container_can_do_nothing_but_its_work(with_console: list[Object], part: str) -> None:
    found, spec = container(with_console, part), pod(with_console, part)
    assert found["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "64Mi"}} in spec["volumes"]
    for kind in ("requests", "limits"):
        assert found["resources"][kind].keys() == {"cpu", "memory", "ephemeral-storage"}


def test_the_operator_has_time_to_hand_over(default: list[Object]) -> None:
    # Requests in flight get five seconds more than the hand-over, Kopf's own end comes on top.
    assert pod(default)["terminationGracePeriodSeconds"] >= DRAIN_SECONDS + 5 + 20


@pytest.mark.parametrize("part", PARTS)
def test_replicas_are_spread_over_nodes_and_zones(with_console: list[Object], part: str) -> None:
    spread = pod(with_console, part)["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    selector = deployment(with_console, part)["spec"]["selector"]
    assert [each["labelSelector"] for each in spread] == [selector, selector]


def test_a_constraint_with_a_selector_of_its_own_keeps_it() -> None:
    mine = {"maxSkew": 2, "topologyKey": "rack", "whenUnsatisfiable": "DoNotSchedule", "labelSelector": {"x": "y"}}
    assert pod(rendered({"operator": {"topologySpreadConstraints": [mine]}}))["topologySpreadConstraints"] == [mine]


@pytest.mark.parametrize("part", PARTS)
def test_selectors_match_the_pods_of_their_part_alone(with_console: list[Object], part: str) -> None:
    selecting = [
        deployment(with_console, part)["spec"]["selector"]["matchLabels"],
        *(
            each["spec"].get("podSelector", each["spec"].get("selector"))["matchLabels"]
            for kind in ("NetworkPolicy", "PodDisruptionBudget")
            for each in of_kind(with_console, kind)
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == part
        ),
        *(
            each["spec"]["selector"]
            for each in of_kind(with_console, "Service")
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == part
        ),
    ]
    assert len(selecting) == 4
    for selector in selecting:
        selected = [
            each["metadata"]["name"]
            for each in pods(with_console)
            if selector.items() <= each["metadata"]["labels"].items()
        ]
        assert selected == [f"{deployment(with_console, part)['metadata']['name']}-0"]


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize(("replicas", "kept"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_budget_exists_where_a_pod_can_be_spared(part: str, replicas: int, kept: bool) -> None:
    values: dict[str, Any] = {"operator": {}, "console": {"enabled": True}}
    values[part] |= {"replicas": replicas}
    objects = rendered(values)
    assert deployment(objects, part)["spec"]["replicas"] == replicas
    found = [
        each["spec"]["minAvailable"]
        for each in of_kind(objects, "PodDisruptionBudget")
        if each["metadata"]["labels"]["app.kubernetes.io/component"] == part
    ]
    assert found == ([1] if kept else [])


def test_no_budget_where_none_is_wanted() -> None:
    assert of_kind(rendered({"operator": {"podDisruptionBudget": False}}), "PodDisruptionBudget") == []


def test_settings_of_the_processes_become_their_environment() -> None:
    objects = rendered(
        {
            "settings": {"logLevel": "DEBUG", "claimExpirySeconds": 30},
            "operator": {"settings": {"appliances": ["one", "two"], "resyncSeconds": 86400}},
            "console": {"enabled": True, "settings": {"bodyBytes": 16777216, "trustedProxies": ["10.0.0.0/8"]}},
        }
    )
    shared = {"FEC_LOG_LEVEL": "DEBUG", "FEC_LOG_FORMAT": "json", "FEC_CLAIM_EXPIRY_SECONDS": "30"}
    operator, console = environment(objects), environment(objects, "console")
    assert shared.items() <= operator.items()
    assert shared.items() <= console.items()
    assert (operator["FEC_APPLIANCES"], operator["FEC_RESYNC_SECONDS"]) == ('["one","two"]', "86400")
    assert (console["FEC_CONSOLE_BODY_BYTES"], console["FEC_CONSOLE_TRUSTED_PROXIES"]) == ("16777216", '["10.0.0.0/8"]')


def test_the_operator_knows_its_namespace_and_its_name(default: list[Object]) -> None:
    sources = {each["name"]: each["valueFrom"] for each in container(default)["env"] if "valueFrom" in each}
    assert sources == {
        "FEC_NAMESPACE": {"fieldRef": {"fieldPath": "metadata.namespace"}},
        "POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
    }


# --- rights --------------------------------------------------------------------------------------------------------


def bindings(objects: list[Object], account: str) -> set[tuple[str, str, str]]:
    """Kind, namespace and role of each binding of a service account."""
    return {
        (each["kind"], each["metadata"].get("namespace", ""), each["roleRef"]["name"])
        for kind in ("RoleBinding", "ClusterRoleBinding")
        for each in of_kind(objects, kind)
        if [subject["name"] for subject in each["subjects"]] == [account]
    }


OURS: Final = "failed-execution-cleanup"
EVERYWHERE: Final = {
    ("ClusterRoleBinding", "", OURS),
    ("ClusterRoleBinding", "", f"{OURS}-cleanups"),
    ("RoleBinding", OURS, OURS),
}


def test_the_operator_has_rights_on_cleanups_everywhere(default: list[Object]) -> None:
    assert bindings(default, OURS) == EVERYWHERE
    assert environment(default)["FEC_WATCH_NAMESPACES"] == "[]"


def test_in_named_namespaces_the_operator_has_rights_on_cleanups_there_alone() -> None:
    objects = rendered({"watchNamespaces": ["dr", "lab", "dr"]})
    assert bindings(objects, OURS) == EVERYWHERE - {("ClusterRoleBinding", "", f"{OURS}-cleanups")} | {
        ("RoleBinding", "dr", f"{OURS}-cleanups"),
        ("RoleBinding", "lab", f"{OURS}-cleanups"),
        ("RoleBinding", "default", f"{OURS}-appliance-events"),
    }
    assert environment(objects)["FEC_WATCH_NAMESPACES"] == '["dr","lab"]'


def test_the_lease_of_the_role_is_the_one_the_operator_takes() -> None:
    named = [
        rule["resourceNames"]
        for rule in one(rendered(release="other"), "Role")["rules"]
        if rule["resources"] == ["leases"] and "resourceNames" in rule
    ]
    assert named == [[LEASE_NAME]]


@pytest.mark.parametrize("part", PARTS)
def test_an_existing_account_is_bound_and_not_made(part: str) -> None:
    values: dict[str, Any] = {"operator": {}, "console": {"enabled": True}}
    values[part] |= {"serviceAccount": {"create": False, "name": "mine"}}
    objects = rendered(values)
    assert "mine" not in {each["metadata"]["name"] for each in of_kind(objects, "ServiceAccount")}
    assert pod(objects, part)["serviceAccountName"] == "mine"
    assert len(bindings(objects, "mine")) >= 2


@pytest.mark.parametrize("kind", ["ClusterRole", "Role", "ClusterRoleBinding", "ServiceAccount", "Deployment"])
def test_the_console_is_nowhere_unless_enabled(default: list[Object], with_console: list[Object], kind: str) -> None:
    name = f"{OURS}-console"
    assert of_kind(default, kind, name) == []
    assert len(of_kind(with_console, kind, name)) == 1


@pytest.mark.parametrize(
    ("switch", "kinds"),
    [
        ("crds", {"CustomResourceDefinition"}),
        ("admissionPolicy", {"ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"}),
        ("roles", {"ClusterRole"}),
    ],
)
def test_what_a_cluster_needs_once_can_be_left_to_somebody_else(
    default: list[Object], switch: str, kinds: set[str]
) -> None:
    left = by_identity(default).keys() - by_identity(rendered({switch: {"install": False}})).keys()
    assert {kind for kind, _, _ in left} == kinds
    if switch == "roles":
        assert all(name.startswith("fec-") for _, _, name in left)


def test_definitions_are_kept_by_an_uninstall(default: list[Object]) -> None:
    found = of_kind(default, "CustomResourceDefinition")
    assert len(found) == 2
    assert {each["metadata"]["annotations"]["helm.sh/resource-policy"] for each in found} == {"keep"}


def test_two_releases_share_no_name_but_those_of_people_and_definitions() -> None:
    once = {switch: {"install": False} for switch in ("crds", "roles")}
    first, second = (
        {identity(each) for each in rendered({**once, **CONSOLE, "watchNamespaces": ["dr"]}, release=release)}
        for release in ("one", "two")
    )
    assert first & second == set()


def test_a_policy_binding_names_the_policy_of_its_release() -> None:
    objects = rendered(release="other")
    policies = {each["metadata"]["name"] for each in of_kind(objects, "ValidatingAdmissionPolicy")}
    named = {each["spec"]["policyName"] for each in of_kind(objects, "ValidatingAdmissionPolicyBinding")}
    assert named == policies == {"other-failed-execution-cleanup", "other-failed-execution-cleanup-specs"}


# --- names and labels ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("release", "values", "expected"),
    [
        ("failed-execution-cleanup", {}, "failed-execution-cleanup"),
        ("dr", {}, "dr-failed-execution-cleanup"),
        ("dr", {"nameOverride": "fec"}, "dr-fec"),
        ("dr", {"fullnameOverride": "cleanups"}, "cleanups"),
        ("r" * 53, {}, "r" * 46),
    ],
)
def test_names_come_from_the_release(release: str, values: Mapping[str, Any], expected: str) -> None:
    objects = rendered({**CONSOLE, "watchNamespaces": ["dr"], **values}, release=release)
    assert deployment(objects)["metadata"]["name"] == expected
    assert all(len(each["metadata"]["name"]) <= 63 for each in of_kind(objects, "Service"))


def test_every_object_has_the_common_labels_and_annotations() -> None:
    monitoring = {"scrape": "PodMonitor", "rules": {"enabled": True}, "dashboard": {"enabled": True}}
    appliance = {"name": "default", "spec": {"volumeDaemon": {"url": "http://oma.example.com:8090"}}}
    console = {"enabled": True, "ingress": {"enabled": True, "host": "fec.example.com"}}
    objects = rendered(
        {
            "commonLabels": {"team": "dr", "app.kubernetes.io/name": "mine"},
            "commonAnnotations": {"contact": "dr-team"},
            "watchNamespaces": ["dr"],
            "console": console,
            "monitoring": monitoring,
            "appliances": [appliance],
        }
    )
    for each in [*objects, *pods(objects)]:
        metadata = each["metadata"]
        assert metadata["labels"]["team"] == "dr", identity(each)
        assert metadata["labels"]["app.kubernetes.io/name"] == OURS, identity(each)
        assert metadata["annotations"]["contact"] == "dr-team", identity(each)


def test_everything_is_in_the_namespace_of_the_release(with_console: list[Object]) -> None:
    for each in rendered({**CONSOLE, "networkPolicy": {"enabled": True}}, namespace="ours"):
        assert each["metadata"].get("namespace") in (None, "ours"), identity(each)
        assert all(subject["namespace"] == "ours" for subject in each.get("subjects", []))


# --- network -------------------------------------------------------------------------------------------------------


def test_network_policies_name_ports_and_peers() -> None:
    peers = {"metricsFrom": [{"namespaceSelector": {"a": "b"}}], "consoleFrom": [{"podSelector": {"c": "d"}}]}
    objects = rendered(
        {
            **CONSOLE,
            "networkPolicy": {
                **peers,
                "kubernetesApi": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
                "appliances": {"cidrs": ["192.0.2.0/24"], "ports": [3306, 8090]},
            },
        }
    )
    operator, console = (one(objects, "NetworkPolicy", name)["spec"] for name in (OURS, f"{OURS}-console"))
    metrics = {"ports": [{"port": "metrics", "protocol": "TCP"}], "from": peers["metricsFrom"]}
    http = {"ports": [{"port": "http", "protocol": "TCP"}], "from": peers["consoleFrom"]}
    assert operator["ingress"] == [metrics]
    assert console["ingress"] == [http, metrics]
    for policy in (operator, console):
        assert policy["policyTypes"] == ["Ingress", "Egress"]
        names, api, appliances = policy["egress"]
        assert {(each["port"], each["protocol"]) for each in names["ports"]} == {(53, "UDP"), (53, "TCP")}
        assert api == {"ports": [{"port": 6443, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": "10.0.0.1/32"}}]}
        assert [each["port"] for each in appliances["ports"]] == [3306, 8090]


def test_no_network_policy_where_none_is_wanted() -> None:
    assert of_kind(rendered({**CONSOLE, "networkPolicy": {"enabled": False}}), "NetworkPolicy") == []


# --- console -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("secret", "scheme"), [("", "http"), ("certificate", "https")])
def test_service_and_ingress_lead_to_the_console(secret: str, scheme: str) -> None:
    ingress = {"enabled": True, "host": "fec.example.com", "tlsSecretName": "host", "className": "nginx"}
    objects = rendered({"console": {"enabled": True, "tls": {"secretName": secret}, "ingress": ingress}})
    (port,) = one(objects, "Service", f"{OURS}-console")["spec"]["ports"]
    assert (port["name"], port["targetPort"]) == (scheme, "http")
    spec = one(objects, "Ingress")["spec"]
    (rule,) = spec["rules"]
    assert rule["host"] == "fec.example.com"
    assert rule["http"]["paths"][0]["backend"]["service"] == {"name": f"{OURS}-console", "port": {"name": scheme}}
    assert spec["tls"] == [{"hosts": ["fec.example.com"], "secretName": "host"}]
    assert spec["ingressClassName"] == "nginx"
    certificate = environment(objects, "console").get("FEC_CONSOLE_TLS_CERTIFICATE")
    mounts = {each["mountPath"] for each in container(objects, "console")["volumeMounts"]}
    assert (certificate, "/etc/console-tls" in mounts) == (
        ("/etc/console-tls/tls.crt", True) if secret else (None, False)
    )


def test_an_ingress_without_a_host_is_refused() -> None:
    with pytest.raises(HelmError, match=r"console\.ingress\.host is required"):
        rendered({"console": {"enabled": True, "ingress": {"enabled": True}}})


# --- appliances ----------------------------------------------------------------------------------------------------

APPLIANCE: Final = {"name": "default", "spec": {"volumeDaemon": {"url": "http://oma.example.com:8090"}}}


@pytest.mark.parametrize(
    ("knows", "installs", "expected"),
    [
        (("failover.ossea.io/v1alpha1/Appliance",), True, 1),
        ((), True, 0),  # their definition comes with this very release
        ((), False, 1),  # somebody else installed it, or helm itself says that nobody did
    ],
)
def test_appliances_are_rendered_once_their_definition_is_there(
    knows: tuple[str, ...], installs: bool, expected: int
) -> None:
    found = of_kind(rendered({"appliances": [APPLIANCE], "crds": {"install": installs}}, knows=knows), "Appliance")
    assert [each["spec"] for each in found] == [APPLIANCE["spec"]] * expected


# --- monitoring ----------------------------------------------------------------------------------------------------


def test_nothing_of_the_prometheus_operator_is_rendered_by_default(default: list[Object]) -> None:
    assert not [each for each in default if each["apiVersion"].startswith("monitoring.coreos.com")]


@pytest.mark.parametrize("kind", ["PodMonitor", "ServiceMonitor"])
def test_a_monitor_selects_pods_of_this_release(kind: str) -> None:
    objects = rendered({"monitoring": {"scrape": kind, "interval": "1m", "labels": {"release": "prometheus"}}})
    monitor = one(objects, kind)
    (endpoint,) = monitor["spec"]["podMetricsEndpoints" if kind == "PodMonitor" else "endpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("metrics", "/metrics", "1m")
    assert endpoint["honorLabels"] is True
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    selector = monitor["spec"]["selector"]["matchLabels"]
    targets = (
        [each["metadata"]["labels"] for each in pods(objects)[:1]]
        if kind == "PodMonitor"
        else [one(objects, "Service", f"{OURS}-metrics")["metadata"]["labels"]]
    )
    assert all(selector.items() <= labels.items() for labels in targets)


def test_alerts_lead_to_their_runbooks() -> None:
    prefix = "https://git.example.com/dr/"
    rule = one(rendered({"monitoring": {"rules": {"enabled": True, "runbookPrefix": prefix}}}), "PrometheusRule")
    urls = [alert["annotations"]["runbook_url"] for group in rule["spec"]["groups"] for alert in group["rules"]]
    assert urls
    assert all(url.startswith(f"{prefix}docs/runbooks/") for url in urls)


def test_the_dashboard_is_the_shipped_one() -> None:
    found = one(rendered({"monitoring": {"dashboard": {"enabled": True}}}), "ConfigMap")
    shipped = (CHART.parent.parent / "manifests/monitoring/dashboard.json").read_text(encoding="utf-8")
    assert found["data"] == {"failed-execution-cleanup.json": shipped}
    assert found["metadata"]["labels"]["grafana_dashboard"] == "1"


# --- the chart itself ----------------------------------------------------------------------------------------------


def test_chart_and_image_have_the_version_of_the_software() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    assert (chart["version"], chart["appVersion"]) == (__version__, __version__)


@pytest.mark.parametrize(
    ("version", "values", "cause"),
    [
        ("1.31.0", {}, ""),
        ("1.30.9", {}, "set admissionPolicy.install to false"),
        ("1.30.9", {"admissionPolicy": {"install": False}}, ""),
        ("1.28.9", {"admissionPolicy": {"install": False}}, "incompatible with Kubernetes"),
    ],
)
def test_a_cluster_that_cannot_enforce_the_policies_is_told_so(
    offline: Helm, version: str, values: Mapping[str, Any], cause: str
) -> None:
    refused = ""
    try:
        offline.run("template", CHART, f"--kube-version={version}", values=values)
    except HelmError as error:
        refused = str(error)
    assert cause in refused
    assert bool(cause) == bool(refused)
