"""Every mutating call of an operator process, numbered over all systems, and SIGKILL right before or after one of them.

Installed from outside into a process that is about to run the operator: around the transports of httpx (Volume Daemon, OSSEA) and
aiohttp (Kubernetes, Kopf's own requests included) and around SQLAlchemy's commits. Nothing in the product knows of it.

A call counts when it is about to leave the process. `before` it nothing was sent and no COMMIT was made; `after` it the answer is
there, and the product has not seen it yet.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final, NoReturn, Self
from urllib.parse import parse_qs

import aiohttp
import httpx
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.default import DefaultDialect

from failed_execution_cleanup.appliance.database import ContextLock
from failed_execution_cleanup.recovery.memory import Request
from failed_execution_cleanup.run.claim import Claim


class System(StrEnum):
    """Who is called."""

    KUBERNETES = "kubernetes"
    DAEMON = "daemon"
    OSSEA = "ossea"
    DATABASE = "database"


class When(StrEnum):
    """The moment of a kill."""

    BEFORE = "before"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Call:
    """A mutating call.

    Attributes:
        number: place among all mutating calls of the process, from 1.
        system: who is called.
        what: what for; with `system` the kind of call.
        occurrence: place among the calls of its kind, from 1.
    """

    number: int
    system: System
    what: str
    occurrence: int

    @property
    def kind(self) -> str:
        """System and purpose."""
        return f"{self.system} {self.what}"

    @property
    def name(self) -> str:
        """What names the same call in every run, where numbers may shift with the beat of leases and heartbeats."""
        return f"{self.kind}#{self.occurrence}"


@dataclass(frozen=True, slots=True)
class Kill:
    """The call at which a process dies: by its name, or by its number where only that is known beforehand."""

    call: str | int
    when: When

    def __str__(self) -> str:
        return f"{self.when} call {self.call}" if isinstance(self.call, int) else f"{self.when} {self.call}"

    @property
    def system(self) -> System | None:
        """Whose call it is; None where only its number is known."""
        return None if isinstance(self.call, int) else System(self.call.split()[0])

    def meets(self, call: Call, when: When) -> bool:
        """Whether this is the moment."""
        return self.when is when and self.call in (call.name, call.number)


_WATCHING: Final = "watching"


class Trail:
    """What a process called, one line per moment, in a file that survives it.

    The first line about a call is `before`, the second `after`. A line of its own tells that the cleanups are listed and
    about to be watched.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def _lines(self) -> list[dict[str, Any]]:
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return [json.loads(line) for line in lines if line != _WATCHING]

    @property
    def calls(self) -> list[Call]:
        """The calls, in order."""
        return [_call(line) for line in self._lines if line["when"] == When.BEFORE]

    @property
    def answered_last(self) -> Call | None:
        """The call whose answer came right before the process died at the next one, with nothing else in flight.

        No system can tell its death from one right after that answer. None where something was in flight.
        """
        *earlier, fatal = self._lines
        in_flight = {line["number"] for line in earlier}
        in_flight -= {line["number"] for line in earlier if line["when"] == When.AFTER}
        if fatal["when"] != When.BEFORE or not earlier or in_flight:
            return None
        return _call(earlier[-1])

    @property
    def watching(self) -> bool:
        """Whether the process began to watch cleanups."""
        return self.path.exists() and _WATCHING in self.path.read_text()


def _call(line: Mapping[str, Any]) -> Call:
    return Call(line["number"], System(line["system"]), line["what"], line["occurrence"])


