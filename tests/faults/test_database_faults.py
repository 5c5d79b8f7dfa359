"""MariaDB in trouble: gone for longer than a claim lives, a deadlock and a lost connection in the middle of the last transaction."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from development.mariadb import MariaDB, private_mariadb
from tests.faults.trials import DISKS, ROWS, Trial, beside, drive, judged, until
from tests.matrix.stage import LIMITS, Stage, staged

pytestmark = pytest.mark.timeout(400)

GONE_SECONDS = LIMITS.expiry_seconds + LIMITS.http_seconds + 2.0
"""What a minute is in production: longer than a claim outlives its owner's heartbeat."""
MANY_ROWS = 500
"""InnoDB gives up the transaction that changed fewer rows: ours must be that one."""


@pytest.fixture(scope="module")
def server() -> Iterator[MariaDB]:
    """A server of the module's own, to be frozen."""
    with private_mariadb() as running:
        yield running


@contextlib.asynccontextmanager
async def cleanup_of_f11(server: MariaDB) -> AsyncIterator[Stage]:
    url = server.create_database(f"oma_{uuid.uuid4().hex[:12]}")
    async with staged(ROWS["F11"], url, disks=DISKS) as stage:
        await stage.watch()
        yield stage


@pytest.mark.parametrize("after", ["detached", "reverted", "snapshot-deleted", "attached"])
async def test_database_that_is_gone_for_longer_than_a_claim_lives(server: MariaDB, after: str) -> None:
    assert server._process is not None
    pid = server._process.pid

    async def freeze(stage: Stage) -> None:
        await until(lambda: stage.appliance.journal.effects(after), what=f"something was {after}")
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(GONE_SECONDS)
        finally:
            os.kill(pid, signal.SIGCONT)

    async with cleanup_of_f11(server) as stage:
        async with beside(freeze(stage)):
            progress = await drive(stage)
        # A claim that was lost is broken: what it had reverted and not deleted is reverted again (rule 12). What the daemon had
        # begun it could not write down, so it may be begun again.
        repeated = frozenset({"reverted", "detached", "attached"})
        assert await judged(stage, Trial("F11", (), repeated=repeated), progress) == []


@contextlib.asynccontextmanager
async def other_session(stage: Stage) -> AsyncIterator[AsyncConnection]:
    async with stage.appliance.engine.connect() as connection:
        # Rows alone are locked, and no gap between them that a new step might fall into.
        await connection.execution_options(isolation_level="READ COMMITTED")
        yield connection
        await connection.rollback()


async def waiting_for_a_lock(stage: Stage) -> int | None:
    """Connection id of a transaction that waits for a row of ours."""
    async with stage.appliance.engine.connect() as connection:
        found = await connection.scalar(
            text("SELECT trx_mysql_thread_id FROM information_schema.innodb_trx WHERE trx_state = 'LOCK WAIT' LIMIT 1")
        )
    return None if found is None else int(found)


async def hold_the_steps(stage: Stage, connection: AsyncConnection) -> int:
    """Lock the rows the last transaction needs last, and wait until it stands before them; gives its connection id."""
    values = ", ".join(f"({number})" for number in range(MANY_ROWS))
    await connection.execute(text(f"INSERT INTO job_steps_weight VALUES {values}"))  # noqa: S608 - our own numbers
    await connection.execute(
        text("SELECT id FROM job_steps WHERE job_id = :job FOR UPDATE"), {"job": stage.built.failover_job_id}
    )
    for _ in range(200):
        if (thread := await waiting_for_a_lock(stage)) is not None:
            return thread
        await asyncio.sleep(0.2)  # InnoDB shows what it showed before to whoever asks again within 0.1 s
    raise TimeoutError("nobody waits for the steps")


async def make_weight(stage: Stage) -> None:
    """A table of the test's own, whose rows make a transaction a heavy one."""
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE job_steps_weight (id INT PRIMARY KEY) ENGINE=InnoDB"))


async def test_deadlock_in_the_last_transaction_is_lost_by_us_and_tried_again(server: MariaDB) -> None:
    deadlocks: list[int] = []

    async def quarrel(stage: Stage) -> None:
        # Early enough to be there before the last transaction; nothing else writes these rows.
        await until(lambda: stage.appliance.journal.effects("reverted"), what="a volume was reverted")
        async with other_session(stage) as connection:
            deadlocks.append(await hold_the_steps(stage, connection))
            # It holds the context and waits for the steps; now the other one wants the context: a deadlock.
            context = {"context": stage.built.vm.context_id}
            statement = "SELECT context_id FROM vm_replication_contexts WHERE context_id = :context FOR UPDATE"
            await connection.execute(text(statement), context)

    async with cleanup_of_f11(server) as stage:
        await make_weight(stage)
        async with beside(quarrel(stage)):
            progress = await drive(stage)
        assert len(deadlocks) == 1
        assert await judged(stage, Trial("F11", ()), progress) == []


async def test_connection_lost_in_the_last_transaction_writes_nothing_and_is_tried_again(server: MariaDB) -> None:
    killed: list[int] = []

    async def cut(stage: Stage) -> None:
        # Early enough to be there before the last transaction; nothing else writes these rows.
        await until(lambda: stage.appliance.journal.effects("reverted"), what="a volume was reverted")
        async with other_session(stage) as connection:
            thread = await hold_the_steps(stage, connection)
            await connection.execute(text(f"KILL CONNECTION {thread}"))
            killed.append(thread)
            before = stage.found.rows["vm_replication_contexts"][(stage.built.vm.context_id,)]["current_status"]
            rows = await stage.look()
            now = rows.rows["vm_replication_contexts"][(stage.built.vm.context_id,)]["current_status"]
            assert now == "cleanup_required", f"it was {before}"

    async with cleanup_of_f11(server) as stage:
        await make_weight(stage)
        async with beside(cut(stage)):
            progress = await drive(stage)
        assert len(killed) == 1
        assert await judged(stage, Trial("F11", ()), progress) == []
