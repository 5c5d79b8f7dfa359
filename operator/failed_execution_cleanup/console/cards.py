"""From surveys and cleanups to cards: one for each protected VM. Pure: no I/O, no clock."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from failed_execution_cleanup.appliance.database import ContextOutline
from failed_execution_cleanup.console.outlines import AT_WORK, Outline
from failed_execution_cleanup.console.survey import FailoverSeen, Survey
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.step_names import step_words

__all__ = ["Card", "CardState", "Incident", "cards", "matching"]


class CardState(StrEnum):
    """How a VM is."""

    STUCK = "stuck"
    """A failover hangs, and no cleanup is at work on it."""

    RUNNING = "running"
    """A failover, a rollback or a cleanup is at work."""

    UNKNOWN = "unknown"
    """Its rows cannot be understood."""

    CLEAN = "clean"
    """Nothing hangs."""


_ORDER: Final = tuple(CardState)


@dataclass(frozen=True, slots=True)
class Incident:
    """The failover that hangs or is at work, in words for people.

    Attributes:
        operation: such as `test failover`.
        last_step: what it did last, in the product's own display names.
        blocked_by: what would keep a cleanup from running now.
    """

    job_id: str
    operation: str
    live: bool
    last_step: str | None
    blocked_by: Reason | None


@dataclass(frozen=True, slots=True)
class Card:
    """One protected VM.

    Attributes:
        context_status: as the product spells it.
        stuck_since: the last sign of life of a failover that hangs.
        problem: why nothing can be said of it.
        cleanup: the one of its failed job, else its newest; None where there is none, or the caller may not see it.
    """

    appliance: str
    context_id: str
    vm_name: str
    vcenter_host: str
    context_status: str
    state: CardState
    incident: Incident | None
    stuck_since: datetime | None
    problem: str
    cleanup: Outline | None

    @property
    def place(self) -> tuple[int, str, str, str]:
        """Where it stands: what needs somebody comes first, then by name. Unique, so that a page can begin after it."""
        return _ORDER.index(self.state), self.vm_name.casefold(), self.appliance, self.context_id


def cards(surveys: Iterable[Survey], cleanups: Collection[Outline]) -> list[Card]:
    """The cards of some appliances, in their order.

    Args:
        surveys: of these appliances.
        cleanups: those that the caller may see.
    """
    by_vm: defaultdict[tuple[str, str], list[Outline]] = defaultdict(list)
    for cleanup in cleanups:
        by_vm[cleanup.appliance, cleanup.vm_name].append(cleanup)
    found = [
        _card(survey, context, by_vm.get((survey.appliance, context.vm_name), ()))
        for survey in surveys
        for context in survey.contexts
    ]
    return sorted(found, key=lambda card: card.place)


def matching(found: Iterable[Card], *, state: CardState | None, text: str) -> Iterator[Card]:
    """Those in a state (None: any) whose VM's name holds a text, capitals or not."""
    wanted = text.casefold()
    for card in found:
        if state in (None, card.state) and wanted in card.vm_name.casefold():
            yield card


def _card(survey: Survey, context: ContextOutline, cleanups: Collection[Outline]) -> Card:
    failover = survey.failovers.get(context.context_id)
    cleanup = _cleanup(context, failover, cleanups)
    problem = survey.unreadable.get(context.context_id, "")
    return Card(
        appliance=survey.appliance,
        context_id=context.context_id,
        vm_name=context.vm_name,
        vcenter_host=context.vcenter_host,
        context_status=context.status,
        state=_state(failover, cleanup, problem),
        incident=_incident(failover),
        stuck_since=failover.since if failover is not None and failover.stuck else None,
        problem=problem,
        cleanup=cleanup,
    )


def _state(failover: FailoverSeen | None, cleanup: Outline | None, problem: str) -> CardState:
    if cleanup is not None and cleanup.state in AT_WORK:
        return CardState.RUNNING
    if failover is not None:
        return CardState.STUCK if failover.stuck else CardState.RUNNING
    return CardState.UNKNOWN if problem else CardState.CLEAN


def _incident(failover: FailoverSeen | None) -> Incident | None:
    if failover is None:
        return None
    return Incident(
        job_id=failover.job_id,
        operation=failover.operation,
        live=failover.live,
        last_step=step_words(failover.last_step),
        blocked_by=failover.blocked_by,
    )


def _cleanup(context: ContextOutline, failover: FailoverSeen | None, cleanups: Collection[Outline]) -> Outline | None:
    """The cleanup of the job if there is a job; one that is not bound yet may become it."""
    ours = [each for each in cleanups if each.is_of(context.vm_name, context.vcenter_host)]
    if failover is not None:
        ours = [each for each in ours if each.job_id in (None, failover.job_id)]
    return max(ours, key=lambda each: (each.created_at, each.namespace, each.name), default=None)
