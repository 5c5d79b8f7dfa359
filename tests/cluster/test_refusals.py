"""What is not touched: healthy, running or young failovers, VMs not uniquely named, and what a person must allow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from development.stand import Stand
from tests.cluster.observed import assert_replica, condition, message

pytestmark = pytest.mark.timeout(150)


def assert_refused(cleanup: Mapping[str, Any], reason: str) -> None:
    """Stalled with this reason and a message; nothing is held."""
    assert condition(cleanup, "Ready") == ("False", reason)
    assert condition(cleanup, "Stalled") == ("True", reason)
    assert message(cleanup)
    assert "finalizers" not in cleanup["metadata"]


def test_a_running_test_vm_is_refused_until_it_is_waived(stand: Stand) -> None:
    built = stand.build("F28", "in-use1", disks=2)
    contents = stand.contents(built)
    stand.apply_cleanup("in-use1", "in-use1")
    cleanup = stand.wait_for("in-use1", "Stalled")
    assert_refused(cleanup, "RunningTestVM")
    assert built["destination_vm_id"] in message(cleanup)
    assert cleanup["status"]["failedJob"]["id"] == built["failover_job_id"]
    assert stand.requests(about=built) == []
    assert stand.contents(built) == contents

    waiver = {"reason": "RunningTestVM", "object": "job"}
    stand.apply_cleanup("in-use1", "in-use1", failoverJobID=cleanup["status"]["failedJob"]["id"], waive=[waiver])
    cleanup = stand.wait_for("in-use1", "Ready")
    assert condition(cleanup, "Ready") == ("True", "Cleaned")
    assert condition(cleanup, "Stalled")[0] == "absent"
    assert [{"reason": w["reason"], "object": w["object"]} for w in cleanup["status"]["waiversUsed"]] == [waiver]
    assert_replica(stand, built)
    assert stand.state()["virtual_machines"][built["destination_vm_id"]]["removed"]
    (stop,) = stand.requests("stopVirtualMachine", about=built)
    assert stop["parameters"].get("forced", "false") == "false"


def test_a_stop_by_hand_is_no_consent_but_a_new_request_is(stand: Stand) -> None:
    built = stand.build("F28", "in-use2", disks=2)
    stand.apply_cleanup("in-use2", "in-use2")
    stand.wait_for("in-use2", "Stalled")

    stand.act("set_state", object_id=built["destination_vm_id"], state="Stopped")
    # A change that asks for nothing makes the operator look, after the VM was stopped.
    stand.kubectl("label", "fec/in-use2", "team=storage")
    pass_by(stand, "in-use2")
    assert_refused(stand.cleanup("in-use2"), "RunningTestVM")
    assert stand.requests(about=built) == []

    stand.annotate("in-use2", requestedAt="2026-10-01T10:00:00Z")
    cleanup = stand.wait_for("in-use2", "Ready")
    assert condition(cleanup, "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


def pass_by(stand: Stand, name: str) -> None:
    """Let a cleanup that was applied later come to its end: what an earlier change led to has happened by then."""
    stand.build("F01-hang", f"{name}-later")
    stand.apply_cleanup(f"{name}-later", f"{name}-later")
    stand.wait_for(f"{name}-later", "Ready")


def test_a_healthy_failover_is_refused_and_stays_as_it_is(stand: Stand) -> None:
    built = stand.build("F30", "healthy1", disks=2)
    before = stand.state()["volumes"]
    stand.apply_cleanup("healthy1", "healthy1")
    cleanup = stand.wait_for("healthy1", "Stalled")
    assert_refused(cleanup, "NothingFailed")

    stand.annotate("healthy1", requestedAt="2026-10-01T10:00:00Z")
    cleanup = stand.wait_until_handled("healthy1", "2026-10-01T10:00:00Z")
    assert_refused(cleanup, "NothingFailed")
    assert stand.requests(about=built) == []
    after = stand.state()["volumes"]
    assert all(after[volume_id] == before[volume_id] for volume_id in built["volume_ids"])


def test_a_waiver_the_appliance_does_not_allow_is_not_permitted(stand: Stand) -> None:
    built = stand.build("F28", "waived1", disks=1)
    waiver = {"reason": "EngineMayWake", "object": "job"}
    stand.apply_cleanup("waived1", "waived1", failoverJobID=built["failover_job_id"], waive=[waiver])
    cleanup = stand.wait_for("waived1", "Stalled")
    assert_refused(cleanup, "NotPermitted")
    assert "EngineMayWake" in message(cleanup)
    assert stand.appliance in message(cleanup)
    assert stand.requests(about=built) == []


def test_a_namespace_the_appliance_does_not_allow_is_not_permitted(stand: Stand) -> None:
    built = stand.build("F11", "elsewhere1", disks=1)
    closed = f"{stand.appliance}-closed"
    stand.apply_appliance(closed, allowedNamespaces=["somebody-else"])
    stand.apply_cleanup("elsewhere1", "elsewhere1", applianceRef={"name": closed})
    cleanup = stand.wait_for("elsewhere1", "Stalled")
    assert_refused(cleanup, "NotPermitted")
    assert stand.namespace in message(cleanup)
    assert stand.requests(about=built) == []
    stand.kubectl("delete", "fec/elsewhere1", f"appliance/{closed}")


def test_a_name_under_two_vcenters_is_ambiguous_until_the_vcenter_is_named(stand: Stand) -> None:
    hosts = ("vc01.example.com", "vc02.example.com")
    meant, other = (stand.build("F11", "double1", disks=1, vcenter_host=host) for host in hosts)
    stand.apply_cleanup("double1", "double1")
    cleanup = stand.wait_for("double1", "Stalled")
    assert_refused(cleanup, "AmbiguousVM")
    assert all(host in message(cleanup) for host in hosts)

    stand.apply_cleanup("double1", "double1", vcenterHost=hosts[0])
    assert condition(stand.wait_for("double1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, meant)
    assert stand.requests(about=other) == []


def test_an_unknown_vm_and_a_wrong_job_are_refused_by_name(stand: Stand) -> None:
    built = stand.build("F11", "known1", disks=1)
    stand.apply(
        stand.manifest("unknown1", "Known1 "),
        stand.manifest("known1", "known1", failoverJobID="11111111-2222-3333-4444-555555555555"),
    )
    cleanup = stand.wait_for("unknown1", "Stalled")
    assert_refused(cleanup, "UnknownVM")
    assert "'Known1 '" in message(cleanup)
    cleanup = stand.wait_for("known1", "Stalled")
    assert_refused(cleanup, "JobMismatch")
    assert "11111111-2222-3333-4444-555555555555" in message(cleanup)
    assert stand.requests(about=built) == []


def test_a_failover_that_may_still_run_is_left_alone(stand: Stand) -> None:
    built = stand.build("F11", "young1", disks=2, age_seconds=60)
    contents = stand.contents(built)
    stand.apply_cleanup("young1", "young1")
    cleanup = stand.wait_for_reason("young1", "FailoverStillRunning")
    assert condition(cleanup, "Ready") == ("False", "FailoverStillRunning")
    assert condition(cleanup, "Reconciling")[0] == "True"
    assert condition(cleanup, "Stalled")[0] == "absent"
    assert cleanup["status"]["nextAttemptAt"]
    assert "finalizers" not in cleanup["metadata"]
    assert stand.requests(about=built) == []
    assert stand.contents(built) == contents


def test_an_active_replication_is_waited_for(stand: Stand) -> None:
    built = stand.build("F11", "replicating1", disks=2)
    stand.act("add_running_replication", vm_name="replicating1")
    stand.apply_cleanup("replicating1", "replicating1")
    cleanup = stand.wait_for_reason("replicating1", "ReplicationActive")
    assert condition(cleanup, "Stalled")[0] == "absent"
    assert stand.requests(about=built) == []

    stand.rows(
        "UPDATE replication_jobs SET status = 'failed' WHERE vm_context_id = :context AND status NOT IN ('completed')",
        context=built["vm"]["context_id"],
    )
    assert condition(stand.wait_for("replicating1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
