"""Reads that are shared by those who ask at the same time, in virtual time."""

import asyncio

import pytest

from failed_execution_cleanup.appliance.errors import Unavailable
from failed_execution_cleanup.appliance.shared_read import SharedRead

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Source:
    """Takes a second for each read, and answers with the moment it was asked."""

    def __init__(self, *, fails: bool = False) -> None:
        self.reads = 0
        self.fails = fails

    async def __call__(self) -> float:
        self.reads += 1
        asked_at = asyncio.get_running_loop().time()
        await asyncio.sleep(1)
        if self.fails:
            raise Unavailable("it is down.", system="test", remedy="Wait.")
        return asked_at


async def at(moment: float, shared: SharedRead[float], source: Source) -> float:
    await asyncio.sleep(moment)
    return await shared(source)


async def test_those_who_ask_at_the_same_moment_share_one_read() -> None:
    shared, source = SharedRead[float](), Source()
    assert len(set(await asyncio.gather(*(at(0, shared, source) for _ in range(10))))) == 1
    assert source.reads == 1


async def test_no_answer_is_older_than_its_question() -> None:
    shared, source = SharedRead[float](), Source()
    moments = [0.0, 0.3, 0.5, 0.9, 1.2, 4.0, 4.1]
    answers = await asyncio.gather(*(at(moment, shared, source) for moment in moments))
    assert all(answer >= moment for moment, answer in zip(moments, answers, strict=True))
    assert source.reads < len(moments)


async def test_a_failure_is_told_to_all_who_waited_for_the_read_and_to_nobody_else() -> None:
    shared, source = SharedRead[float](), Source(fails=True)
    results = await asyncio.gather(*(at(0, shared, source) for _ in range(5)), return_exceptions=True)
    assert [type(result) for result in results] == [Unavailable] * 5
    assert source.reads == 1
    source.fails = False
    assert await shared(source) > 0


async def test_a_read_that_is_cancelled_is_made_anew_for_the_others() -> None:
    shared, source = SharedRead[float](), Source()
    first = asyncio.create_task(at(0, shared, source))
    others = [asyncio.create_task(at(0, shared, source)) for _ in range(3)]
    await asyncio.sleep(0.5)
    first.cancel()
    answers = await asyncio.gather(first, *others, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert [type(answer) for answer in answers[1:]] == [float] * 3
    assert source.reads == 2


async def test_one_who_stops_waiting_takes_the_answer_from_nobody() -> None:
    shared, source = SharedRead[float](), Source()
    first = asyncio.create_task(at(0, shared, source))
    second = asyncio.create_task(at(0, shared, source))
    await asyncio.sleep(0.5)
    second.cancel()
    assert await first >= 0
    assert source.reads == 1
