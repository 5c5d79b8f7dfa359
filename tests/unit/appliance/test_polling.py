"""Asking until something is final, in virtual time."""

import asyncio
import math
from collections.abc import Callable

import pytest

from failed_execution_cleanup.appliance.errors import NotExecuted, Refused
from failed_execution_cleanup.appliance.polling import poll

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


class Answers:
    """Answers in turn, the last one for ever; remembers when it was asked."""

    def __init__(self, *answers: str | Exception) -> None:
        self.answers = list(answers)
        self.times: list[float] = []

    async def __call__(self) -> str:
        self.times.append(asyncio.get_running_loop().time())
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def down(retry_after: float | None = None) -> NotExecuted:
    return NotExecuted("it is down.", system="test", remedy="Wait.", retry_after=retry_after)


async def follow(read: Answers, *, deadline: float | None = None, patience: float = math.inf) -> str:
    final: Callable[[str], bool] = "end".__eq__
    return await poll(
        read, final=final, first_seconds=1, longest_seconds=10, deadline_seconds=deadline, patience_seconds=patience
    )


async def test_pauses_grow_to_the_longest_and_stay_there() -> None:
    read = Answers(*["go on"] * 200, "end")
    assert await follow(read) == "end"
    pauses = [later - earlier for earlier, later in zip(read.times, read.times[1:], strict=False)]
    assert pauses[0] == pytest.approx(1.0)
    assert pauses == sorted(pauses)
    assert pauses[-1] == pytest.approx(8.0)


async def test_an_end_is_noticed_at_most_a_tenth_late() -> None:
    for lasts in (3.0, 40.0, 70.0, 130.0):
        began = asyncio.get_running_loop().time()

        async def read(ends_at: float = began + lasts) -> str:
            return "end" if asyncio.get_running_loop().time() >= ends_at else "go on"

        await poll(
            read, final="end".__eq__, first_seconds=0.25, longest_seconds=10, deadline_seconds=None, patience_seconds=1
        )
        assert asyncio.get_running_loop().time() - began <= lasts * 1.1


async def test_those_who_wait_look_at_the_same_moments() -> None:
    """So that their looks can be one read."""
    first, second = Answers(*["go on"] * 60, "end"), Answers(*["go on"] * 30, "end")

    async def later() -> None:
        await asyncio.sleep(7.3)
        await follow(second)

    await asyncio.gather(follow(first), later())
    common = set(first.times) & set(second.times)
    assert len(common) > len(second.times) / 2


async def test_the_deadline_gets_one_last_look_and_returns_what_it_saw() -> None:
    read = Answers("go on")
    assert await follow(read, deadline=30) == "go on"
    assert read.times[-1] == pytest.approx(30.0)


async def test_failing_looks_are_repeated_with_longer_pauses() -> None:
    read = Answers(down(), down(), down(), "end")
    assert await follow(read) == "end"
    assert read.times == pytest.approx([0, 1, 3, 7])


async def test_the_server_may_ask_for_more_time() -> None:
    read = Answers(down(retry_after=12.5), "end")
    assert await follow(read) == "end"
    assert read.times == pytest.approx([0, 12.5])


async def test_failures_in_a_row_end_the_patience() -> None:
    read = Answers("go on", down())
    with pytest.raises(NotExecuted):
        await follow(read, patience=100)
    assert 100 <= read.times[-1] <= 130


async def test_a_success_in_between_renews_the_patience() -> None:
    outages: list[str | Exception] = [down(), down(), down(), "go on"]
    read = Answers(*outages * 20, "end")
    assert await follow(read, patience=20) == "end"


async def test_a_failure_at_the_deadline_is_raised_not_hidden_behind_an_old_answer() -> None:
    read = Answers("go on", down())
    with pytest.raises(NotExecuted):
        await follow(read, deadline=5)
    assert read.times[-1] == pytest.approx(5.0)


async def test_a_refusal_is_raised_at_once() -> None:
    read = Answers(Refused("not yours.", system="test", remedy="Ask.", code=531), "end")
    with pytest.raises(Refused):
        await follow(read)
    assert read.times == [0.0]
