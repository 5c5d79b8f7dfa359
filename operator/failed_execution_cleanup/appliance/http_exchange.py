"""One HTTP request and its answer, with every failure of the wire sorted by what was executed.

Shared by the doors to OSSEA and to the Volume Daemon; what an answer means is theirs to say.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import math
import re
import ssl
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import httpx

from failed_execution_cleanup.appliance.calls import Call, CallListener
from failed_execution_cleanup.appliance.errors import (
    ApplianceError,
    NotExecuted,
    Refused,
    Unavailable,
    Unknown,
    Untrusted,
)

_BEFORE_SENDING = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
"""Failures that happen before a byte of the request leaves. Anything else may have happened after."""


_NOT_AFTER: ContextVar[float] = ContextVar("not_after", default=math.inf)
"""Monotonic time after which a mutating request must not be sent any more."""


@contextlib.contextmanager
def sent_within(seconds: float) -> Iterator[None]:
    """Mutating requests of this block are sent so soon or not at all.

    A process may be held up at any line, stopped or starved, and go on long after somebody else took its claim over. So the last look
    is made right before bytes leave: who takes over waits until what was sent before can have arrived (rules, claim and memory).

    Args:
        seconds: from now on; begin the block before the read that allows the request (rule 7).
    """
    token = _NOT_AFTER.set(time.monotonic() + seconds)
    try:
        yield
    finally:
        _NOT_AFTER.reset(token)


class _HeldUp(Exception):  # noqa: N818 - a signal inside this module
    """It is too late to send; `begun` says whether a part was sent."""

    def __init__(self, *, begun: bool) -> None:
        super().__init__()
        self.begun = begun


async def _look_at_the_clock(event: str, _info: Mapping[str, Any]) -> None:
    """Hook of httpcore: called right before the head of a request is written, and right before its body."""
    part = event.removeprefix("http11.")
    if part in {"send_request_headers.started", "send_request_body.started"} and time.monotonic() > _NOT_AFTER.get():
        raise _HeldUp(begun=part == "send_request_body.started")


@functools.cache
def usual_authorities() -> ssl.SSLContext:
    """Certificates are checked against the usual authorities; read once, because that takes longer than all else of a client."""
    return httpx.create_ssl_context()


def server_url(address: str, *, system: str) -> httpx.URL:
    """Check the configured address of a server.

    Raises:
        NotExecuted: it is not a plain http(s) URL. The address is not quoted: it could hold a password.
    """
    try:
        url = httpx.URL(address.strip())
    except httpx.InvalidURL:
        url = httpx.URL("")
    if url.scheme not in {"http", "https"} or not url.host or url.userinfo or url.query or url.fragment:
        raise NotExecuted(
            "the configured address is not a usable URL.",
            system=system,
            remedy="Give it as http(s)://host:port/path, without user, password, query or fragment.",
        )
    return url


def checked_id(value: str, *, system: str) -> str:
    """Refuse what cannot be the id of anything.

    OSSEA ignores an empty filter and answers with everything; in a path of the daemon an empty id names something else.

    Raises:
        Refused: nothing was sent.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}", value):
        raise Refused(f"{value[:80]!r} is not an id.", system=system, remedy="Correct the record it comes from.")
    return value


