"""The custom resources on a real API server: what is accepted, refused, filled in and shown."""

from __future__ import annotations

import copy
import json
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import (
    CleanupStatus,
    FailedExecutionCleanup,
    FailedJob,
    Leftover,
    LeftoverKind,
    Phase,
    PhaseName,
    PhaseState,
    PlannedAction,
    Run,
)
from failed_execution_cleanup.resources.conditions import ConditionStatus, set_condition
from failed_execution_cleanup.resources.kubernetes_model import ObjectMeta
from failed_execution_cleanup.resources.reasons import ConditionType, Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from development.control_plane import ControlPlane

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "manifests" / "samples"
JOB = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"

# Starting and filling the API server counts against the first test.
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The API server with our resources established."""
    applied = control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", ROOT / "crds")
    assert applied.stderr == "", "the API server warns about the definitions"
    control_plane.kubectl(
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/failedexecutioncleanups.failover.ossea.io",
        "crd/appliances.failover.ossea.io",
    )
    return control_plane


@pytest.fixture
def appliance_name(cluster: ControlPlane) -> Iterator[str]:
    """A name for a cluster-scoped Appliance of the test's own, removed afterwards."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    yield name
    cluster.kubectl("delete", "appliance", name, "--ignore-not-found")


def cleanup(namespace: str, name: str = "pgtest1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "FailedExecutionCleanup",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"vmName": "PG Test 1", "applianceRef": {"name": "default"}, **spec},
    }


def appliance(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": name},
        "spec": {
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": "http://oma.example.com:8090"},
            **spec,
        },
    }


def apply(cluster: ControlPlane, document: dict[str, Any]) -> dict[str, Any]:
    """Apply and return the stored object."""
    applied = cluster.kubectl("apply", "-f", "-", "-o", "json", input=json.dumps(document))
    stored: dict[str, Any] = json.loads(applied.stdout)
    return stored


def refusal(cluster: ControlPlane, document: dict[str, Any]) -> str:
    """Apply, which must be refused, and return what the API server says."""
    result = cluster.kubectl("apply", "-f", "-", input=json.dumps(document), check=False)
    assert result.returncode != 0, f"accepted: {document}"
    return result.stderr


def write_status(cluster: ControlPlane, namespace: str, name: str, status: CleanupStatus) -> None:
    patch = json.dumps({"status": status.to_kubernetes()})
    cluster.kubectl("patch", "-n", namespace, "fec", name, "--subresource=status", "--type=merge", "-p", patch)


def test_definitions_are_accepted_as_structural(cluster: ControlPlane) -> None:
    stored = json.loads(cluster.kubectl("get", "crd", "-o", "json").stdout)
    ours = [item for item in stored["items"] if item["spec"]["group"] == "failover.ossea.io"]
    assert len(ours) == 2
    for item in ours:
        conditions = {condition["type"]: condition["status"] for condition in item["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions["NamesAccepted"] == "True"
        assert "NonStructuralSchema" not in conditions


def test_samples_are_accepted(cluster: ControlPlane, namespace: str) -> None:
    sample = yaml.safe_load((SAMPLES / "cleanup.yaml").read_text(encoding="utf-8"))
    sample["metadata"]["namespace"] = namespace
    apply(cluster, sample)
    # The names in these two are not the test's own, so nothing of them is kept.
    cluster.kubectl("create", "--dry-run=server", "--validate=strict", "-f", SAMPLES / "appliance.yaml")
    for secret in yaml.safe_load_all((SAMPLES / "secrets.yaml").read_text(encoding="utf-8")):
        secret["metadata"]["namespace"] = namespace
        cluster.kubectl("create", "--dry-run=server", "-f", "-", input=json.dumps(secret))


def test_a_new_cleanup_has_defaults_and_is_not_taken_for_reconciled(cluster: ControlPlane, namespace: str) -> None:
    stored = apply(cluster, cleanup(namespace))
    assert stored["spec"] == {
        "vmName": "PG Test 1",
        "applianceRef": {"name": "default"},
        "mode": "Execute",
        "suspend": False,
        "driftPolicy": "Report",
        "deadlineSeconds": 14_400,
    }
    assert stored["status"] == {"observedGeneration": -1}


def test_defaults_of_the_api_server_are_those_of_the_models(
    cluster: ControlPlane, namespace: str, appliance_name: str
) -> None:
    asked = cleanup(namespace)
    assert FailedExecutionCleanup.model_validate(apply(cluster, asked)).spec == (
        FailedExecutionCleanup.model_validate(asked).spec
    )
    asked = appliance(appliance_name)
    stored = apply(cluster, asked)
    assert Appliance.model_validate(stored).spec == Appliance.model_validate(asked).spec
    assert stored["spec"]["limits"] == {
        "cleanups": 10,
        "revertsInParallel": 4,
        "requestsPerSecond": 10,
        "tries": 3,
    }
    assert stored["spec"]["testVM"]["forceStop"] == "Never"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"vmName": ""}, "spec.vmName"),
        ({"vmName": "   "}, "spec.vmName"),
        ({"vmName": "x" * 256}, "spec.vmName"),
        ({"vmName": None}, "spec.vmName"),
        ({"applianceRef": None}, "spec.applianceRef"),
        ({"applianceRef": {"name": "Not A Name"}}, "spec.applianceRef.name"),
        ({"mode": "Force"}, "spec.mode"),
        ({"driftPolicy": "Ignore"}, "spec.driftPolicy"),
        ({"deadlineSeconds": 59}, "spec.deadlineSeconds"),
        ({"deadlineSeconds": 604_801}, "spec.deadlineSeconds"),
        ({"ttlSecondsAfterFinished": -1}, "spec.ttlSecondsAfterFinished"),
        ({"failoverJobID": ""}, "spec.failoverJobID"),
        ({"note": "x" * 1025}, "spec.note"),
        ({"waive": [{"reason": "RunningTestVM", "object": "job"}]}, "spec.failoverJobID"),
        ({"failoverJobID": JOB, "waive": [{"reason": "Everything", "object": "job"}]}, "spec.waive[0].reason"),
        ({"failoverJobID": JOB, "waive": [{"reason": "RunningTestVM"}]}, "spec.waive[0].object"),
        ({"failoverJobID": JOB, "waive": [{"object": "job"}]}, "spec.waive[0].reason"),
        ({"failoverJobID": JOB, "waive": [{"reason": "AcceptContent", "object": "job"}]}, "spec.waive[0].object"),
        ({"failoverJobID": JOB, "waive": [{"reason": "RunningTestVM", "object": "job"}] * 2}, "spec.waive[1]"),
    ],
)
def test_malformed_cleanups_are_refused_with_the_path_of_the_field(
    cluster: ControlPlane, namespace: str, spec: dict[str, Any], field: str
) -> None:
    assert field in refusal(cluster, cleanup(namespace, **spec))


