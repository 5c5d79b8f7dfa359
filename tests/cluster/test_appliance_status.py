"""An Appliance tells whether it can be reached, which part cannot, why, and what to do; it recovers without a restart."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import make_url

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand

pytestmark = pytest.mark.timeout(150)

WRONG: Final = "wrong-7Qv0Zx"
NOBODY: Final = "127.0.0.1:1"
UNKNOWN_VM: Final = "00000000-0000-4000-8000-000000000000"
CLOSED: Final = f"http://{NOBODY}"


@dataclass(frozen=True)
class Wrong:
    """One thing that is wrong with an Appliance, and what it says of it.

    Attributes:
        spec: fields of its spec, of the stand's addresses and a Secret's name.
        condition: the condition that is False.
        reason: its reason, which is that of Ready too.
        named: words of the message: the object, what is wrong, what to do.
        secret: what its own Secret holds; it has none if empty.
        unseen: conditions that are Unknown, because this part had to answer first.
    """

    spec: Callable[[Stand, str], Mapping[str, Any]]
    condition: str
    reason: str
    named: tuple[str, ...]
    secret: Callable[[Stand], Mapping[str, str]] = field(default=lambda _stand: {})
    unseen: tuple[str, ...] = ()


def _database(_stand: Stand, secret: str) -> Mapping[str, Any]:
    return {"database": {"urlSecretRef": {"name": secret, "key": "url"}}}


def _keys(_stand: Stand, secret: str) -> Mapping[str, Any]:
    return {"ossea": {"credentialsSecretRef": {"name": secret}}}


def _url(**parts: Any) -> Callable[[Stand], Mapping[str, str]]:
    return lambda stand: {"url": make_url(stand.database_url).set(**parts).render_as_string(hide_password=False)}


DATABASE, DAEMON, CLOUD = "DatabaseReachable", "VolumeDaemonReachable", "OSSEAReachable"

CASES: Final[Mapping[str, Wrong]] = {
    "no-secret": Wrong(
        _database, DATABASE, "SecretMissing", ("'url'", "does not exist", "creates it"), unseen=(CLOUD,)
    ),
    "no-key": Wrong(
        _database, DATABASE, "SecretMissing", ("'url'", "does not exist"), lambda _stand: {"URL": WRONG}, (CLOUD,)
    ),
    "other-product": Wrong(
        _database,
        DATABASE,
        "AuthenticationFailed",
        ("mysql+asyncmy://", "Correct the Secret"),
        lambda _stand: {"url": f"postgresql://oma:{WRONG}@oma.example.com/oma"},
        (CLOUD,),
    ),
    "password": Wrong(
        _database,
        DATABASE,
        "AuthenticationFailed",
        ("does not accept the user or the password", "Correct the URL"),
        _url(password=WRONG),
        (CLOUD,),
    ),
    "no-database": Wrong(
        _database, DATABASE, "UnexpectedAnswer", ("no database of that name",), _url(database="missing"), (CLOUD,)
    ),
    "not-the-omas": Wrong(
        _database, DATABASE, "UnexpectedAnswer", ("a table is missing",), _url(database="mysql"), (CLOUD,)
    ),
    "database-down": Wrong(
        _database, DATABASE, "ConnectionFailed", ("does not answer", "Check that MariaDB runs"), _url(port=1), (CLOUD,)
    ),
    "daemon-down": Wrong(
        lambda _stand, _secret: {"volumeDaemon": {"url": CLOSED}},
        DAEMON,
        "ConnectionFailed",
        (CLOSED, "Check that the service runs", "spec.volumeDaemon.url"),
    ),
    "not-the-daemon": Wrong(
        lambda stand, _secret: {"volumeDaemon": {"url": stand.address["ossea_url"]}},
        DAEMON,
        "UnexpectedAnswer",
        ("Volume Daemon", "spec.volumeDaemon.url"),
    ),
    "keys": Wrong(
        _keys,
        CLOUD,
        "AuthenticationFailed",
        ("OSSEA", "Check API key, secret key"),
        lambda _stand: {"apiKey": WRONG, "secretKey": WRONG},
    ),
    "half-of-the-keys": Wrong(
        _keys, CLOUD, "SecretMissing", ("'secretKey'", "creates it"), lambda _stand: {"apiKey": WRONG}
    ),
    "cloud-down": Wrong(
        lambda _stand, _secret: {"ossea": {"url": CLOSED}},
        CLOUD,
        "ConnectionFailed",
        (CLOSED, "spec.ossea.url", "ossea_configs"),
    ),
    "not-trusted": Wrong(
        lambda stand, _secret: {"ossea": {"url": stand.control_plane.url}},
        CLOUD,
        "TLSFailed",
        ("no trusted TLS connection", "caBundle", "spec.ossea.url"),
    ),
    "bundle": Wrong(
        lambda stand, _secret: {
            "ossea": {
                "url": stand.control_plane.url,
                "caBundle": "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----",
            }
        },
        CLOUD,
        "TLSFailed",
        ("spec.ossea.caBundle", "Give PEM certificates"),
    ),
    "another-oma": Wrong(
        lambda _stand, _secret: {"omaVMID": UNKNOWN_VM},
        "Ready",
        "ApplianceInconsistent",
        (f"spec.omaVMID is {UNKNOWN_VM}", "ossea_configs.oma_vm_id", "Correct the wrong one"),
    ),
}


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """A stand whose operator keeps the status of the tests' own Appliances, looked at every ten seconds."""
    with Stand(
        control_plane, mariadb.create_database("oma_appliance_status"), settings={"detection": {"intervalSeconds": 10}}
    ) as running:
        # Of several Appliances on one database only the eldest is ready.
        running.kubectl("delete", f"appliance/{running.appliance}")
        names = [f"{running.appliance}-{case}" for case in (*CASES, "sound")]
        running.start_operator(FEC_APPLIANCES=json.dumps(names))
        yield running