class Observer:
    """Sees every mutating call of this process, notes it in the trail, and ends the process at the one that is fatal."""

    def __init__(self, trail: Path, kill: Kill | None) -> None:
        """Prepare; `install` begins.

        Args:
            trail: file for the notes.
            kill: when to die; None: never.
        """
        self._file = os.open(trail, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._kill = kill
        self._number = 0
        self._of_kind: Counter[str] = Counter()

    def before(self, system: System, what: str) -> Call:
        """A call is about to be made."""
        self._number += 1
        kind = f"{system} {what}"
        self._of_kind[kind] += 1
        call = Call(self._number, system, what, self._of_kind[kind])
        self._note(call, When.BEFORE)
        return call

    def after(self, call: Call) -> None:
        """Its answer is there."""
        self._note(call, When.AFTER)

    def watching(self) -> None:
        """The cleanups are listed and about to be watched."""
        self._write(_WATCHING)

    def _note(self, call: Call, when: When) -> None:
        self._write(json.dumps({**asdict(call), "when": when}))
        if self._kill is not None and self._kill.meets(call, when):
            _die()

    def _write(self, line: str) -> None:
        os.write(self._file, f"{line}\n".encode())

    def install(self) -> Self:
        """Stand around every way out of this process."""
        _around_httpx(self)
        _around_aiohttp(self)
        _around_commits(self)
        return self


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("survived SIGKILL")


# --- Volume Daemon and OSSEA ------------------------------------------------------------------------------------

_READING_COMMANDS: Final = ("list", "query")
_DAEMON_ACTION: Final = re.compile(r"/api/v1/(?:volumes/[^/]+/)?(?P<action>[a-z-]+)")


def _around_httpx(observer: Observer) -> None:
    send = httpx.AsyncHTTPTransport.handle_async_request

    async def observed(self: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        mutation = mutation_of_appliance(request)
        if mutation is None:
            return await send(self, request)
        call = observer.before(*mutation)
        response = await send(self, request)
        observer.after(call)
        return response

    httpx.AsyncHTTPTransport.handle_async_request = observed  # type: ignore[method-assign]


def mutation_of_appliance(request: httpx.Request) -> tuple[System, str] | None:
    """System and purpose of a request to the Volume Daemon or OSSEA; None for one that only reads."""
    if request.url.path.endswith("/client/api"):
        command = parse_qs(request.content.decode() or request.url.query.decode())["command"][0]
        return None if command.startswith(_READING_COMMANDS) else (System.OSSEA, command)
    if request.method == "GET":
        return None
    named = _DAEMON_ACTION.fullmatch(request.url.path)
    return System.DAEMON, named["action"] if named else f"{request.method} {request.url.path}"


# --- Kubernetes -------------------------------------------------------------------------------------------------


def _around_aiohttp(observer: Observer) -> None:
    send = aiohttp.ClientSession._request

    async def observed(self: aiohttp.ClientSession, method: str, str_or_url: Any, **options: Any) -> Any:
        url = str(str_or_url)
        if method.upper() == "GET":
            if "/failedexecutioncleanups" in url and "watch=" in (url + str(options.get("params") or "")):
                observer.watching()
            return await send(self, method, str_or_url, **options)
        body = options.get("json") or json.loads(options.get("data") or "{}")
        call = observer.before(System.KUBERNETES, purpose_in_kubernetes(method.upper(), url, body))
        response = await send(self, method, str_or_url, **options)
        observer.after(call)
        return response

    aiohttp.ClientSession._request = observed  # type: ignore[method-assign]


_SINGULAR: Final = {"appliances": "appliance", "failedexecutioncleanups": "cleanup"}


def purpose_in_kubernetes(method: str, url: str, body: Mapping[str, Any]) -> str:
    """What a mutating request to the Kubernetes API is for."""
    path = re.sub(r"\?.*", "", url)
    resource = re.search(r"/(leases|events|appliances|failedexecutioncleanups)(?:/[^/]+)?(/status)?$", path)
    match method, resource[1] if resource else "", bool(resource and resource[2]):
        case "POST", "leases", False:
            return "lease created"
        case "PUT", "leases", False:
            return _lease_purpose(body["spec"])
        case "POST", "events", False:
            return "event created"
        case "PATCH", "events", False:
            return "event repeated"
        case "PATCH", ("appliances" | "failedexecutioncleanups") as plural, True:
            return f"status of {_SINGULAR[plural]}"
        case "PATCH", ("appliances" | "failedexecutioncleanups") as plural, False if "finalizers" in body["metadata"]:
            return f"finalizer {'set on' if body['metadata']['finalizers'] else 'removed from'} {_SINGULAR[plural]}"
    return f"{method} {resource[1] if resource else path}"


def _lease_purpose(spec: Mapping[str, Any]) -> str:
    if not spec["holderIdentity"]:
        return "lease released"
    return "lease taken over" if spec["acquireTime"] == spec["renewTime"] else "lease renewed"


# --- the OMA database -------------------------------------------------------------------------------------------

_WRITES: Final = re.compile(r"\s*(INSERT INTO|UPDATE|DELETE FROM)\s+`?(\w+)", re.IGNORECASE)
_WRITTEN: Final = "what this transaction wrote"
_PURPOSE: Final[ContextVar[str | None]] = ContextVar("purpose", default=None)


def _settled(_claim: Claim, request: Request) -> str:
    return "outcome of request saved" if request.outcome is not None else "job id of request saved"


def _said(text: str) -> Callable[..., str]:
    return lambda *_args, **_options: text


# The engine's own steps come first: they tell why a memory is saved.
_PURPOSES: Final[tuple[tuple[type, str, Callable[..., str]], ...]] = (
    (Claim, "write_ahead", _said("request written ahead")),
    (Claim, "settle", _settled),
    (Claim, "forget", _said("request forgotten")),
    (Claim, "change", _said("memory saved")),
    (ContextLock, "take_claim", _said("claim taken")),
    (ContextLock, "heartbeat", _said("heartbeat")),
    (ContextLock, "release_claim", _said("claim released")),
    (ContextLock, "mark_cleanup_required", _said("context marked")),
    (ContextLock, "set_mode_oma", _said("mode corrected")),
    (ContextLock, "mark_reverted", _said("volume marked reverted")),
    (ContextLock, "clear_snapshot", _said("snapshot cleared")),
    (ContextLock, "remove_stale_mapping", _said("stale mapping removed")),
    (ContextLock, "start_step", _said("step started")),
    (ContextLock, "end_step", _said("step ended")),
    (ContextLock, "skip_step", _said("step skipped")),
    (ContextLock, "log", _said("log written")),
    (ContextLock, "close_incident", _said("incident closed")),
)


def _around_commits(observer: Observer) -> None:
    for owner, method, purpose in _PURPOSES:
        setattr(owner, method, _with_purpose(getattr(owner, method), purpose))
    committing: list[str] = []

    def written(connection: Connection, _cursor: Any, statement: str, *_more: Any) -> None:
        if (write := _WRITES.match(statement)) is not None:
            connection.info.setdefault(_WRITTEN, f"{write[1].lower()} {write[2]}")

    def committed(connection: Connection) -> None:
        statement = connection.info.pop(_WRITTEN, None)
        if statement is not None:
            committing.append(_PURPOSE.get() or statement)

    def rolled_back(connection: Connection) -> None:
        connection.info.pop(_WRITTEN, None)

    event.listen(Engine, "before_cursor_execute", written)
    event.listen(Engine, "commit", committed)
    event.listen(Engine, "rollback", rolled_back)
    commit: Callable[[DefaultDialect, Any], None] = DefaultDialect.do_commit

    def observed(self: DefaultDialect, dbapi_connection: Any) -> None:
        # SQLAlchemy comes here right after the event, without giving way to another task.
        call = observer.before(System.DATABASE, committing.pop()) if committing else None
        commit(self, dbapi_connection)
        if call is not None:
            observer.after(call)

    DefaultDialect.do_commit = observed  # type: ignore[method-assign]


def _with_purpose(method: Callable[..., Awaitable[Any]], purpose: Callable[..., str]) -> Callable[..., Awaitable[Any]]:
    @functools.wraps(method)
    async def named(*args: Any, **options: Any) -> Any:
        if _PURPOSE.get() is not None:
            return await method(*args, **options)
        token = _PURPOSE.set(purpose(*args, **options))
        try:
            return await method(*args, **options)
        finally:
            _PURPOSE.reset(token)

    return named
