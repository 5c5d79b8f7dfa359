"""The door's promises on SQLite, and what is special there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from failed_execution_cleanup.appliance.database import LockLost, OMADatabase
from failed_execution_cleanup.appliance.errors import DatabaseUnavailable
from tests.unit.appliance.database.contract import DatabaseContract
from tests.unit.appliance.database.oma_rows import CONTEXT

if TYPE_CHECKING:
    from tests.unit.appliance.database.oma_rows import OMARows


pytestmark = pytest.mark.sqlite_threads


class TestSQLite(DatabaseContract):
    """The whole contract."""


async def test_a_lock_whose_file_was_replaced_is_lost_for_good(database: OMADatabase, url: str, rows: OMARows) -> None:
    await rows.add_hung_failover()
    async with database.lock(CONTEXT) as lock:
        (file,) = Path(make_url(url).database or "").parent.glob("oma.db.*.lock")
        file.rename(file.with_suffix(".moved"))
        with pytest.raises(LockLost):
            await lock.read()
        file.with_suffix(".moved").rename(file)
        with pytest.raises(LockLost):
            await lock.read()


async def test_a_database_without_the_tables_is_unavailable(tmp_path: Path) -> None:
    door = OMADatabase.open(f"sqlite+aiosqlite:///{tmp_path}/empty.db")
    with pytest.raises(DatabaseUnavailable):
        await door.read(CONTEXT)
    await door.close()


@pytest.mark.parametrize(
    "wrong",
    [
        "no url with s3cret",
        "postgresql+asyncpg://u:s3cret@h/d",
        "mysql+asyncmy://u:s3cret@h/",
        "sqlite+aiosqlite:///:memory:",
        "sqlite+aiosqlite://",
        "mysql+asyncmy://u:s3cret@h:port/d",
    ],
)
def test_a_wrong_url_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(ValueError, match="database URL") as refused:
        OMADatabase.open(wrong)
    assert "s3cret" not in str(refused.value)
