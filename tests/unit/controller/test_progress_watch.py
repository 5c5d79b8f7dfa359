"""Work that shows no sign of life for too long is found, however long it may take otherwise."""

from __future__ import annotations

import asyncio

import pytest

from failed_execution_cleanup.controller.health import Health
from failed_execution_cleanup.controller.progress_watch import ProgressWatch


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> ProgressWatch:
    return ProgressWatch(stuck_seconds=60, clock=clock)


async def test_silent_work_fails_the_check_and_is_named(watch: ProgressWatch, clock: Clock) -> None:
    with watch.working(("dr", "pgtest1")):
        clock.now = 60
        assert await watch.check()() == Health(True, "1 at work")
        clock.now = 61
        assert await watch.check()() == Health(False, "no sign of life of dr/pgtest1 for 61 s")
    assert await watch.check()() == Health(True, "0 at work")


async def test_signs_of_tasks_begun_in_the_work_count_for_it_alone(watch: ProgressWatch, clock: Clock) -> None:
    async def sign() -> None:
        watch.sign()

    async def work(key: str, *, signs: bool) -> None:
        with watch.working(key):
            await begun.wait()
            if signs:
                await asyncio.create_task(sign())
            await over.wait()

    begun, over = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(work("alive", signs=True)), asyncio.create_task(work("silent", signs=False))]
    await asyncio.sleep(0)
    clock.now = 50
    begun.set()
    for _ in range(5):
        await asyncio.sleep(0)
    clock.now = 100
    assert watch.stuck() == {"silent": 100}
    over.set()
    await asyncio.gather(*tasks)


async def test_a_late_sign_of_work_that_ended_is_nothing(watch: ProgressWatch) -> None:
    late = asyncio.Event()

    async def straggler() -> None:
        await late.wait()
        watch.sign()

    with watch.working("ended"):
        task = asyncio.create_task(straggler())
        await asyncio.sleep(0)
    late.set()
    await task
    assert watch.stuck() == {}


async def test_work_that_raises_is_not_watched_any_more(watch: ProgressWatch, clock: Clock) -> None:
    with pytest.raises(ValueError, match="trouble"), watch.working("key"):
        raise ValueError("trouble")
    clock.now = 1000
    assert watch.stuck() == {}
