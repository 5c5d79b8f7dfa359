"""Writes of one cleanup object: its status, rarely and without losing anything, and its finalizer.

The status is a projection, so a write that fails is no accident: what was to be written is kept and computed anew from
the object as it is then. The finalizer guards a claim, so its writes fail loudly.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from failed_execution_cleanup.controller.events import EventType
from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    Conflict,
    FinalizerApi,
    KubernetesError,
    NotFound,
    StatusApi,
    Unreachable,
    merge_patch,
)
from failed_execution_cleanup.controller.transitions_log import log_conditions
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup, PhaseState
from failed_execution_cleanup.resources.conditions import Condition, ConditionStatus, get_condition
from failed_execution_cleanup.resources.identifiers import FINALIZER
from failed_execution_cleanup.resources.reasons import ConditionType, Reason, ReasonKind

__all__ = ["CleanupApi", "EventNote", "StatusWriter", "stored_form", "transitions"]

logger = logging.getLogger(__name__)

PAUSE_SECONDS: Final = 1.0
"""At most one status write per cleanup in this time: watchers of many cleanups must keep up."""

ATTEMPTS: Final = 5
"""Writes tried in a row when somebody else keeps changing the object."""


class CleanupApi(StatusApi, FinalizerApi, Protocol):
    """The calls the writer makes; `KubernetesApi` has them."""


class StatusWriter:
    """The only writer of one cleanup object; its calls may overlap, its writes do not."""

    def __init__(self, api: CleanupApi, body: Body, *, clock: Callable[[], float] | None = None) -> None:
        """Prepare; nothing is sent.

        Args:
            api: where to write.
            body: the object as last read.
            clock: monotonic seconds; the running loop's time unless told otherwise.
        """
        self._api = api
        self._body = body
        self._logged = self.cleanup
        self._clock = clock or (lambda: asyncio.get_running_loop().time())
        self._kept: Callable[[FailedExecutionCleanup], CleanupStatus] | None = None
        self._not_before: float | None = None
        self._writing = asyncio.Lock()
        self._gone = False
        metadata = body["metadata"]
        self._namespace: str = metadata["namespace"]
        self._name: str = metadata["name"]
        self._uid: str = metadata["uid"]

    @property
    def gone(self) -> bool:
        """Whether the object was deleted; another one of its name does not count."""
        return self._gone

    @property
    def cleanup(self) -> FailedExecutionCleanup:
        """The object as last read or stored."""
        return FailedExecutionCleanup.model_validate(self._body)

    async def refresh(self) -> FailedExecutionCleanup:
        """Read the object again; when it is gone, `gone` is set and the last known one returned.

        Raises:
            KubernetesError: it could not be read.
        """
        async with self._writing:
            await self._reread()
        return self.cleanup

    async def write(self, make: Callable[[FailedExecutionCleanup], CleanupStatus], *, force: bool = False) -> None:
        """Bring the status up to date; never raises for trouble of the API.

        Within a second of the last write the status is only kept: the next call or `flush` writes the newest. The same
        happens when the write fails.

        Args:
            make: computes the status from the object as it is now; called again after a conflict.
            force: do not wait for the second to be over.
        """
        async with self._writing:
            self._kept = make
            if force or self._not_before is None or self._clock() >= self._not_before:
                await self._write_kept()

    async def flush(self) -> bool:
        """Write what was kept, at once; returns whether nothing is left to write."""
        async with self._writing:
            await self._write_kept()
            return self._kept is None

    async def settle(self) -> None:
        """Write what was kept as soon as that is allowed, and until it is stored; returns at once if nothing was kept."""
        while self._kept is not None:
            await asyncio.sleep(max(0.0, (self._not_before or 0.0) - self._clock()))
            await self.flush()

    async def ensure_finalizer(self) -> None:
        """Hold the object back from deletion, as long as a claim is held for it.

        Raises:
            KubernetesError: the finalizer is not there: the object is gone or being deleted, or the API cannot be used.
        """
        async with self._writing:
            await self._change_finalizers(lambda present: present if FINALIZER in present else [*present, FINALIZER])
            if self._gone:
                raise NotFound(f"{self._subject} is gone", status=404)

    async def drop_finalizer(self) -> None:
        """Let the object be deleted; other finalizers stay. An object that is gone needs nothing.

        Raises:
            KubernetesError: the finalizer may still be there.
        """
        async with self._writing:
            await self._change_finalizers(lambda present: [name for name in present if name != FINALIZER])

    async def _write_kept(self) -> None:
        make = self._kept
        if make is None:
            return
        try:
            if self._gone or await self._store(make):
                self._kept = None
        except KubernetesError as error:
            self._pause(error)
            logger.warning(
                "Status not written; it is tried again", extra={"object": self._subject, "cause": str(error)}
            )

    async def _store(self, make: Callable[[FailedExecutionCleanup], CleanupStatus]) -> bool:
        """Write a status; False if others changed the object each time.

        Raises:
            KubernetesError: nothing is known to be stored.
        """
        for _ in range(ATTEMPTS):
            patch = merge_patch(self._body.get("status") or {}, stored_form(make(self.cleanup)))
            if not patch:
                self._log()
                return True
            self._pause()
            try:
                self._body = await self._api.patch_status(
                    CLEANUPS, self._namespace, self._name, patch, resource_version=self._resource_version
                )
            except Conflict:
                await self._reread()
            except NotFound:
                self._gone = True
            else:
                self._log()
                return True
            if self._gone:
                return True
        logger.warning("Status not written: the object keeps changing", extra={"object": self._subject})
        return False

    def _log(self) -> None:
        """Log what changed since the last time: a write whose answer never came shows only when the object is read again."""
        stored = self.cleanup
        log_conditions(self._logged, stored.status)
        self._logged = stored

    async def _change_finalizers(self, change: Callable[[list[str]], list[str]]) -> None:
        conflict: Conflict | None = None
        for _ in range(ATTEMPTS):
            if self._gone:
                return
            present: list[str] = self._body["metadata"].get("finalizers") or []
            wanted = change(present)
            if wanted == present:
                return
            try:
                self._body = await self._api.set_finalizers(
                    CLEANUPS, self._namespace, self._name, wanted, resource_version=self._resource_version
                )
            except Conflict as error:
                conflict = error
                await self._reread()
            except NotFound:
                self._gone = True
            else:
                return
        if conflict is not None and not self._gone:
            raise conflict

    async def _reread(self) -> None:
        try:
            body = await self._api.get(CLEANUPS, self._namespace, self._name)
        except NotFound:
            self._gone = True
            return
        if body["metadata"]["uid"] != self._uid:
            self._gone = True
            return
        self._body = body

    def _pause(self, error: KubernetesError | None = None) -> None:
        asked = error.retry_after_seconds if isinstance(error, Unreachable) else None
        self._not_before = self._clock() + max(PAUSE_SECONDS, asked or 0.0)

    @property
    def _resource_version(self) -> str:
        metadata: dict[str, Any] = self._body["metadata"]
        return str(metadata["resourceVersion"])

    @property
    def _subject(self) -> str:
        return f"{CLEANUPS.kind} {self._namespace}/{self._name}"


def stored_form(status: CleanupStatus) -> Body:
    """A status as it is to be stored: an empty list says no more than an absent one."""
    return {key: value for key, value in status.to_kubernetes().items() if value != []}


@dataclass(frozen=True, slots=True)
class EventNote:
    """What an Event says about a transition; the arguments of `EventRecorder.record`."""

    type: EventType
    reason: str
    action: str
    note: str


_ACTIONS: Final = {
    ReasonKind.FINISHED: "Finish",
    ReasonKind.WORKING: "CleanUp",
    ReasonKind.WAITING: "Wait",
    ReasonKind.HELD: "Hold",
    ReasonKind.STALLED: "Stop",
}


def transitions(before: CleanupStatus, after: CleanupStatus) -> list[EventNote]:
    """What happened between two statuses and is worth an Event.

    A new reason of Ready (Warning when a person is needed), a completed phase, a waiver used, and drift (rule 18).
    """
    return [*_new_reason(before, after), *_completed(before, after), *_waived(before, after), *_drifted(before, after)]


def _new_reason(before: CleanupStatus, after: CleanupStatus) -> Iterator[EventNote]:
    was, ready = _condition(before, ConditionType.READY), _condition(after, ConditionType.READY)
    if ready is None or (was is not None and was.reason == ready.reason):
        return
    stalled = _condition(after, ConditionType.STALLED) is not None
    action = _ACTIONS[Reason(ready.reason).kind]
    yield EventNote("Warning" if stalled else "Normal", ready.reason, action, ready.message)


def _completed(before: CleanupStatus, after: CleanupStatus) -> Iterator[EventNote]:
    earlier = {phase.name for phase in before.phases if phase.state is PhaseState.COMPLETED}
    for phase in after.phases:
        if phase.state is PhaseState.COMPLETED and phase.name not in earlier:
            action = phase.name.value.title().replace("-", "")
            counted = f" ({phase.total} of {phase.total})" if phase.total else ""
            yield EventNote("Normal", "PhaseCompleted", action, f"Phase {phase.name} is completed{counted}.")


def _waived(before: CleanupStatus, after: CleanupStatus) -> Iterator[EventNote]:
    earlier = {(used.reason, used.object) for used in before.waivers_used}
    for used in after.waivers_used:
        if (used.reason, used.object) not in earlier:
            note = f"The waiver {used.reason} for {used.object} was used: the cleanup would have stopped without it."
            yield EventNote("Warning", "WaiverUsed", "CleanUp", note)


def _drifted(before: CleanupStatus, after: CleanupStatus) -> Iterator[EventNote]:
    drift, told = _condition(after, ConditionType.DRIFTED), _condition(before, ConditionType.DRIFTED)
    if drift is not None and (told is None or told.message != drift.message):
        yield EventNote("Warning", drift.reason, "Observe", drift.message)


def _condition(status: CleanupStatus, type_: ConditionType) -> Condition | None:
    """A condition, unless it is one that is abnormal when true and is not true."""
    found = get_condition(status.conditions, type_)
    if found is None or (type_ is not ConditionType.READY and found.status is not ConditionStatus.TRUE):
        return None
    return found
