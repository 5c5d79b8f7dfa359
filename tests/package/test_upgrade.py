"""Install, upgrade, uninstall and install again, with the real Helm on an API server of their own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from development.chart.rendering import Helm, HelmError
from development.chart.sources import CHART, CRDS
from development.control_plane import ControlPlane, KubectlError
from failed_execution_cleanup import __version__

pytestmark = pytest.mark.timeout(300)

PREVIOUS: Final = "0.0.9"
LATER_FIELD: Final = "ttlSecondsAfterFinished"
"""A field of the cleanup's spec that the previous version does not have."""

RELEASE: Final = "fec"
OPERATOR: Final = "fec-system"
PLURALS: Final = ("appliances", "failedexecutioncleanups")
APPLIANCE: Final[Mapping[str, Any]] = {
    "name": "default",
    "spec": {
        "allowedNamespaces": ["dr"],
        "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
        "volumeDaemon": {"url": "http://oma.example.com:8090"},
    },
}
CLEANUP: Final[Mapping[str, Any]] = {
    "apiVersion": "failover.ossea.io/v1alpha1",
    "kind": "FailedExecutionCleanup",
    "metadata": {"name": "pgtest1", "namespace": "dr", "finalizers": ["failover.ossea.io/claim"]},
    "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}},
}


@dataclass(frozen=True)
class Cluster:
    """A cluster and an administrator's tools.

    Attributes:
        plane: the API server.
        helm: Helm on it.
        previous: archive of the chart's previous version.
    """

    plane: ControlPlane
    helm: Helm
    previous: Path

    def install(self, chart: Path = CHART, values: Mapping[str, Any] | None = None, *more: str) -> str:
        """`helm upgrade --install`; there is nobody who would make a Deployment ready, so it is not waited for."""
        where = (f"--namespace={OPERATOR}", "--create-namespace")
        return self.helm.run("upgrade", "--install", RELEASE, chart, *where, *more, values=values or {})

    def uninstall(self, release: str = RELEASE) -> None:
        self.helm.run("uninstall", release, f"--namespace={OPERATOR}", "--wait")

    def get(self, *arguments: str) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self.plane.kubectl("get", *arguments, "-o", "json").stdout)
        return body

    def apply(self, document: Mapping[str, Any]) -> None:
        self.plane.kubectl("apply", "--validate=strict", "-f", "-", input=json.dumps(document))

    def fields(self) -> set[str]:
        """Fields of a cleanup's spec that the API server knows."""
        definition = self.get("crd", "failedexecutioncleanups.failover.ossea.io")
        (version,) = definition["spec"]["versions"]
        return set(version["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"])

    def names(self, kinds: str) -> list[str]:
        """What is left of a release, in its namespace and in the cluster."""
        label = f"--selector=app.kubernetes.io/instance={RELEASE}"
        return [each["metadata"]["name"] for each in self.get(kinds, label, f"--namespace={OPERATOR}")["items"]]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    """An empty cluster: definitions belong to all, so what happens to them here must not meet anybody else's tests."""
    with ControlPlane() as plane:
        helm = Helm(tmp_path / "helm", plane.admin_kubeconfig)
        plane.create_namespace("dr")
        yield Cluster(plane, helm, previous_version(tmp_path, helm))


def previous_version(directory: Path, helm: Helm) -> Path:
    """This chart as it might have been: a lower version, without a field of the definition and without the console."""
    chart = directory / "previous"
    shutil.copytree(CHART, chart)
    about = yaml.safe_load((chart / "Chart.yaml").read_text())
    (chart / "Chart.yaml").write_text(yaml.safe_dump({**about, "version": PREVIOUS, "appVersion": PREVIOUS}))
    (chart / "templates/console.yaml").unlink()
    path = chart / "files/crds/failover.ossea.io_failedexecutioncleanups.yaml"
    definition = yaml.safe_load(path.read_text())
    spec = definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    del spec["properties"][LATER_FIELD]
    path.write_text(yaml.safe_dump(definition))
    helm.run("package", chart, f"--destination={directory}")
    shutil.rmtree(chart)
    return directory / f"failed-execution-cleanup-{PREVIOUS}.tgz"


