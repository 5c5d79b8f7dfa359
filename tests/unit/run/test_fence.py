"""Nothing waits between the read that allows a request and its sending (rule 7)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest

from failed_execution_cleanup.appliance import http_exchange
from failed_execution_cleanup.appliance.database import ContextLock
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient
from failed_execution_cleanup.recovery.decide import Done
from failed_execution_cleanup.recovery.memory import Request
from failed_execution_cleanup.recovery.world import Records, World
from failed_execution_cleanup.run.claim import Claim
from failed_execution_cleanup.run.worker import Worker
from tests.unit.run.engine import Engine, engine


class Order(RateLimit):
    """What happened, in order; a limit that lets everybody pass and notes each turn."""

    def __init__(self) -> None:
        super().__init__(math.inf)
        self.events: list[str] = []

    async def __aenter__(self) -> Self:
        self.events.append("turn")
        return await super().__aenter__()

    def before(self, event: str) -> Iterator[str]:
        """What came right before each of these events."""
        return (earlier for earlier, later in zip(self.events, self.events[1:], strict=False) if later == event)


async def test_every_request_follows_its_read_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order()
    read = ContextLock.read

    async def noted_read(self: ContextLock) -> Records:
        records = await read(self)
        order.events.append("read")
        return records

    async with engine(tmp_path, "F11", disks=1) as run:
        limited = _limited(run, order)
        monkeypatch.setattr(ContextLock, "read", noted_read)
        for module in ("ossea", "volume_daemon"):
            _note_sending(monkeypatch, module, order)
        try:
            run.doors = limited
            assert isinstance(await run.run(), Done)
        finally:
            await limited.ossea.aclose()
            await limited.daemon.aclose()

    sent = order.events.count("send")
    assert sent == 4
    assert list(order.before("send")) == ["read"] * sent


async def test_what_was_allowed_before_the_process_was_held_up_is_not_sent_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped right after the read that allows a request, for longer than it takes to lose the claim: it is looked at anew."""
    confirm, forget = Worker._confirm, Claim.forget
    late, confirmed, forgotten = 0.0, 0, list[str]()

    async def confirmed_then_stopped(self: Worker, world: World) -> None:
        nonlocal late, confirmed
        await confirm(self, world)
        confirmed += 1
        if confirmed == 2:  # the first one is for a row
            late += 1000.0

    async def noted(self: Claim, request: Request) -> None:
        forgotten.append(request.kind)
        await forget(self, request)

    monkeypatch.setattr(Worker, "_confirm", confirmed_then_stopped)
    monkeypatch.setattr(Claim, "forget", noted)
    monkeypatch.setattr(http_exchange, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + late))
    async with engine(tmp_path, "F11", disks=1) as run:
        assert isinstance(await run.run(), Done)
        assert run.left_over() == []
        assert len(run.appliance.journal.requests()) == 4
    assert forgotten == ["detach"]


def _limited(run: Engine, order: Order) -> Doors:
    appliance, seconds = run.appliance, run.limits.http_seconds
    daemon = VolumeDaemonClient(appliance.daemon_url, timeout_seconds=seconds, limiter=order)
    ossea = OSSEAClient(
        appliance.ossea_url, appliance.api_key, appliance.secret_key, timeout_seconds=seconds, limiter=order
    )
    return replace(run.doors, daemon=daemon, ossea=ossea)


def _note_sending(monkeypatch: pytest.MonkeyPatch, module: str, order: Order) -> None:
    exchange = http_exchange.exchange

    async def noted(*arguments: object, mutating: bool, **options: object) -> object:
        if mutating:
            order.events.append("send")
        return await exchange(*arguments, mutating=mutating, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(f"failed_execution_cleanup.appliance.{module}.exchange", noted)
