"""Following ends with its source, or when nobody listens any more; the source is closed either way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from failed_execution_cleanup.console.streams import while_wanted


class Source:
    """Yields two numbers, and waits for ever after that if it is to."""

    def __init__(self, *, endless: bool = False) -> None:
        self.endless = endless
        self.closed = False

    async def numbers(self) -> AsyncGenerator[int]:
        try:
            yield 1
            yield 2
            if self.endless:
                await asyncio.Event().wait()
        finally:
            self.closed = True


async def test_it_ends_with_its_source() -> None:
    source = Source()
    assert [number async for number in while_wanted(source.numbers(), asyncio.Event())] == [1, 2]
    assert source.closed


@pytest.mark.looptime
async def test_it_ends_when_nobody_listens_any_more() -> None:
    source, unwanted = Source(endless=True), asyncio.Event()
    asyncio.get_running_loop().call_later(5, unwanted.set)
    assert [number async for number in while_wanted(source.numbers(), unwanted)] == [1, 2]
    assert source.closed


async def test_an_error_of_the_source_is_raised_where_it_is_followed() -> None:
    async def broken() -> AsyncGenerator[int]:
        yield 1
        raise LookupError("gone")

    async with aclosing(while_wanted(broken(), asyncio.Event())) as numbers:
        assert await anext(numbers) == 1
        with pytest.raises(LookupError, match="gone"):
            await anext(numbers)


@pytest.mark.looptime
async def test_a_listener_that_is_cancelled_leaves_nothing_behind() -> None:
    source = Source(endless=True)

    async def listen() -> None:
        async with aclosing(while_wanted(source.numbers(), asyncio.Event())) as numbers:
            async for _ in numbers:
                pass

    listening = asyncio.create_task(listen())
    await asyncio.sleep(1)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert source.closed
    assert asyncio.all_tasks() == {asyncio.current_task()}
