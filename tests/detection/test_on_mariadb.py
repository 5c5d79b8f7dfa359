"""The same on the production database: statements, collations and time zones are MariaDB's own."""

from __future__ import annotations

import uuid

import pytest

from development.mariadb import MariaDB
from tests.detection.checks import check_report, check_worlds
from tests.matrix.expected import CASES, Case

SOME = [
    case for case in CASES if case.id in {"F01-hang", "F22", "F30", "R02", "R06", "C03", "C06", "S27", "S37", "D01"}
]


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.id)
async def test_leftover_state_is_reported_as_expected(case: Case, mariadb: MariaDB) -> None:
    await check_report(case, mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"))


@pytest.mark.parametrize("case", SOME, ids=lambda case: case.id)
async def test_many_are_observed_as_one_is(case: Case, mariadb: MariaDB) -> None:
    await check_worlds(case, mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"))
