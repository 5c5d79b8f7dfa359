"""Two operators that both believe to lead: one works, and one that was stopped in the middle makes no call when it wakes up."""

from __future__ import annotations

import pytest

from tests.crash.conftest import StartStand
from tests.crash.stages import STAGES, assert_cleaned, claims, hold, release
from tests.takeover.operators import (
    QUICK,
    assert_no_call_twice,
    freeze,
    sent_by_operators,
    start_replica,
    start_rival,
    thaw,
    wait_for_leader,
    wait_until_lease_expired,
)

pytestmark = pytest.mark.timeout(240)


def test_of_two_operators_one_works_and_the_other_says_so(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(revertSnapshot=10.0)
    start_replica(stand, "one", **QUICK)
    wait_for_leader(start_rival(stand, "two", **QUICK), "two")
    wait_for_leader(stand, "one")
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "reverting", "pgtest1")
    (held,) = claims(stand)
    assert held.owner in {"one", "two"}
    stand.wait_until(
        lambda: any(event["reason"] == "ClaimedElsewhere" for event in stand.events("pgtest1")),
        seconds=60,
        what="the other operator says that the VM is claimed",
    )

    claim = assert_cleaned(stand, "pgtest1", built)

    assert claim.number == 1, "nobody took the claim of a living owner"
    commands = ("detach", "revertSnapshot", "deleteSnapshot", "attach")
    assert {command: len(stand.requests(command)) for command in commands} == dict.fromkeys(commands, 2)


@pytest.mark.parametrize("stage", ["claimed", "reverting", "attaching"])
def test_an_operator_stopped_in_the_middle_makes_no_call_when_it_wakes(start_stand: StartStand, stage: str) -> None:
    stand = start_stand("mariadb", **STAGES[stage].settings)
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES[stage].latency)
    first = start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")

    freeze(first)
    release(stand, stage)
    start_rival(stand, "two", **QUICK)
    claim = assert_cleaned(stand, "pgtest1", built)
    assert claim.number == 2
    sent = sent_by_operators(stand)
    wait_until_lease_expired(stand)
    thaw(first)
    first.wait(seconds=60)

    assert sent_by_operators(stand) == sent
    assert_no_call_twice(sent)
    assert stand.ready("pgtest1") == ("True", "Cleaned")
    (after,) = claims(stand)
    assert after == claim


def test_an_operator_that_wakes_during_the_takeover_makes_no_call(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES["detaching"].latency)
    first = start_replica(stand, "one", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "detaching", "pgtest1")

    freeze(first)
    stand.latency(detachVolume=0.0, revertSnapshot=3.0)
    start_rival(stand, "two", **QUICK)
    stand.wait_until(lambda: stand.requests("revertSnapshot"), seconds=60, what="the rival reverts")
    thaw(first)

    claim = assert_cleaned(stand, "pgtest1", built)
    assert (claim.number, len(stand.effects("reverted"))) == (2, 3), "each volume was reverted once, by the rival"
    assert_no_call_twice(sent_by_operators(stand))
