"""An Appliance tells whether it can be reached, which part cannot, why, and what to do; it recovers without a restart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import make_url

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand

pytestmark = pytest.mark.timeout(150)

WRONG = "wrong-7Qv0Zx"
CASES = ("sound", "password", "secret", "daemon", "keys", "oma")


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """A stand whose operator keeps the status of one Appliance per case, looked at every ten seconds."""
    with Stand(
        control_plane, mariadb.create_database("oma_appliance_status"), settings={"detection": {"intervalSeconds": 10}}
    ) as running:
        running.start_operator(FEC_APPLIANCES=json.dumps([_name(running, case) for case in CASES]))
        yield running


def _name(stand: Stand, case: str) -> str:
    return f"{stand.appliance}-{case}"


def _conditions(stand: Stand, case: str) -> dict[str, dict[str, str]]:
    body: dict[str, Any] = json.loads(stand.kubectl("get", "appliance", _name(stand, case), "-o", "json"))
    return {condition["type"]: condition for condition in body.get("status", {}).get("conditions", [])}


def _wait_for(stand: Stand, case: str, condition: str, status: str, reason: str) -> dict[str, str]:
    def reached() -> bool:
        found = _conditions(stand, case).get(condition, {})
        return (found.get("status"), found.get("reason")) == (status, reason)

    stand.wait_until(reached, seconds=60, what=f"{condition} of {case} is {status} {reason}")
    return _conditions(stand, case)[condition]


def test_sound_appliance_is_ready_and_shows_where_its_cloud_is(stand: Stand) -> None:
    stand.apply_appliance(_name(stand, "sound"))

    _wait_for(stand, "sound", "Ready", "True", "Available")
    for part in ("DatabaseReachable", "VolumeDaemonReachable", "OSSEAReachable"):
        assert _conditions(stand, "sound")[part]["status"] == "True"
    assert stand.address["ossea_url"] in stand.kubectl("get", "appliance", _name(stand, "sound"))


def test_wrong_database_password_is_told_without_the_password_and_corrected_in_the_secret(stand: Stand) -> None:
    name = _name(stand, "password")
    url = make_url(stand.database_url)
    stand.apply_secret(name, url=url.set(password=WRONG).render_as_string(hide_password=False))
    stand.apply_appliance(name, database={"urlSecretRef": {"name": name, "key": "url"}})

    told = _wait_for(stand, "password", "DatabaseReachable", "False", "AuthenticationFailed")
    assert "does not accept the user or the password" in told["message"]
    assert _conditions(stand, "password")["OSSEAReachable"]["status"] == "Unknown"
    assert WRONG not in stand.kubectl("get", "appliance", name, "-o", "yaml")

    stand.apply_secret(name, url=stand.database_url)
    _wait_for(stand, "password", "Ready", "True", "Available")


def test_missing_secret_is_named_with_its_key(stand: Stand) -> None:
    name = _name(stand, "secret")
    stand.apply_appliance(name, database={"urlSecretRef": {"name": name, "key": "url"}})

    told = _wait_for(stand, "secret", "Ready", "False", "SecretMissing")
    assert f"{stand.operator_namespace}/{name}" in told["message"]


def test_daemon_that_does_not_answer_is_named_with_its_address(stand: Stand) -> None:
    stand.apply_appliance(_name(stand, "daemon"), volumeDaemon={"url": "http://127.0.0.1:1"})

    told = _wait_for(stand, "daemon", "VolumeDaemonReachable", "False", "ConnectionFailed")
    assert "http://127.0.0.1:1" in told["message"]
    assert _conditions(stand, "daemon")["Ready"]["reason"] == "ConnectionFailed"
    assert _conditions(stand, "daemon")["OSSEAReachable"]["status"] == "True"

    stand.apply_appliance(_name(stand, "daemon"))
    _wait_for(stand, "daemon", "Ready", "True", "Available")


def test_wrong_cloud_keys_are_told_without_the_keys(stand: Stand) -> None:
    name = _name(stand, "keys")
    stand.apply_secret(name, apiKey=WRONG, secretKey=WRONG)
    stand.apply_appliance(name, ossea={"credentialsSecretRef": {"name": name}})

    _wait_for(stand, "keys", "OSSEAReachable", "False", "AuthenticationFailed")
    assert WRONG not in stand.kubectl("get", "appliance", name, "-o", "yaml")


def test_other_appliance_vm_than_the_table_says_is_inconsistent(stand: Stand) -> None:
    stand.apply_appliance(_name(stand, "oma"), omaVMID="00000000-0000-4000-8000-000000000000")

    told = _wait_for(stand, "oma", "Ready", "False", "ApplianceInconsistent")
    assert stand.oma_vm_id in told["message"]
