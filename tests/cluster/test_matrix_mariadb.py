"""Some rows of the recovery matrix on MariaDB: real locks, real time stamps, the production schema."""

from __future__ import annotations

import uuid

import pytest

from development.mariadb import MariaDB
from tests.matrix.expected import CASES
from tests.matrix.play import play

REPRESENTATIVES = ("F11", "F19", "F24", "R06", "C03")


@pytest.mark.parametrize("case_id", REPRESENTATIVES)
async def test_leftover_state_ends_as_expected_on_mariadb(case_id: str, mariadb: MariaDB) -> None:
    case = next(case for case in CASES if case.id == case_id)
    played = await play(case, mariadb.create_database(f"matrix_{uuid.uuid4().hex[:12]}"))
    assert not played.differences, "\n".join((f"{case.id}: {case.why}", *played.differences))
