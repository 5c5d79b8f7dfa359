"""What is shown of stuck VMs and cleanups, for people and for programs."""

from __future__ import annotations

import pytest
import yaml

from failed_execution_cleanup.controller.kubernetes_api import Forbidden, KubernetesError, Unreachable
from tests.unit.client.cluster import appliance_body, cleanup_body, condition, ready, stuck
from tests.unit.commands.terminal import Acted, Terminal
from tests.unit.reports.cleaned import body as cleaned_body

JOB = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"


def test_stuck_vms_are_listed_with_what_would_hold_a_cleanup(fec: Terminal, cluster: Acted) -> None:
    cluster.put(appliance_body("default", {**stuck("pgtest1", JOB), "reason": "RunningTestVM", "cleanup": "dr/x"}))
    result = fec.run("stuck")
    head, row = result.stdout.splitlines()
    assert head.split()[0] == "VM"
    assert row.split() == [
        *("pgtest1", "vc01", "default", "test", "2026-01-31", "10:00", "UTC"),
        *("RunningTestVM", "dr/x", "virtio-driver-injection"),
    ]
    assert (result.exit_code, result.stderr) == (0, "")


def test_stuck_vms_are_data_for_programs(fec: Terminal, cluster: Acted) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    expected = [{"appliance": "default", **stuck("pgtest1", JOB)}]
    assert fec.document("stuck") == expected
    assert yaml.safe_load(fec.run("stuck", "-o", "yaml").stdout) == expected


def test_a_list_that_may_not_be_the_whole_truth_says_so(fec: Terminal, cluster: Acted) -> None:
    body = appliance_body("default")
    del body["status"]["lastScanTime"]
    cluster.put(body)
    scanned = appliance_body("west", stuck("a", "1"))
    scanned["status"] |= {"stuckVMs": 7, "conditions": [condition("Scanned", "False", "ScanIncomplete", "half of it")]}
    cluster.put(scanned)
    result = fec.run("stuck")
    assert "default was not scanned yet" in result.stderr
    assert "Appliance west was not complete: half of it" in result.stderr
    assert fec.run("stuck", "-a", "default").stdout == "No VM is stuck.\n"


def test_cleanups_are_listed_with_how_far_they_are(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body("a", status=ready("Cleaned", "True", "all is well", phaseSummary="5/5")))
    cluster.put(cleanup_body("b", vmName="PG test", status=ready("RunningTestVM", message="it runs")))
    lines = fec.run("status").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "b", "a"]
    assert "needs-person  RunningTestVM" in lines[1]
    assert [each["name"] for each in fec.document("status", "--state", "clean")] == ["a"]
    assert fec.document("status", "--appliance", "west") == []
    assert fec.run("status", "--appliance", "west").stdout == "There is no such cleanup.\n"
    assert "dr/a" in fec.run("status", "-A").stdout


def test_one_cleanup_is_shown_in_full_by_its_name_or_that_of_its_vm(fec: Terminal, cluster: Acted) -> None:
    cluster.put({"kind": "FailedExecutionCleanup", **cleaned_body()})
    shown = fec.run("status", "pgtest1-6f0c9a12").stdout
    for told in ("pgtest1 on default", "Cleaned", "detach-volumes", "disk-2000", "VolumesAttached", "ticket 4711"):
        assert told in shown
    assert "left behind: Snapshot s-9: older than the last sync" in shown
    assert fec.run("status", "pgtest1").stdout == shown


def test_a_stop_comes_with_the_remedy_and_the_command_for_its_waiver(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body("a", status=ready("RunningTestVM", message="it runs", failedJob={"id": JOB})))
    shown = fec.run("status", "a").stdout
    assert "next: Waive RunningTestVM, or stop it" in shown
    assert "waive: fec waive a RunningTestVM job -n dr" in shown


def test_programs_get_the_same_keys_for_one_and_for_many(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body("a", status=ready("RunningTestVM", message="it runs")))
    one = fec.document("status", "a")
    assert [one] == fec.document("status")
    status = one.pop("status")
    assert status["conditions"][0]["reason"] == "RunningTestVM"
    assert one == {
        "name": "a",
        "namespace": "dr",
        "vmName": "pgtest1",
        "vcenterHost": None,
        "appliance": "default",
        "mode": "Execute",
        "state": "needs-person",
        "over": True,
        "exitCode": 3,
        "reason": "RunningTestVM",
        "message": "it runs",
        "remedy": "Waive RunningTestVM, or stop it and request a new run; the VM of a live failover must be stopped by hand.",
    }


def test_the_history_of_a_vm_is_that_of_all_its_cleanups(fec: Terminal, cluster: Acted) -> None:
    cluster.put({"kind": "FailedExecutionCleanup", **cleaned_body()})
    other = cleaned_body()
    other["metadata"] |= {"name": "older", "creationTimestamp": "2026-01-01T10:00:00Z"}
    cluster.put({"kind": "FailedExecutionCleanup", **other})
    assert [run["cleanup"] for run in fec.document("history", "pgtest1")] == ["pgtest1-6f0c9a12", "older"]
    assert [run["cleanup"] for run in fec.document("history", "older")] == ["older"]
    assert "11 min 55 s  Cleaned" in fec.run("history", "older").stdout
    cluster.put(cleanup_body("fresh", vmName="new"))
    assert fec.run("history", "fresh").stdout == "No run ended yet.\n"


@pytest.mark.parametrize(
    ("form", "begins"), [("md", "# Cleanup of pgtest1\n"), ("json", '{\n  "name"'), ("html", "<!doctype html>")]
)
def test_a_report_comes_in_each_form(fec: Terminal, cluster: Acted, form: str, begins: str) -> None:
    cluster.put({"kind": "FailedExecutionCleanup", **cleaned_body()})
    assert fec.run("report", "pgtest1", "-o", form).stdout.startswith(begins)


@pytest.mark.parametrize("output", ["table", "json"])
def test_names_cannot_steer_the_terminal(fec: Terminal, cluster: Acted, output: str) -> None:
    cluster.put(cleanup_body("a", vmName="x\x1b[31m[red]", status=ready("Cleaned", "True", "\x07bell")))
    for command in (("status",), ("status", "a")):
        shown = fec.run(*command, "-o", output).stdout
        assert "\x1b" not in shown
        assert "\x07" not in shown
        assert "[red]" in shown


@pytest.mark.parametrize(
    ("error", "code", "told"),
    [
        (
            Forbidden(
                'x is forbidden: User "alice" cannot list resource "failedexecutioncleanups" in API group "failover.ossea.io" '
                'in the namespace "dr"',
                status=403,
            ),
            6,
            "Ask an administrator for the ClusterRole fec-viewer, bound in namespace dr.",
        ),
        (Forbidden("who are you", status=401), 5, "Log in"),
        (Unreachable("no route"), 5, "no route"),
        (KubernetesError("no configuration"), 5, "no configuration"),
    ],
)
def test_what_the_cluster_refuses_ends_with_its_code(
    fec: Terminal, cluster: Acted, error: KubernetesError, code: int, told: str
) -> None:
    cluster.failures["page failedexecutioncleanups"] = [error]
    result = fec.run("status")
    assert (result.exit_code, result.stdout) == (code, "")
    assert told in result.stderr


def test_a_name_that_nothing_has_is_told(fec: Terminal) -> None:
    result = fec.run("status", "PG test")
    assert result.exit_code == 2
    assert "no cleanup PG test in namespace dr" in result.stderr
