"""A process that is about to end hands its claim over: another one goes on at once, and nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.recovery.decide import Wait
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run import worker
from failed_execution_cleanup.run.cleanup import Cleanup, Limits
from failed_execution_cleanup.run.order import Order, Progress
from tests.unit.run.engine import Asker, Engine, engine, reason_of

NEVER_EXPIRES = Limits(http_seconds=5.0, expiry_seconds=300.0)
"""Whoever has to wait for a claim to expire does not end within a test."""


async def run_until(run: Engine, reached: Callable[[], bool], *, owner: str = "first") -> Progress:
    """Run until something is seen and let the process end then."""
    leaving = asyncio.Event()
    task = asyncio.create_task(
        Cleanup(run.doors, run.settings, owner, Asker(run.order()), run.limits, leaving).run(), name=owner
    )
    while not reached() and not task.done():  # noqa: ASYNC110 the simulator tells nobody
        await asyncio.sleep(0.01)
    leaving.set()
    return await task


def asked(run: Engine, command: str) -> Callable[[], bool]:
    return lambda: bool(run.appliance.journal.requests(command))


def executed(run: Engine) -> Counter[tuple[str, str]]:
    return Counter((r.command, r.object_ids[0]) for r in run.appliance.journal.requests() if r.executed)


@pytest.mark.parametrize("command", ["detach", "revertSnapshot", "deleteSnapshot", "attach"])
async def test_what_is_in_flight_ends_and_the_claim_is_let_go(tmp_path: Path, command: str) -> None:
    async with engine(tmp_path, "F11", disks=2, limits=NEVER_EXPIRES) as run:
        for work in ("detachVolume", "revertSnapshot", "deleteSnapshot", "attachVolume"):
            run.appliance.latencies.set(work, 0.2)

        left = await run_until(run, asked(run, command))

        assert (left.handed_over, left.claimed) == (True, False)
        assert isinstance(left.decision, Wait)
        assert not any(request.open for request in left.memory.requests)
        assert reason_of(await run.run(owner="second")) is Reason.CLEANED
        assert run.left_over() == []
        repeated = {key: count for key, count in executed(run).items() if count > 1}
        assert {name for name, _ in repeated} <= {"revertSnapshot"}, "the claim was broken between revert and delete"


async def test_what_takes_longer_is_handed_over_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "HAND_OVER_SECONDS", 0.1)
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("detachVolume", 2.0)

        left = await run_until(run, asked(run, "detach"))

        assert [request.open for request in left.memory.requests] == [True]
        assert reason_of(await run.run(owner="second")) is Reason.CLEANED
        assert run.left_over() == []
        assert set(executed(run).values()) == {1}


async def test_a_successor_that_has_to_end_as_well_hands_the_same_request_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HAND_OVER_SECONDS", 0.1)
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("detachVolume", 4.0)
        first = await run_until(run, asked(run, "detach"))
        second_began = asyncio.get_running_loop().time()

        second = await run_until(run, lambda: asyncio.get_running_loop().time() > second_began + 1.0, owner="second")

        assert first.memory.requests == second.memory.requests
        assert (second.handed_over, second.memory.number) == (True, 2)
        assert reason_of(await run.run(owner="third")) is Reason.CLEANED
        assert set(executed(run).values()) == {1}


async def test_a_process_that_is_ending_claims_nothing(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        left = await run_until(run, lambda: True)
        assert isinstance(left.decision, Wait)
        assert left.claim_id is None
        assert run.appliance.journal.requests() == []


async def test_suspended_between_two_processes_brings_home_what_was_reverted(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=2, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("deleteSnapshot", 0.5)
        await run_until(run, asked(run, "deleteSnapshot"))
        assert run.away()
        suspended: Order = replace(run.order(), stopping=True)

        await Cleanup(run.doors, run.settings, "second", Asker(suspended), run.limits).run()

        assert run.away() == set()
        assert run.lost() == []


async def test_keys_replaced_in_the_middle_end_the_run_and_the_next_goes_on_with_new_ones(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("revertSnapshot", 1.0)
        cleanup = Cleanup(run.doors, run.settings, "first", Asker(run.order()), run.limits)
        working = asyncio.create_task(cleanup.run())
        while not run.appliance.journal.requests("revertSnapshot"):  # noqa: ASYNC110 the simulator tells nobody
            await asyncio.sleep(0.01)
        await run.appliance.rotate_keys()

        left = await working

        assert (left.handed_over, reason_of(left.decision)) == (True, Reason.APPLIANCE_UNREACHABLE)
        await run.doors.ossea.aclose()
        ossea = OSSEAClient(run.appliance.ossea_url, run.appliance.api_key, run.appliance.secret_key)
        run.doors = replace(run.doors, ossea=ossea)
        try:
            assert reason_of(await run.run(owner="first")) is Reason.CLEANED
        finally:
            await ossea.aclose()
        assert run.left_over() == []
