"""`fec` as people use it: real processes, the real API server, a real operator and the simulated appliance."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
import yaml

from development.control_plane.binaries import find_binaries
from development.stand import ROOT, Stand
from failed_execution_cleanup.resources.naming import cleanup_name
from tests.commands.person import Person, somebody

pytestmark = pytest.mark.timeout(240)


def stuck(stand: Stand, person: Person, vm_name: str) -> str:
    """Wait until a scan found the VM; returns the name its cleanup gets."""

    def listed() -> list[dict[str, str]]:
        found = person.run("stuck", "-a", stand.appliance, "-o", "json")
        assert found.code == 0, found.err
        return [job for job in found.document if job["vmName"] == vm_name]

    stand.wait_until(listed, seconds=90, what=f"{vm_name} is listed as stuck")
    (job,) = listed()
    return cleanup_name(vm_name, job["jobID"])


def test_from_stuck_to_the_report(stand: Stand, person: Person) -> None:
    built = stand.build("F11", "planned 1")
    name = stuck(stand, person, "planned 1")

    planned = person.run("plan", "planned 1", "-a", stand.appliance, "--note", "ticket 4711")
    assert planned.code == 0, planned.err
    assert stand.requests(about=built) == []
    assert "Not needed:" in planned.out
    assert "cleanup-test-vm: the failed job left no VM" in planned.out
    document = person.run("plan", "planned 1", "-a", stand.appliance, "-o", "json").document
    assert f"plan hash: {document['planHash']}" in planned.out
    assert {action["phase"] for action in document["actions"]} >= {"detach-volumes", "cleanup-snapshots"}

    other = person.run("approve", name, "--plan", "another")
    assert (other.code, "by now, not another" in other.err) == (2, True)
    approved = person.run("approve", "planned 1", "--plan", document["planHash"], "--wait")
    assert approved.code == 0, approved.out + approved.err
    assert "cleanup-snapshots: Completed" in approved.out
    assert set(stand.contents(built).values()) == {"replica:1"}

    report = person.run("report", name, "-o", "json").document
    assert report["requestedBy"] == f"system:serviceaccount:{stand.namespace}:dispatcher"
    assert (report["note"], report["verdict"]["outcome"]) == ("ticket 4711", "clean")
    assert {goal["name"]: (goal["before"]["met"], goal["after"]["met"]) for goal in report["goals"]} == {
        "VolumesAttached": (False, True),
        "SnapshotsRemoved": (False, True),
        "TestVMRemoved": (True, True),
        "ContextReady": (False, True),
    }
    assert report["requests"] == len(stand.requests(about=built)) > 0
    assert "ticket 4711" in person.run("report", name).out
    assert "<h2>Phases</h2>" in person.run("report", name, "-o", "html").out
    (run,) = person.run("history", "planned 1", "-o", "json").document
    assert (run["cleanup"], run["result"]) == (name, "Cleaned")


def test_what_a_report_needs_survives_an_erased_status(stand: Stand, person: Person) -> None:
    stand.build("F11", "erased")
    name = stuck(stand, person, "erased")
    assert person.run("cleanup", "erased", "-a", stand.appliance).code == 0
    before = person.run("report", name, "-o", "json").document
    stand.kubectl("patch", "fec", name, "--subresource=status", "--type=merge", "-p", '{"status": null}')
    stand.kubectl("patch", "fec", name, "--type=merge", "-p", '{"spec": {"note": "look again"}}')
    stand.wait_for(name, "Ready")
    after = person.run("report", name, "-o", "json").document
    assert [goal["before"] for goal in after["goals"]] == [goal["before"] for goal in before["goals"]]
    assert [phase["requests"] for phase in after["phases"]] == [phase["requests"] for phase in before["phases"]]
    assert after["goals"][0]["before"]["met"] is False


def test_a_running_test_vm_stops_it_until_somebody_takes_responsibility(stand: Stand, person: Person) -> None:
    stand.build("F28", "occupied")
    name = stuck(stand, person, "occupied")
    held = person.run("cleanup", "occupied", "-a", stand.appliance, "--wait")
    assert held.code == 3, held.out + held.err
    assert "RunningTestVM: " in held.out
    assert "next: Waive RunningTestVM" in held.out
    assert f"waive: fec waive {name} RunningTestVM job -n {stand.namespace}" in held.out
    waived = person.run("cleanup", "occupied", "-a", stand.appliance, "--waive", "RunningTestVM")
    assert waived.code == 0, waived.out + waived.err
    assert "waived: RunningTestVM for job" in waived.out


def test_an_unknown_vm_is_told_and_leaves_nothing_behind(stand: Stand, person: Person) -> None:
    for verb in ("cleanup", "plan"):
        ended = person.run(verb, "no such vm", "-a", stand.appliance)
        assert ended.code == 2, ended.out + ended.err
        assert "no VM 'no such vm'" in ended.out
        assert "was removed again" in ended.err
    assert person.run("status", "no such vm").code == 2


@pytest.mark.parametrize(
    ("here", "everywhere", "arguments", "told"),
    [
        ((), (), ("status",), "the ClusterRole fec-viewer, bound in namespace"),
        (
            ("fec-viewer",),
            ("fec-viewer",),
            ("cleanup", "x", "--no-wait"),
            "the ClusterRole fec-cleanup-operator, bound in",
        ),
        (
            ("fec-cleanup-operator",),
            ("fec-viewer",),
            ("cleanup", "x", "--no-wait"),
            "the ClusterRole fec-appliance-user.",
        ),
        (
            ("fec-cleanup-operator",),
            ("fec-viewer", "fec-appliance-user"),
            ("cleanup", "x", "--no-wait", "--job", "j", "--waive", "RunningTestVM"),
            "the ClusterRole fec-waiver.",
        ),
    ],
    ids=["stranger", "viewer", "clerk", "user"],
)
def test_what_is_forbidden_names_the_role_to_ask_for(
    stand: Stand,
    request: pytest.FixtureRequest,
    here: tuple[str, ...],
    everywhere: tuple[str, ...],
    arguments: tuple[str, ...],
    told: str,
) -> None:
    name = request.node.callspec.id
    somebody_ = somebody(stand, name, here=here, everywhere=everywhere)
    named = ("-a", stand.appliance) if arguments[0] == "cleanup" else ()
    ended = somebody_.run(*arguments, *named)
    assert (ended.code, ended.out) == (6, ""), ended.err
    assert told in ended.err


def test_a_cluster_that_does_not_answer_has_its_own_code(stand: Stand, person: Person, tmp_path: Path) -> None:
    nowhere = tmp_path / "kubeconfig"
    config = json.loads(person.kubeconfig.read_text())
    config["clusters"][0]["cluster"]["server"] = "https://127.0.0.1:9"
    nowhere.write_text(json.dumps(config))
    ended = person.run("status", "--kubeconfig", str(nowhere))
    assert (ended.code, ended.out) == (5, "")
    assert "cannot be reached" in ended.err


def test_ctrl_c_leaves_the_cleanup_going(stand: Stand, person: Person) -> None:
    stand.build("F11", "interrupted")
    name = stuck(stand, person, "interrupted")
    stand.latency(revertSnapshot=10)
    watching = person.start("cleanup", "interrupted", "-a", stand.appliance)
    watching.wait_until(lambda: "cleanup-snapshots: Running" in watching.log.read_text(), seconds=90)
    os.kill(watching.pid, signal.SIGINT)
    stand.latency(revertSnapshot=0)
    assert watching.wait(seconds=30) == 4, watching.log_tail()
    assert f"the cleanup {name} goes on" in watching.log.read_text()
    stand.wait_for(name, "Ready")


def test_on_a_terminal_the_plan_is_shown_asked_for_and_drawn_while_it_runs(stand: Stand, person: Person) -> None:
    stand.build("F11", "watched")
    name = stuck(stand, person, "watched")
    refused = person.on_terminal("cleanup", "watched", "-a", stand.appliance, "--approve-plan", answer="n\n")
    assert refused.code == 4, refused.out
    assert "nothing was touched; the plan stays." in refused.out
    ended = person.on_terminal("cleanup", "watched", "-a", stand.appliance, "--approve-plan", answer="y\n")
    assert ended.code == 0, ended.out
    assert "reattach-volumes" in ended.out
    annotations = stand.cleanup(name)["metadata"]["annotations"]
    assert f"plan hash: {annotations['failover.ossea.io/approvedPlan']}" in ended.out


def test_suspended_it_waits_and_resumed_it_ends(stand: Stand, person: Person) -> None:
    stand.build("F11", "paused")
    name = stuck(stand, person, "paused")
    assert person.run("plan", "paused", "-a", stand.appliance).code == 0
    assert person.run("suspend", name).code == 0
    stopped = person.run("cleanup", "paused", "-a", stand.appliance)
    assert stopped.code == 4, stopped.out + stopped.err
    assert "Suspended: " in stopped.out
    assert person.run("resume", name, "--wait").code == 0


def test_all_that_is_stuck_is_cleaned_up_at_once(stand: Stand, person: Person) -> None:
    for vm_name in ("many 1", "many 2"):
        stand.build("F11", vm_name)
        stuck(stand, person, vm_name)
    ended = person.run("cleanup", "--all-stuck", "-a", stand.appliance, "-o", "json")
    assert ended.code == 0, ended.out + ended.err
    states = {each["vmName"]: each["reason"] for each in ended.document}
    assert (states["many 1"], states["many 2"]) == ("Cleaned", "Cleaned")
    listed = yaml.safe_load(person.run("status", "-a", stand.appliance, "--state", "clean", "-o", "yaml").out)
    assert {"many 1", "many 2"} <= {each["vmName"] for each in listed}


def test_it_is_a_plugin_of_kubectl(stand: Stand, person: Person, tmp_path: Path) -> None:
    plugin = tmp_path / "kubectl-fec"
    plugin.symlink_to(ROOT / ".venv" / "bin" / "fec")
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    kubectl = (str(find_binaries().kubectl), "fec")
    ended = person.run("status", "-o", "json", program=kubectl, environment=path)
    assert ended.code == 0, ended.err
    assert isinstance(ended.document, list)
    assert person.run("status", "nobody", program=kubectl, environment=path).code != 0


@pytest.mark.parametrize(
    ("words", "word", "expected"), [("fec status comp", 2, "completed"), ("fec stuck -", 2, "--appliance")]
)
def test_names_complete_from_the_cluster(stand: Stand, person: Person, words: str, word: int, expected: str) -> None:
    stand.apply_cleanup("completed", "completed", suspend=True)
    typed = {"_FEC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(word)}
    ended = person.run(program=(str(ROOT / ".venv" / "bin" / "fec"),), environment=typed)
    assert expected in ended.out.split(), ended.err


def test_completion_fails_in_silence(person: Person, tmp_path: Path) -> None:
    typed = {
        "_FEC_COMPLETE": "complete_bash",
        "COMP_WORDS": "fec status ",
        "COMP_CWORD": "2",
        "KUBECONFIG": str(tmp_path),
    }
    ended = person.run(program=(str(ROOT / ".venv" / "bin" / "fec"),), environment=typed)
    assert (ended.out.strip(), ended.err) == ("", "")
