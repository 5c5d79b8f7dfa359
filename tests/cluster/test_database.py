"""The database door's promises on MariaDB 10.11, and what SQLite cannot show: sessions, row locks, zones, accounts."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from appliance_simulator.database import create_schema
from development.mariadb import MariaDB, private_mariadb
from failed_execution_cleanup.appliance.database import LockHeld, LockLost, OMADatabase, RowsChanged
from failed_execution_cleanup.appliance.errors import DatabaseUnavailable
from tests.unit.appliance.database.contract import DatabaseContract
from tests.unit.appliance.database.oma_rows import CONTEXT, JOB, OMARows, open_rows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def url(mariadb: MariaDB) -> str:
    location = mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")
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


class TestMariaDB(DatabaseContract):
    """The whole contract."""


async def _kill_lock_holder(rows: OMARows) -> None:
    holder = await rows.scalar(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
        " ORDER BY ID DESC LIMIT 1"
    )
    await rows.execute(f"KILL CONNECTION {int(holder)}")


async def _wait_for_row_lock(rows: OMARows) -> None:
    # Not INNODB_TRX: it shows an old picture to whoever asks often.
    waiting = "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = DATABASE() AND INFO LIKE '%FOR UPDATE'"
    while not await rows.scalar(waiting):  # noqa: ASYNC110 (another server's state gives no event)
        await asyncio.sleep(0)


async def test_a_killed_connection_loses_the_lock_for_good(database: OMADatabase, rows: OMARows) -> None:
    closing = await rows.add_hung_failover()
    async with database.lock(CONTEXT) as lock:
        claim = await lock.take_claim(JOB, "operator-a", previous=None)
        before = await rows.everything()
        await _kill_lock_holder(rows)
        for attempt in (
            lock.read(),
            lock.heartbeat(claim),
            lock.mark_cleanup_required(claim, CONTEXT, "failed_over_test"),
            lock.close_incident(claim, closing),
        ):
            with pytest.raises(LockLost):
                await attempt
        async with database.lock(CONTEXT) as next_owner:
            assert (await next_owner.read()).claims[0].owner == "operator-a"
        assert await rows.everything() == before


async def test_a_cancelled_call_loses_the_lock_instead_of_going_on_without_it(
    database: OMADatabase, url: str, rows: OMARows
) -> None:
    await rows.add_hung_failover()
    engine = create_async_engine(url)
    async with database.lock(CONTEXT) as lock, engine.connect() as blocker:
        claim = await lock.take_claim(JOB, "operator-a", previous=None)
        await blocker.execute(text("SELECT * FROM job_tracking FOR UPDATE"))
        waiting = asyncio.create_task(lock.heartbeat(claim))
        await _wait_for_row_lock(rows)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(LockLost):
            await lock.read()
    await engine.dispose()


async def test_a_lock_is_of_one_database_of_the_server(mariadb: MariaDB, database: OMADatabase, rows: OMARows) -> None:
    other = OMADatabase.open(mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}"))
    async with database.lock(CONTEXT):
        async with other.lock(CONTEXT):
            pass
        with pytest.raises(LockHeld):
            async with database.lock(CONTEXT):
                pass
    await other.close()


async def test_a_read_is_one_moment_and_the_next_one_is_fresh(database: OMADatabase, rows: OMARows) -> None:
    await rows.add_hung_failover()
    async with database.lock(CONTEXT) as lock:
        assert (await lock.read()).failovers[0].status == "pending"
        await rows.execute("UPDATE failover_jobs SET status = 'completed'")
        assert (await lock.read()).failovers[0].status == "completed"
        async with lock.transaction(write=False) as connection:
            first = await connection.scalar(text("SELECT status FROM failover_jobs"))
            await rows.execute("UPDATE failover_jobs SET status = 'failed'")
            assert await connection.scalar(text("SELECT status FROM failover_jobs")) == first


async def test_a_failover_cannot_begin_while_the_incident_is_being_closed(
    database: OMADatabase, url: str, rows: OMARows
) -> None:
    closing = await rows.add_hung_failover()
    engine = create_async_engine(url)
    async with engine.connect() as newcomer, database.lock(CONTEXT) as lock:
        claim = await lock.take_claim(JOB, "operator-a", previous=None)
        # A failover that has begun and not committed holds the last transaction up; then its row is seen.
        await newcomer.execute(
            text(
                "INSERT INTO failover_jobs (vm_context_id, job_id, vm_id, job_type, source_vm_name)"
                " VALUES (:context, 'newer', 'x', 'test', 'pgtest1')"
            ),
            {"context": CONTEXT},
        )
        ending = asyncio.create_task(lock.close_incident(claim, closing))
        await _wait_for_row_lock(rows)
        assert not ending.done()
        await newcomer.commit()
        with pytest.raises(RowsChanged, match=r"failover_jobs\.id"):
            await ending
    await engine.dispose()


async def test_digits_of_both_writers_are_read_as_stored(mariadb: MariaDB) -> None:
    with private_mariadb("+05:30") as server:
        url = server.create_database("oma")
        await create_schema(url)
        door = OMADatabase.open(url)
        async with open_rows(url) as rows:
            await rows.add_hung_failover()
            await rows.add_operation("detach", "11111111-0000-0000-0000-000000000001", "failed", rows.utc_ago(hours=1))
            async with door.lock(CONTEXT) as lock:
                await lock.take_claim(JOB, "operator-a", previous=None)
                records = await lock.read()
            assert records.failovers[0].created_at == rows.ago(hours=2)
            assert records.operations[0].created_at == rows.utc_ago(hours=1)
            assert records.clock.offset.total_seconds() == 5.5 * 3600
            assert not records.clock.shifted
            age = records.claims[0].heartbeat_age
            assert age is not None
            assert 0 <= age < 60
        await door.close()


async def test_a_clock_that_was_put_forward_within_the_last_hours_is_noticed() -> None:
    changed = time.gmtime(time.time() - 2 * 3600)
    # Summer time began two hours ago (the time of day is given in standard time) and ends half a year later.
    begin = f"{changed.tm_yday - 1}/{changed.tm_hour}"
    end = f"{(changed.tm_yday - 1 + 180) % 365}/0"
    with private_mariadb(f"STD0DST,{begin},{end}") as server:
        url = server.create_database("oma")
        await create_schema(url)
        door = OMADatabase.open(url)
        async with open_rows(url) as rows:
            await rows.add_hung_failover()
            clock = (await door.read(CONTEXT)).clock
        await door.close()
    assert clock.offset.total_seconds() == 3600
    assert clock.shifted


async def test_a_refused_password_does_not_show(url: str) -> None:
    wrong = make_url(url).set(password="s3cret-password")
    door = OMADatabase.open(wrong.render_as_string(hide_password=False))
    with pytest.raises(DatabaseUnavailable, match="password") as refused:
        await door.read(CONTEXT)
    await door.close()
    assert refused.value.code == 1045
    for shown in (str(refused.value), repr(refused.value), repr(door), repr(vars(refused.value))):
        assert "s3cret" not in shown
    assert refused.value.__suppress_context__


async def test_a_server_that_is_gone_is_unavailable_and_found_again_after_a_restart() -> None:
    with private_mariadb() as server:
        url = server.create_database("oma")
        await create_schema(url)
        door = OMADatabase.open(url, timeout=5)
        async with open_rows(url) as rows:
            await rows.add_hung_failover()
        await door.read(CONTEXT)
        server.stop()
        with pytest.raises(DatabaseUnavailable):
            await door.read(CONTEXT)
        server.start()
        assert (await door.read(CONTEXT)).context.context_id == CONTEXT
        await door.close()


async def test_a_row_somebody_holds_is_reported_and_the_lock_kept(
    database: OMADatabase, url: str, rows: OMARows
) -> None:
    await rows.add_hung_failover()
    engine = create_async_engine(url)
    async with database.lock(CONTEXT) as lock, engine.connect() as blocker:
        claim = await lock.take_claim(JOB, "operator-a", previous=None)
        async with lock.transaction(write=False) as connection:
            await connection.execute(text("SET SESSION innodb_lock_wait_timeout = 1"))
        await blocker.execute(text("SELECT * FROM job_tracking FOR UPDATE"))
        with pytest.raises(DatabaseUnavailable, match="holds the row"):
            await lock.heartbeat(claim)
        await blocker.rollback()
        assert (await lock.heartbeat(claim)).number == 1
    await engine.dispose()
