"""The scan as a running operator does it: status, Events and cleanups of stuck failovers, and drift of finished cleanups."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand
from failed_execution_cleanup.resources.naming import cleanup_name

pytestmark = pytest.mark.timeout(240)

QUICKLY = {"intervalSeconds": 10}


@pytest.fixture
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """An appliance on MariaDB that is scanned every ten seconds, and its operator."""
    database = mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")
    with Stand(control_plane, database, settings={"detection": QUICKLY}) as running:
        yield running


def appliance(stand: Stand) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(stand.kubectl("get", "appliance", stand.appliance, "-o", "json"))
    return body


def scanned(stand: Stand) -> dict[str, Any]:
    """The status of the Appliance after one more whole scan: one that began and ended from now on."""
    before = last_scan(stand)
    for _ in range(2):  # the first to end may have begun before now
        stand.wait_until(lambda known=before: last_scan(stand) not in (None, known), what="a scan")  # type: ignore[misc]
        before = last_scan(stand)
    status: dict[str, Any] = appliance(stand)["status"]
    return status


def last_scan(stand: Stand) -> str | None:
    found: str | None = appliance(stand).get("status", {}).get("lastScanTime")
    return found


def stuck(status: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {job["vmName"]: job for job in status.get("stuck", [])}


def told(stand: Stand, reason: str) -> list[str]:
    """Notes of the Events about the Appliance."""
    uid = appliance(stand)["metadata"]["uid"]
    listed = stand.control_plane.kubectl("--namespace=default", "get", "events.events.k8s.io", "-o", "json").stdout
    return [
        event["note"]
        for event in json.loads(listed)["items"]
        if event["regarding"]["uid"] == uid and event["reason"] == reason
    ]


def cleanups(stand: Stand) -> list[str]:
    items = json.loads(stand.kubectl("get", "fec", "-o", "json"))["items"]
    return sorted(item["metadata"]["name"] for item in items)


def condition(body: dict[str, Any], type_: str) -> dict[str, Any] | None:
    return next((c for c in body["status"].get("conditions", []) if c["type"] == type_), None)


def detach(stand: Stand, volume_id: str) -> None:
    """Somebody detaches a volume by hand, with the appliance's own daemon."""
    stand.simulator.post(f"{stand.address['daemon_url']}/api/v1/volumes/{volume_id}/detach").raise_for_status()
    stand.wait_until(
        lambda: stand.state()["volumes"][volume_id]["virtualmachineid"] is None, what="the volume is detached"
    )


def requests(stand: Stand) -> list[str]:
    return [entry["command"] for entry in stand.requests()]


def test_stuck_failovers_are_told_and_nothing_is_touched(stand: Stand) -> None:
    hung = stand.build("F11", "pgtest1", disks=2)
    stand.build("F28", "pgtest2", disks=1)
    stand.build("F11", "young", disks=1, age_seconds=60)
    stand.build("F30", "healthy", disks=1)
    stand.start_operator()

    status = scanned(stand)

    assert status["stuckVMs"] == 2
    found = stuck(status)
    assert found.keys() == {"pgtest1", "pgtest2"}
    assert found["pgtest1"]["jobID"] == hung["failover_job_id"]
    assert found["pgtest1"]["lastStep"] == "virtio-driver-injection"
    assert "reason" not in found["pgtest1"]
    assert found["pgtest2"]["reason"] == "RunningTestVM"
    scan = condition(appliance(stand), "Scanned")
    assert scan is not None
    assert (scan["status"], scan["reason"]) == ("True", "ScanComplete")
    assert any("pgtest1" in note for note in told(stand, "StuckFailover"))
    assert not any("healthy" in note or "young" in note for note in told(stand, "StuckFailover"))
    assert cleanups(stand) == []
    assert requests(stand) == []


def test_execute_cleans_up_by_itself_and_what_was_dismissed_is_not_created_again(stand: Stand) -> None:
    stand.apply_appliance(stand.appliance, detection={**QUICKLY, "action": "Execute", "namespace": stand.namespace})
    hung = stand.build("F11", "pgtest1", disks=2)
    in_use = stand.build("F28", "pgtest2", disks=1)
    stand.start_operator()
    cleaned = cleanup_name("pgtest1", hung["failover_job_id"])
    refused = cleanup_name("pgtest2", in_use["failover_job_id"])

    stand.wait_until(lambda: cleanups(stand) == sorted([cleaned, refused]), what="one cleanup per failed job")
    body = stand.wait_for(cleaned, "Ready")
    assert body["metadata"]["labels"]["failover.ossea.io/appliance"] == stand.appliance
    assert body["spec"]["failoverJobID"] == hung["failover_job_id"]
    assert stand.ready(cleaned) == ("True", "Cleaned")
    assert set(stand.contents(hung).values()) == {"replica:1"}
    stand.wait_for_reason(refused, "RunningTestVM")

    stand.kubectl("delete", "fec", refused)
    status = scanned(stand)
    assert stuck(status).keys() == {"pgtest2"}
    assert "cleanup" not in stuck(status)["pgtest2"]
    stand.operators[-1].stop(grace_seconds=20)
    stand.start_operator()
    scanned(stand)
    assert cleanups(stand) == [cleaned]
    assert any("pgtest1" in note for note in told(stand, "StuckFailoverGone"))


