"""Bad input: what is missing, wrong or down is waited for and named, no secret is ever told, and a correction is enough."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import make_url

from development.control_plane import KubectlError
from development.stand import Stand
from tests.cluster.observed import Built, assert_replica, condition, message

pytestmark = pytest.mark.timeout(150)

WRONG = "wrong-7Qv0Zx"
"""Wrong secrets are looked for in what is told, too."""


@dataclass(frozen=True)
class Case:
    """One thing that is wrong with an Appliance.

    Attributes:
        breaks: makes the Appliance of this name, wrong.
        corrects: what a person does about it.
        named: words the message must have.
    """

    breaks: Callable[[Stand, str], None]
    corrects: Callable[[Stand, str], None]
    named: tuple[str, ...]


def _url_with_wrong_password(stand: Stand) -> str:
    return make_url(stand.database_url).set(password=WRONG).render_as_string(hide_password=False)


def _refers_to_own_database_secret(stand: Stand, name: str) -> None:
    stand.apply_appliance(name, database={"urlSecretRef": {"name": name, "key": "url"}})


def _has_wrong_password(stand: Stand, name: str) -> None:
    stand.apply_secret(name, url=_url_with_wrong_password(stand))
    _refers_to_own_database_secret(stand, name)


def _has_wrong_keys(stand: Stand, name: str) -> None:
    stand.apply_secret(name, apiKey=WRONG, secretKey=WRONG)
    stand.apply_appliance(name, ossea={"credentialsSecretRef": {"name": name}})


def _has_unreadable_url(stand: Stand, name: str) -> None:
    stand.apply_secret(name, url=f"postgresql://root:{WRONG}@oma.example.com/oma")
    _refers_to_own_database_secret(stand, name)


def _gets_database_secret(stand: Stand, name: str) -> None:
    stand.apply_secret(name, url=stand.database_url)


def _gets_keys(stand: Stand, name: str) -> None:
    stand.apply_secret(name, apiKey=stand.address["api_key"], secretKey=stand.address["secret_key"])


CASES = {
    "no-appliance": Case(
        lambda _stand, _name: None, Stand.apply_appliance, ("Appliance", "no-appliance", "creates it")
    ),
    "no-secret": Case(_refers_to_own_database_secret, _gets_database_secret, ("Secret", "no-secret", "creates it")),
    "wrong-password": Case(
        _has_wrong_password, _gets_database_secret, ("OMA database", "the user or the password", "secret")
    ),
    "unreadable-url": Case(_has_unreadable_url, _gets_database_secret, ("Secret", "unreadable-url", "Correct")),
    "wrong-keys": Case(_has_wrong_keys, _gets_keys, ("OSSEA", "API key", "secret key")),
}


@dataclass(frozen=True)
class Told:
    """How a cleanup looked while its appliance was wrong and after it was corrected."""

    built: Built
    while_wrong: dict[str, Any]
    requests_while_wrong: list[dict[str, Any]]
    corrected: dict[str, Any]


@pytest.fixture(scope="module")
def told(stand: Stand) -> dict[str, Told]:
    """All cases side by side, since each is looked at again only after a while."""
    names = {case: f"{stand.appliance}-{case}" for case in CASES}
    built = {case: stand.build("F11", case, disks=1) for case in CASES}
    # Of several Appliances on one database only the eldest that was looked at is used.
    stand.kubectl("delete", f"appliance/{stand.appliance}")
    for case, wrong in CASES.items():
        wrong.breaks(stand, names[case])
        stand.apply_cleanup(case, case, applianceRef={"name": names[case]})
    waiting = {case: stand.wait_for_reason(case, "ApplianceUnreachable") for case in CASES}
    asked = {case: stand.requests(about=built[case]) for case in CASES}
    for case, wrong in CASES.items():
        wrong.corrects(stand, names[case])
    corrected = {case: stand.wait_for(case, "Ready") for case in CASES}
    stand.apply_appliance(stand.appliance)
    return {case: Told(built[case], waiting[case], asked[case], corrected[case]) for case in CASES}


@pytest.mark.parametrize("case", CASES)
def test_a_wrong_appliance_is_waited_for_and_named(told: dict[str, Told], case: str) -> None:
    cleanup = told[case].while_wrong
    assert condition(cleanup, "Ready") == ("False", "ApplianceUnreachable")
    assert condition(cleanup, "Stalled")[0] == "absent"
    assert condition(cleanup, "Reconciling")[0] == "True"
    assert cleanup["status"]["nextAttemptAt"]
    assert [word for word in CASES[case].named if word not in message(cleanup)] == []
    assert told[case].requests_while_wrong == []


@pytest.mark.parametrize("case", CASES)
def test_a_correction_is_enough(stand: Stand, told: dict[str, Told], case: str) -> None:
    assert condition(told[case].corrected, "Ready") == ("True", "Cleaned")
    assert_replica(stand, told[case].built)


@pytest.mark.usefixtures("told")
def test_no_secret_is_told_in_status_events_and_log(stand: Stand) -> None:
    password = make_url(stand.database_url).password
    secrets = [WRONG, str(password), stand.address["api_key"], stand.address["secret_key"]]
    shown = {
        "resources": stand.kubectl("get", "fec,appliances.failover.ossea.io", "-o", "json"),
        "events": stand.kubectl("get", "events.events.k8s.io", "-o", "json"),
        "logs": "".join(process.log.read_text() for process in stand.operators),
        "job log": json.dumps(stand.rows("SELECT message, attrs FROM log_events"), default=str),
        "claims": json.dumps(
            stand.rows("SELECT metadata, error_message FROM job_tracking WHERE operation = 'failed-execution-cleanup'")
        ),
    }
    assert [(place, secret) for place, text in shown.items() for secret in secrets if secret in text] == []
    assert all(shown.values())


@pytest.fixture
def outage(stand: Stand) -> Iterator[Stand]:
    """A stand on which daemon or cloud may be taken down; they are up again afterwards."""
    yield stand
    stand.fault(disarm=None)


@pytest.mark.parametrize(("fault", "named"), [("daemon_down", "Volume Daemon"), ("cloud_down", "OSSEA")])
def test_an_outage_is_waited_out(outage: Stand, fault: str, named: str) -> None:
    stand, name = outage, fault.replace("_", "-")
    built = stand.build("F11", name, disks=2)
    stand.fault(kind=fault)
    stand.apply_cleanup(name, name)
    cleanup = stand.wait_for_reason(name, "ApplianceUnreachable")
    assert named in message(cleanup)
    assert condition(cleanup, "Stalled")[0] == "absent"

    stand.fault(disarm=fault)
    assert condition(stand.wait_for(name, "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


def test_a_daemon_that_goes_down_in_the_middle_is_waited_out(outage: Stand) -> None:
    stand = outage
    built = stand.build("F11", "daemon-lost", disks=2)
    stand.latency(revertSnapshot=1.0)
    stand.apply_cleanup("daemon-lost", "daemon-lost")
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
    stand.latency(revertSnapshot=0.0)
    stand.fault(kind="daemon_down")
    cleanup = stand.wait_for_reason("daemon-lost", "ApplianceUnreachable")
    assert "Volume Daemon" in message(cleanup)

    stand.fault(disarm="daemon_down")
    assert condition(stand.wait_for("daemon-lost", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)
    assert len(stand.requests("revertSnapshot", about=built)) == len(built["volume_ids"])


def test_a_wrong_daemon_address_is_corrected_in_the_appliance(stand: Stand) -> None:
    built = stand.build("F11", "no-daemon", disks=1)
    stand.apply_appliance(stand.appliance, volumeDaemon={"url": "http://127.0.0.1:9"})
    stand.apply_cleanup("no-daemon", "no-daemon")
    cleanup = stand.wait_for_reason("no-daemon", "ApplianceUnreachable")
    assert "http://127.0.0.1:9" in message(cleanup)

    stand.apply_appliance(stand.appliance)
    assert condition(stand.wait_for("no-daemon", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"vmName": ""}, "spec.vmName"),
        ({"vmName": "x" * 256}, "spec.vmName"),
        ({"deadlineSeconds": "soon"}, "spec.deadlineSeconds"),
        ({"deadlineSeconds": 1}, "spec.deadlineSeconds"),
        ({"mode": "Destroy"}, "spec.mode"),
        ({"applianceRef": {}}, "spec.applianceRef.name"),
        ({"waive": [{"reason": "RunningTestVM", "object": "job"}]}, "spec.failoverJobID"),
        ({"failoverJobID": "x", "waive": [{"reason": "Everything", "object": "job"}]}, "spec.waive[0].reason"),
        ({"failoverJobID": "x", "waive": [{"reason": "AcceptContent", "object": "job"}]}, "spec.waive[0].object"),
        ({"vmname": "pgtest1"}, "spec.vmname"),
    ],
)
def test_a_malformed_cleanup_is_rejected_with_the_field(stand: Stand, spec: dict[str, Any], field: str) -> None:
    manifest = stand.manifest("malformed", "pgtest1")
    manifest["spec"] |= spec
    with pytest.raises(KubectlError) as rejection:
        stand.apply(manifest)
    assert field in str(rejection.value)
