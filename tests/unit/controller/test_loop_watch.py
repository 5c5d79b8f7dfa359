"""A blocked event loop is told with the place where it hangs."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest

from failed_execution_cleanup.controller.loop_watch import watched_loop


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def block_until_told(caplog: pytest.LogCaptureFixture) -> None:
    while not caplog.records:
        time.sleep(0.01)


async def test_blocked_loop_is_told_once_with_its_place_and_its_end(caplog: pytest.LogCaptureFixture) -> None:
    async with watched_loop(blocked_seconds=0.05):
        block_until_told(caplog)
        while len(caplog.records) < 2:  # noqa: ASYNC110 - the other thread knows no event
            await asyncio.sleep(0.01)
    assert told(caplog)[:2] == ["Event loop is blocked", "Event loop goes on"]
    assert "in block_until_told" in caplog.records[0].__dict__["stack"]
    assert caplog.records[0].levelno == logging.ERROR


async def test_idle_loop_is_not_blocked(caplog: pytest.LogCaptureFixture) -> None:
    async with watched_loop(blocked_seconds=60.0):
        await asyncio.sleep(0.01)
    assert told(caplog) == []