async def exchange(
    http: httpx.AsyncClient,
    request: httpx.Request,
    *,
    system: str,
    command: str,
    what: str,
    mutating: bool,
    timeout_seconds: float,
    heard: CallListener | None = None,
) -> httpx.Response:
    """Send a request and read the whole answer.

    Args:
        http: the client to send with. Redirects are never followed: a signed form belongs to one server.
        request: the request; neither its URL's query nor its body appears in an error.
        system: who is asked, for messages.
        command: the request without ids, for whoever counts: `listVolumes`.
        what: the request in words, for messages: `detach of volume 1234`.
        mutating: whether it changes something there.
        timeout_seconds: limit for everything, from the connection to the last byte of the answer.
        heard: hears of the call once it ended, however it did.

    Returns:
        The answer, whatever its status.

    Raises:
        NotExecuted: nothing was sent (no connection, TLS, no free connection), for reads and mutations alike.
        Unavailable: a read was sent, its answer did not come.
        Unknown: a mutating request was sent, or partly sent, and its answer did not come.
    """
    begun, outcome = time.monotonic(), "Cancelled"
    try:
        response = await _send(
            http, request, system=system, what=what, mutating=mutating, timeout_seconds=timeout_seconds
        )
        outcome = str(response.status_code)
    except ApplianceError as error:
        outcome = type(error).__name__
        raise
    else:
        return response
    finally:
        if heard is not None:
            heard(Call(system, command, mutating, outcome, datetime.now(UTC), time.monotonic() - begun))


async def _send(
    http: httpx.AsyncClient, request: httpx.Request, *, system: str, what: str, mutating: bool, timeout_seconds: float
) -> httpx.Response:
    # A quarter each for a free connection, TCP and TLS: what ends before sending never looks like a lost answer.
    limits = httpx.Timeout(timeout_seconds, connect=timeout_seconds / 4, pool=timeout_seconds / 4)
    request.extensions = {**request.extensions, "timeout": limits.as_dict()}
    if mutating:
        request.extensions["trace"] = _look_at_the_clock
    try:
        async with asyncio.timeout(timeout_seconds):
            return await http.send(request, follow_redirects=False)
    except _BEFORE_SENDING as error:
        raise _not_sent(error, request, system=system, what=what) from error
    except _HeldUp as error:
        reason = "this process was held up for longer than a request may take"
        if error.begun:
            raise no_answer(reason, system=system, what=what, mutating=mutating) from None
        raise NotExecuted(
            f"{what}: not sent, {reason}.", system=system, remedy="Everything is looked at again."
        ) from None
    except TimeoutError as error:
        raise no_answer(
            f"no answer within {timeout_seconds:g} s", system=system, what=what, mutating=mutating
        ) from error
    except httpx.TimeoutException as error:
        raise no_answer("no answer in time", system=system, what=what, mutating=mutating) from error
    except httpx.HTTPError as error:
        reason = f"the connection failed before the answer was read ({type(error).__name__})"
        raise no_answer(reason, system=system, what=what, mutating=mutating) from error


def no_answer(
    reason: str, *, system: str, what: str, mutating: bool, code: int | None = None, remedy: str | None = None
) -> ApplianceError:
    """The error for a request that was sent and not usably answered: `Unknown` when it mutates, else `Unavailable`."""
    if mutating:
        return Unknown(
            f"{what}: {reason}; it may have been executed.",
            system=system,
            remedy=remedy or "Nothing is repeated before its state has been read again.",
            code=code,
        )
    return Unavailable(
        f"{what}: {reason}.",
        system=system,
        remedy=remedy or "It is asked again; check its service if this stays.",
        code=code,
    )


def _not_sent(error: httpx.TransportError, request: httpx.Request, *, system: str, what: str) -> NotExecuted:
    place = f"{request.url.scheme}://{request.url.netloc.decode('ascii')}"
    tls = _tls_cause(error)
    if tls is not None:
        kind = Untrusted if isinstance(tls, ssl.SSLCertVerificationError) else NotExecuted
        cause = tls.verify_message if isinstance(tls, ssl.SSLCertVerificationError) else tls.reason
        return kind(
            f"{what}: no trusted TLS connection to {place} ({cause or 'handshake failed'}).",
            system=system,
            remedy="Give the authority that signed its certificate as caBundle, or correct the address.",
        )
    reason = "no free connection" if isinstance(error, httpx.PoolTimeout) else "no connection"
    return NotExecuted(
        f"{what}: {reason} to {place} ({type(error).__name__}).",
        system=system,
        remedy="Check that the service runs, the address is right and no firewall is in between.",
    )


def _tls_cause(error: BaseException) -> ssl.SSLError | None:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return None
