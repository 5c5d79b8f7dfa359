"""Break-glass where there is no cluster at all: the same end, the same guards, and words and exit codes a person can use."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.breakglass.command import PERSON, BreakGlass, WithoutCluster
from tests.crash.stages import STAGES, assert_rules, claims, hold
from tests.takeover.operators import NEVER, assert_no_call_twice

pytestmark = pytest.mark.timeout(240)

VM = "PG Test 1"


def assert_clean(stand: WithoutCluster, built: Mapping[str, Any], *, number: int = 1) -> None:
    """All is as it was before the failover, and the claim is nobody's."""
    assert set(stand.contents(built).values()) == {"replica:1"}
    assert stand.holders(built) == {stand.oma_vm_id}
    assert stand.snapshots(built) == []
    (claim,) = claims(stand)
    assert (claim.owner, claim.finished, claim.number) == (None, True, number)
    assert_rules(stand, claim)


@pytest.mark.parametrize("row", ["F11", "F24"])
def test_a_vm_is_cleaned_up_and_stays_clean(appliance: WithoutCluster, row: str) -> None:
    built = appliance.build(row, VM, disks=2)
    command = BreakGlass(appliance)

    planned = command.run("plan", VM)
    assert planned.code == 0, planned.err
    assert "close-incident" in planned.out
    assert (appliance.requests(), claims(appliance)) == ([], []), "a plan touches nothing"
    cleaned = command.run("cleanup", VM, "--yes", "--note", "ticket 4711", "-o", "json")

    assert (cleaned.code, cleaned.result["reason"]) == (0, "Cleaned"), cleaned.err
    assert_clean(appliance, built)
    assert "reattach-volumes: Completed" in cleaned.err
    (note,) = appliance.rows("SELECT message FROM log_events WHERE message LIKE 'break-glass by %'")
    assert note["message"] == f"break-glass by {PERSON}: ticket 4711"
    sent = len(appliance.requests())
    again = command.run("cleanup", VM, "--yes", "-o", "json")
    assert (again.code, again.result["reason"], len(appliance.requests())) == (0, "AlreadyClean", sent)


def test_a_waiver_needs_a_job_and_the_appliances_consent(appliance: WithoutCluster) -> None:
    built = appliance.build("F28", VM, disks=2)
    job, waive = ("--job", built["failover_job_id"]), ("--waive", "RunningTestVM=job")
    command = BreakGlass(appliance)

    refused = command.run("cleanup", VM, "--yes", "-o", "json")
    assert (refused.code, refused.result["reason"]) == (3, "RunningTestVM")
    without_job = command.run("cleanup", VM, "--yes", *waive)
    assert (without_job.code, without_job.out) == (2, "")
    assert "--job" in without_job.err
    forbidden = BreakGlass(appliance, spec={"waivers": []}).run("cleanup", VM, "--yes", "-o", "json", *waive, *job)
    assert (forbidden.code, forbidden.result["reason"]) == (3, "NotPermitted")
    assert appliance.requests() == []

    waived = command.run("cleanup", VM, "--yes", "-o", "json", *waive, *job)
    assert (waived.code, waived.result["reason"]) == (0, "Cleaned")
    assert [used["reason"] for used in waived.result["status"]["waiversUsed"]] == ["RunningTestVM"]
    assert_clean(appliance, built)


def test_only_the_approved_plan_is_done(appliance: WithoutCluster) -> None:
    built = appliance.build("F11", VM, disks=1)
    command = BreakGlass(appliance)
    plan_hash = command.run("plan", VM, "-o", "json").result["status"]["planHash"]

    other = command.run("cleanup", VM, "--approve", "0" * 32, "-o", "json")
    assert (other.code, other.result["reason"]) == (3, "AwaitingApproval")
    assert appliance.requests() == []
    unasked = command.run("cleanup", VM)
    assert unasked.code == 2
    assert "--yes" in unasked.err

    approved = command.run("cleanup", VM, "--approve", plan_hash, "-o", "json")
    assert (approved.code, approved.result["reason"]) == (0, "Cleaned")
    assert_clean(appliance, built)


@pytest.mark.parametrize(
    ("number", "stage"), [(signal.SIGINT, "reverting"), (signal.SIGTERM, "detaching"), (signal.SIGHUP, "attaching")]
)
def test_an_interrupted_command_hands_the_claim_over(
    appliance: WithoutCluster, number: signal.Signals, stage: str
) -> None:
    built = appliance.build("F11", VM, disks=2)
    appliance.latency(**STAGES[stage].latency)
    command = BreakGlass(appliance, environment=NEVER)
    first = command.start(VM)
    hold(appliance, stage, VM)

    os.kill(first.pid, number)
    assert first.wait(seconds=60) == 4
    told = first.log.read_text()
    assert "the claim was handed over" in told
    assert "the same command goes on" in told
    command.assert_no_secret(told)
    assert [claim.owner for claim in claims(appliance)] == [None]

    # Without the hand-over it would have to wait five minutes for the claim to expire.
    second = command.run("cleanup", VM, "--yes", "-o", "json")
    assert (second.code, second.result["reason"]) == (0, "Cleaned"), second.err
    assert_clean(appliance, built, number=2)
    assert_no_call_twice(appliance.requests())


