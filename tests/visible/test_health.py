"""Liveness and readiness of a real process that is broken from outside.

A probe that is not answered in time has failed, as for the kubelet: that is how a blocked event loop is found.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from development.preloaded import start_program
from development.processes import Process, free_port
from tests.faults.installation import NAMESPACE, OPERATOR_NAMESPACE, ROOT, Installation, installed
from tests.visible.relay import relay

pytestmark = pytest.mark.timeout(240)

PROBE_SECONDS: Final = 3.0
"""As a kubelet's timeoutSeconds; shorter than the loop is blocked, longer than a busy machine takes."""


class Probed:
    """An operator that can be broken, and its probes."""

    def __init__(self, process: Process, port: int) -> None:
        self.process = process
        self._url = f"http://127.0.0.1:{port}"

    async def probe(self, path: str) -> tuple[bool, dict[str, Any]]:
        """Whether a probe passes, and the checks of its answer, if one came."""
        async with httpx.AsyncClient(trust_env=False, timeout=PROBE_SECONDS) as http:
            try:
                answer = await http.get(self._url + path)
            except httpx.TransportError:
                return False, {}
        return answer.status_code == 200, answer.json()["checks"]

    async def leads(self) -> bool:
        """Whether it is the leader; a replica that is ready may be none yet."""
        _, checks = await self.probe("/readyz")
        return checks.get("leadership") == {"ok": True, "detail": "leader"}

    async def passes(self, path: str) -> bool:
        return (await self.probe(path))[0]

    async def said(self, message: str) -> bool:
        return message in self.process.log.read_text()

    async def fails(self, path: str) -> bool:
        return not await self.passes(path)


def start(here: Installation, *, api_port: int | None = None) -> Probed:
    port = free_port()
    kubeconfig = here.directory / "kubeconfig"
    config = here.api.kubeconfig()
    if api_port is not None:
        config["clusters"][0]["cluster"]["server"] = f"http://127.0.0.1:{api_port}"
    kubeconfig.write_text(json.dumps(config))
    process = start_program(
        "breakable operator",
        "tests.visible.breakable_operator",
        log=here.directory / "breakable.log",
        env={
            **os.environ,
            "PYTHONPATH": f"{ROOT / 'operator'}:{ROOT}",
            "KUBECONFIG": str(kubeconfig),
            "FEC_NAMESPACE": OPERATOR_NAMESPACE,
            "FEC_WATCH_NAMESPACES": json.dumps([NAMESPACE]),
            "FEC_HEALTH_PORT": str(port),
            "FEC_LEASE_SECONDS": "60",
            "FEC_LOG_FORMAT": "json",
        },
    )
    here.operators.append(process)
    return Probed(process, port)


async def until(reached: Callable[[], Awaitable[bool]], *, what: str, seconds: float = 60.0) -> None:
    try:
        async with asyncio.timeout(seconds):
            while not await reached():  # noqa: ASYNC110 - another process, nothing could set an event
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise TimeoutError(f"not in {seconds:g} s: {what}") from None


async def test_blocked_event_loop_fails_the_probe_and_is_told_with_its_place(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        operator = start(here)
        await until(operator.leads, what="it leads")
        assert await operator.passes("/healthz")

        os.kill(operator.process.pid, signal.SIGUSR1)
        await until(lambda: operator.fails("/healthz"), what="the probe fails while the loop is blocked")
        await until(lambda: operator.passes("/healthz"), what="the probe passes again")
        await until(lambda: operator.said("Event loop goes on"), what="the end is told")

    records = [json.loads(line) for line in operator.process.log.read_text().splitlines()]
    (blocked,) = [record for record in records if record["message"] == "Event loop is blocked"]
    assert "in block_the_loop" in blocked["stack"]


async def test_dead_workers_fail_liveness_and_not_readiness(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        operator = start(here)
        await until(operator.leads, what="it leads")

        os.kill(operator.process.pid, signal.SIGUSR2)
        await until(lambda: operator.fails("/healthz"), what="liveness fails")
        _, checks = await operator.probe("/healthz")
        assert checks["workers"] == {"ok": False, "detail": "ended: workers"}
        assert await operator.passes("/readyz")


async def test_api_that_is_down_fails_readiness_and_not_liveness(tmp_path: Path) -> None:
    async with installed(tmp_path) as here, relay(httpx.URL(here.api.url).port or 80) as network:
        operator = start(here, api_port=network.port)
        await until(operator.leads, what="it leads")

        network.cut()
        ready, checks = await operator.probe("/readyz")
        assert not ready
        assert not checks["kubernetes"]["ok"]
        assert checks["leadership"] == {"ok": True, "detail": "leader"}
        assert await operator.passes("/healthz")

        network.mend()
        await until(lambda: operator.passes("/readyz"), what="ready again, without a restart")
        operator.process.ensure_running()


async def test_standby_is_live_and_ready(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        leader = start(here)
        await until(leader.leads, what="the first leads")
        standby = start(here)
        await until(lambda: standby.passes("/readyz"), what="the second is ready")
        _, checks = await standby.probe("/readyz")
        assert checks["leadership"]["detail"].startswith("standby; ")
        assert await standby.passes("/healthz")
