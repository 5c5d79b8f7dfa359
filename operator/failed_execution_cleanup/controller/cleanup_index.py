"""What is known of every cleanup without asking: fed by the watch that sees each of them anyway.

An entry is a handful of short texts, so ten thousand finished cleanups cost a few megabytes and no request. Nothing is decided by it:
whoever acts reads the object first.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from failed_execution_cleanup.controller.metrics import CleanupCensus, CleanupCount
from failed_execution_cleanup.controller.reporter import CLEAN_ENDS
from failed_execution_cleanup.detection.drift import FinishedCleanup
from failed_execution_cleanup.resources.reasons import ConditionType, Reason, ReasonKind

Key = tuple[str, str]
"""Namespace and name."""

_GOING_ON: Final = frozenset({"working", "waiting"})
"""States that end by themselves."""


@dataclass(frozen=True, slots=True)
class IndexedCleanup:
    """One cleanup as last seen.

    Attributes:
        job_id: failover job it is bound to, by its spec or its status.
        finished: what it reached, if it ended clean.
        drifted: message of the condition Drifted; None where it has none.
        correcting: whether its spec asks for drift to be put right.
        state: working, waiting, stalled, suspended, planned or finished.
        reason: that of its condition Ready.
        since: when what it does now was asked for, in seconds since the epoch.
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
    state: str
    reason: str
    since: float

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

    def census(self) -> CleanupCensus:
        """All cleanups by appliance, namespace, state and reason, and since when the oldest works or waits."""
        tally: Counter[tuple[str, str, str, str]] = Counter()
        oldest: dict[str, float] = {}
        for appliance, entries in self._entries.items():
            for entry in entries.values():
                tally[appliance, entry.key[0], entry.state, entry.reason] += 1
                if entry.state in _GOING_ON:
                    oldest[appliance] = min(entry.since, oldest.get(appliance, entry.since))
        return CleanupCensus(
            tuple(CleanupCount(*labels, count) for labels, count in tally.items()), tuple(oldest.items())
        )

    def __len__(self) -> int:
        return len(self._appliance_of)


def _entry(body: Mapping[str, Any]) -> IndexedCleanup:
    metadata, spec, status = body["metadata"], body.get("spec") or {}, body.get("status") or {}
    state, reason = _state(status)
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
        state=state,
        reason=reason,
        since=_since(metadata, status),
    )


def _state(status: Mapping[str, Any]) -> tuple[str, str]:
    """State and reason; one that nobody looked at yet is queued."""
    ready = next((c for c in _conditions(status) if c["type"] == ConditionType.READY), None)
    try:
        reason = Reason.QUEUED if ready is None else Reason(ready["reason"])
    except ValueError:
        return "waiting", "Unknown"  # another version wrote it: the next look writes one of ours
    if reason.kind is ReasonKind.HELD:
        return "suspended" if reason is Reason.SUSPENDED else "planned", reason.value
    return reason.kind.value, reason.value


def _since(metadata: Mapping[str, Any], status: Mapping[str, Any]) -> float:
    """When its run began, or else it was created; one that was asked for again and did not begin yet: when Ready changed."""
    asked_again = next((c["lastTransitionTime"] for c in _conditions(status) if c["type"] == ConditionType.READY), None)
    stamp = status.get("startedAt") or (asked_again if status.get("history") else None)
    return datetime.fromisoformat(stamp or metadata["creationTimestamp"]).timestamp()


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
