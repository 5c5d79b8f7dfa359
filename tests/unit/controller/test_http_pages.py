"""Metrics and recent calls over real HTTP."""

from __future__ import annotations

from datetime import UTC, datetime

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from failed_execution_cleanup.appliance.calls import Call, RecentCalls
from failed_execution_cleanup.controller.health import serve
from failed_execution_cleanup.controller.http_pages import add_calls, add_metrics
from failed_execution_cleanup.controller.metrics import Metrics

CALL = Call("OSSEA", "detachVolume", True, "530", datetime(2026, 1, 31, tzinfo=UTC), 0.25)


@pytest.fixture
def application() -> web.Application:
    application, calls = web.Application(), RecentCalls()
    calls(CALL)
    add_metrics(application, Metrics().registry)
    add_calls(application, {"default": calls})
    return application


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("*/*", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_format_that_is_asked_for(
    application: web.Application, accept: str, content_type: str
) -> None:
    async with (
        serve(application, "127.0.0.1", 0) as port,
        aiohttp.ClientSession(headers={"Accept": accept}) as session,
        session.get(f"http://127.0.0.1:{port}/metrics") as response,
    ):
        assert response.content_type == content_type
        text = await response.text()
    assert "fec_build_info{" in text


async def test_calls_are_shown_to_callers_of_this_machine(application: web.Application) -> None:
    async with (
        serve(application, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/debug/calls") as response,
    ):
        assert await response.json() == {
            "default": [
                {
                    "system": "OSSEA",
                    "command": "detachVolume",
                    "mutating": True,
                    "outcome": "530",
                    "at": "2026-01-31T00:00:00.000+00:00",
                    "seconds": 0.25,
                }
            ]
        }


@pytest.mark.parametrize("remote", ["10.0.0.7", "2001:db8::1", "", None])
async def test_calls_are_hidden_from_everybody_else(application: web.Application, remote: str | None) -> None:
    request = make_mocked_request("GET", "/debug/calls", app=application).clone(remote=remote or "")
    match = await application.router.resolve(request)
    with pytest.raises(web.HTTPNotFound):
        await match.handler(request)
