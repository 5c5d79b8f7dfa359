"""What the process tells over HTTP beside its health.

    GET /metrics       Prometheus' text format, or OpenMetrics if asked for
    GET /debug/calls   the newest calls to each appliance; only for callers on this machine or in this pod

Neither holds a parameter of a call, so neither can hold a secret.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from failed_execution_cleanup.appliance.calls import Call

__all__ = ["add_calls", "add_metrics", "shown_calls"]


def add_metrics(application: web.Application, registry: CollectorRegistry) -> None:
    """Serve a registry at /metrics."""

    async def handle(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(body=encode(registry), headers={"Content-Type": content_type})

    application.router.add_get("/metrics", handle)


def add_calls(application: web.Application, recent: Mapping[str, Iterable[Call]]) -> None:
    """Serve the newest calls of each appliance at /debug/calls."""

    async def handle(request: web.Request) -> web.Response:
        if not _is_loopback(request.remote):
            raise web.HTTPNotFound
        return web.json_response({appliance: shown_calls(calls) for appliance, calls in recent.items()})

    application.router.add_get("/debug/calls", handle)


def shown_calls(calls: Iterable[Call]) -> list[dict[str, Any]]:
    """Calls as plain data, oldest first."""
    return [
        {**asdict(call), "at": call.at.isoformat(timespec="milliseconds"), "seconds": round(call.seconds, 3)}
        for call in calls
    ]


def _is_loopback(remote: str | None) -> bool:
    try:
        return ipaddress.ip_address(remote or "").is_loopback
    except ValueError:
        return False
