"""A failover that snapshots content nobody can vouch for: going back to that snapshot makes no replica (rules 13, 17)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Final, TypeAlias

import pytest

from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.recovery.reasons import Reason
from tests.guards.playing import Answer, arrange, order_of, run, stopped
from tests.guards.table import Exit, Stop
from tests.matrix.stage import Stage

Between: TypeAlias = Callable[[Stage], Awaitable[None]]

BAD_ROLLBACK: Final = Stop(Reason.CLEANED_DATA_SUSPECT, "R06", ())
GOOD_ROLLBACK: Final = Stop(Reason.CLEANED_DATA_SUSPECT, "R12", (), kind="test")


async def nothing(_stage: Stage) -> None:
    """Nobody does anything."""


def sync(sync_type: str) -> Between:
    """A replication of this sort ends half a minute before the new failover."""

    async def change(stage: Stage) -> None:
        async with stage.appliance.site() as site:
            await site.finish_sync(stage.built.vm, sync_type=sync_type, epoch=time.time() - 90)

    return change


async def fail_again(stage: Stage) -> Answer:
    """A new failover dies in driver injection, and a new resource asks for its cleanup."""
    stage.built = await stage.appliance.fail_again("F12", vm_name=stage.case.vm_name, age_seconds=60.0)
    order = replace(order_of(stage, BAD_ROLLBACK), job_id=stage.built.failover_job_id, asker="a new resource")
    return await run(stage, order, owner="operator-2")


async def context_status(stage: Stage) -> str:
    rows = (await stage.look()).rows["vm_replication_contexts"]
    return str(rows[(stage.built.vm.context_id,)]["current_status"])


@pytest.fixture
async def stage_of(tmp_path: Path) -> AsyncIterator[Callable[[Stop], Awaitable[Stage]]]:
    """Builds the stage of an earlier failover."""
    async with contextlib.AsyncExitStack() as stack:

        async def make(stop: Stop) -> Stage:
            return await stack.enter_async_context(stopped(stop, f"sqlite+aiosqlite:///{tmp_path}/oma.db"))

        yield make


@pytest.mark.parametrize(
    ("earlier", "between", "end"),
    [
        (GOOD_ROLLBACK, nothing, Reason.CLEANED),
        (BAD_ROLLBACK, nothing, Reason.CLEANED_DATA_SUSPECT),
        (BAD_ROLLBACK, sync("incremental"), Reason.CLEANED_DATA_SUSPECT),
        (BAD_ROLLBACK, sync("full"), Reason.CLEANED),
    ],
    ids=["good rollback", "bad rollback", "bad rollback, incremental sync", "bad rollback, full sync"],
)
async def test_a_bad_rollback_before_the_failover_is_not_forgotten(
    stage_of: Callable[[Stop], Awaitable[Stage]], earlier: Stop, between: Between, end: Reason
) -> None:
    stage = await stage_of(earlier)
    await between(stage)
    answer = await fail_again(stage)
    assert answer.reason is end, answer.message
    contents = set(stage.appliance.contents(stage.case.vm_name).values())
    replica = all(content.startswith("replica:") for content in contents)
    assert replica is (end is Reason.CLEANED), contents
    assert await context_status(stage) == ("ready_for_failover" if replica else "failed")
    assert set(stage.appliance.holders(stage.case.vm_name).values()) == {stage.appliance.oma_vm_id}

    again = Exit("replicate in full and ask again", arrange=("synced-in-full",), again=True)
    await arrange(stage, again.arrange)
    order = order_of(stage, BAD_ROLLBACK, again)
    later = await run(stage, replace(order, job_id=stage.built.failover_job_id, asker="a new resource"))
    assert later.reason is Reason.ALREADY_CLEAN, later.message


async def test_content_a_person_accepted_is_not_forgotten_when_the_next_failover_fails(
    stage_of: Callable[[Stop], Awaitable[Stage]],
) -> None:
    stop = Stop(Reason.SNAPSHOT_MISSING, "F12", (), arrange=("os-snapshot-deleted",))
    stage = await stage_of(stop)
    accepted = frozenset({Waiver("AcceptContent", stage.volume_ids[0])})
    first = await run(stage, replace(order_of(stage, stop, useless=accepted), asker="the first resource"))
    assert first.reason is Reason.CLEANED_DATA_SUSPECT, first.message
    await sync("incremental")(stage)
    answer = await fail_again(stage)
    assert answer.reason is Reason.CLEANED_DATA_SUSPECT, answer.message
    assert stage.volume_ids[0] in answer.message
    assert stage.volume_ids[1] not in answer.message
    assert await context_status(stage) == "failed"
