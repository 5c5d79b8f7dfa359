"""The product's own contract, by a program that knows nothing else; and what becomes of it when somebody does not wait."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import textwrap
import uuid
from typing import Any, Final
from urllib.parse import quote, urlsplit

import pytest

from tests.console.conftest import Console

# Starting the installation counts against the first test.
pytestmark = pytest.mark.timeout(400)

SCRIPT: Final = textwrap.dedent(
    """
    import json, sys, urllib.error, urllib.parse, urllib.request

    address, vm_name, token = sys.argv[1:]
    url = f"{address}/api/v1/failover/{urllib.parse.quote(vm_name, safe='')}/cleanup-failed"
    request = urllib.request.Request(url, method="POST", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request) as answer:
            status, body = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        status, body = error.code, json.load(error)
    print(json.dumps([status, body]))
    """
)
"""Everything a program of the product knows: the path, and that the answer is JSON with `success`."""


def run_script(console: Console, vm_name: str, person: str = "user") -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, console.url, vm_name, console.tokens[person]],
        capture_output=True,
        check=True,
        timeout=240,
    )
    status, body = json.loads(done.stdout)
    console.answers.append(done.stdout.decode())
    return status, body


def named(prefix: str) -> str:
    return f"{prefix}-{uuid.uuid4().hex[:6]}"


def test_a_plain_program_cleans_up_a_vm_with_spaces_in_its_name(console: Console) -> None:
    stand = console.stand
    vm_name = f"Ärger am {named('pgtest 1')}"
    built = stand.build("F11", vm_name)
    status, body = run_script(console, vm_name)
    assert (status, body["success"]) == (200, True), body
    assert body["message"] == f"Failed execution cleanup completed for {vm_name}"
    assert body["vm_name"] == vm_name
    assert body["timestamp"].endswith("Z")
    assert stand.holders(built) == {stand.oma_vm_id}
    assert stand.snapshots(built) == []
    again, body = run_script(console, vm_name)
    assert (again, body["success"]) == (200, True)
    cleanups = json.loads(stand.kubectl("get", "fec", "-o", "json"))["items"]
    assert len([each for each in cleanups if each["spec"]["vmName"] == vm_name]) == 1


def test_an_unknown_vm_is_told_as_such(console: Console) -> None:
    status, body = run_script(console, "nobody knows it")
    assert (status, body["success"], body["reason"]) == (404, False, "UnknownVM")
    assert "nobody knows it" in body["error"]
    assert body["remedy"]
    assert body["vm_name"] == "nobody knows it"


def test_a_refusal_says_what_a_person_does(console: Console) -> None:
    stand, vm_name = console.stand, named("running")
    built = stand.build("F28", vm_name)
    status, body = run_script(console, vm_name)
    assert (status, body["success"], body["reason"]) == (409, False, "RunningTestVM"), body
    assert "waive" in body["remedy"].lower()
    assert stand.requests(about=built) == []
    with console.client("waiver") as client:
        wanted = {"waive": [{"reason": "RunningTestVM", "object": "job"}], "note": "ticket 4711"}
        answer = client.post(f"/failover/{vm_name}/cleanup-failed", json=wanted)
    assert answer.status_code == 200, answer.text
    assert stand.holders(built) == {stand.oma_vm_id}


def test_a_failure_is_500_with_reason_and_remedy(console: Console) -> None:
    stand, vm_name = console.stand, named("suspect")
    # The product removed the snapshots itself, and its reverts went wrong: the content cannot be vouched for.
    stand.build("R06", vm_name)
    status, body = run_script(console, vm_name)
    assert (status, body["success"]) == (500, False), body
    assert body["reason"]
    assert body["remedy"]


def test_a_closed_connection_never_stops_a_cleanup(console: Console) -> None:
    stand, vm_name = console.stand, named("closed")
    built = stand.build("F11", vm_name)
    at = urlsplit(console.url)
    with socket.create_connection((str(at.hostname), at.port or 0)) as connection:
        request = (
            f"POST /api/v1/failover/{quote(vm_name)}/cleanup-failed HTTP/1.1\r\nHost: console\r\n"
            f"Authorization: Bearer {console.tokens['user']}\r\nContent-Length: 0\r\n\r\n"
        )
        connection.sendall(request.encode())
        stand.wait_until(lambda: _cleanups_of(console, vm_name), what="the cleanup is placed")
    (name,) = _cleanups_of(console, vm_name)
    stand.wait_for(name, "Ready")
    assert stand.ready(name) == ("True", "Cleaned")
    assert stand.holders(built) == {stand.oma_vm_id}


def _cleanups_of(console: Console, vm_name: str) -> list[str]:
    items = json.loads(console.stand.kubectl("get", "fec", "-o", "json"))["items"]
    return [item["metadata"]["name"] for item in items if item["spec"]["vmName"] == vm_name]


def test_respond_async_answers_at_once_with_the_status_url(console: Console) -> None:
    stand, vm_name = console.stand, named("async")
    stand.build("F11", vm_name)
    with console.client("user", Prefer="respond-async") as client:
        answer = client.post(f"/failover/{vm_name}/cleanup-failed")
        assert answer.status_code == 202, answer.text
        assert answer.headers["Preference-Applied"] == "respond-async"
        body = answer.json()
        assert answer.headers["Location"] == body["status_url"]
        status = client.get(console.url + body["status_url"])
        assert (status.status_code, status.json()["vm_name"]) == (200, vm_name)
        stand.wait_for(body["cleanup"]["name"], "Ready")
        ended = client.get(console.url + body["status_url"]).json()
    assert (ended["state"], ended["reason"], ended["over"]) == ("clean", "Cleaned", True)
    assert ended["spec"]["requestedBy"].endswith(":user")


def test_who_waits_no_longer_is_told_that_it_goes_on(console: Console) -> None:
    stand, vm_name = console.stand, named("late")
    stand.build("F11", vm_name)
    with console.client("user", Prefer="wait=0") as client:
        answer = client.post(f"/failover/{vm_name}/cleanup-failed")
    assert answer.status_code == 504, answer.text
    body = answer.json()
    assert body["success"] is False
    assert "goes on" in body["remedy"]
    (name,) = _cleanups_of(console, vm_name)
    assert name in answer.headers["Location"]
    stand.wait_for(name, "Ready")


def test_the_plan_that_was_read_is_the_plan_that_is_done(console: Console) -> None:
    stand, vm_name = console.stand, named("approved")
    built = stand.build("F11", vm_name)
    with console.client("user") as client:
        plan = client.get(f"/vms/{vm_name}/plan").json()
        stale = client.post(f"/failover/{vm_name}/cleanup-failed", json={"plan_hash": "0" * 32})
        assert (stale.status_code, stale.json()["reason"]) == (409, "AwaitingApproval"), stale.text
        assert stand.requests(about=built) == []
        answer = client.post(f"/failover/{vm_name}/cleanup-failed", json={"plan_hash": plan["plan_hash"]})
    assert answer.status_code == 200, answer.text
    (name,) = _cleanups_of(console, vm_name)
    assert stand.cleanup(name)["metadata"]["annotations"]["failover.ossea.io/approvedPlan"] == plan["plan_hash"]
