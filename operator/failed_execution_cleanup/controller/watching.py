"""Kopf as the Kubernetes shell: it watches, and every change that matters becomes a key in our own queue.

Kopf writes nothing to the resources: only `on.event` is used, which never sets a finalizer or an annotation. Our own status
writes and finished, unchanged resources are not queued, so ten thousand of them cost a tuple each.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple

import kopf

from failed_execution_cleanup.controller.cleanup_index import CleanupIndex
from failed_execution_cleanup.controller.kubernetes_api import CHUNK, CLEANUPS, KubernetesApi, KubernetesError, NotFound
from failed_execution_cleanup.controller.reconcile import Key, is_settled
from failed_execution_cleanup.controller.retention import Retention
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import (
    APPLIANCE_PLURAL,
    APPROVED_PLAN_ANNOTATION,
    CLEANUP_PLURAL,
    FINALIZER,
    GROUP,
    REQUESTED_AT_ANNOTATION,
    SUSPENDED_ANNOTATION,
    VERSION,
)
from failed_execution_cleanup.run.queue import Lane, WorkQueue

logger = logging.getLogger(__name__)

_BREATH_SECONDS: Final = 0.2
"""Pause between two pages of the list of all cleanups."""
_ANNOTATIONS: Final = (REQUESTED_AT_ANNOTATION, APPROVED_PLAN_ANNOTATION, SUSPENDED_ANNOTATION)


class _Said(IntEnum):
    """How much a status says. We never take anything back without a change of the mark: a restore from a backup does."""

    NOTHING = 0
    SOMETHING = 1
    END = 2


Mark = tuple[str, int, bool, tuple[str | None, ...]]


class _Sight(NamedTuple):
    """What is remembered of a cleanup: plain values only, which the garbage collector need not visit."""

    version: str
    mark: Mark
    said: _Said


class Watching:
    """Turns watch events into keys."""

    def __init__(
        self,
        queue: WorkQueue[Key],
        appliances: WorkQueue[str],
        served: tuple[str, ...] = (),
        retention: Retention | None = None,
        index: CleanupIndex | None = None,
    ) -> None:
        """Prepare; `register` connects it to Kopf.

        Args:
            queue: gets the keys of cleanups.
            appliances: gets the names of Appliances.
            served: only these Appliances; all if empty.
            retention: sees every cleanup, so that it knows when to delete it.
            index: sees every cleanup, so that scans need not ask for them.
        """
        self._queue = queue
        self._appliances = appliances
        self._served = served
        self._retention = retention
        self._index = index
        self._generations: dict[str, tuple[str, int]] = {}
        self._seen: dict[Key, _Sight] = {}

    def register(self, registry: kopf.OperatorRegistry) -> None:
        """Register the one handler, and settings measured for thousands of resources."""
        kopf.on.event(GROUP, VERSION, CLEANUP_PLURAL, registry=registry)(self._on_event)
        kopf.on.event(GROUP, VERSION, APPLIANCE_PLURAL, registry=registry)(self._on_appliance)
        kopf.on.startup(registry=registry)(_configure)

    async def _on_event(self, type: str | None, body: Mapping[str, Any], **_: Any) -> None:  # noqa: A002 - Kopf's name
        self.see(type, body)

    async def _on_appliance(self, type: str | None, body: Mapping[str, Any], **_: Any) -> None:  # noqa: A002 - Kopf's name
        name = body["metadata"]["name"]
        mark = (body["metadata"]["uid"], body["metadata"].get("generation", 0))
        if type == "DELETED":
            self._generations.pop(name, None)
            for other in self._generations:
                self._appliances.add(other, Lane.CHANGE)  # the one it was refused for may be gone
        elif self._generations.get(name) != mark and (not self._served or name in self._served):
            self._generations[name] = mark
            self._appliances.add(name, Lane.CHANGE)

    def see(self, kind: str | None, body: Mapping[str, Any]) -> None:
        """Take in one event.

        Args:
            kind: `ADDED`, `MODIFIED`, `DELETED`, or None for the initial listing and every re-listing.
            body: the object.
        """
        metadata = body["metadata"]
        key: Key = (metadata["namespace"], metadata["name"])
        if kind == "DELETED":
            self._forget(key)
            return
        if kind is None and self._is_known(key, metadata):
            return  # a list of thousands that did not change must not hold up those who work
        if self._retention is not None:
            self._retention.see(body)
        if self._index is not None:
            self._index.see(body)
        annotations = metadata.get("annotations") or {}
        deleting = "deletionTimestamp" in metadata
        mark: Mark = (
            metadata["uid"],
            metadata.get("generation", 0),
            deleting,
            tuple(annotations.get(name) for name in _ANNOTATIONS),
        )
        known, said = self._seen.get(key), _said_in(body)
        self._seen[key] = _Sight(metadata["resourceVersion"], mark, said)
        if known is not None and known.mark == mark and said >= known.said:
            return
        lane = self._lane(body, deleting=deleting, known=known is not None, listed=kind is None)
        if lane is not None:
            group = body.get("spec", {}).get("applianceRef", {}).get("name")
            self._queue.add(key, lane, group=group)

    async def keep_in_step(self, api: KubernetesApi, namespaces: Sequence[str], seconds: float) -> None:
        """List all cleanups every so often, so that an event that never came costs minutes and not a cleanup.

        Args:
            api: where to list.
            namespaces: where they are; everywhere if empty.
            seconds: pause between two lists.
        """
        while True:
            await asyncio.sleep(seconds)
            try:
                await self._compare(api, namespaces)
            except KubernetesError as error:
                logger.warning("Cannot list cleanups; it is tried again", extra={"cause": str(error)})

    async def _compare(self, api: KubernetesApi, namespaces: Sequence[str]) -> None:
        """Hold the versions of all cleanups against what is known, and read only what differs.

        The list is one of the moment it began, and is read without haste, so that it holds up nobody who works: what it says of a
        cleanup may be old, what is read by name is not.
        """
        known, listed = set(self._seen), set[Key]()
        for namespace in namespaces or (None,):
            async for body in api.list(CLEANUPS, namespace, only_metadata=True):
                metadata = body["metadata"]
                key: Key = (metadata["namespace"], metadata["name"])
                listed.add(key)
                if not self._is_known(key, metadata):
                    await self._read(api, key)
                if len(listed) % CHUNK == 0:
                    await asyncio.sleep(_BREATH_SECONDS)
        for key in known - listed:
            await self._read(api, key)

    async def _read(self, api: KubernetesApi, key: Key) -> None:
        try:
            body = await api.get(CLEANUPS, *key)
        except NotFound:
            self._forget(key)
        else:
            self.see(None, body)

    def _is_known(self, key: Key, metadata: Mapping[str, Any]) -> bool:
        seen = self._seen.get(key)
        return seen is not None and seen.version == metadata["resourceVersion"] and seen.mark[0] == metadata["uid"]

    def _forget(self, key: Key) -> None:
        if self._retention is not None:
            self._retention.forget(key)
        if self._index is not None:
            self._index.forget(key)
        self._seen.pop(key, None)

    def _lane(self, body: Mapping[str, Any], *, deleting: bool, known: bool, listed: bool) -> Lane | None:
        ours = FINALIZER in (body["metadata"].get("finalizers") or ())
        if deleting:
            return Lane.DELETION if ours else None
        if known:
            return Lane.CHANGE
        if not ours and is_settled(FailedExecutionCleanup.model_validate(body)):
            return None
        return Lane.STARTUP if listed else Lane.CHANGE


def _said_in(body: Mapping[str, Any]) -> _Said:
    if not (body.get("status") or {}).get("conditions"):
        return _Said.NOTHING
    return _Said.END if is_settled(FailedExecutionCleanup.model_validate(body)) else _Said.SOMETHING


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.1
    settings.persistence.finalizer = f"{GROUP}/kopf-unused"
    settings.process.ultimate_exiting_timeout = 60
