"""Every request over the wire is heard of once, without an id or a secret in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime

import httpx
import pytest

from failed_execution_cleanup.appliance.calls import Call, RecentCalls
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
VOLUME = "3e0e2b1c-0000-4000-8000-000000000001"


def answers(status: int, body: object) -> Callable[[httpx.Request], httpx.Response]:
    return lambda _: httpx.Response(status, json=body)


def lost(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadError("connection lost", request=request)


def never_sent(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


@pytest.mark.parametrize(
    ("handler", "read", "change"),
    [
        (answers(530, {}), "530", "530"),
        (answers(200, []), "200", "200"),
        (lost, "Unavailable", "Unknown"),
        (never_sent, "NotExecuted", "NotExecuted"),
    ],
)
async def test_the_outcome_of_a_call_is_its_status_or_what_became_of_it(
    handler: Callable[[httpx.Request], httpx.Response], read: str, change: str
) -> None:
    heard: list[Call] = []
    http = httpx.AsyncClient(transport=httpx.MockTransport(handler))
    daemon = VolumeDaemonClient("http://oma.example.com:8090", http=http, heard=heard.append)
    for call in (daemon.operations(volume_id=VOLUME), daemon.detach(VOLUME)):
        with contextlib.suppress(ApplianceError):
            await call
    assert [(call.command, call.mutating, call.outcome) for call in heard] == [
        ("GET /operations", False, read),
        ("POST /volumes/{id}/detach", True, change),
    ]
    assert all(call.seconds >= 0 and call.system == "Volume Daemon" for call in heard)


async def test_a_call_to_ossea_is_named_by_its_command_and_holds_no_key_or_id() -> None:
    heard: list[Call] = []
    http = httpx.AsyncClient(transport=httpx.MockTransport(answers(431, {})))
    cloud = OSSEAClient("http://ossea.example.com", "an-api-key", "a-secret-key", http=http, heard=heard.append)
    with pytest.raises(ApplianceError):
        await cloud.stop_vm(VOLUME)
    assert [(call.system, call.command, call.mutating) for call in heard] == [("OSSEA", "stopVirtualMachine", True)]
    assert not any(word in str(heard) for word in ("an-api-key", "a-secret-key", VOLUME))


def test_only_the_newest_calls_are_remembered() -> None:
    recent = RecentCalls(size=2)
    calls = [Call("OSSEA", f"command{n}", False, "200", NOW, 0.1) for n in range(3)]
    for call in calls:
        recent(call)
    assert list(recent) == calls[1:]