@pytest.fixture
def name(request: pytest.FixtureRequest, stand: Stand) -> Iterator[str]:
    """Name of the Appliance of a test, and of a Secret of its own; the Appliance is removed afterwards."""
    name = f"{stand.appliance}-{getattr(request, 'param', 'sound')}"
    yield name
    stand.kubectl("delete", f"appliance/{name}", "--ignore-not-found")


def _conditions(stand: Stand, name: str) -> dict[str, dict[str, str]]:
    body: dict[str, Any] = json.loads(stand.kubectl("get", "appliance", name, "-o", "json"))
    return {condition["type"]: condition for condition in body.get("status", {}).get("conditions", [])}


def _wait_for(stand: Stand, name: str, condition: str, status: str, reason: str) -> dict[str, str]:
    def reached() -> bool:
        found = _conditions(stand, name).get(condition, {})
        return (found.get("status"), found.get("reason")) == (status, reason)

    stand.wait_until(reached, seconds=60, what=f"{condition} of {name} is {status} {reason}")
    return _conditions(stand, name)[condition]


def _wait_until_sound(stand: Stand, name: str) -> None:
    _wait_for(stand, name, "Ready", "True", "Available")
    for part in (DATABASE, DAEMON, CLOUD):
        assert _conditions(stand, name)[part]["status"] == "True"


def test_sound_appliance_is_ready_and_shows_where_its_cloud_is(stand: Stand, name: str) -> None:
    stand.apply_appliance(name)

    _wait_until_sound(stand, name)
    assert stand.address["ossea_url"] in stand.kubectl("get", "appliance", name)