@pytest.mark.parametrize(
    ("before", "after", "field"),
    [
        ({}, {"vmName": "pgtest2"}, "spec.vmName"),
        ({}, {"applianceRef": {"name": "other"}}, "spec.applianceRef"),
        ({"vcenterHost": "vc01"}, {"vcenterHost": "vc02"}, "spec.vcenterHost"),
        ({"vcenterHost": "vc01"}, {}, "spec.vcenterHost"),
        ({"failoverJobID": JOB}, {"failoverJobID": "another"}, "spec.failoverJobID"),
        ({"failoverJobID": JOB}, {}, "spec.failoverJobID"),
    ],
)
def test_what_names_the_incident_cannot_be_changed_or_removed(
    cluster: ControlPlane, namespace: str, before: dict[str, Any], after: dict[str, Any], field: str
) -> None:
    apply(cluster, cleanup(namespace, **before))
    message = refusal(cluster, cleanup(namespace, **after))
    assert field in message
    assert "create a new FailedExecutionCleanup" in message


def test_what_was_left_open_can_be_added_later(cluster: ControlPlane, namespace: str) -> None:
    apply(cluster, cleanup(namespace))
    stored = apply(
        cluster,
        cleanup(
            namespace,
            vcenterHost="vc01",
            failoverJobID=JOB,
            waive=[{"reason": "RunningTestVM", "object": "job"}, {"reason": "AcceptContent", "object": "vol-1"}],
        ),
    )
    assert stored["spec"]["failoverJobID"] == JOB
    assert len(stored["spec"]["waive"]) == 2


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"volumeDaemon": {"url": "ftp://oma"}}, "spec.volumeDaemon.url"),
        ({"volumeDaemon": {"url": "http://user:password@oma"}}, "spec.volumeDaemon.url"),
        ({"ossea": {"url": "ossea.example.com"}}, "spec.ossea.url"),
        ({"ossea": {"caBundle": "no certificate"}}, "spec.ossea.caBundle"),
        (
            {"ossea": {"caBundle": "-----BEGIN CERTIFICATE-----", "insecureSkipTLSVerify": True}},
            "spec.ossea.insecureSkipTLSVerify",
        ),
        ({"database": {"urlSecretRef": {"name": "oma-database"}}}, "spec.database.urlSecretRef.key"),
        ({"waivers": ["Everything"]}, "spec.waivers[0]"),
        ({"waivers": ["ZombieJob", "ZombieJob"]}, "spec.waivers[1]"),
        ({"allowedNamespaces": ["Not A Namespace"]}, "spec.allowedNamespaces[0]"),
        ({"testVM": {"forceStop": "Always"}}, "spec.testVM.forceStop"),
        ({"detection": {"action": "Execute"}}, "spec.detection.namespace"),
        ({"detection": {"stuckAfterSeconds": 5}}, "spec.detection.stuckAfterSeconds"),
        (
            {"detection": {"windows": [{"name": "n", "start": "25:00", "end": "06:00", "timeZone": "UTC"}]}},
            "spec.detection.windows[0].start",
        ),
        (
            {"detection": {"windows": [{"name": "n", "start": "06:00", "end": "06:00", "timeZone": "UTC"}]}},
            "spec.detection.windows[0].end",
        ),
        ({"limits": {"cleanups": 0}}, "spec.limits.cleanups"),
    ],
)
def test_malformed_appliances_are_refused_with_the_path_of_the_field(
    cluster: ControlPlane, appliance_name: str, spec: dict[str, Any], field: str
) -> None:
    assert field in refusal(cluster, appliance(appliance_name, **spec))


