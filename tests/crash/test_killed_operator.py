"""SIGKILL of the operator as people run it, at some points of a cleanup; every kind of call is cut off in test_every_kind_of_call."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from tests.crash.conftest import StartStand
from tests.crash.stages import QUICK_TAKEOVER, STAGES, assert_cleaned, claims, hold, release

pytestmark = pytest.mark.timeout(240)


@pytest.mark.parametrize(
    ("database", "stage"),
    [("mariadb", "claimed"), ("mariadb", "attaching"), ("sqlite", "reverting")],
)
def test_next_operator_ends_what_a_killed_one_began(start_stand: StartStand, database: str, stage: str) -> None:
    stand = start_stand(database, **STAGES[stage].settings)
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES[stage].latency)
    first = stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")

    first.kill()
    if stage == "claimed":
        assert stand.requests() == [], "the operator was killed too late to test what is meant"
    release(stand, stage)
    stand.start_operator(**QUICK_TAKEOVER)

    claim = assert_cleaned(stand, "pgtest1", built)
    assert claim.number == 2
    detached = Counter(effect["object_id"] for effect in stand.effects("detached"))
    attached = Counter(effect["object_id"] for effect in stand.effects("attached"))
    assert set(detached.values()) == set(attached.values()) == {1}
    if stage in {"claimed", "detaching", "attaching"}:
        assert len(stand.effects("reverted")) == 3, "no revert was cut from its delete: none is made again"


def test_operator_killed_again_and_again_comes_to_the_same_end(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**{command: seconds for stage in STAGES.values() for command, seconds in stage.latency.items()})
    operator = stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    for stage in ("detaching", "reverting", "deleting", "attaching"):
        hold(stand, stage, "pgtest1")
        operator.kill()
        operator = stand.start_operator(**QUICK_TAKEOVER)

    claim = assert_cleaned(stand, "pgtest1", built)
    assert claim.number >= 4


def test_deletion_with_the_operator_killed_loses_nothing(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    left = stand.contents(built)
    stand.latency(**STAGES["reverting"].latency)
    first = stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")

    stand.kubectl("delete", "fec", "pgtest1", "--wait=false")
    first.kill()
    stand.start_operator(**QUICK_TAKEOVER)

    stand.wait_until(
        lambda: not json.loads(stand.kubectl("get", "fec", "-o", "json"))["items"],
        seconds=90,
        what="the deleted cleanup is gone",
    )
    volumes = stand.state()["volumes"]
    reverted = {effect["object_id"] for effect in stand.effects("reverted")}
    assert reverted, "the killed operator's revert goes on without it"
    assert stand.contents(built) == {**left, **dict.fromkeys(reverted, "replica:1")}
    assert {volumes[volume]["virtualmachineid"] for volume in reverted} == {stand.oma_vm_id}, "reverted, so at home"
    assert stand.holders(built) <= {stand.oma_vm_id, None}
    assert {snapshot["state"] for snapshot in stand.snapshots(built)} == {"BackedUp"}
    assert [claim.owner for claim in claims(stand)] == [None]

    stand.latency(revertSnapshot=0)
    stand.apply_cleanup("pgtest1", "pgtest1")
    assert_cleaned(stand, "pgtest1", built)
