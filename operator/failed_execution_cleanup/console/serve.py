"""The console's process: HTTP until SIGTERM, with health and metrics beside it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any, Final

import uvicorn

from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.pages.rendering import check_assets
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller import health
from failed_execution_cleanup.controller.http_pages import add_metrics
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi

__all__ = ["CannotListen", "serve"]

logger = logging.getLogger(__name__)

_KEEP_ALIVE_SECONDS: Final = 75
_WAITING_CONNECTIONS: Final = 128


class CannotListen(OSError):  # noqa: N818 - named for what happened
    """Address or port of the console is not to be had."""


class _Server(uvicorn.Server):
    """A server that leaves signals to whoever runs it."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve(settings: ConsoleSettings, alone: Services | None = None) -> None:
    """Serve until SIGTERM or SIGINT.

    Open streams and waits are ended at once, other requests may take `shutdown_seconds`. Cleanups go on: they are the operator's.

    Args:
        settings: of the process.
        alone: services without a cluster, see `standalone`; else those on the cluster of the settings.

    Raises:
        CannotListen: the address or port is not to be had.
        KubernetesError: there is no usable configuration.
        HtmxMissing: a checkout lacks what its pages need.
    """
    check_assets()
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        ready: dict[str, health.Check] = {}
        if alone is not None:
            services = alone
        else:
            api = await stack.enter_async_context(await KubernetesApi.connect(settings.kubeconfig))
            services = Services.on(api, settings)
            ready["kubernetes"] = health.api_check(api)
        server = _Server(_configuration(services))
        listening = stack.enter_context(_listening(settings.host, settings.port))
        serving = asyncio.create_task(server.serve(sockets=[listening]), name="console")
        beside = health.health_application({"server": health.task_check(serving)}, ready)
        add_metrics(beside, services.metrics.registry)
        await stack.enter_async_context(health.serve(beside, settings.health_host, settings.health_port))

        def end() -> None:
            services.leaving.set()
            server.should_exit = True

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, end)
            stack.callback(loop.remove_signal_handler, number)
        host, port = listening.getsockname()[:2]
        logger.info("Console listens", extra={"host": host, "port": port})
        await serving
        if services.runs is not None:
            await services.runs.leave(settings.shutdown_seconds)
    logger.info("Console ended")


def _configuration(services: Services) -> uvicorn.Config:
    settings = services.settings
    proxied: dict[str, Any] = {"proxy_headers": bool(settings.trusted_proxies)}
    if settings.trusted_proxies:
        proxied["forwarded_allow_ips"] = [*settings.trusted_proxies]
    return uvicorn.Config(
        create_application(services),
        host=settings.host,
        port=settings.port,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=_WAITING_CONNECTIONS,
        limit_concurrency=settings.connections,
        h11_max_incomplete_event_size=settings.header_bytes,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=settings.shutdown_seconds,
        **proxied,
    )


def _listening(host: str, port: int) -> socket.socket:
    """A socket that listens; bound here, so that its port is known before anybody is served.

    Raises:
        CannotListen: the address or port is not to be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_WAITING_CONNECTIONS)
    except OSError as error:
        raise CannotListen(f"the console cannot listen on {host} port {port}: {error.strerror or error}") from error
