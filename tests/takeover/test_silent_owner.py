"""The lock of an owner who says nothing any more, stopped or cut off, ends by itself; that of a busy one does not."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from development.mariadb import MariaDB
from failed_execution_cleanup.appliance.database import ContextLock, LockHeld, LockLost, OMADatabase

CONTEXT = "ctx-pgtest1-20260101-100000"
IDLE_SECONDS = 3.0


@pytest.fixture
async def database(mariadb: MariaDB) -> AsyncIterator[OMADatabase]:
    opened = OMADatabase.open(mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"), timeout=20.0)
    yield opened
    await opened.close()


async def taken_by_another(database: OMADatabase) -> bool:
    try:
        async with database.lock(CONTEXT):
            return True
    except LockHeld:
        return False


async def use(lock: ContextLock) -> None:
    async with lock.transaction(write=False):
        pass


async def test_the_lock_of_a_silent_owner_ends_and_he_learns_of_it(database: OMADatabase) -> None:
    async with database.lock(CONTEXT, idle_seconds=IDLE_SECONDS) as lock:
        async with lock.between_statements():  # nothing of this process reaches the server in this block
            assert not await taken_by_another(database)
            while not await taken_by_another(database):  # noqa: ASYNC110 the server tells nobody
                await asyncio.sleep(0.2)
        with pytest.raises(LockLost):
            await use(lock)


async def test_the_lock_of_an_owner_who_is_alive_stays_without_being_used(database: OMADatabase) -> None:
    async with database.lock(CONTEXT, idle_seconds=IDLE_SECONDS) as lock:
        await asyncio.sleep(2 * IDLE_SECONDS)
        assert not await taken_by_another(database)
        await use(lock)
    assert await taken_by_another(database)
