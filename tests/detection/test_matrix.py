"""Every leftover state through the scan: which are reported, as what, since when; its healthy neighbours never are."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.detection.checks import check_report, check_worlds
from tests.detection.expected import EXPECTED
from tests.matrix.expected import CASES, Case

READABLE = [case for case in CASES if not case.id.startswith(("D02-database", "D03"))]


def test_every_case_of_the_matrix_has_an_expectation() -> None:
    assert {case.id for case in CASES} == EXPECTED.keys()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_leftover_state_is_reported_as_expected(case: Case, tmp_path: Path) -> None:
    await check_report(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db")


@pytest.mark.parametrize("case", READABLE, ids=lambda case: case.id)
async def test_many_are_observed_as_one_is(case: Case, tmp_path: Path) -> None:
    await check_worlds(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db")
