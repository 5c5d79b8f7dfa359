"""Every row of the failure table, with its variants, and every scenario, against the appliance over HTTP."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from tests.matrix.expected import CASES, Case
from tests.matrix.invariants import violations
from tests.matrix.play import play
from tests.matrix.stage import staged

ROWS = (
    *(f"F{number:02}" for number in range(1, 31)),
    "F02b",
    "F12b",
    *(f"R{number:02}" for number in range(1, 13)),
    *(f"C{number:02}" for number in range(1, 7)),
    *(f"D{number:02}" for number in range(1, 5)),
)
SCENARIOS = tuple(f"S{number:02}" for number in range(1, 41))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_leftover_state_ends_as_expected(case: Case, tmp_path: Path) -> None:
    played = await play(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db")
    assert not played.differences, "\n".join((f"{case.id}: {case.why}", *played.differences))


async def test_two_operators_at_once_do_the_work_of_one(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.id == "F12")
    async with staged(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        await stage.watch()
        ends = await asyncio.gather(stage.run(owner="operator-1"), stage.run(owner="operator-2"))
        requests = stage.appliance.journal.requests()

        assert {ended.reason for ended in ends} == {"Cleaned", "ClaimedElsewhere"}
        assert Counter(request.command for request in requests) == {
            "detach": 3,
            "revertSnapshot": 3,
            "deleteSnapshot": 3,
            "attach": 3,
        }
        assert await violations(stage, await stage.look()) == []


def test_every_row_of_the_failure_table_has_a_case() -> None:
    assert len(ROWS) == 54
    assert set(ROWS) - {case.id for case in CASES} == set()


def test_every_scenario_has_a_case() -> None:
    shown = {case.id for case in CASES} | {scenario for case in CASES for scenario in case.scenarios}
    assert set(SCENARIOS) - shown == set()


def test_no_two_cases_have_one_id() -> None:
    assert len({case.id for case in CASES}) == len(CASES)
