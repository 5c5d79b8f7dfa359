"""Replicas that share a Lease: leadership and claims change hands in the middle of a cleanup, and no call is made twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import pytest

from tests.crash.conftest import StartStand
from tests.crash.stages import STAGES, assert_cleaned, hold
from tests.takeover.operators import (
    EXPIRY_SECONDS,
    HTTP_SECONDS,
    LEASE_SECONDS,
    NEVER,
    QUICK,
    assert_no_call_twice,
    assert_no_overlap,
    claim_times,
    leader,
    lease,
    sent_by_operators,
    start_replica,
    wait_for_leader,
)

pytestmark = pytest.mark.timeout(240)

SLACK: Final = timedelta(seconds=20)
"""For slow machines: short against what it would take without the behaviour under test."""


def volume_of(built: Mapping[str, Any]) -> dict[str, str]:
    return {snapshot: volume for volume, snapshot in built["snapshot_ids"].items()}


def parsed(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp)


@pytest.mark.parametrize("stage", ["reverting", "attaching"])
def test_rolling_upgrade_in_the_middle_hands_claim_and_leadership_over(start_stand: StartStand, stage: str) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES[stage].latency)
    old = start_replica(stand, "old", **NEVER)
    wait_for_leader(stand, "old")
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")

    start_replica(stand, "new", **NEVER)
    old.terminate()
    assert old.wait(seconds=60) == 0

    # Without a hand-over the successor would wait five minutes for the claim to expire.
    claim = assert_cleaned(stand, "pgtest1", built)
    assert claim.number == 2
    assert leader(stand) == "new"
    assert_no_call_twice(sent_by_operators(stand))
    assert_no_overlap(stand.journal(), volume_of(built))


def test_a_request_that_outlasts_the_process_is_handed_over_open(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(detachVolume=15.0)
    old = start_replica(stand, "old", **NEVER)
    wait_for_leader(stand, "old")
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "detaching", "pgtest1")

    old.terminate()
    assert old.wait(seconds=60) == 0
    assert claim_times(stand).owner is None
    assert stand.cleanup("pgtest1")["metadata"]["finalizers"], "a deletion has to wait for what is in flight"
    assert stand.effects("detached") == []
    start_replica(stand, "new", **NEVER)

    assert assert_cleaned(stand, "pgtest1", built).number == 2
    assert_no_call_twice(sent_by_operators(stand))


def test_a_cleanup_deleted_between_two_operators_brings_its_volumes_home(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(**STAGES["deleting"].latency)
    old = start_replica(stand, "old", **NEVER)
    wait_for_leader(stand, "old")
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.wait_until(lambda: stand.requests("deleteSnapshot"), seconds=60, what="a snapshot is being deleted")
    old.terminate()
    assert old.wait(seconds=60) == 0

    stand.kubectl("delete", "fec", "pgtest1", "--wait=false")
    start_replica(stand, "new", **NEVER)
    stand.wait_until_gone("pgtest1")

    assert stand.holders(built) == {stand.oma_vm_id}
    assert set(stand.contents(built).values()) == {"replica:1"}
    assert claim_times(stand).owner is None


def test_after_sigkill_leadership_and_claim_are_taken_when_they_expire(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES["reverting"].latency)
    first = start_replica(stand, "first", **QUICK)
    wait_for_leader(stand, "first")
    start_replica(stand, "second", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")

    first.kill()
    left = claim_times(stand)
    renewed = parsed(lease(stand)["renewTime"])
    stand.wait_until(lambda: claim_times(stand).number == 2, seconds=90, what="the claim is taken over")
    taken = claim_times(stand)
    acquired = parsed(lease(stand)["acquireTime"])

    assert (left.owner, taken.owner, leader(stand)) == ("first", "second", "second")
    assert left.heartbeat is not None
    assert acquired - renewed <= timedelta(seconds=LEASE_SECONDS) + SLACK
    # `job_tracking.started_at` has whole seconds.
    least = timedelta(seconds=EXPIRY_SECONDS + HTTP_SECONDS - 1)
    assert least <= taken.taken - left.heartbeat <= least + SLACK
    assert_cleaned(stand, "pgtest1", built)
    assert_no_call_twice(sent_by_operators(stand))
    assert_no_overlap(stand.journal(), volume_of(built))


def test_a_standby_looks_at_nothing_while_another_replica_leads(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    start_replica(stand, "first", **QUICK)
    wait_for_leader(stand, "first")
    start_replica(stand, "second", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")

    assert assert_cleaned(stand, "pgtest1", built).number == 1
    assert {event["reportingInstance"] for event in stand.events("pgtest1")} == {"first"}
    assert leader(stand) == "first"
