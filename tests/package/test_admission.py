"""The real API server accepts every object that can be rendered, and a namespace for restricted pods every pod."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

import pytest
import yaml

from development.chart.rendering import Object, kustomized, rendered
from development.chart.sources import ROOT
from development.control_plane import ControlPlane, KubectlError
from development.go_tools.definitions import prometheus_operator_definitions
from tests.package.objects import pods

pytestmark = pytest.mark.timeout(150)

MONITORED: Final = ("podmonitors", "servicemonitors", "prometheusrules")

EVERYTHING: Final[Mapping[str, Any]] = {
    "commonLabels": {"team": "dr"},
    "commonAnnotations": {"example.com/contact": "dr-team"},
    "image": {"digest": f"sha256:{'0123456789abcdef' * 4}"},
    "imagePullSecrets": [{"name": "registry"}],
    "settings": {"logLevel": "DEBUG"},
    "operator": {
        "settings": {"appliances": ["default"], "workers": 1000},
        "podLabels": {"zone": "inner"},
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy.example.com:3128"}],
        "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
        "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/ssl/certs"}],
    },
    "console": {
        "enabled": True,
        "tls": {"secretName": "console"},
        "ingress": {"enabled": True, "host": "fec.example.com", "className": "nginx", "tlsSecretName": "host"},
    },
    "networkPolicy": {
        "kubernetesApi": {"cidrs": ["10.0.0.1/32"], "ports": [6443]},
        "appliances": {"cidrs": ["192.0.2.0/24", "2001:db8::/32"], "ports": [3306, 8090, 443]},
        "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "consoleFrom": [{"podSelector": {"matchLabels": {"app": "ingress"}}}],
    },
    "monitoring": {
        "scrape": "ServiceMonitor",
        "labels": {"release": "prometheus"},
        "rules": {"enabled": True, "runbookPrefix": "https://git.example.com/dr/"},
        "dashboard": {"enabled": True},
    },
    "appliances": [
        {
            "name": "default",
            "spec": {
                "allowedNamespaces": ["dr"],
                "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
                "volumeDaemon": {"url": "http://oma.example.com:8090"},
            },
        }
    ],
}

FORMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "pod monitor": {"monitoring": {"scrape": "PodMonitor"}},
    "one replica": {"operator": {"replicas": 1}, "console": {"enabled": True, "replicas": 1}},
    "arbitrary user ids": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None, "fsGroup": None}},
}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """With the definitions of the product and of the Prometheus operator."""
    shipped = prometheus_operator_definitions()
    definitions = (ROOT / "crds", *(shipped / f"monitoring.coreos.com_{plural}.yaml" for plural in MONITORED))
    for definition in definitions:
        control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", definition)
        control_plane.kubectl("wait", "--for=condition=Established", "--timeout=20s", "-f", definition)
    return control_plane


def dry_run(cluster: ControlPlane, objects: Iterable[Object]) -> None:
    """Have the API server judge objects, strictly and without a warning.

    Raises:
        KubectlError: it refuses or warns.
    """
    cluster.kubectl(
        "apply", "--dry-run=server", "--validate=strict", "--warnings-as-errors", "-f", "-",
        input=yaml.safe_dump_all(objects),
    )  # fmt: skip


def admitted(cluster: ControlPlane, pod: Object) -> str:
    """What the API server says to a pod; empty when it would run it."""
    try:
        cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", "-", input=json.dumps(pod))
    except KubectlError as error:
        return str(error)
    return ""


def with_accounts(cluster: ControlPlane, objects: list[Object]) -> list[Object]:
    """Create the service accounts, without which no pod of theirs is admitted; returns the objects."""
    accounts = [each for each in objects if each["kind"] == "ServiceAccount"]
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump_all(accounts))
    return objects


@pytest.mark.parametrize("watched", [[], ["here"]], ids=["cluster-wide", "one-namespace"])
@pytest.mark.parametrize("form", FORMS)
def test_the_api_server_takes_everything_the_chart_renders(
    cluster: ControlPlane, namespace: str, form: str, watched: list[str]
) -> None:
    values = {**FORMS[form], "watchNamespaces": [namespace for _ in watched]}
    dry_run(cluster, rendered(values, namespace=namespace))


@pytest.mark.parametrize("form", FORMS)
def test_a_restricted_namespace_admits_every_pod_of_the_chart(cluster: ControlPlane, namespace: str, form: str) -> None:
    objects = with_accounts(cluster, rendered({**FORMS[form], "console": {"enabled": True}}, namespace=namespace))
    judged = pods(objects)
    assert len(judged) == 3
    assert [admitted(cluster, pod) for pod in judged] == ["", "", ""]


def test_admission_really_judges_pods(cluster: ControlPlane, namespace: str) -> None:
    (pod, *_) = pods(with_accounts(cluster, rendered(namespace=namespace)))
    loosened = copy.deepcopy(pod)
    del loosened["spec"]["containers"][0]["securityContext"]
    assert "violates PodSecurity" in admitted(cluster, loosened)


@pytest.mark.parametrize("directory", ["overlays/cluster-wide", "overlays/one-namespace", "samples"])
def test_the_api_server_takes_everything_of_the_manifests(
    cluster: ControlPlane, namespace: str, directory: str
) -> None:
    objects = kustomized(directory)
    for each in objects:
        if "namespace" in each["metadata"]:
            each["metadata"]["namespace"] = namespace
    dry_run(cluster, objects)
