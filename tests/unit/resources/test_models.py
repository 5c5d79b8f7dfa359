"""Reading and writing the custom resources."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from failed_execution_cleanup.resources.appliance import Appliance, ForceStop
from failed_execution_cleanup.resources.cleanup import (
    CleanupStatus,
    DriftPolicy,
    FailedExecutionCleanup,
    Holder,
    Mode,
    Phase,
    PhaseName,
    PhaseState,
    VolumeStatus,
)
from failed_execution_cleanup.resources.kubernetes_model import camel_case
from failed_execution_cleanup.resources.reasons import Waiver


def cleanup(spec: dict[str, Any] | None = None, **parts: Any) -> FailedExecutionCleanup:
    return FailedExecutionCleanup.model_validate(
        {
            "apiVersion": "failover.ossea.io/v1alpha1",
            "kind": "FailedExecutionCleanup",
            "metadata": {
                "name": "pgtest1",
                "namespace": "dr",
                "uid": "u",
                "generation": 3,
                **parts.pop("metadata", {}),
            },
            "spec": {"vmName": "PG Test 1", "applianceRef": {"name": "default"}, **(spec or {})},
            **parts,
        }
    )


def test_defaults_are_the_careful_choice() -> None:
    spec = cleanup().spec
    assert (spec.mode, spec.suspend, spec.drift_policy) == (Mode.EXECUTE, False, DriftPolicy.REPORT)
    assert (spec.waive, spec.deadline_seconds, spec.ttl_seconds_after_finished) == ((), 14_400, None)


def test_appliance_defaults_are_the_careful_choice() -> None:
    spec = appliance().spec
    assert (spec.waivers, spec.allowed_namespaces) == ((), ())
    assert (spec.ossea.url, spec.ossea.insecure_skip_tls_verify) == (None, False)
    assert spec.test_vm.force_stop is ForceStop.NEVER
    assert (spec.detection.stuck_after_seconds, spec.settle.revert_quiet_seconds) == (1_800, 1_800)
    assert (spec.limits.cleanups, spec.limits.tries) == (10, 3)


def appliance(**spec: Any) -> Appliance:
    return Appliance.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
                "volumeDaemon": {"url": "http://oma.example.com:8090"},
                **spec,
            },
        }
    )


def test_a_complete_object_is_read() -> None:
    read = cleanup(
        {
            "vcenterHost": "vc01",
            "failoverJobID": "6f0c",
            "waive": [{"reason": "AcceptContent", "object": "vol-1"}],
            "ttlSecondsAfterFinished": 60,
        },
        status={"observedGeneration": 3, "lastHandledRequest": "1"},
    )
    assert (read.spec.vcenter_host, read.spec.failover_job_id) == ("vc01", "6f0c")
    assert read.spec.waive[0].reason is Waiver.ACCEPT_CONTENT
    assert read.status.last_handled_request == "1"


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert cleanup({"newField": 1}, status={"newField": 1, "observedGeneration": 2}).status.observed_generation == 2


@pytest.mark.parametrize("status", [{"phases": [{"name": "new-phase", "state": "Pending"}]}, None, {"volumes": 7}])
def test_an_unreadable_status_counts_as_erased(status: Any) -> None:
    assert cleanup(status=status).status == CleanupStatus()


@pytest.mark.parametrize(
    ("annotations", "suspend", "suspended"),
    [
        ({}, False, False),
        ({}, True, True),
        ({"failover.ossea.io/suspended": "true"}, False, True),
        ({"failover.ossea.io/suspended": "false"}, False, False),
    ],
)
def test_spec_and_annotation_both_suspend(annotations: dict[str, str], suspend: bool, suspended: bool) -> None:
    assert cleanup({"suspend": suspend}, metadata={"annotations": annotations}).suspended is suspended


def test_requests_and_approvals_are_read_from_annotations() -> None:
    annotations = {"failover.ossea.io/requestedAt": "now", "failover.ossea.io/approvedPlan": "abc"}
    read = cleanup(metadata={"annotations": annotations})
    assert (read.requested_at, read.approved_plan) == ("now", "abc")


def test_a_request_too_long_for_the_status_is_still_recognised_as_handled() -> None:
    requested = cleanup(metadata={"annotations": {"failover.ossea.io/requestedAt": "x" * 300}}).requested_at
    status = CleanupStatus(last_handled_request=requested)
    assert status.last_handled_request == requested


def test_status_is_written_in_the_api_servers_spelling_and_read_back_equal() -> None:
    status = CleanupStatus(
        observed_generation=3,
        cleanup_job_id="job",
        phase_summary="0/5",
        phases=(
            Phase(
                name=PhaseName.DETACH_VOLUMES,
                state=PhaseState.RUNNING,
                started_at=datetime(2026, 5, 4, 12, 0, 0, 5, tzinfo=UTC),
                done=0,
                total=3,
            ),
        ),
        volumes=(VolumeStatus(id="vol-1", holder=Holder.OTHER, holder_vm_id="vm-9", message="x" * 2000),),
    )
    written = status.to_kubernetes()
    assert written["cleanupJobID"] == "job"
    assert written["phases"] == [
        {"name": "detach-volumes", "state": "Running", "startedAt": "2026-05-04T12:00:00Z", "done": 0, "total": 3}
    ]
    assert len(written["volumes"][0]["message"]) == 1024
    assert "completedAt" not in written
    assert CleanupStatus.model_validate(written) == status


@pytest.mark.parametrize(
    "address",
    ["ftp://oma", "http://user:password@oma", "http://oma?x=1", "http://", "oma:8090", "http://oma/ a", "http://oma#x"],
)
def test_addresses_without_http_or_with_credentials_are_refused(address: str) -> None:
    with pytest.raises(ValidationError, match="url"):
        appliance(volumeDaemon={"url": address})


@pytest.mark.parametrize("address", ["http://oma:8090", "https://[::1]:8080/client/api", "http://10.0.0.1/"])
def test_plain_addresses_are_accepted(address: str) -> None:
    assert appliance(volumeDaemon={"url": address}).spec.volume_daemon.url == address


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("failover_job_id", "failoverJobID"),
        ("test_vms", "testVMs"),
        ("oma_vm_id", "omaVMID"),
        ("insecure_skip_tls_verify", "insecureSkipTLSVerify"),
        ("ttl_seconds_after_finished", "ttlSecondsAfterFinished"),
        ("url", "url"),
    ],
)
def test_names_are_spelled_as_in_kubernetes(name: str, spelling: str) -> None:
    assert camel_case(name) == spelling
