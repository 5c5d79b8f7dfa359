"""What the dialog "Failed Job Cleanup" shows: what would be done to a VM, what forbids it, and what a person may answer for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.outlines import AT_WORK, Outline
from failed_execution_cleanup.console.pages.cards_view import CleanupLine, cleanup_line, vm_address
from failed_execution_cleanup.console.pages.wording import (
    LEFTOVERS,
    PHASES,
    action_words,
    counted_words,
    in_words,
    planned_words,
)
from failed_execution_cleanup.console.plans import Obstacle, Plan
from failed_execution_cleanup.controller.reason_link import page_of
from failed_execution_cleanup.recovery.actions import Action
from failed_execution_cleanup.recovery.approval import approved_key
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.reasons import ReasonKind

__all__ = [
    "ActionLine",
    "Answerable",
    "DialogView",
    "LeftoverLine",
    "ObstacleLine",
    "PhaseLine",
    "PlanChange",
    "Posted",
    "WaiverBox",
    "dialog_view",
]

_BEGINS: Final = frozenset({ReasonKind.WAITING, ReasonKind.WORKING})
"""Kinds of reasons that pass by themselves, so that a cleanup may be ordered all the same."""
_LONGEST_SHOWN: Final = 30_000
"""Characters; a body may have twice as many bytes."""
_NOT_OURS: Final = AT_WORK | {EndingState.SUSPENDED}
"""States of a cleanup that has its own page and buttons; nothing is ordered beside it."""


@dataclass(frozen=True, slots=True)
class ActionLine:
    """One action on one object."""

    words: str
    object: str
    why: str


@dataclass(frozen=True, slots=True)
class PhaseLine:
    """One of the five actions: whether it runs, why, and what it consists of.

    Attributes:
        gist: what it comes to; empty where nothing is needed.
    """

    id: str
    words: str
    needed: bool
    gist: str
    why: str
    actions: tuple[ActionLine, ...]


@dataclass(frozen=True, slots=True)
class WaiverBox:
    """What a person may tick to pass an obstacle.

    Attributes:
        value: `REASON=OBJECT`, as it is sent.
        refusal: why it cannot be ticked; empty if it can.
    """

    value: str
    words: str
    ticked: bool
    refusal: str


@dataclass(frozen=True, slots=True)
class ObstacleLine:
    """One reason why nothing may be done now.

    Attributes:
        blocks: only a person can help; else it passes by itself.
        page: where the reason is explained; empty where nobody said where the pages are.
    """

    reason: str
    words: str
    message: str
    remedy: str
    blocks: bool
    page: str
    waiver: WaiverBox | None


@dataclass(frozen=True, slots=True)
class LeftoverLine:
    """Something that was found and will stay."""

    kind: str
    id: str
    message: str


@dataclass(frozen=True, slots=True)
class PlanChange:
    """What is otherwise than in the plan that was shown before.

    Attributes:
        more: what would be done in addition.
        less: what is not needed any more.
    """

    more: tuple[str, ...]
    less: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answerable:
    """What the caller may do.

    Attributes:
        homes: namespaces in which he may place the cleanup; none needed where there is no cluster.
        clean: he may have this VM cleaned up.
        waive: he may take responsibility for stops.
    """

    clean: bool
    waive: bool
    homes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Posted:
    """What was filled in before.

    Attributes:
        waivers: ticked.
        shown: keys of the actions of the plan that was shown; None where none was.
    """

    waivers: frozenset[Waiver] = frozenset()
    note: str = ""
    namespace: str = ""
    shown: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class DialogView:
    """The dialog.

    Attributes:
        operation: such as `test failover`; empty where the VM has no failover job.
        verdict: why it would stop, wait, or do nothing; empty if it would begin at once.
        keys: what is to be done to what, to be compared with the next plan.
        outcome: status the VM would get.
        rival: a cleanup that is at work or suspended already.
        executable: it may be ordered.
        change: what changed since the plan was shown; None where nothing did.
        problem: what was wrong with the form.
    """

    appliance: str
    context_id: str
    vm_name: str
    vcenter_host: str
    href: str
    operation: str
    since: datetime | None
    last_step: str | None
    phases: tuple[PhaseLine, ...]
    obstacles: tuple[ObstacleLine, ...]
    leftovers: tuple[LeftoverLine, ...]
    verdict: str
    remedy: str
    plan_hash: str
    keys: tuple[str, ...]
    outcome: str
    rival: CleanupLine | None
    executable: bool
    waits: bool
    answerable: Answerable
    posted: Posted
    change: PlanChange | None
    problem: str = ""

    @property
    def summary(self) -> str:
        """All that would be done, in a few words."""
        return ", ".join(phase.gist for phase in self.phases if phase.needed) or "nothing to do"

    @property
    def ticked(self) -> frozenset[Waiver]:
        """The stops that are waived; each of them is shown."""
        boxes = (each.waiver for each in self.obstacles if each.waiver is not None)
        return frozenset(Waiver(*box.value.split("=", 1)) for box in boxes if box.ticked)

    @property
    def shown(self) -> str:
        """The keys as the form carries them; empty where they are too many for a form, which then tells only that something changed."""
        text = "\n".join(self.keys)
        return text if len(text) <= _LONGEST_SHOWN else ""


def dialog_view(
    plan: Plan,
    cleanup: Outline | None,
    answerable: Answerable,
    docs_url: str,
    *,
    posted: Posted = Posted(),
    without: Plan | None = None,
    problem: str = "",
) -> DialogView:
    """The dialog for a plan.

    Args:
        plan: as it is with the waivers that are ticked.
        cleanup: that of the same job, if there is one that the caller may see.
        answerable: what the caller may do.
        docs_url: where the reasons are explained.
        posted: what was filled in before.
        without: the plan without the ticked waivers; `plan` where none is ticked.
        problem: what was wrong with the form.
    """
    job, context = plan.job, plan.context
    rival = cleanup if cleanup is not None and cleanup.state in _NOT_OURS else None
    begins = plan.reason is None or plan.reason.kind in _BEGINS
    keys = tuple(sorted({approved_key(action) for action in plan.actions}))
    return DialogView(
        appliance=plan.appliance,
        context_id=context.context_id,
        vm_name=context.vm_name,
        vcenter_host=context.vcenter_host,
        href=vm_address(plan.appliance, context.context_id),
        operation=job.operation if job is not None else "",
        since=job.since if job is not None else None,
        last_step=job.last_step if job is not None else None,
        phases=tuple(_phases(plan)),
        obstacles=tuple(_obstacles(plan, without or plan, answerable, docs_url, posted.waivers)),
        leftovers=tuple(LeftoverLine(LEFTOVERS.get(e.kind, e.kind), e.id, e.message) for e in plan.leftovers),
        verdict=plan.message if plan.reason is not None else "",
        remedy=plan.reason.remedy if plan.reason is not None else "",
        plan_hash=plan.digest,
        keys=keys,
        outcome=plan.context_would_become,
        rival=cleanup_line(rival) if rival is not None else None,
        executable=begins and rival is None and answerable.clean,
        waits=plan.reason is not None and plan.reason.kind in _BEGINS,
        answerable=answerable,
        posted=replace(posted, note=posted.note.strip()),
        change=_change(posted.shown, keys),
        problem=problem,
    )


def _phases(plan: Plan) -> Iterator[PhaseLine]:
    for ahead in plan.phases:
        todo = [action for action in plan.actions if action.phase is ahead.phase]
        gist = counted_words(action.kind for action in todo)
        why = _why(todo, gist) if todo else ahead.why
        actions = tuple(ActionLine(action_words(e.kind, forced=e.forced), e.object, e.why) for e in todo)
        yield PhaseLine(ahead.phase.value, PHASES[ahead.phase], ahead.needed, gist, why, actions)


def _why(todo: Sequence[Action], gist: str) -> str:
    """What a phase comes to; and why, where it is the same for all of its objects."""
    causes = {cause for action in todo if (cause := _cause(action)) is not None}
    return f"{gist}: {causes.pop()}" if len(causes) == 1 and len({action.kind for action in todo}) == 1 else gist


def _cause(action: Action) -> str | None:
    """Why an action is needed, without the name of its object; None where that is all there is."""
    named = f"({action.object}): "
    return action.why.partition(named)[2] if named in action.why else None


def _obstacles(
    plan: Plan, without: Plan, answerable: Answerable, docs_url: str, ticked: Collection[Waiver]
) -> Iterator[ObstacleLine]:
    """Those that are there, and those that are passed because they are ticked, in the order in which they were found."""
    for obstacle in dict.fromkeys((*without.obstacles, *plan.obstacles)):
        box = _box(obstacle, answerable, ticked)
        if obstacle not in plan.obstacles and (box is None or not box.ticked):
            continue
        yield ObstacleLine(
            reason=obstacle.reason.value,
            words=in_words(obstacle.reason.value),
            message=obstacle.message,
            remedy=obstacle.remedy,
            blocks=obstacle.needs_person,
            page=page_of(obstacle.reason, docs_url) if docs_url else "",
            waiver=box,
        )


def _box(obstacle: Obstacle, answerable: Answerable, ticked: Collection[Waiver]) -> WaiverBox | None:
    offered = obstacle.waiver
    if offered is None or not answerable.clean:
        return None
    refusal = ""
    if not offered.allowed:
        refusal = (
            f"The Appliance does not allow to waive {offered.reason.value}: an administrator extends spec.waivers."
        )
    elif not answerable.waive:
        refusal = "You may not waive: an administrator binds the ClusterRole fec-waiver."
    return WaiverBox(
        value=f"{offered.reason.value}={offered.object}",
        words=f"I take responsibility: waive {offered.reason.value} for {_meant(offered.object)}",
        ticked=not refusal and Waiver(offered.reason.value, offered.object) in ticked,
        refusal=refusal,
    )


def _meant(object_: str) -> str:
    return "this failed job" if object_ == "job" else object_


def _change(shown: Collection[str] | None, keys: Sequence[str]) -> PlanChange | None:
    if shown is None or set(shown) == set(keys):
        return None
    return PlanChange(
        more=tuple(_key_words(key) for key in keys if key not in shown),
        less=tuple(_key_words(key) for key in sorted(set(shown) - set(keys))),
    )


def _key_words(key: str) -> str:
    """An approved key as words: `detach/4f2c…` becomes `Detach volume 4f2c…`."""
    kind, _, object_ = key.partition("/")
    return f"{planned_words(kind)} {object_.replace('/', ' ')}".strip()