def test_an_upgrade_brings_new_fields_and_keeps_cleanups(cluster: Cluster) -> None:
    cluster.install(cluster.previous)
    assert LATER_FIELD not in cluster.fields()
    cluster.apply(CLEANUP)
    before = cluster.get("fec", "pgtest1", "--namespace=dr")
    later = {**CLEANUP, "spec": {**CLEANUP["spec"], LATER_FIELD: 3600}}
    with pytest.raises(KubectlError, match=f'unknown field "spec.{LATER_FIELD}"'):
        cluster.apply(later)

    cluster.install(CHART, {"console": {"enabled": True}})

    assert LATER_FIELD in cluster.fields()
    cluster.apply(later)
    after = cluster.get("fec", "pgtest1", "--namespace=dr")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["spec"][LATER_FIELD] == 3600
    images = {
        container["image"]
        for each in cluster.get("deployments", f"--namespace={OPERATOR}")["items"]
        for container in each["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"failed-execution-cleanup:{__version__}"}
    history = json.loads(cluster.helm.run("history", RELEASE, f"--namespace={OPERATOR}", "--output=json"))
    assert [(each["app_version"], each["status"]) for each in history] == [
        (PREVIOUS, "superseded"),
        (__version__, "deployed"),
    ]


def test_an_uninstall_keeps_definitions_and_cleanups_and_leaves_nothing_else(cluster: Cluster) -> None:
    cluster.install(CHART, {"console": {"enabled": True}})
    cluster.apply(CLEANUP)
    before = cluster.get("fec", "pgtest1", "--namespace=dr")
    cluster.uninstall()

    kinds = (
        "deployments,services,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,networkpolicies,"
        "poddisruptionbudgets,validatingadmissionpolicies,validatingadmissionpolicybindings"
    )
    assert cluster.names(kinds) == []
    assert [each.partition(".")[0] for each in sorted(cluster.names("customresourcedefinitions"))] == [*PLURALS]
    assert cluster.get("fec", "pgtest1", "--namespace=dr") == before

    cluster.install()
    assert cluster.names("deployments") == ["fec-failed-execution-cleanup"]
    assert cluster.get("fec", "pgtest1", "--namespace=dr") == before


def test_definitions_of_somebody_else_are_taken_over_only_when_asked_for(cluster: Cluster) -> None:
    for path in CRDS:
        cluster.plane.kubectl("apply", "--server-side", "-f", path)
    with pytest.raises(HelmError, match="invalid ownership metadata"):
        cluster.install()
    cluster.install(CHART, None, "--take-ownership")
    owners = {
        each["metadata"]["annotations"]["meta.helm.sh/release-name"]
        for each in cluster.get("customresourcedefinitions")["items"]
    }
    assert owners == {RELEASE}


def test_appliances_of_the_values_come_with_the_second_run_and_the_notes_say_so(cluster: Cluster) -> None:
    values = {"appliances": [APPLIANCE]}
    first = cluster.install(CHART, values)
    assert "1 Appliance(s) of the values are not created yet" in first
    assert cluster.get("appliances")["items"] == []

    second = cluster.install(CHART, values)
    assert "not created yet" not in second
    (found,) = cluster.get("appliances")["items"]
    assert found["metadata"]["name"] == "default"
    assert found["spec"].items() >= APPLIANCE["spec"].items()

    cluster.install(CHART, {"appliances": []})
    assert cluster.get("appliances")["items"] == []


def test_the_notes_tell_what_to_do_next(cluster: Cluster) -> None:
    console = {"enabled": True, "ingress": {"enabled": True, "host": "fec.example.com", "tlsSecretName": "host"}}
    cluster.plane.create_namespace("lab")
    notes = cluster.install(CHART, {"console": console, "watchNamespaces": ["lab"]})
    for said in (
        f"Failed execution cleanup {__version__} is installed in namespace {OPERATOR}. It looks after cleanups in lab alone.",
        "kubectl --namespace fec-system rollout status deployment/fec-failed-execution-cleanup",
        "helm test fec --namespace fec-system",
        "metadata: {name: pgtest1, namespace: lab}",
        "The console: https://fec.example.com/",
        "443, 6443, 8443, 3306, 8080, 8090 only",
    ):
        assert said in notes
