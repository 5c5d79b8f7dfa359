"""Liveness and readiness over HTTP, for the kubelet and for people.

    GET /healthz   200 if a restart would not help: the event loop answers and every liveness check passes
    GET /readyz    200 if the process does its part: leader or standby, and the Kubernetes API answers

Both answer `{"status": "ok"|"failing", "checks": {<name>: {"ok": bool, "detail": str}}}`, with 503 when failing.
A probe that gets no answer in time has failed. So a blocked event loop needs no check of its own: it answers nobody, and `loop_watch`
logs where it hangs. A liveness probe should allow for a busy machine (timeoutSeconds 5, failureThreshold 3), a readiness probe for the
time a check may take.

    liveness    the tasks that work live; no worker is silent for longer than anything it does may take (`progress_watch`)
    readiness   leader, or standby that sees the Lease; the Kubernetes API answers. Trouble of an appliance is not ours.

Start the server before Kopf takes the loop, so that a process that waits for the leadership answers too.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import TypeAlias

from aiohttp import web

from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi, KubernetesError
from failed_execution_cleanup.controller.leadership import LeaderElection

__all__ = ["Check", "Health", "api_check", "health_application", "leadership_check", "serve", "task_check"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Health:
    """The answer of one check; `detail` says why not, or what state it is in."""

    ok: bool
    detail: str = ""


Check: TypeAlias = Callable[[], Awaitable[Health]]


def health_application(
    live: Mapping[str, Check], ready: Mapping[str, Check], *, check_seconds: float = 5.0
) -> web.Application:
    """Build the application; a caller may add routes of its own, such as metrics.

    Args:
        live: liveness checks by name; only what a restart repairs belongs here.
        ready: readiness checks by name.
        check_seconds: a check that takes longer has failed.
    """
    application = web.Application()
    application.router.add_get("/healthz", _handler(live, check_seconds))
    application.router.add_get("/readyz", _handler(ready, check_seconds))
    return application


@asynccontextmanager
async def serve(application: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve an application while in the context; yields the port, which is chosen by the system if `port` is 0."""
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        address: tuple[str, int] = runner.addresses[0]
        logger.info("Health server listens", extra={"host": host, "port": address[1]})
        yield address[1]
    finally:
        await runner.cleanup()


def task_check(*tasks: asyncio.Task[None]) -> Check:
    """Return a check that fails once one of the tasks has ended, which none should while the process lives."""

    async def check() -> Health:
        ended = [task.get_name() for task in tasks if task.done()]
        return Health(not ended, f"ended: {', '.join(ended)}" if ended else f"{len(tasks)} running")

    return check


def leadership_check(election: LeaderElection) -> Check:
    """Return a check that passes for a leader, and for a standby that can see the Lease."""

    async def check() -> Health:
        if election.leading:
            return Health(True, "leader")
        if election.problem:
            return Health(False, election.problem)
        return Health(True, f"standby; {election.holder or 'nobody'} leads")

    return check


def api_check(api: KubernetesApi) -> Check:
    """Return a check that passes when the Kubernetes API server answers."""

    async def check() -> Health:
        try:
            return Health(True, await api.server_version())
        except KubernetesError as error:
            return Health(False, str(error))

    return check


def _handler(checks: Mapping[str, Check], seconds: float) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def run(check: Check) -> Health:
        try:
            async with asyncio.timeout(seconds):
                return await check()
        except TimeoutError:
            return Health(False, f"no answer within {seconds:g} s")

    async def handle(_: web.Request) -> web.Response:
        results = dict(zip(checks, await asyncio.gather(*map(run, checks.values())), strict=True))
        ok = all(result.ok for result in results.values())
        answer = {
            "status": "ok" if ok else "failing",
            "checks": {name: asdict(result) for name, result in results.items()},
        }
        return web.json_response(answer, status=200 if ok else 503)

    return handle
