"""Liveness and readiness over real HTTP."""
# ruff: noqa: ARG002 - there is one Lease only

import asyncio
from collections.abc import Mapping
from typing import Any

import aiohttp
import pytest

from failed_execution_cleanup.controller.health import (
    Check,
    Health,
    health_application,
    leadership_check,
    serve,
    task_check,
)
from failed_execution_cleanup.controller.kubernetes_api import Lease, NotFound, Unreachable
from failed_execution_cleanup.controller.leadership import LeaderElection


async def passes() -> Health:
    return Health(True, "fine")


async def fails() -> Health:
    return Health(False, "no route")


async def hangs() -> Health:
    await asyncio.Event().wait()
    return Health(True)


async def ask(path: str, *, live: Mapping[str, Check], ready: Mapping[str, Check]) -> tuple[int, dict[str, Any]]:
    application = health_application(live, ready, check_seconds=0.05)
    async with (
        serve(application, "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as response,
    ):
        return response.status, await response.json()


async def test_all_checks_passing_is_ok_with_their_details() -> None:
    assert await ask("/readyz", live={"x": fails}, ready={"api": passes}) == (
        200,
        {"status": "ok", "checks": {"api": {"ok": True, "detail": "fine"}}},
    )


async def test_one_failing_check_is_failing_and_named() -> None:
    assert await ask("/healthz", live={"workers": passes, "api": fails}, ready={}) == (
        503,
        {
            "status": "failing",
            "checks": {"workers": {"ok": True, "detail": "fine"}, "api": {"ok": False, "detail": "no route"}},
        },
    )


async def test_without_checks_an_answer_is_enough() -> None:
    assert await ask("/healthz", live={}, ready={}) == (200, {"status": "ok", "checks": {}})


async def test_a_check_that_hangs_has_failed_and_holds_up_no_other() -> None:
    status, answer = await ask("/healthz", live={"a": hangs, "b": passes}, ready={})
    assert status == 503
    assert answer["checks"] == {
        "a": {"ok": False, "detail": "no answer within 0.05 s"},
        "b": {"ok": True, "detail": "fine"},
    }


async def test_other_paths_do_not_exist() -> None:
    async with (
        serve(health_application({}, {}), "127.0.0.1", 0) as port,
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}/") as response,
    ):
        assert response.status == 404


async def test_a_task_that_ended_is_named() -> None:
    async def nothing() -> None:
        return

    ended = asyncio.create_task(nothing(), name="workers")
    running = asyncio.create_task(asyncio.Event().wait(), name="other")
    check = task_check(ended)
    assert await check() == Health(True, "1 running")
    await ended
    assert await check() == Health(False, "ended: workers")
    running.cancel()


class LeaseFile:
    """A Lease that is there or cannot be reached."""

    def __init__(self, lease: Lease | None) -> None:
        self.lease = lease
        self.cut = False

    async def read_lease(self, namespace: str, name: str) -> Lease:
        if self.cut:
            raise Unreachable(f"Lease {namespace}/{name}: no route")
        if self.lease is None:
            raise NotFound(f"Lease {namespace}/{name} not found")
        return self.lease

    async def create_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        self.lease = lease
        return lease

    async def replace_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        return await self.create_lease(namespace, name, lease)


@pytest.mark.looptime
async def test_leader_and_standby_are_ready_and_a_candidate_without_the_lease_is_not() -> None:
    leases = LeaseFile(Lease("other", 15, None, None, 0, "1"))
    election = LeaderElection(leases, "dr", "fec", "me")
    check = leadership_check(election)
    candidacy = asyncio.create_task(election.acquire())
    await asyncio.sleep(1)
    assert await check() == Health(True, "standby; other leads")
    leases.cut = True
    await asyncio.sleep(4)
    assert await check() == Health(False, "Lease dr/fec: no route")
    leases.cut = False
    await candidacy
    assert await check() == Health(True, "leader")
    await election.release()
