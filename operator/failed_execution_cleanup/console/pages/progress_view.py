"""What the page of one cleanup shows: how far it is, what it waits for, and what a person may ask of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from failed_execution_cleanup.client import EndingState, ending
from failed_execution_cleanup.console.outlines import AT_WORK
from failed_execution_cleanup.console.pages.cards_view import cleanup_address, vm_address
from failed_execution_cleanup.console.pages.dialog_view import ActionLine, LeftoverLine
from failed_execution_cleanup.console.pages.offers import CleanupOffers
from failed_execution_cleanup.console.pages.wording import ENDINGS, HOLDERS, LEFTOVERS, PHASES, in_words, planned_words
from failed_execution_cleanup.controller.reason_link import linked, page_of
from failed_execution_cleanup.recovery.actions import Phase
from failed_execution_cleanup.reports import Report, report_of
from failed_execution_cleanup.resources.cleanup import (
    FailedExecutionCleanup,
    Holder,
    PhaseState,
    Run,
    UsedWaiver,
    VolumeStatus,
)
from failed_execution_cleanup.resources.reasons import Reason

__all__ = ["Ask", "PhaseProgress", "ProgressView", "VolumeProgress", "progress_view"]

_APPROVABLE: Final = frozenset({Reason.PLAN_READY.value, Reason.AWAITING_APPROVAL.value})
_ID: Final = re.compile(r" \([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\)")
"""An id in a message, beside the name of what it belongs to."""
_RERUN: Final = frozenset({EndingState.CLEAN, EndingState.NEEDS_PERSON})


@dataclass(frozen=True, slots=True)
class Ask:
    """Something that a person may ask of the cleanup.

    Attributes:
        verb: last part of the address it is sent to.
        main: it is what most people want now.
    """

    verb: str
    words: str
    main: bool = False


@dataclass(frozen=True, slots=True)
class PhaseProgress:
    """One of the five actions.

    Attributes:
        state: as in the resource.
        done: objects that are done.
        total: objects there are; 0 where nobody counted.
        seconds: from its beginning to its end; None before either.
    """

    words: str
    state: str
    message: str
    done: int
    total: int
    requests: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True)
class VolumeProgress:
    """One volume.

    Attributes:
        doing: the action in flight, or the last one.
        home: it is where it belongs.
    """

    id: str
    disk: str
    name: str
    holder: str
    home: bool
    state: str
    snapshots: int | None
    doing: str
    message: str


@dataclass(frozen=True, slots=True)
class ProgressView:
    """The page of a cleanup.

    Attributes:
        state: in words.
        kind: that of the state, for its colour.
        message: what happens, or why nothing does.
        remedy: what a person does next; empty where nobody has to.
        page: where the reason is explained; empty where there is nothing to explain.
        over: nothing happens any more unless somebody asks.
        asks: what the caller may ask now.
        dialog: where a stop can be waived; None where there is none, or nobody may.
        plan: actions that wait for an approval.
        requests: sent to the cloud and the Volume Daemon by the latest run.
    """

    name: str
    namespace: str
    address: str
    vm_name: str
    appliance: str
    vm_href: str | None
    state: str
    kind: str
    reason: str
    message: str
    remedy: str
    page: str
    over: bool
    asks: tuple[Ask, ...]
    dialog: str | None
    phases: tuple[PhaseProgress, ...]
    summary: str
    volumes: tuple[VolumeProgress, ...]
    queue_position: int | None
    next_attempt_at: datetime | None
    plan: tuple[ActionLine, ...]
    plan_hash: str
    leftovers: tuple[LeftoverLine, ...]
    waivers: tuple[UsedWaiver, ...]
    suspect: str
    drift: str
    report: Report
    runs: tuple[Run, ...]
    requests: int


def progress_view(cleanup: FailedExecutionCleanup, offers: CleanupOffers, docs_url: str) -> ProgressView:
    """The page of a cleanup as it is.

    Args:
        cleanup: the resource.
        offers: what the caller may ask of it, as far as his rights go.
        docs_url: where the reasons are explained.
    """
    spec, status, metadata = cleanup.spec, cleanup.status, cleanup.metadata
    end, report = ending(cleanup), report_of(cleanup)
    namespace = metadata.namespace or ""
    vm_href = vm_address(spec.appliance_ref.name, status.context.id) if status.context is not None else None
    approvable = end.reason in _APPROVABLE and status.plan_hash is not None
    reason = _known(end.reason)
    waivable = end.state is EndingState.NEEDS_PERSON and reason is not None and reason.waiver is not None
    return ProgressView(
        name=metadata.name,
        namespace=namespace,
        address=cleanup_address(namespace, metadata.name),
        vm_name=spec.vm_name,
        appliance=spec.appliance_ref.name,
        vm_href=vm_href,
        state=ENDINGS[end.state],
        kind=end.state.value,
        reason=in_words(end.reason),
        message=_told(end.message, reason, end.state),
        remedy=end.remedy if end.state not in {EndingState.CLEAN, EndingState.WORKING} else "",
        page=page_of(reason, docs_url) if docs_url and reason is not None and end.state not in AT_WORK else "",
        over=end.over,
        asks=tuple(_asks(cleanup, end.state, offers, approvable=approvable)),
        dialog=vm_href if waivable and offers.amend else None,
        phases=tuple(_phases(report)),
        summary=status.phase_summary or "0/5",
        volumes=tuple(_volume(volume, working=end.state in AT_WORK) for volume in status.volumes),
        queue_position=status.queue_position if end.state in AT_WORK else None,
        next_attempt_at=status.next_attempt_at if end.state in AT_WORK else None,
        plan=tuple(ActionLine(planned_words(e.action), e.object, e.why) for e in status.plan) if approvable else (),
        plan_hash=status.plan_hash or "" if approvable else "",
        leftovers=tuple(LeftoverLine(LEFTOVERS[each.kind.value], each.id, each.message) for each in status.leftovers),
        waivers=status.waivers_used,
        suspect=report.verdict.suspect or "",
        drift=report.verdict.drift or "",
        report=report,
        runs=report.history,
        requests=report.requests,
    )


def _known(reason: str) -> Reason | None:
    try:
        return Reason(reason)
    except ValueError:  # of a newer operator
        return None


def _told(message: str, reason: Reason | None, state: EndingState) -> str:
    if message:
        told = linked(message, reason, "") if reason is not None else message
        return _ID.sub("", told) if state in AT_WORK else told
    return "The operator takes it up in a moment." if state is EndingState.WORKING else ""


def _asks(
    cleanup: FailedExecutionCleanup, state: EndingState, offers: CleanupOffers, *, approvable: bool
) -> Iterator[Ask]:
    if approvable and offers.proceed:
        yield Ask("approve", "Approve this plan", main=True)
    if state is EndingState.SUSPENDED and (offers.amend if cleanup.spec.suspend else offers.proceed):
        yield Ask("resume", "Resume", main=True)
    if state in _RERUN and offers.proceed:
        yield Ask("rerun", "Run again")
    if not cleanup.suspended and (state in AT_WORK or approvable) and offers.pause:
        yield Ask("suspend", "Suspend")


def _phases(report: Report) -> Iterator[PhaseProgress]:
    """All five, also before anybody looked."""
    known = {phase.name: phase for phase in report.phases}
    for name, words in PHASES.items():
        phase = known.get(Phase(name).value)
        if phase is None:
            yield PhaseProgress(words, PhaseState.PENDING.value, "", 0, 0, None, None)
            continue
        seconds = phase.duration.total_seconds() if phase.duration is not None else None
        yield PhaseProgress(
            words, phase.state, _ID.sub("", phase.message), phase.done or 0, phase.total or 0, phase.requests, seconds
        )


def _volume(volume: VolumeStatus, *, working: bool) -> VolumeProgress:
    doing = planned_words(volume.step) if volume.step else ""
    return VolumeProgress(
        id=volume.id,
        disk=volume.disk or "",
        name=volume.name or volume.id,
        holder=HOLDERS[volume.holder],
        home=volume.holder is Holder.OMA,
        state=volume.state or "",
        snapshots=volume.snapshots,
        doing=doing if working else "",
        message=_ID.sub("", volume.message or ""),
    )
