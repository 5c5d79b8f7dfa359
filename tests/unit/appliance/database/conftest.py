"""The door and raw access to a fresh SQLite database with the production schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance_simulator.database import create_schema
from failed_execution_cleanup.appliance.database import OMADatabase
from tests.unit.appliance.database.oma_rows import OMARows, open_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def url(tmp_path: Path) -> str:
    location = f"sqlite+aiosqlite:///{tmp_path}/oma.db"
    await create_schema(location)
    return location


@pytest.fixture
async def database(url: str) -> AsyncIterator[OMADatabase]:
    door = OMADatabase.open(url)
    yield door
    await door.close()


@pytest.fixture
async def rows(url: str) -> AsyncIterator[OMARows]:
    async with open_rows(url) as raw:
        yield raw
