"""What the lists show beside the VMs: the cleanups, newest first, and the appliances. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.outlines import AT_WORK, Outline, newest_first
from failed_execution_cleanup.console.pages.addresses import address, digest
from failed_execution_cleanup.console.pages.cards_view import StateChoice, cleanup_address
from failed_execution_cleanup.console.pages.wording import ENDINGS, in_words
from failed_execution_cleanup.console.paging import page
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.conditions import ConditionStatus, get_condition
from failed_execution_cleanup.resources.reasons import ConditionType

__all__ = [
    "ApplianceView",
    "CleanupFilter",
    "CleanupList",
    "CleanupRow",
    "Health",
    "appliance_view",
    "cleanup_list",
]

PAGE_SIZE: Final = 50
_PARTS: Final = {
    ConditionType.READY: "Appliance",
    ConditionType.DATABASE_REACHABLE: "OMA database",
    ConditionType.VOLUME_DAEMON_REACHABLE: "Volume Daemon",
    ConditionType.OSSEA_REACHABLE: "OSSEA",
    ConditionType.SCANNED: "Last scan",
}


@dataclass(frozen=True, slots=True)
class CleanupFilter:
    """Which cleanups are looked for.

    Attributes:
        only: `namespace/name` of those that are wanted; all if empty.
        cursor: begins after a cleanup of the page before.
    """

    state: EndingState | None = None
    text: str = ""
    appliance: str | None = None
    only: tuple[str, ...] = ()
    cursor: str | None = None

    def query(self, **other: str) -> dict[str, str]:
        """It as a query, with other values for some names; an empty one says nothing."""
        return {
            "state": self.state.value if self.state is not None else "",
            "q": self.text,
            "appliance": self.appliance or "",
            "only": ",".join(self.only),
            "cursor": self.cursor or "",
            **other,
        }

    def address(self, **other: str) -> str:
        """The list with it."""
        return address("/history", self.query(**other))


@dataclass(frozen=True, slots=True)
class CleanupRow:
    """One cleanup in the list.

    Attributes:
        id: of its element.
        kind: that of the state, for its colour.
        reason: in words; empty while it works.
        message: what it waits for, or what a person does next.
    """

    id: str
    href: str
    vm_name: str
    appliance: str
    state: str
    kind: str
    reason: str
    message: str
    done: str
    queue_position: int | None
    requested_by: str
    note: str
    created_at: datetime
    completed_at: datetime | None


@dataclass(frozen=True, slots=True)
class CleanupList:
    """A page of cleanups.

    Attributes:
        open: how many of all that were asked for go on.
        beyond: address of the next page.
        first: address of the first page, where this is another.
    """

    rows: tuple[CleanupRow, ...]
    choices: tuple[StateChoice, ...]
    total: int
    open: int
    beyond: str | None
    first: str | None


@dataclass(frozen=True, slots=True)
class Health:
    """A part of an appliance.

    Attributes:
        state: `good`, `bad` or `unknown`.
    """

    words: str
    state: str
    message: str


@dataclass(frozen=True, slots=True)
class ApplianceView:
    """One appliance.

    Attributes:
        id: of its element.
        working: cleanups at work, as far as the caller may see them.
        queued: those of them that wait for their turn.
        needing: those that need a person.
        versions: what was found behind the addresses.
    """

    id: str
    name: str
    healths: tuple[Health, ...]
    stuck: int | None
    working: int
    queued: int
    needing: int
    limit: int
    last_scan: datetime | None
    interval_seconds: int
    detection: str
    versions: tuple[tuple[str, str], ...]


def cleanup_list(every: Sequence[Outline], wanted: CleanupFilter) -> CleanupList:
    """A page of cleanups, newest first.

    Args:
        every: all that the caller may see.
        wanted: which of them.

    Raises:
        InvalidCursor: the filter's cursor is of no page.
    """
    text = wanted.text.casefold()
    named = [
        each
        for each in every
        if text in each.vm_name.casefold()
        and wanted.appliance in (None, each.appliance)
        and (not wanted.only or f"{each.namespace}/{each.name}" in wanted.only)
    ]
    counts = Counter(each.state for each in named)
    fitting = sorted((each for each in named if wanted.state in (None, each.state)), key=newest_first)
    part = page(fitting, newest_first, limit=PAGE_SIZE, cursor=wanted.cursor)
    return CleanupList(
        rows=tuple(_row(each) for each in part.items),
        choices=(
            StateChoice("", "All", len(named), wanted.state is None),
            *(StateChoice(s.value, ENDINGS[s], counts[s], s is wanted.state) for s in EndingState),
        ),
        total=len(fitting),
        open=sum(each.state in AT_WORK for each in named),
        beyond=wanted.address(cursor=part.cursor) if part.cursor is not None else None,
        first=wanted.address(cursor="") if wanted.cursor is not None else None,
    )


def appliance_view(appliance: Appliance, cleanups: Iterable[Outline]) -> ApplianceView:
    """An appliance.

    Args:
        appliance: the resource.
        cleanups: those that the caller may see, of any Appliance.
    """
    name, spec, status = appliance.metadata.name, appliance.spec, appliance.status
    ours = [each for each in cleanups if each.appliance == name]
    versions = status.versions
    found = {
        "Database": versions.database if versions is not None else None,
        "Tables": versions.schema_ if versions is not None else None,
        "Volume Daemon": versions.volume_daemon if versions is not None else None,
        "OSSEA": versions.ossea if versions is not None else None,
    }
    return ApplianceView(
        id=f"appliance-{digest(name)}",
        name=name,
        healths=tuple(_health(appliance, type_, words) for type_, words in _PARTS.items()),
        stuck=status.stuck_vms,
        working=sum(each.state in AT_WORK for each in ours),
        queued=sum(each.queue_position is not None and each.state in AT_WORK for each in ours),
        needing=sum(each.state is EndingState.NEEDS_PERSON for each in ours),
        limit=spec.limits.cleanups,
        last_scan=status.last_scan_time,
        interval_seconds=spec.detection.interval_seconds,
        detection=spec.detection.action.value,
        versions=tuple((part, version) for part, version in found.items() if version),
    )


def _health(appliance: Appliance, type_: ConditionType, words: str) -> Health:
    condition = get_condition(appliance.status.conditions, type_)
    if condition is None or condition.status is ConditionStatus.UNKNOWN:
        return Health(words, "unknown", condition.message if condition is not None else "Nobody looked yet.")
    good = condition.status is ConditionStatus.TRUE
    return Health(words, "good" if good else "bad", condition.message or in_words(condition.reason))


def _row(seen: Outline) -> CleanupRow:
    working = seen.state is EndingState.WORKING
    return CleanupRow(
        id=f"cleanup-{digest(f'{seen.namespace}/{seen.name}')}",
        href=cleanup_address(seen.namespace, seen.name),
        vm_name=seen.vm_name,
        appliance=seen.appliance,
        state=ENDINGS[seen.state],
        kind=seen.state.value,
        reason="" if working else in_words(seen.reason),
        message=seen.message,
        done=seen.phase_summary or "",
        queue_position=seen.queue_position if seen.state in AT_WORK else None,
        requested_by=seen.requested_by or "",
        note=seen.note or "",
        created_at=seen.created_at,
        completed_at=seen.completed_at,
    )
