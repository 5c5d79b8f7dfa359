"""What every route takes from a request: the services, who calls, and the parameters that several routes share."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Final

from fastapi import Depends, Header, Path, Query, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from failed_execution_cleanup.console.answers import ProblemAnswer
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.services import Services

__all__ = [
    "PREFIX",
    "ApplianceName",
    "Calling",
    "CleanupName",
    "Cursor",
    "Limit",
    "Namespace",
    "Offered",
    "OptionalNamespace",
    "Preferences",
    "Preferring",
    "VCenterHost",
    "VMName",
    "problems",
    "while_connected",
]

PREFIX: Final = "/api/v1"
"""Where all of it is."""

_LABEL: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN: Final = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
_WAIT: Final = re.compile(r"^wait=(?P<seconds>\d{1,6})$")

_MEANINGS: Final = {
    401: "No token, or one that is not accepted.",
    403: "A right is missing; the answer names it and the role that gives it.",
    404: "No such VM, Appliance or cleanup.",
    409: "Refused, ambiguous, or only a person can help.",
    413: "The body is too long.",
    414: "The address is too long.",
    422: "The request cannot be understood.",
    429: "Too many requests, or too many refused tokens.",
    431: "The headers are too long.",
    500: "It was tried and did not succeed.",
    501: "Not on an appliance without Kubernetes.",
    503: "The Kubernetes API server or the appliance cannot be reached.",
    504: "Not finished yet; it goes on.",
}
_ALWAYS: Final = (401, 403, 414, 422, 429, 431, 500, 503)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may answer beside success, for its documentation: these, and what any route may answer."""
    return {
        status: {"model": ProblemAnswer, "description": _MEANINGS[status]} for status in sorted({*_ALWAYS, *statuses})
    }


VMName = Annotated[
    str,
    Path(min_length=1, max_length=255, description="Name of the protected VM, exactly as in vCenter, percent-encoded."),
]
CleanupName = Annotated[str, Path(max_length=253, pattern=_SUBDOMAIN, description="Name of the cleanup.")]
Namespace = Annotated[str, Query(max_length=63, pattern=_LABEL, description="Namespace of the cleanup.")]
OptionalNamespace = Annotated[str | None, Query(max_length=63, pattern=_LABEL, description="Namespace of cleanups.")]
ApplianceName = Annotated[
    str | None,
    Query(max_length=253, pattern=_SUBDOMAIN, description="Name of the Appliance; all you may use if absent."),
]
VCenterHost = Annotated[
    str | None, Query(min_length=1, max_length=255, description="vCenter of the VM, where its name is not unique.")
]
Limit = Annotated[int, Query(ge=1, le=500, description="At most so many items.")]
Cursor = Annotated[str | None, Query(max_length=2048, description="`next` of the page before.")]

_BEARER: Final = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token of the Kubernetes cluster, such as `kubectl create token` prints.",
)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Offered = Annotated[Services, Depends(_services)]


async def _caller(
    request: Request, services: Offered, sent: Annotated[HTTPAuthorizationCredentials | None, Security(_BEARER)]
) -> Caller:
    address = request.client.host if request.client is not None else ""
    caller = await services.caller(sent.credentials if sent is not None else None, address)
    request.state.user = caller.user.name
    return caller


Calling = Annotated[Caller, Depends(_caller)]


@dataclass(frozen=True, slots=True)
class Preferences:
    """What a caller prefers (RFC 7240).

    Attributes:
        respond_async: an answer at once, or when `wait_seconds` are over, rather than at the end.
        wait_seconds: the longest he wants to wait; None where he did not say.
    """

    respond_async: bool = False
    wait_seconds: float | None = None

    @classmethod
    def of(cls, header: str) -> Preferences:
        """Read the header; what is not known is left alone, as the RFC wants."""
        words = [word.split(";")[0].strip().lower() for word in header.split(",")]
        waits = [float(match["seconds"]) for match in map(_WAIT.match, words) if match is not None]
        return cls("respond-async" in words, waits[0] if waits else None)


def _preferences(
    prefer: Annotated[
        str, Header(max_length=1024, description="`respond-async`: 202 at once; `wait=N`: wait at most N seconds.")
    ] = "",
) -> Preferences:
    return Preferences.of(prefer)


Preferring = Annotated[Preferences, Depends(_preferences)]


@asynccontextmanager
async def while_connected(request: Request, leaving: asyncio.Event) -> AsyncIterator[asyncio.Event]:
    """An event that is set when the caller's connection is closed or this process is about to end. The body must have been read."""
    gone = asyncio.Event()

    async def listen() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    listening = [asyncio.create_task(listen()), asyncio.create_task(leaving.wait())]
    for task in listening:
        task.add_done_callback(lambda _: gone.set())
    try:
        yield gone
    finally:
        for task in listening:
            task.cancel()
        await asyncio.gather(*listening, return_exceptions=True)
