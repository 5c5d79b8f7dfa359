"""`fec plan` and `fec cleanup`: what is placed, what is followed, and how it ends."""

from __future__ import annotations

from typing import Any

import pytest

from failed_execution_cleanup.controller.kubernetes_api import Forbidden
from failed_execution_cleanup.resources.naming import cleanup_name
from tests.unit.client.cluster import appliance_body, cleanup_body, condition, ready, stuck
from tests.unit.commands.terminal import Acted, Terminal, cleanups

JOB = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"
NAME = cleanup_name("pgtest1", JOB)
RUNNING = ready(
    "Progressing",
    "Unknown",
    failedJob={"id": JOB, "type": "test"},
    phases=[{"name": "detach-volumes", "state": "Running", "startedAt": "2026-01-31T10:00:00Z", "done": 1, "total": 3}],
)
CLEANED = ready("Cleaned", "True", "the four goals are reached.", failedJob={"id": JOB}, cleanupJobID="row-1")
HELD = ready("RunningTestVM", "False", "the test VM runs.", failedJob={"id": JOB})


def plan_of(reason: str = "PlanReady", *, actions: int = 2) -> dict[str, Any]:
    plan = [
        {"step": n, "phase": "detach-volumes", "action": "detach", "object": f"v-{n}", "why": "it must be reverted"}
        for n in range(1, actions + 1)
    ]
    status = ready(reason, "False", "2 action(s) planned", planHash="sha-1", plan=plan)
    status["conditions"].append(condition("Planned", "True", "PlanReady", "2 action(s) in 1 phase(s) are planned."))
    status["phases"] = [{"name": "cleanup-test-vm", "state": "Skipped", "message": "the failed job left no VM"}]
    return status


@pytest.fixture(autouse=True)
def stuck_vm(cluster: Acted) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))


def test_a_cleanup_is_followed_to_its_clean_end(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [RUNNING, CLEANED]
    result = fec.run("cleanup", "pgtest1", "--note", "ticket 4711")
    assert result.exit_code == 0, result.output
    assert f"dr/{NAME} created: VM pgtest1 on default" in result.stdout
    assert "detach-volumes: Running 1/3" in result.stdout
    assert "Cleaned: the four goals are reached." in result.stdout
    (body,) = cleanups(cluster)
    assert (body["spec"]["note"], body["spec"]["requestedBy"]) == ("ticket 4711", "alice")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (CLEANED, 0),
        (ready("UnknownVM"), 2),
        (HELD, 3),
        (ready("ReplicaNotConsistent"), 3),
        (ready("AwaitingApproval"), 3),
    ],
)
def test_the_exit_code_says_how_it_ended(fec: Terminal, cluster: Acted, end: dict[str, Any], code: int) -> None:
    cluster.script = [end]
    assert fec.run("cleanup", "pgtest1").exit_code == code


def test_a_stop_is_shown_with_its_remedy(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [HELD]
    shown = fec.run("cleanup", "pgtest1").stdout
    assert "RunningTestVM: the test VM runs." in shown
    assert "next: Waive RunningTestVM" in shown


def test_a_mistyped_name_leaves_nothing_behind(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [ready("UnknownVM", message="the appliance knows no VM 'pgtst1'")]
    result = fec.run("cleanup", "pgtst1")
    assert "knows no VM 'pgtst1'" in result.stdout
    assert "was removed again" in result.stderr
    assert cleanups(cluster) == []


def test_without_waiting_it_is_only_placed(fec: Terminal, cluster: Acted) -> None:
    result = fec.run("cleanup", "pgtest1", "--no-wait")
    assert (result.exit_code, cluster.names) == (0, [NAME])
    assert fec.document("cleanup", "pgtest1", "--no-wait")["state"] == "working"


def test_programs_get_one_document_and_people_read_along_beside_it(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [RUNNING, CLEANED]
    result = fec.run("cleanup", "pgtest1", "-o", "json")
    assert result.stdout.startswith("{\n")
    assert result.stdout.endswith("}\n")
    assert "detach-volumes: Running 1/3" in result.stderr


def test_a_cleanup_that_is_there_is_joined_and_run_again_only_when_asked(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body(NAME, failoverJobID=JOB, status=CLEANED))
    result = fec.run("cleanup", "pgtest1")
    assert (result.exit_code, cluster.patches) == (0, [])
    assert "is there already" in result.stdout
    cluster.script = [RUNNING, CLEANED]
    assert fec.run("cleanup", "pgtest1", "--again").exit_code == 0
    assert len(cluster.patches) == 1


def test_a_planned_one_is_carried_out(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body(NAME, failoverJobID=JOB, mode="Plan", status=plan_of()))
    cluster.script = [CLEANED]
    assert fec.run("cleanup", "pgtest1").exit_code == 0
    assert cluster.stored(NAME)["spec"]["mode"] == "Execute"


@pytest.mark.parametrize(
    ("given", "granted"),
    [
        (["RunningTestVM"], [("RunningTestVM", "job")]),
        (["RunningTestVM=vm-1", "AcceptContent=v-1"], [("RunningTestVM", "vm-1"), ("AcceptContent", "v-1")]),
    ],
)
def test_waivers_are_granted_for_the_stuck_job(
    fec: Terminal, cluster: Acted, given: list[str], granted: list[tuple[str, str]]
) -> None:
    fec.run("cleanup", "pgtest1", "--no-wait", *[word for text in given for word in ("--waive", text)])
    spec = cluster.stored(NAME)["spec"]
    assert [(waiver["reason"], waiver["object"]) for waiver in spec["waive"]] == granted
    assert spec["failoverJobID"] == JOB


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["cleanup"], "name one VM, or give --all-stuck"),
        (["cleanup", "pgtest1", "--all-stuck"], "name one VM, or give --all-stuck"),
        (["cleanup", "--all-stuck", "--job", "x"], "are for one VM"),
        (["cleanup", "pgtest1", "--waive", "Everything"], "the reason is one of LiveFailover, RunningTestVM"),
        (["cleanup", "pgtest1", "--waive", "AcceptContent"], "needs the id of a volume, as in AcceptContent=ID"),
        (["cleanup", "pgtest1", "--approve-plan"], "nobody is there to ask"),
        (["cleanup", "pgtest1", "--no-such-option"], "No such option"),
    ],
)
def test_a_command_line_that_cannot_be_meant_touches_nothing(
    fec: Terminal, cluster: Acted, arguments: list[str], told: str
) -> None:
    result = fec.run(*arguments)
    assert (result.exit_code, cluster.names) == (2, [])
    assert told in result.stderr


