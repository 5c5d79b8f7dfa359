"""An operator with exactly the service account, rights and environment that the chart renders does its whole work.

In both forms: for the whole cluster, and for the one namespace it was told to watch.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from development.chart.rendering import Object, rendered
from development.control_plane import ControlPlane
from development.processes import Process, free_port
from development.stand import ROOT, Stand
from failed_execution_cleanup import __version__
from failed_execution_cleanup.controller.operator import LEASE_NAME
from failed_execution_cleanup.resources.naming import cleanup_name
from tests.cluster.observed import assert_replica, condition
from tests.package.objects import environment, of_kind, one, pod

pytestmark = pytest.mark.timeout(300)

FORMS: Final = ("cluster-wide", "one-namespace")


class Installation:
    """A stand on which the chart is installed, with two replicas of the operator.

    Attributes:
        one_namespace: whether it watches the stand's namespace of cleanups alone.
        stand: the appliance and the cluster.
        objects: what the chart renders for it; all of it is in the cluster, but for definitions and roles of people.
        ports: of the health of each replica, by identity.
    """

    def __init__(self, control_plane: ControlPlane, *, one_namespace: bool) -> None:
        self.one_namespace = one_namespace
        self.objects: list[Object] = []
        self.ports: dict[str, int] = {}
        self.replicas: dict[str, Process] = {}
        self.stand = Stand(control_plane, installed=self._render)

    def _render(self, stand: Stand) -> list[Object]:
        values: dict[str, Any] = {
            # Other tests of this control plane have their own idea of what belongs to all.
            "crds": {"install": False},
            "roles": {"install": False},
            "watchNamespaces": [stand.namespace] if self.one_namespace else [],
            "operator": {"settings": {"appliances": [stand.appliance]}},
        }
        self.objects = rendered(values, release=stand.operator_namespace, namespace=stand.operator_namespace)
        stand.service_account = pod(self.objects)["serviceAccountName"]
        return [each for each in self.objects if each["kind"] != "Pod"]

    def start(self) -> str:
        """Start a replica with the environment of the Deployment, but for what only a pod has; returns its identity."""
        identity, port = f"replica-{uuid.uuid4().hex[:6]}", free_port()
        given = environment(self.objects) | {"FEC_HEALTH_HOST": "127.0.0.1", "FEC_HEALTH_PORT": str(port)}
        process = self.stand.start_operator(FEC_IDENTITY=identity, FEC_LEASE_SECONDS="15", **given)
        self.replicas[identity], self.ports[identity] = process, port
        process.wait_until(lambda: self.answers(identity, "readyz"), seconds=90)
        return identity

    def answers(self, identity: str, page: str) -> bool:
        """Whether a probe of a replica would pass."""
        try:
            return httpx.get(f"http://127.0.0.1:{self.ports[identity]}/{page}", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def leader(self) -> str:
        """The replica that holds the Lease; empty when none does."""
        namespace = f"--namespace={self.stand.operator_namespace}"
        lease = self.stand.control_plane.kubectl(
            "get", "lease", LEASE_NAME, namespace, "-o", "json", check=False
        ).stdout
        return str(json.loads(lease)["spec"].get("holderIdentity", "")) if lease else ""

    def refused(self) -> list[str]:
        """What the API server refused to the operator; Events it may write and not read, which `fec diagnose` tries."""
        user = f"system:serviceaccount:{self.stand.operator_namespace}:{self.stand.service_account}"
        events = (json.loads(line) for line in self.stand.control_plane.audit_log.read_text().splitlines())
        return [
            f"{event['verb']} {event['requestURI']}"
            for event in events
            if event["user"]["username"] == user
            and "kubectl" not in event["userAgent"]
            and event["responseStatus"]["code"] in {401, 403}
            and (event["verb"], event["objectRef"]["resource"]) != ("list", "events")
        ]


@pytest.fixture(scope="module", params=FORMS)
def installation(request: pytest.FixtureRequest, control_plane: ControlPlane) -> Iterator[Installation]:
    installed = Installation(control_plane, one_namespace=request.param == "one-namespace")
    with installed.stand:
        for _ in range(2):
            installed.start()
        yield installed


def test_nothing_but_what_the_chart_renders_is_bound_to_the_operator(installation: Installation) -> None:
    stand = installation.stand
    kinds = ("RoleBinding", "ClusterRoleBinding")
    listed = stand.control_plane.kubectl("get", ",".join(kinds), "--all-namespaces", "-o", "json").stdout

    def bound(objects: list[Object]) -> set[tuple[str, str, str]]:
        return {
            (each["kind"], each["metadata"].get("namespace", ""), each["roleRef"]["name"])
            for each in objects
            for subject in each.get("subjects", [])
            if subject.get("namespace") == stand.operator_namespace and subject["name"] == stand.service_account
        }

    shipped = bound([each for kind in kinds for each in of_kind(installation.objects, kind)])
    assert bound(json.loads(listed)["items"]) == shipped
    assert len(shipped) == (5 - 1 if installation.one_namespace else 3)


def test_a_hung_failover_is_cleaned(installation: Installation) -> None:
    stand = installation.stand
    built = stand.build("F11", "pgtest1", disks=2)
    stand.apply_cleanup("pgtest1", "pgtest1")
    assert condition(stand.wait_for("pgtest1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
    stand.wait_until(lambda: stand.events("pgtest1"), what="an Event about the cleanup")
    assert installation.refused() == []


def test_the_other_replica_goes_on_after_a_kill(installation: Installation) -> None:
    stand = installation.stand
    stand.wait_until(installation.leader, what="somebody leads")
    killed = installation.leader()
    installation.replicas.pop(killed).kill()
    stand.wait_until(lambda: installation.leader() not in ("", killed), what="the other one leads")
    built = stand.build("F11", "pgtest2", disks=1)
    stand.apply_cleanup("pgtest2", "pgtest2", ttlSecondsAfterFinished=0)
    stand.wait_until_gone("pgtest2")
    assert_replica(stand, built)
    installation.start()
    assert installation.refused() == []


def test_a_stuck_failover_is_found_and_cleaned(installation: Installation) -> None:
    stand = installation.stand
    detection = {"action": "Execute", "intervalSeconds": 10, "namespace": stand.namespace}
    stand.apply_appliance(stand.appliance, detection=detection)
    built = stand.build("F11", "pgtest3", disks=1)
    name = cleanup_name("pgtest3", built["failover_job_id"])
    stand.wait_until(lambda: name in stand.kubectl("get", "fec", "-o", "name"), what="a cleanup by the scan")
    stand.wait_for(name, "Ready")
    assert_replica(stand, built)
    # Events about Appliances, which have no namespace, are in `default`.
    about = f"--field-selector=regarding.name={stand.appliance}"
    events = ("--namespace=default", "get", "events.events.k8s.io", about, "-o", "name")
    stand.wait_until(lambda: stand.control_plane.kubectl(*events).stdout, what="an Event about the Appliance")
    assert installation.refused() == []


def test_a_diagnosis_with_the_operators_own_rights_sees_everything(installation: Installation) -> None:
    stand = installation.stand
    stand.build("F11", "pgtest4", disks=1)
    kubeconfig = stand.control_plane.service_account_kubeconfig(stand.operator_namespace, stand.service_account)
    given = {
        "FEC_NAMESPACE": stand.operator_namespace,
        "FEC_WATCH_NAMESPACES": environment(installation.objects)["FEC_WATCH_NAMESPACES"],
        "FEC_HEALTH_PORT": str(installation.ports[next(iter(installation.replicas))]),
        "FEC_HTTP_TIMEOUT_SECONDS": "5",
    }
    told = subprocess.run(
        [
            *(sys.executable, "-m", "failed_execution_cleanup", "diagnose", "pgtest4"),
            *("--appliance", stand.appliance, "--kubeconfig", str(kubeconfig)),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator"), **given},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    bundle = yaml.safe_load(told.stdout)
    assert bundle["observation"]["records"]["context"]["vm_name"] == "pgtest4"
    assert bundle["operator"]["leader"]["holder"] == installation.leader()
    assert [each for each in bundle["problems"] if not each["part"].startswith("Events of")] == []
    assert installation.refused() == []


def test_elsewhere_an_operator_for_one_namespace_may_nothing(installation: Installation) -> None:
    stand = installation.stand
    user = f"--as=system:serviceaccount:{stand.operator_namespace}:{stand.service_account}"

    def may(verb: str, namespace: str) -> str:
        right = ("auth", "can-i", verb, "failedexecutioncleanups.failover.ossea.io", user, f"--namespace={namespace}")
        return stand.control_plane.kubectl(*right, check=False).stdout.strip()

    everywhere = "no" if installation.one_namespace else "yes"
    for verb in ("list", "patch", "create", "delete"):
        assert (may(verb, stand.namespace), may(verb, "default")) == ("yes", everywhere)


def test_the_commands_of_helm_test_pass(installation: Installation) -> None:
    """With an address of this machine for the one of the Service."""
    version, ready = one(installation.objects, "Pod")["spec"]["containers"]
    fec, *arguments = version["command"]
    program = shutil.which(fec, path=sysconfig.get_path("scripts"))
    assert program is not None
    assert subprocess.check_output([program, *arguments], text=True).strip() == __version__
    assert {installation.answers(identity, "healthz") for identity in installation.replicas} == {True}

    python, option, script = ready["command"]
    assert (Path(sys.executable).name.startswith(python), option) == (True, "-c")
    service = f"{one(installation.objects, 'Service')['metadata']['name']}.{installation.stand.operator_namespace}.svc"
    assert service in script
    port = next(iter(installation.ports[identity] for identity in installation.replicas))
    here = script.replace(service, "127.0.0.1").replace("8080", str(port))
    assert '"status": "ok"' in subprocess.check_output([sys.executable, "-c", here], text=True)
