"""What holds for every request, whatever it asks for: its bounds, the headers of its answer, and its record in log and metrics."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from failed_execution_cleanup.console.answers import ProblemAnswer
from failed_execution_cleanup.console.metrics import ConsoleMetrics
from failed_execution_cleanup.console.problems import Problem

__all__ = ["RequestBounds", "RequestRecord", "SecurityHeaders"]

logger = logging.getLogger(__name__)

_READS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_TOO_LONG_ADDRESS: Final = Problem(414, "InvalidRequest", "the address is too long.", "Shorten the path or the query.")
_TOO_LONG_HEADERS: Final = Problem(431, "InvalidRequest", "the headers are too long.", "Send fewer or shorter ones.")
_TOO_LONG_BODY: Final = Problem(413, "BodyTooLong", "the body is too long.", "Send less.")
_LATE_BODY: Final = Problem(408, "InvalidRequest", "the body did not arrive in time.", "Send it at once.")


class SecurityHeaders:
    """Adds the headers that keep a browser from doing anything with an answer but showing it; an answer's own count more."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers.setdefault(name, value)
                if scope.get("scheme") == "https":
                    headers.setdefault("Strict-Transport-Security", "max-age=31536000")
            await send(message)

        await self._app(scope, receive, with_headers)


class RequestBounds:
    """Refuses addresses, headers and bodies that are too long, and bodies that do not arrive in time."""

    def __init__(
        self, app: ASGIApp, *, url_bytes: int, header_bytes: int, body_bytes: int, body_seconds: float
    ) -> None:
        self._app = app
        self._url_bytes = url_bytes
        self._header_bytes = header_bytes
        self._body_bytes = body_bytes
        self._body_seconds = body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > self._url_bytes:
            await _answer(send, _TOO_LONG_ADDRESS)
            return
        if sum(len(name) + len(value) for name, value in scope["headers"]) > self._header_bytes:
            await _answer(send, _TOO_LONG_HEADERS)
            return
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > self._body_bytes:
            await _answer(send, _TOO_LONG_BODY)
            return
        body = _BoundedBody(receive, self._body_bytes, asyncio.get_running_loop().time() + self._body_seconds)
        started = False

        async def sent(message: Message) -> None:
            nonlocal started
            if body.refusal is not None and not started:
                return  # what the application says of half a body
            started = True
            await send(message)

        await self._app(scope, body.receive, sent)
        if body.refusal is not None and not started:
            await _answer(send, body.refusal)


class _BoundedBody:
    """Receives a body until it is complete, too long or too late; the application takes the latter two for a closed connection.

    Attributes:
        refusal: what is to be answered then.
    """

    def __init__(self, receive: Receive, most: int, deadline: float) -> None:
        self._receive = receive
        self._left = most
        self._deadline = deadline
        self._complete = False
        self.refusal: Problem | None = None

    async def receive(self) -> Message:
        """The next message."""
        if self._complete:
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            return self._refuse(_LATE_BODY)
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            return self._refuse(_TOO_LONG_BODY)
        self._complete = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    def _refuse(self, refusal: Problem) -> Message:
        self._complete = True
        self.refusal = refusal
        return {"type": "http.disconnect"}


class RequestRecord:
    """Counts and times every request, and logs those that change something. No header, query or body is told."""

    def __init__(self, app: ASGIApp, metrics: ConsoleMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 500

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched)
        finally:
            seconds = time.monotonic() - began
            route = getattr(scope.get("route"), "path", "none")
            self._metrics.answered(scope["method"], route, status, seconds)
            level = logging.DEBUG if scope["method"] in _READS and status < 500 else logging.INFO
            user = scope.get("state", {}).get("user", "")
            told = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "user": user,
                "seconds": round(seconds, 3),
            }
            logger.log(level, "Request answered", extra=told)


async def _answer(send: Send, refusal: Problem) -> None:
    """Answer without the application."""
    body = ProblemAnswer.of(refusal, None).model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    start = {"type": "http.response.start", "status": refusal.status, "headers": [*headers, (b"connection", b"close")]}
    await send(start)
    await send({"type": "http.response.body", "body": body})