@pytest.mark.parametrize(("case", "name"), [(case, case) for case in CASES], ids=list(CASES), indirect=["name"])
def test_what_is_wrong_is_told_with_object_cause_and_remedy_and_recovers(stand: Stand, case: str, name: str) -> None:
    wrong = CASES[case]
    if held := wrong.secret(stand):
        stand.apply_secret(name, **held)
    stand.apply_appliance(name, **wrong.spec(stand, name))

    told = _wait_for(stand, name, wrong.condition, "False", wrong.reason)["message"]
    conditions = _conditions(stand, name)
    assert [word for word in wrong.named if word not in told] == []
    assert held == {} or f"{stand.operator_namespace}/{name}" in told
    assert (conditions["Ready"]["status"], conditions["Ready"]["reason"]) == ("False", wrong.reason)
    assert conditions["Ready"]["message"] == told
    parts = {part for part in (DATABASE, DAEMON, CLOUD) if conditions[part]["status"] != "True"}
    assert parts - {wrong.condition} == set(wrong.unseen)
    assert all(conditions[part]["status"] == "Unknown" for part in wrong.unseen)
    shown = stand.kubectl("get", "appliance", name, "-o", "yaml")
    assert WRONG not in shown
    assert str(make_url(stand.database_url).password) not in shown

    stand.apply_appliance(name)
    _wait_until_sound(stand, name)


def test_a_corrected_secret_is_enough(stand: Stand, name: str) -> None:
    stand.apply_secret(name, **_url(password=WRONG)(stand))
    stand.apply_appliance(name, **_database(stand, name))
    _wait_for(stand, name, DATABASE, "False", "AuthenticationFailed")

    stand.apply_secret(name, url=stand.database_url)
    _wait_until_sound(stand, name)


@pytest.fixture
def encrypted(stand: Stand) -> Iterator[bytes]:
    """The key of the cloud's keys, which the table holds encrypted during the test (appliance facts 2.3)."""
    key = os.urandom(32)
    plain = {"api": stand.address["api_key"], "secret": stand.address["secret_key"]}
    _write_keys(stand, **{name: _sealed(key, value) for name, value in plain.items()})
    yield key
    _write_keys(stand, **plain)


def _sealed(key: bytes, value: str) -> str:
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, value.encode(), None)).decode()


def _write_keys(stand: Stand, *, api: str, secret: str) -> None:
    stand.rows("UPDATE ossea_configs SET api_key = :api, secret_key = :secret", api=api, secret=secret)


def test_encrypted_keys_need_the_right_key_in_a_secret(stand: Stand, name: str, encrypted: bytes) -> None:
    stand.apply_appliance(name)
    told = _wait_for(stand, name, CLOUD, "False", "AuthenticationFailed")["message"]
    assert "are encrypted" in told
    assert "ossea.encryptionKeySecretRef" in told

    stand.apply_secret(name, key="not base64 of 32 bytes")
    stand.apply_appliance(name, ossea={"encryptionKeySecretRef": {"name": name, "key": "key"}})
    _wait_for_words(stand, name, f"Secret {stand.operator_namespace}/{name} is not the base64 of 32 bytes")

    stand.apply_secret(name, key=base64.b64encode(os.urandom(32)).decode())
    _wait_for_words(stand, name, "do not open with the encryption key given")

    stand.apply_secret(name, key=base64.b64encode(encrypted).decode())
    _wait_until_sound(stand, name)


def _wait_for_words(stand: Stand, name: str, words: str) -> None:
    stand.wait_until(
        lambda: words in _conditions(stand, name).get(CLOUD, {}).get("message", ""), what=f"{name} says {words!r}"
    )


def test_no_active_row_is_inconsistent_and_leaves_the_cloud_unknown(stand: Stand, name: str) -> None:
    stand.apply_appliance(name)
    _wait_until_sound(stand, name)
    stand.rows("UPDATE ossea_configs SET is_active = 0")

    told = _wait_for(stand, name, "Ready", "False", "ApplianceInconsistent")["message"]
    assert "ossea_configs has 0 active rows" in told
    assert _conditions(stand, name)[CLOUD]["status"] == "Unknown"
    assert _conditions(stand, name)[DATABASE]["status"] == "True"

    stand.rows("UPDATE ossea_configs SET is_active = 1")
    _wait_until_sound(stand, name)