def test_a_plan_says_everything_and_how_to_have_it_done(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [plan_of()]
    result = fec.run("plan", "pgtest1")
    assert result.exit_code == 0, result.output
    for told in (
        "it must be reverted",
        "cleanup-test-vm: the failed job left no VM",
        "2 action(s) in 1 phase(s) are planned.",
        "plan hash: sha-1",
        f"fec approve {NAME} --plan sha-1 -n dr",
    ):
        assert told in result.stdout
    assert cluster.stored(NAME)["spec"]["mode"] == "Plan"


@pytest.mark.parametrize(("reason", "code"), [("RunningTestVM", 3), ("QuietTime", 4), ("UnknownVM", 2)])
def test_a_plan_that_is_held_says_by_what(fec: Terminal, cluster: Acted, reason: str, code: int) -> None:
    cluster.script = [plan_of(reason)]
    result = fec.run("plan", "pgtest1")
    assert (result.exit_code, f"{reason}: 2 action(s) planned" in result.stdout) == (code, True)


def test_a_plan_is_data_for_programs(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [plan_of(), plan_of("RunningTestVM")]
    document = fec.document("plan", "pgtest1")
    assert [action["object"] for action in document["actions"]] == ["v-1", "v-2"]
    assert document["notNeeded"] == [{"phase": "cleanup-test-vm", "why": "the failed job left no VM"}]
    assert (document["planHash"], document["blockedBy"]) == ("sha-1", None)
    assert fec.document("plan", "pgtest1")["blockedBy"]["reason"] == "RunningTestVM"


def test_a_plan_is_made_anew_each_time(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [plan_of(), plan_of(actions=1)]
    fec.run("plan", "pgtest1")
    assert len(fec.document("plan", "pgtest1")["actions"]) == 1


def test_planning_never_turns_a_running_cleanup_into_a_plan(fec: Terminal, cluster: Acted) -> None:
    cluster.put(cleanup_body(NAME, failoverJobID=JOB, status=HELD))
    result = fec.run("plan", "pgtest1")
    assert (result.exit_code, cluster.patches) == (3, [])
    assert "does not only plan" in result.stderr


def test_exactly_the_plan_that_was_shown_is_approved(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [plan_of(), CLEANED]
    result = fec.run("cleanup", "pgtest1", "--approve-plan", "--yes")
    assert result.exit_code == 0, result.output
    assert "it must be reverted" in result.stdout
    assert cluster.stored(NAME)["metadata"]["annotations"] == {"failover.ossea.io/approvedPlan": "sha-1"}
    assert cluster.stored(NAME)["spec"]["mode"] == "Plan"


def test_ctrl_c_ends_the_watching_and_says_so(fec: Terminal, cluster: Acted) -> None:
    cluster.script, cluster.interrupt = [RUNNING], True
    result = fec.run("cleanup", "pgtest1")
    assert result.exit_code == 4
    assert f"stopped watching; the cleanup {NAME} goes on." in result.stderr
    assert f"fec suspend {NAME} -n dr" in result.stderr
    assert cluster.patches == []


def test_a_time_that_is_over_leaves_the_cleanup_going(fec: Terminal, cluster: Acted) -> None:
    cluster.script = [RUNNING]
    result = fec.run("cleanup", "pgtest1", "--timeout", "1")
    assert result.exit_code == 4
    assert "not at the end after 1 s" in result.stderr
    assert cluster.patches == []


def test_all_stuck_vms_are_cleaned_up_and_the_worst_end_counts(fec: Terminal, cluster: Acted) -> None:
    cluster.put(appliance_body("default", stuck("a", "job-a"), stuck("b", "job-b")))
    names = sorted(cleanup_name(vm, job) for vm, job in (("a", "job-a"), ("b", "job-b")))
    cluster.put(cleanup_body(names[0], vmName="a", failoverJobID="job-a", status=CLEANED))
    cluster.put(cleanup_body(names[1], vmName="b", failoverJobID="job-b", status=HELD))
    result = fec.run("cleanup", "--all-stuck")
    assert result.exit_code == 3, result.output
    assert sorted(each["vmName"] for each in fec.document("cleanup", "--all-stuck")) == ["a", "b"]
    cluster.put(appliance_body("default"))
    assert fec.run("cleanup", "--all-stuck").stdout == "No VM is stuck.\n"


def test_one_that_cannot_be_placed_keeps_no_other_from_it(fec: Terminal, cluster: Acted) -> None:
    cluster.put(appliance_body("default", stuck("a", "job-a"), stuck("b", "job-b")))
    cluster.failures["create"] = [
        Forbidden("denied request: a is not for you, the ClusterRole fec-x gives", status=403)
    ]
    result = fec.run("cleanup", "--all-stuck", "--no-wait")
    assert (result.exit_code, [body["spec"]["vmName"] for body in cleanups(cluster)]) == (6, ["b"])
    assert "a: a is not for you" in result.stderr