@pytest.mark.parametrize("row", ["F11", "F24"])
def test_the_same_command_goes_on_after_a_kill(appliance: WithoutCluster, row: str) -> None:
    built = appliance.build(row, VM, disks=2)
    appliance.latency(**STAGES["detaching"].latency)
    command = BreakGlass(appliance)
    first = command.start(VM)
    hold(appliance, "detaching", VM)

    first.kill()
    at_once = command.run("cleanup", VM, "--yes", "--wait", "0", "-o", "json")
    assert (at_once.code, at_once.result["reason"]) == (4, "ClaimedElsewhere")
    assert f"local/{PERSON}/" in at_once.result["message"]
    later = command.run("cleanup", VM, "--yes", "-o", "json")

    assert (later.code, later.result["reason"]) == (0, "Cleaned"), later.err
    assert_clean(appliance, built, number=2)
    detached = Counter(effect["object_id"] for effect in appliance.effects("detached"))
    assert set(detached.values()) == {1}


def test_on_a_terminal_the_plan_is_shown_and_asked_for(appliance: WithoutCluster) -> None:
    built = appliance.build("F11", VM, disks=1)
    command = BreakGlass(appliance)

    declined = command.on_terminal(VM, "n\n")
    assert declined.code == 4
    assert "close-incident" in declined.out
    assert "nothing was touched" in declined.out
    assert (appliance.requests(), claims(appliance)) == ([], [])

    agreed = command.on_terminal(VM, "y\n")
    assert agreed.code == 0, agreed.out
    assert "reattach-volumes" in agreed.out
    assert "Cleaned" in agreed.out
    assert_clean(appliance, built)


@pytest.mark.parametrize("secret", ["file", "directory", "environment"])
def test_secrets_come_from_the_file_a_directory_or_the_environment(appliance: WithoutCluster, secret: str) -> None:
    appliance.build("F11", VM, disks=1)
    assert BreakGlass(appliance, secret=secret).run("plan", VM).code == 0


NOWHERE = "http://127.0.0.1:9"


def other_password(url: str) -> str:
    return make_url(url).set(password="wrong-9d2c7be1").render_as_string(hide_password=False)


def other_port(url: str) -> str:
    return make_url(url).set(port=9).render_as_string(hide_password=False)


@pytest.mark.parametrize(
    ("change", "arguments", "code", "words"),
    [
        ({"url": other_password}, (), 5, ["user or the password", "database secret"]),
        ({"url": other_port}, (), 5, ["OMA database", "MariaDB runs"]),
        ({"spec": {"ossea": {"url": NOWHERE}}}, (), 5, ["OSSEA"]),
        ({"spec": {"volumeDaemon": {"url": NOWHERE}}}, (), 5, ["Volume Daemon"]),
        ({"secret": "nowhere"}, (), 5, ["oma-database", "'url'", "FEC_SECRET_OMA_DATABASE_URL"]),
        ({"spec": {"limitz": {}}}, (), 2, ["spec.limitz", "not permitted"]),
        ({}, ("--job", "no-such-job"), 2, ["JobMismatch", "no-such-job"]),
        ({}, ("--vcenter-host", "vc99.example.com"), 2, ["UnknownVM", "vc99.example.com"]),
        ({}, ("--job", "x", "--waive", "Anything=job"), 2, ["LiveFailover", "RunningTestVM"]),
        ({}, ("--wait", "-1"), 2, ["--wait"]),
    ],
    ids=[
        "wrong password", "database away", "cloud away", "daemon away", "no secret", "misspelt field", "no such job",
        "no such VM", "no such waiver", "negative wait",
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_and_nothing_is_touched(
    appliance: WithoutCluster, change: Mapping[str, Any], arguments: tuple[str, ...], code: int, words: list[str]
) -> None:
    appliance.build("F11", VM, disks=1)
    url = change.get("url", str)(appliance.database_url)
    command = BreakGlass(appliance, change.get("secret", "file"), change.get("spec", {}), database_url=url)

    ended = command.run("cleanup", VM, "--yes", *arguments)

    assert ended.code == code, ended.out + ended.err
    assert [word for word in words if word not in ended.out + ended.err] == []
    assert (appliance.requests(), claims(appliance)) == ([], [])
