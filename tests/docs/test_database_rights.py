"""The account that the documentation makes in the appliance's database can do everything a cleanup does, and nothing it does not need."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import pytest
from sqlalchemy import URL, make_url

from development.mariadb import MariaDB
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.errors import ApplianceError
from tests.docs.pages import DOCS, blocks
from tests.matrix.expected import CASES, Outcome
from tests.matrix.stage import staged

(SQL,) = (block.text for block in blocks("sql") if block.page == DOCS / "appliance.md")
CREATE, SELECT, *WRITES = (statement for statement in SQL.split(";\n") if statement)
PASSWORD = "made-for-a-test"


@dataclass(frozen=True)
class Account:
    """The account of the documentation, for a database of the test's own.

    Attributes:
        administrator: URL of the database for an account that may do everything.
        name: of the account.
    """

    server: MariaDB
    administrator: URL
    name: str

    def granted(self, writes: Sequence[str]) -> str:
        """Carry the statements out, with the test's names in place of the page's; gives the account's URL."""
        for statement in (CREATE, SELECT, *writes):
            ours = statement.replace("'fec'", f"'{self.name}'").replace("<password>", PASSWORD)
            self.server._execute(ours.replace("migratekit_oma.", f"{self.administrator.database}."))
        return self.administrator.set(username=self.name, password=PASSWORD).render_as_string(hide_password=False)


@pytest.fixture
def account(mariadb: MariaDB) -> Iterator[Account]:
    suffix = uuid.uuid4().hex[:12]
    yield Account(mariadb, make_url(mariadb.create_database(f"rights_{suffix}")), f"fec_{suffix}")
    mariadb._execute(f"DROP USER IF EXISTS 'fec_{suffix}'@'127.0.0.1'")


async def outcome(account: Account, case_id: str, writes: Sequence[str]) -> Outcome | str | None:
    """How a cleanup ends with these rights; the reason of the error where it cannot go on."""
    case = next(case for case in CASES if case.id == case_id)
    administrator = account.administrator.render_as_string(hide_password=False)
    async with staged(case, administrator) as stage:
        # Rights on tables need the tables.
        url = account.granted(writes)
        await stage.watch()
        limited = OMADatabase.open(url, timeout=5.0)
        stage.doors = replace(stage.doors, database=limited)
        try:
            await limited.overview(volumes=True)
            return (await stage.run()).outcome
        except ApplianceError as error:
            return str(error)
        finally:
            await limited.close()


@pytest.mark.parametrize("case_id", ["F06", "F11", "F24", "R06", "C01"])
async def test_a_cleanup_needs_no_other_rights(account: Account, case_id: str) -> None:
    expected = next(case for case in CASES if case.id == case_id).end.outcome
    assert await outcome(account, case_id, WRITES) is expected


@pytest.mark.parametrize("missing", WRITES, ids=lambda statement: re.sub(r" TO .*|migratekit_oma\.", "", statement))
async def test_each_right_is_needed(account: Account, missing: str) -> None:
    case_id = "C01" if "device_mappings" in missing else "F11"
    found = await outcome(account, case_id, [statement for statement in WRITES if statement != missing])
    assert found is not Outcome.RECOVERED
