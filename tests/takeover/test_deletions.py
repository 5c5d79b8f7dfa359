"""What a run stands on is deleted, made anew or replaced in its middle: the resource, the Appliance, the Secret, the keys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from sqlalchemy import make_url

from development.mariadb import MariaDB
from development.stand import Stand
from tests.crash.conftest import StartStand
from tests.crash.stages import STAGES, assert_cleaned, claims, hold
from tests.takeover.operators import QUICK, assert_no_call_twice, sent_by_operators, start_replica

pytestmark = pytest.mark.timeout(240)

NO_FINALIZERS: Final = '{"metadata": {"finalizers": null}}'


def delete_appliance(stand: Stand) -> None:
    stand.kubectl("delete", "appliance", stand.appliance, "--wait=false")


def appliance_exists(stand: Stand) -> bool:
    return bool(stand.kubectl("get", "appliance", stand.appliance, "--ignore-not-found", "-o", "name"))


def appliance_events(stand: Stand) -> list[dict[str, Any]]:
    found = stand.control_plane.kubectl("get", "events.events.k8s.io", "--namespace=default", "-o", "json").stdout
    items: list[dict[str, Any]] = json.loads(found)["items"]
    return [event for event in items if event["regarding"]["name"] == stand.appliance]


def cleanup_events(stand: Stand, uid: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(stand.kubectl("get", "events.events.k8s.io", "-o", "json"))["items"]
    return [event for event in items if event["regarding"]["uid"] == uid]


def message(stand: Stand, name: str) -> str:
    conditions = stand.cleanup(name)["status"]["conditions"]
    return str(next(condition["message"] for condition in conditions if condition["type"] == "Ready"))


@pytest.mark.parametrize("stage", ["reverting", "attaching"])
def test_a_resource_made_anew_in_the_middle_is_another_one(start_stand: StartStand, stage: str) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES[stage].latency)
    start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")
    uid = stand.cleanup("pgtest1")["metadata"]["uid"]

    # The finalizer is torn off as well, so that the name is free while the run is in the middle.
    stand.kubectl("patch", "fec", "pgtest1", "--type=merge", f"--patch={NO_FINALIZERS}")
    stand.kubectl("delete", "fec", "pgtest1")
    stand.apply_cleanup("pgtest1", "pgtest1")

    assert_cleaned(stand, "pgtest1", built)
    assert stand.cleanup("pgtest1")["metadata"]["uid"] != uid
    executed = [r for r in sent_by_operators(stand) if r["executed"]]
    assert len({r["parameters"]["customjobid"] for r in executed if "customjobid" in r["parameters"]}) == len(
        [r for r in executed if "customjobid" in r["parameters"]]
    )


def test_a_deleted_appliance_stays_until_the_run_on_it_has_ended(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["reverting"].latency)
    start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")

    delete_appliance(stand)
    stand.wait_until(
        lambda: any(event["reason"] == "DeletionWaits" for event in appliance_events(stand)),
        what="the Appliance says why it stays",
    )
    stand.build("F11", "pgtest2", disks=1)
    stand.apply_cleanup("pgtest2", "pgtest2")

    assert_cleaned(stand, "pgtest1", built)
    stand.wait_until(lambda: not appliance_exists(stand), what="the Appliance is gone")
    stand.wait_for_reason("pgtest2", "ApplianceUnreachable")
    assert stand.appliance in message(stand, "pgtest2")
    assert_no_call_twice(sent_by_operators(stand))
    assert len(claims(stand)) == 1, "nothing was begun on an Appliance that is being deleted"


def test_an_idle_appliance_is_deleted_at_once(start_stand: StartStand) -> None:
    stand = start_stand("sqlite")
    built = stand.build("F11", "pgtest1", disks=1)
    start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    assert_cleaned(stand, "pgtest1", built)

    stand.kubectl("delete", "appliance", stand.appliance, "--timeout=20s")

    assert not appliance_exists(stand)


def test_a_deleted_cleanup_whose_appliance_is_gone_leaves_with_an_event(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["reverting"].latency)
    first = start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")
    uid = stand.cleanup("pgtest1")["metadata"]["uid"]
    first.kill()
    stand.kubectl("patch", "appliance", stand.appliance, "--type=merge", f"--patch={NO_FINALIZERS}")
    stand.kubectl("delete", "appliance", stand.appliance)

    stand.kubectl("delete", "fec", "pgtest1", "--wait=false")
    start_replica(stand, "two", **QUICK)
    stand.wait_until_gone("pgtest1")
    stand.wait_until(
        lambda: [e["type"] for e in cleanup_events(stand, uid) if e["reason"] == "ClaimLeftBehind"] == ["Warning"],
        what="an Event says what is left",
    )
    assert claims(stand)[0].owner == "one"

    stand.latency(revertSnapshot=0.0)
    stand.apply_appliance(stand.appliance)
    stand.apply_cleanup("pgtest1-again", "pgtest1")
    assert assert_cleaned(stand, "pgtest1-again", built).number == 2


def test_a_secret_deleted_in_the_middle_stops_only_the_next_run(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["reverting"].latency)
    start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")

    stand.control_plane.kubectl("delete", "secret", "oma-database", f"--namespace={stand.operator_namespace}")
    assert assert_cleaned(stand, "pgtest1", built).number == 1
    second = stand.build("F11", "pgtest2", disks=1)
    stand.latency(revertSnapshot=0.0)
    stand.apply_cleanup("pgtest2", "pgtest2")
    stand.wait_for_reason("pgtest2", "ApplianceUnreachable")
    assert "oma-database" in message(stand, "pgtest2")

    stand.apply_secret("oma-database", url=stand.database_url)
    stand.wait_for("pgtest2", "Ready")
    assert set(stand.contents(second).values()) == {"replica:1"}


def test_a_secret_missing_after_a_crash_holds_the_takeover_until_it_is_back(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["reverting"].latency)
    first = start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")
    first.kill()
    stand.control_plane.kubectl("delete", "secret", "oma-database", f"--namespace={stand.operator_namespace}")
    sent = sent_by_operators(stand)

    start_replica(stand, "two", **QUICK)
    stand.wait_for_reason("pgtest1", "ApplianceUnreachable")
    assert sent_by_operators(stand) == sent
    assert stand.cleanup("pgtest1")["metadata"]["finalizers"]

    stand.apply_secret("oma-database", url=stand.database_url)
    assert assert_cleaned(stand, "pgtest1", built).number == 2


@pytest.fixture
def account(mariadb: MariaDB) -> Iterator[str]:
    """Name of an account of the test's own, with the password `first-word`."""
    name = f"rotated_{uuid.uuid4().hex[:8]}"
    mariadb._execute(f"CREATE USER '{name}'@'127.0.0.1' IDENTIFIED BY 'first-word'")
    mariadb._execute(f"GRANT ALL ON *.* TO '{name}'@'127.0.0.1'")
    yield name
    mariadb._execute(f"DROP USER '{name}'@'127.0.0.1'")


def test_database_password_and_keys_are_rotated_without_a_restart(
    start_stand: StartStand, mariadb: MariaDB, account: str
) -> None:
    stand = start_stand("mariadb")
    rotated = make_url(stand.database_url).set(username=account, password="first-word")
    stand.apply_secret("oma-database", url=rotated.render_as_string(hide_password=False))
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["reverting"].latency)
    operator = start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")

    mariadb._execute(f"SET PASSWORD FOR '{account}'@'127.0.0.1' = PASSWORD('second-word')")
    rotated = rotated.set(password="second-word")
    stand.apply_secret("oma-database", url=rotated.render_as_string(hide_password=False))
    stand.act("rotate_keys")

    assert_cleaned(stand, "pgtest1", built)
    operator.ensure_running()
    log = operator.log.read_text()
    assert "first-word" not in log
    assert "second-word" not in log
