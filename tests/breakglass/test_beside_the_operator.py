"""Break-glass and the operator on one VM: each goes on with what the other began, and never both at once."""

from __future__ import annotations

import pytest

from development.stand import Stand
from tests.breakglass.command import PERSON, BreakGlass
from tests.crash.conftest import StartStand
from tests.crash.stages import STAGES, assert_cleaned, assert_rules, claims, hold
from tests.takeover.operators import QUICK, assert_no_call_twice, start_replica, wait_for_leader

pytestmark = pytest.mark.timeout(240)

COMMANDS = ("detach", "revertSnapshot", "deleteSnapshot", "attach")


def sent(stand: Stand) -> dict[str, int]:
    return {command: len(stand.requests(command)) for command in COMMANDS}


@pytest.mark.parametrize(("row", "stage"), [("F11", "attaching"), ("F24", "detaching")])
def test_the_operator_goes_on_where_break_glass_was_killed(start_stand: StartStand, row: str, stage: str) -> None:
    stand = start_stand("mariadb")
    built = stand.build(row, "pgtest1", disks=2)
    stand.latency(**STAGES[stage].latency)
    command = BreakGlass(stand).start("pgtest1")
    hold(stand, stage, "pgtest1")
    (claim,) = claims(stand)
    assert claim.owner is not None
    assert claim.owner.startswith(f"local/{PERSON}/")

    command.kill()
    start_replica(stand, "operator", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")

    assert assert_cleaned(stand, "pgtest1", built).number == 2
    assert_no_call_twice(stand.requests())


@pytest.mark.parametrize(("row", "stage"), [("F11", "reverting"), ("F24", "attaching")])
def test_break_glass_goes_on_where_the_operator_was_killed(start_stand: StartStand, row: str, stage: str) -> None:
    stand = start_stand("mariadb")
    built = stand.build(row, "pgtest1", disks=2)
    stand.latency(**STAGES[stage].latency)
    operator = start_replica(stand, "operator", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")

    operator.kill()
    ended = BreakGlass(stand).run("cleanup", "pgtest1", "--yes", "-o", "json")

    assert (ended.code, ended.result["reason"]) == (0, "Cleaned"), ended.err
    assert set(stand.contents(built).values()) == {"replica:1"}
    assert stand.holders(built) == {stand.oma_vm_id}
    (claim,) = claims(stand)
    assert (claim.owner, claim.finished, claim.number) == (None, True, 2)
    assert_rules(stand, claim)
    assert_no_call_twice(stand.requests())
    before = sent(stand)
    start_replica(stand, "successor", **QUICK)
    stand.wait_for("pgtest1", "Ready", seconds=120)
    assert stand.ready("pgtest1") == ("True", "AlreadyClean")
    assert sent(stand) == before, "the operator finds it clean and touches nothing"


def test_break_glass_touches_nothing_while_the_operator_works(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(revertSnapshot=20.0)
    start_replica(stand, "operator", **QUICK)
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.wait_until(lambda: len(stand.requests("revertSnapshot")) == 2, what="both volumes are being reverted")
    before = sent(stand)

    ended = BreakGlass(stand).run("cleanup", "pgtest1", "--yes", "--wait", "0", "-o", "json")

    assert (ended.code, ended.result["reason"]) == (4, "ClaimedElsewhere"), ended.err
    assert "held by operator" in ended.result["message"]
    assert sent(stand) == before
    assert assert_cleaned(stand, "pgtest1", built).number == 1


def test_the_operator_touches_nothing_while_break_glass_works(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=2)
    stand.latency(revertSnapshot=20.0)
    start_replica(stand, "operator", **QUICK)
    wait_for_leader(stand, "operator")
    command = BreakGlass(stand).start("pgtest1")
    hold(stand, "reverting", "pgtest1")

    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.wait_for_reason("pgtest1", "ClaimedElsewhere")
    assert command.wait(seconds=90) == 0
    stand.wait_for("pgtest1", "Ready", seconds=120)

    assert sent(stand) == dict.fromkeys(COMMANDS, 2)
    assert set(stand.contents(built).values()) == {"replica:1"}
    (claim,) = claims(stand)
    assert (claim.owner, claim.number) == (None, 1), "nobody took the claim of a living owner"
