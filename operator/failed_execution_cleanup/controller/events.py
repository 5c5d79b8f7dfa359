"""Kubernetes Events about cleanups and appliances, in events.k8s.io/v1, with repeats folded into one object.

An Event tells a person that something happened; nothing may depend on it. So recording is best effort: an API error is
logged and goes no further. Callers record transitions only; what repeats all the same within ten minutes becomes a
series of one Event instead of a flood of Events.
"""

import asyncio
import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal, Protocol, Self

from failed_execution_cleanup.controller.kubernetes_api import Body, KubernetesError, NotFound, format_micro_time

__all__ = ["EventApi", "EventRecorder", "EventType", "ObjectReference"]

logger = logging.getLogger(__name__)

EventType = Literal["Normal", "Warning"]

REPORTING_CONTROLLER = "failover.ossea.io/failed-execution-cleanup"
NOTE_BYTES = 1024  # limits of the API server for events.k8s.io/v1
IDENTIFIER_CHARACTERS = 128
NAME_CHARACTERS = 253


class EventApi(Protocol):
    """The calls the recorder makes; `KubernetesApi` has them."""

    async def create_event(self, namespace: str, body: Body) -> None:
        """Create an events.k8s.io/v1 Event."""
        ...

    async def patch_event(self, namespace: str, name: str, patch: Body) -> None:
        """Change an Event by a merge patch; `NotFound` once the API server has expired it."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectReference:
    """The object an Event is about; `namespace` is None for a cluster-scoped one."""

    api_version: str
    kind: str
    namespace: str | None
    name: str
    uid: str

    @classmethod
    def of(cls, body: Body) -> Self:
        """Return the reference of an object as the API returns it."""
        metadata: dict[str, Any] = body["metadata"]
        return cls(body["apiVersion"], body["kind"], metadata.get("namespace"), metadata["name"], metadata["uid"])


@dataclass(frozen=True, slots=True)
class _Happening:
    """What makes two occurrences the same."""

    uid: str
    type: EventType
    reason: str
    action: str
    note: str


@dataclass(slots=True)
class _Series:
    """The Event object that stands for a happening."""

    name: str = ""
    count: int = 0
    last_seen: datetime | None = None  # None: there is no Event yet
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # two occurrences at once still make one Event


class EventRecorder:
    """Writes Events; one per process, usable by many tasks at once."""

    def __init__(
        self,
        api: EventApi,
        reporting_instance: str,
        *,
        reporting_controller: str = REPORTING_CONTROLLER,
        series_seconds: float = 600.0,
        remembered: int = 4096,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare a recorder.

        Args:
            api: where Events are written.
            reporting_instance: this process, such as its pod's name; cut to 128 characters.
            reporting_controller: the controller, as a qualified name.
            series_seconds: a repeat so long after the one before still belongs to the same Event.
            remembered: how many different happenings are remembered; the one unseen for longest goes first.
            clock: wall clock for the times in Events.
        """
        self._api = api
        self._reporting_instance = reporting_instance[:IDENTIFIER_CHARACTERS]
        self._reporting_controller = reporting_controller
        self._series_duration = timedelta(seconds=series_seconds)
        self._remembered = remembered
        self._clock = clock
        self._series: OrderedDict[_Happening, _Series] = OrderedDict()

    async def record(self, regarding: ObjectReference, type: EventType, reason: str, action: str, note: str) -> None:  # noqa: A002 - the API's name
        """Record that something happened to an object.

        Args:
            regarding: the object; the Event lives in its namespace, for a cluster-scoped object in `default`.
            type: Normal, or Warning if a person may want to act.
            reason: why, in CamelCase, at most 128 characters.
            action: what the controller did or does, in CamelCase, at most 128 characters.
            note: one sentence for a person; cut to 1 kB.
        """
        happening = _Happening(regarding.uid, type, reason, action, _cut(note, NOTE_BYTES))
        series = self._series.setdefault(happening, _Series())
        self._series.move_to_end(happening)
        while len(self._series) > self._remembered:
            self._series.popitem(last=False)
        try:
            async with series.lock:
                await self._write(series, happening, regarding)
        except KubernetesError as error:
            logger.warning(
                "Event not recorded",
                extra={"object": f"{regarding.kind} {regarding.name}", "reason": reason, "cause": str(error)},
            )

    async def _write(self, series: _Series, happening: _Happening, regarding: ObjectReference) -> None:
        now = self._clock()
        namespace = regarding.namespace or "default"
        if series.last_seen is not None and now - series.last_seen <= self._series_duration:
            patch = {"series": {"count": series.count + 1, "lastObservedTime": format_micro_time(now)}}
            try:
                await self._api.patch_event(namespace, series.name, patch)
            except NotFound:
                pass  # expired or removed: this occurrence begins a new one
            else:
                series.count, series.last_seen = series.count + 1, now
                return
        name = f"{regarding.name[: NAME_CHARACTERS - 17]}.{secrets.token_hex(8)}"
        await self._api.create_event(namespace, self._body(happening, regarding, namespace, name, now))
        series.name, series.count, series.last_seen = name, 1, now

    def _body(
        self, happening: _Happening, regarding: ObjectReference, namespace: str, name: str, now: datetime
    ) -> Body:
        reference = {
            "apiVersion": regarding.api_version,
            "kind": regarding.kind,
            "name": regarding.name,
            "uid": regarding.uid,
        }
        if regarding.namespace is not None:
            reference["namespace"] = regarding.namespace
        return {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "eventTime": format_micro_time(now),
            "reportingController": self._reporting_controller,
            "reportingInstance": self._reporting_instance,
            "regarding": reference,
            "type": happening.type,
            "reason": happening.reason,
            "action": happening.action,
            "note": happening.note,
        }


def _cut(text: str, size: int) -> str:
    """Cut a text to `size` bytes of UTF-8, with an ellipsis and no broken character."""
    encoded = text.encode()
    if len(encoded) <= size:
        return text
    return encoded[: size - len("…".encode())].decode(errors="ignore") + "…"
