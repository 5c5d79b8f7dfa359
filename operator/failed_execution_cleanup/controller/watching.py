"""Kopf as the Kubernetes shell: it watches, and every change that matters becomes a key in our own queue.

Kopf writes nothing to the resources: only `on.event` is used, which never sets a finalizer or an annotation. Our own status
writes and finished, unchanged resources are not queued, so ten thousand of them cost a tuple each.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Final

import kopf

from failed_execution_cleanup.controller.reconcile import Key, is_settled
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

_ANNOTATIONS: Final = (REQUESTED_AT_ANNOTATION, APPROVED_PLAN_ANNOTATION, SUSPENDED_ANNOTATION)

Mark = tuple[str, int, bool, tuple[str | None, ...]]


class Watching:
    """Turns watch events into keys."""

    def __init__(self, queue: WorkQueue[Key], appliances: WorkQueue[str], served: tuple[str, ...] = ()) -> None:
        """Prepare; `register` connects it to Kopf.

        Args:
            queue: gets the keys of cleanups.
            appliances: gets the names of Appliances.
            served: only these Appliances; all if empty.
        """
        self._queue = queue
        self._appliances = appliances
        self._served = served
        self._generations: dict[str, tuple[str, int]] = {}
        self._seen: dict[Key, Mark] = {}
        self._told: set[Key] = set()

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
            self._seen.pop(key, None)
            self._told.discard(key)
            return
        annotations = metadata.get("annotations") or {}
        deleting = "deletionTimestamp" in metadata
        mark: Mark = (
            metadata["uid"],
            metadata.get("generation", 0),
            deleting,
            tuple(annotations.get(name) for name in _ANNOTATIONS),
        )
        before = self._seen.get(key)
        self._seen[key] = mark
        erased = self._erased(key, body)
        if before == mark and not erased:
            return
        lane = self._lane(body, deleting=deleting, known=before is not None, listed=kind is None)
        if lane is not None:
            group = body.get("spec", {}).get("applianceRef", {}).get("name")
            self._queue.add(key, lane, group=group)

    def _erased(self, key: Key, body: Mapping[str, Any]) -> bool:
        """Whether the status lost all it said, by a restore from a backup or by hand."""
        if (body.get("status") or {}).get("conditions"):
            self._told.add(key)
            return False
        erased = key in self._told
        self._told.discard(key)
        return erased

    def _lane(self, body: Mapping[str, Any], *, deleting: bool, known: bool, listed: bool) -> Lane | None:
        ours = FINALIZER in (body["metadata"].get("finalizers") or ())
        if deleting:
            return Lane.DELETION if ours else None
        if known:
            return Lane.CHANGE
        if not ours and is_settled(FailedExecutionCleanup.model_validate(body)):
            return None
        return Lane.STARTUP if listed else Lane.CHANGE


async def _configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.enabled = False
    settings.watching.chunk_size = 500
    settings.queueing.idle_timeout = 0.1
    settings.persistence.finalizer = f"{GROUP}/kopf-unused"
    settings.process.ultimate_exiting_timeout = 60
