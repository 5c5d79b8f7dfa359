"""What is known of every cleanup without asking: fed by the watch that sees each of them anyway.

An entry is a handful of short texts, so ten thousand finished cleanups cost a few megabytes and no request. Nothing is decided by it:
whoever acts reads the object first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from failed_execution_cleanup.controller.reporter import CLEAN_ENDS
from failed_execution_cleanup.detection.drift import FinishedCleanup
from failed_execution_cleanup.resources.reasons import ConditionType

Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class IndexedCleanup:
    """One cleanup as last seen.

    Attributes:
        job_id: failover job it is bound to, by its spec or its status.
        finished: what it reached, if it ended clean.
        drifted: message of the condition Drifted; None where it has none.
        correcting: whether its spec asks for drift to be put right.
    """

    key: Key
    uid: str
    appliance: str
    vm_name: str
    vcenter_host: str | None
    job_id: str | None
    finished: FinishedCleanup | None
    drifted: str | None
    correcting: bool

    def is_of(self, vm_name: str, vcenter_host: str, job_id: str) -> bool:
        """Whether it cleans up after this job, or is about to be bound to it."""
        if self.job_id is not None:
            return self.job_id == job_id
        return self.vm_name == vm_name and self.vcenter_host in (None, vcenter_host)


class CleanupIndex:
    """All cleanups, by appliance."""

    def __init__(self) -> None:
        self._appliance_of: dict[Key, str] = {}
        self._entries: defaultdict[str, dict[Key, IndexedCleanup]] = defaultdict(dict)

    def see(self, body: Mapping[str, Any]) -> None:
        """Take in a cleanup as it is now."""
        entry = _entry(body)
        self.forget(entry.key)
        self._appliance_of[entry.key] = entry.appliance
        self._entries[entry.appliance][entry.key] = entry

    def forget(self, key: Key) -> None:
        """A cleanup is gone."""
        appliance = self._appliance_of.pop(key, None)
        if appliance is not None:
            self._entries[appliance].pop(key, None)

    def of(self, appliance: str) -> tuple[IndexedCleanup, ...]:
        """The cleanups of an Appliance."""
        return tuple(self._entries.get(appliance, {}).values())

    def __len__(self) -> int:
        return len(self._appliance_of)


def _entry(body: Mapping[str, Any]) -> IndexedCleanup:
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    job_id = spec.get("failoverJobID") or (status.get("failedJob") or {}).get("id")
    drifted = next((c for c in _conditions(status) if c["type"] == ConditionType.DRIFTED), None)
    return IndexedCleanup(
        key=(metadata["namespace"], metadata["name"]),
        uid=metadata["uid"],
        appliance=(spec.get("applianceRef") or {}).get("name", ""),
        vm_name=spec.get("vmName", ""),
        vcenter_host=spec.get("vcenterHost"),
        job_id=job_id,
        finished=None if "deletionTimestamp" in metadata else _finished(status, job_id),
        drifted=None if drifted is None else str(drifted.get("message", "")),
        correcting=spec.get("driftPolicy") == "Correct",
    )


def _finished(status: Mapping[str, Any], job_id: str | None) -> FinishedCleanup | None:
    context_id, ended = (status.get("context") or {}).get("id"), status.get("completedAt")
    ready = next((c for c in _conditions(status) if c["type"] == ConditionType.READY), None)
    if ready is None or ready["status"] != "True" or ready.get("reason") not in CLEAN_ENDS:
        return None
    if job_id is None or context_id is None or ended is None:
        return None
    return FinishedCleanup(context_id, job_id, datetime.fromisoformat(ended))


def _conditions(status: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from status.get("conditions") or ()