def test_unknown_fields_are_refused_by_kubectl(cluster: ControlPlane, namespace: str) -> None:
    assert 'unknown field "spec.force"' in refusal(cluster, cleanup(namespace, force=True))


def full_status(generation: int) -> CleanupStatus:
    metadata = ObjectMeta.model_validate({"name": "x", "creationTimestamp": "2026-05-04T12:00:00Z"})
    moment = metadata.creation_timestamp
    assert moment is not None
    return CleanupStatus(
        observed_generation=generation,
        conditions=set_condition(
            (),
            ConditionType.READY,
            ConditionStatus.FALSE,
            reason=Reason.RUNNING_TEST_VM,
            message="stop VM i-2-77-VM or waive RunningTestVM",
            observed_generation=generation,
            now=moment,
        ),
        phase_summary="0/5",
        failed_job=FailedJob(id=JOB, started_at=moment),
        phases=tuple(Phase(name=name, state=PhaseState.PENDING, done=0, total=3) for name in PhaseName),
        plan=(PlannedAction(step=1, phase=PhaseName.DETACH_VOLUMES, action="Detach", object="vol-1", why="on TestVM"),),
        leftovers=(Leftover(kind=LeftoverKind.ROW, id="failover_jobs/7", message="older job"),),
        queue_position=2,
        history=(Run(run=1, result=Reason.RUNNING_TEST_VM.value, started_at=moment),),
    )


def test_a_status_of_the_models_is_stored_whole(cluster: ControlPlane, namespace: str) -> None:
    generation = apply(cluster, cleanup(namespace))["metadata"]["generation"]
    status = full_status(generation)
    write_status(cluster, namespace, "pgtest1", status)
    stored = json.loads(cluster.kubectl("get", "-n", namespace, "fec", "pgtest1", "-o", "json").stdout)
    assert stored["status"] == status.to_kubernetes()
    assert FailedExecutionCleanup.model_validate(stored).status == status


def test_an_erased_status_looks_like_that_of_a_new_object(cluster: ControlPlane, namespace: str) -> None:
    apply(cluster, cleanup(namespace))
    write_status(cluster, namespace, "pgtest1", full_status(1))
    erased = ["--subresource=status", "--type=merge", "-p", '{"status": null}', "-o", "json"]
    stored = json.loads(cluster.kubectl("patch", "-n", namespace, "fec", "pgtest1", *erased).stdout)
    assert stored["status"] == {"observedGeneration": -1}


def test_get_shows_the_columns_and_wide_the_message(cluster: ControlPlane, namespace: str) -> None:
    apply(cluster, cleanup(namespace))
    write_status(cluster, namespace, "pgtest1", full_status(1))

    header, row = cluster.kubectl("get", "-n", namespace, "fec").stdout.splitlines()
    assert header.split() == ["NAME", "VM", "APPLIANCE", "JOB", "READY", "REASON", "PHASES", "AGE"]
    for cell in ("PG Test 1", "default", JOB, "False", "RunningTestVM", "0/5"):
        assert cell in row

    wide = cluster.kubectl("get", "-n", namespace, "dr", "-o", "wide").stdout
    assert "stop VM i-2-77-VM or waive RunningTestVM" in wide


def test_appliances_show_their_columns(cluster: ControlPlane, appliance_name: str) -> None:
    apply(cluster, appliance(appliance_name))
    header, _ = cluster.kubectl("get", "appliances", appliance_name).stdout.splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "STUCK", "OSSEA", "AGE"]


def test_cleanups_can_be_selected_by_their_vm(cluster: ControlPlane, namespace: str) -> None:
    apply(cluster, cleanup(namespace))
    apply(cluster, cleanup(namespace, "other", vmName="pgtest2"))
    found = cluster.kubectl("get", "-n", namespace, "fec", "--field-selector=spec.vmName=pgtest2", "-o", "name")
    assert found.stdout.split() == ["failedexecutioncleanup.failover.ossea.io/other"]


@pytest.mark.parametrize("field", ["fec", "fec.spec.waive", "fec.status.phases", "appliance.spec.settle"])
def test_explain_shows_the_descriptions(cluster: ControlPlane, field: str) -> None:
    (version_schema,) = (
        document["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for document in map(yaml.safe_load, (path.read_text(encoding="utf-8") for path in (ROOT / "crds").iterdir()))
        if (document["spec"]["names"]["kind"] == "Appliance") == field.startswith("appliance")
    )
    schema = copy.copy(version_schema)
    for name in field.split(".")[1:]:
        schema = schema["properties"][name]
    shown = " ".join(cluster.kubectl("explain", field).stdout.split())
    assert " ".join(schema["description"].split()) in shown
