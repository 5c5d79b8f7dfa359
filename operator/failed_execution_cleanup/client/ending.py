"""How far a cleanup is, in the few words that command line and console act on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import Condition, get_condition
from failed_execution_cleanup.resources.reasons import ConditionType, Reason, ReasonKind, remedy_of


class EndingState(StrEnum):
    """Whether a cleanup goes on by itself, and if not, why."""

    WORKING = "working"
    """It is running, waits for its turn, or the operator has not yet looked at what was asked for."""
    WAITING = "waiting"
    """It waits for something that clears itself."""
    CLEAN = "clean"
    """It ended well: nothing more is touched (Cleaned, AlreadyClean, NothingToDo, Superseded)."""
    NEEDS_PERSON = "needs-person"
    """Only a person can help."""
    SUSPENDED = "suspended"
    """A person suspended it."""
    AWAITING_APPROVAL = "awaiting-approval"
    """A plan is ready, and nothing outside of an approved plan is done."""


_GOES_ON: Final = frozenset({EndingState.WORKING, EndingState.WAITING})
_OF_KIND: Final = {
    ReasonKind.FINISHED: EndingState.CLEAN,
    ReasonKind.WORKING: EndingState.WORKING,
    ReasonKind.WAITING: EndingState.WAITING,
    ReasonKind.HELD: EndingState.AWAITING_APPROVAL,
    ReasonKind.STALLED: EndingState.NEEDS_PERSON,
}
_OF_REASON: Final = {
    Reason.SUSPENDED: EndingState.SUSPENDED,
    Reason.AWAITING_APPROVAL: EndingState.AWAITING_APPROVAL,
}
_WRONG_INPUT: Final = frozenset({Reason.UNKNOWN_VM, Reason.AMBIGUOUS_VM, Reason.JOB_MISMATCH})


@dataclass(frozen=True, slots=True)
class Ending:
    """How far a cleanup is.

    Attributes:
        reason: that of its condition Ready; `Queued` before the first look.
        message: why, as a sentence.
        remedy: what a person does next; empty where the reason is not known here.
    """

    state: EndingState
    reason: str
    message: str
    remedy: str

    @property
    def over(self) -> bool:
        """Whether nothing happens any more unless somebody asks for it."""
        return self.state not in _GOES_ON

    @property
    def wrong_input(self) -> bool:
        """Whether what was asked for is wrong in itself: no such VM, several of that name, or another job."""
        return self.reason in _WRONG_INPUT


def ending(cleanup: FailedExecutionCleanup) -> Ending:
    """How far a cleanup is, taking into account what the operator has not seen yet.

    A status that speaks of an older spec, of an earlier request, of a plan that was approved since, or of a suspension that was taken back
    says nothing about what comes: such a cleanup counts as working.
    """
    ready = get_condition(cleanup.status.conditions, ConditionType.READY)
    if ready is None:
        return _unlooked("The operator has not looked at it yet.")
    state = _state(ready)
    if state not in _GOES_ON and (unseen := _unseen(cleanup, ready)) is not None:
        return _unlooked(unseen)
    return Ending(state, ready.reason, ready.message, remedy_of(ready.reason))


def is_current(cleanup: FailedExecutionCleanup) -> bool:
    """Whether the status speaks of all that was asked for by now."""
    ready = get_condition(cleanup.status.conditions, ConditionType.READY)
    return ready is not None and _unseen(cleanup, ready) is None


def _state(ready: Condition) -> EndingState:
    try:
        reason = Reason(ready.reason)
    except ValueError:  # of a newer operator
        return {"True": EndingState.CLEAN, "Unknown": EndingState.WORKING}.get(ready.status, EndingState.NEEDS_PERSON)
    return _OF_REASON.get(reason) or _OF_KIND.get(reason.kind, EndingState.NEEDS_PERSON)


def _unseen(cleanup: FailedExecutionCleanup, ready: Condition) -> str | None:
    """What was asked for and is not in the status yet."""
    status = cleanup.status
    if status.observed_generation < cleanup.metadata.generation:
        return "The operator has not looked at the changed spec yet."
    if ready.reason == Reason.JOB_MISMATCH:
        return None  # no request can change which job it is bound to
    if ready.reason == Reason.SUSPENDED:
        return None if cleanup.suspended else "The operator has not resumed it yet."
    if not cleanup.suspended and cleanup.requested_at != status.last_handled_request:
        return "The operator has not looked at the request for another run yet."
    approved = cleanup.approved_plan is not None and cleanup.approved_plan == status.plan_hash
    if approved and ready.reason in {Reason.PLAN_READY, Reason.AWAITING_APPROVAL}:
        return "The operator has not looked at the approval yet."
    return None


def _unlooked(message: str) -> Ending:
    return Ending(EndingState.WORKING, Reason.QUEUED.value, message, "")
