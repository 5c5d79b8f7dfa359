"""How often and how much: by user, by address, by what is open."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.console.limits import CallLimits, TooMany


def limits(requests: int = 3, failed: int = 2, streams: int = 2) -> CallLimits:
    return CallLimits(requests_per_minute=requests, failed_logins_per_minute=failed, streams_per_user=streams)


async def test_requests_are_counted_by_user() -> None:
    counted = limits()
    for _ in range(3):
        await counted.request_of("alice")
    with pytest.raises(TooMany, match="alice") as told:
        await counted.request_of("alice")
    assert 1 <= told.value.retry_after_seconds <= 60
    await counted.request_of("bob")


async def test_refused_tokens_are_counted_by_address() -> None:
    counted = limits()
    for _ in range(2):
        await counted.may_present_a_token("192.0.2.1")
        await counted.refused_token_from("192.0.2.1")
    with pytest.raises(TooMany):
        await counted.may_present_a_token("192.0.2.1")
    await counted.may_present_a_token("192.0.2.2")


def test_streams_are_counted_while_they_are_open() -> None:
    counted = limits()
    with counted.open_for("alice"), counted.open_for("alice"):
        with pytest.raises(TooMany), counted.open_for("alice"):
            pytest.fail("a third one was opened")
        with counted.open_for("bob"):
            pass
    with counted.open_for("alice"):
        pass