def test_plan_creates_cleanups_that_touch_nothing_and_none_beside_a_persons(stand: Stand) -> None:
    stand.apply_appliance(stand.appliance, detection={**QUICKLY, "action": "Plan", "namespace": stand.namespace})
    hung = stand.build("F11", "pgtest1", disks=1)
    stand.build("F11", "pgtest2", disks=1)
    stand.apply_cleanup("by-hand", "pgtest2", mode="Plan")
    stand.start_operator()

    planned = cleanup_name("pgtest1", hung["failover_job_id"])
    stand.wait_until(lambda: planned in cleanups(stand), what="a cleanup that plans")
    stand.wait_for(planned, "Planned")
    status = scanned(stand)
    assert cleanups(stand) == sorted(["by-hand", planned])
    assert stuck(status)["pgtest2"]["cleanup"] == f"{stand.namespace}/by-hand"
    assert stuck(status)["pgtest1"]["cleanup"] == f"{stand.namespace}/{planned}"
    assert requests(stand) == []


def test_scan_that_fails_is_told_and_what_was_found_before_stays(stand: Stand) -> None:
    stand.build("F11", "pgtest1", disks=1)
    stand.start_operator()
    assert stuck(scanned(stand)).keys() == {"pgtest1"}

    stand.fault(kind="cloud_down")
    stand.wait_until(
        lambda: (condition(appliance(stand), "Scanned") or {}).get("status") == "False", what="Scanned is False"
    )
    assert stuck(appliance(stand)["status"]).keys() == {"pgtest1"}
    assert stand.operators[-1].returncode is None


def test_drift_is_told_and_acted_on_only_when_asked(stand: Stand) -> None:
    built = stand.build("F11", "pgtest1", disks=2)
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.start_operator()
    stand.wait_for("pgtest1", "Ready")
    detach(stand, built["volume_ids"][1])
    before = requests(stand)

    body = stand.wait_for("pgtest1", "Drifted")
    drift = condition(body, "Drifted")
    assert drift is not None
    assert built["volume_ids"][1] in drift["message"]
    assert stand.ready("pgtest1") == ("True", "Cleaned")
    scanned(stand)
    assert requests(stand) == before
    assert len([event for event in stand.events("pgtest1") if event["reason"] == "DriftObserved"]) == 1

    stand.annotate("pgtest1", requestedAt="again")
    stand.wait_until_handled("pgtest1", "again")
    body = stand.wait_for("pgtest1", "Ready")
    assert stand.holders(built) == {stand.oma_vm_id}
    assert condition(body, "Drifted") is None


def test_drift_is_put_right_by_itself_where_the_policy_says_so_and_never_by_a_revert(stand: Stand) -> None:
    built = stand.build("F11", "pgtest1", disks=2)
    stand.apply_cleanup("pgtest1", "pgtest1", driftPolicy="Correct")
    stand.start_operator()
    stand.wait_for("pgtest1", "Ready")
    detach(stand, built["volume_ids"][1])
    before = len(requests(stand))

    stand.wait_until(lambda: stand.holders(built) == {stand.oma_vm_id}, what="the volume is home again")
    body = stand.wait_for("pgtest1", "Ready")
    stand.wait_until(lambda: condition(stand.cleanup("pgtest1"), "Drifted") is None, what="no drift is told any more")
    assert requests(stand)[before:] == ["attach"]
    assert stand.ready("pgtest1") == ("True", "Cleaned")
    assert len(body["status"]["history"]) == 2


def test_newer_failover_is_no_drift(stand: Stand) -> None:
    stand.build("F11", "pgtest1", disks=1)
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.start_operator()
    stand.wait_for("pgtest1", "Ready")
    stand.act("begin_failover", vm_name="pgtest1")

    scanned(stand)
    assert condition(stand.cleanup("pgtest1"), "Drifted") is None
