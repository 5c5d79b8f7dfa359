"""Follow something until it ends, or until nobody listens any more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def while_wanted(source: AsyncGenerator[T], unwanted: asyncio.Event) -> AsyncGenerator[T]:
    """Yield what a source yields until it ends or `unwanted` is set; the source is closed in either case.

    Args:
        source: what is followed.
        unwanted: set when nobody listens any more, or this process is about to end.
    """
    stopped = asyncio.create_task(unwanted.wait())
    step: asyncio.Task[T] | None = None
    try:
        while not unwanted.is_set():
            step = asyncio.create_task(_next(source))
            await asyncio.wait({step, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not step.done():
                return
            try:
                item = step.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        tasks = [task for task in (step, stopped) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[T]) -> T:
    return await anext(source)
