"""Plan and approve: the whole plan of a cleanup, its digest, and whether an action is within the plan that a person approved.

`Assessment.steps` is what differs at this moment. A plan is that and what may follow from it: a detach can leave a stale mapping behind, an
attach an export that is missing. Only with these named beforehand can whoever approves a plan know that nothing else is done.

A person approves a plan by its digest. It is adopted, action by action, into the claim's memory while the observed plan still has
that digest; from then on the plan may shrink as the work proceeds, and an action that is not in it waits for a new approval.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from typing import Final

from .actions import Action, Kind, Phase
from .goals import Wish
from .memory import Approval, Memory
from .plan import CLEANUP_REQUIRED, Assessment, closing_to
from .world import World

HASH_LENGTH: Final = 32
"""Hexadecimal digits of a plan's digest."""

BESIDE_VOLUMES: Final = frozenset({Kind.STOP_VM, Kind.DESTROY_VM, Kind.EXPUNGE_VM, Kind.SET_MODE, Kind.CREATE_EXPORT})
"""Actions for which the context need not be marked: on a closed incident there is nothing to keep the scheduler from (C06)."""


def plan_of(world: World, assessment: Assessment) -> tuple[Action, ...]:
    """Everything that may be done from here to the end: the mark, then phase by phase what differs and what may follow from it."""
    order = list(Phase)
    marks = (mark(world),) if needs_mark(world, assessment.steps) else ()
    planned = sorted(_plan(world, assessment, marked=bool(marks)), key=lambda action: order.index(action.phase))
    return (*marks, *planned)


def plan_hash(plan: Iterable[Action]) -> str:
    """Digest of what would be done to what, whatever the order, the words and the time; 32 hexadecimal digits."""
    canonical = json.dumps(sorted(approved_key(action) for action in plan), separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_LENGTH]


def approved_key(action: Action) -> str:
    """What a person approves of an action: what is done to what, by force or not, and to which end."""
    parts = [action.key]
    if action.forced:
        parts.append("forced")
    if action.closing is not None:
        parts.append(action.closing.context_to)
    return "/".join(parts)


def adopted(wish: Wish, memory: Memory, plan: tuple[Action, ...]) -> Approval | None:
    """The approval in force: the remembered one, or the observed plan if it is the one that was approved; None without an approval.

    An approval that fits neither is in force and allows nothing.
    """
    if wish.approved_plan is None:
        return None
    if memory.approval is not None and memory.approval.plan_hash == wish.approved_plan:
        return memory.approval
    fits = plan_hash(plan) == wish.approved_plan
    return Approval(wish.approved_plan, tuple(sorted({approved_key(action) for action in plan})) if fits else ())


def executes(wish: Wish, approval: Approval | None) -> bool:
    """Whether anything may be done: in mode Execute, and in mode Plan once the plan was approved."""
    return wish.execute or (approval is not None and bool(approval.actions))


def allows(approval: Approval | None, action: Action) -> bool:
    """Whether an action is within the approved plan; without an approval everything is."""
    return approval is None or approved_key(action) in approval.actions


def needs_mark(world: World, steps: Iterable[Action]) -> bool:
    """Whether the context is to be marked `cleanup_required` before these steps (rule 7)."""
    marked = world.records.context.current_status == CLEANUP_REQUIRED
    return not marked and any(step.kind not in BESIDE_VOLUMES for step in steps)


def mark(world: World) -> Action:
    """The mark, as an action."""
    why = "the context becomes cleanup_required, so that the scheduler leaves this VM alone"
    return Action(Kind.MARK_CONTEXT, world.records.context.context_id, why)


def _plan(world: World, assessment: Assessment, *, marked: bool) -> Iterator[Action]:
    planned = {step.key for step in assessment.steps}
    for step in assessment.steps:
        yield step
        for follower in _may_follow(step):
            if follower.key not in planned:
                planned.add(follower.key)
                yield follower
    if marked and assessment.closing is None and assessment.incident is not None:
        yield closing_to(world, assessment.incident, assessment.target, assessment.undeserved_why)


def _may_follow(step: Action) -> Iterator[Action]:
    """What a step may leave to do, in the words of a plan."""
    volume_id, vm_id = step.volume_id, step.vm_id
    if volume_id is not None and step.kind is Kind.DETACH:
        why = "only if the detach leaves a stale device mapping behind"
        yield Action(Kind.REMOVE_MAPPING, volume_id, why, volume_id=volume_id, vm_id=vm_id)
    if volume_id is not None and step.kind is Kind.ATTACH:
        yield Action(
            Kind.SET_MODE,
            volume_id,
            "only if the attach leaves another operation mode than oma",
            volume_id=volume_id,
            vm_id=vm_id,
        )
        yield Action(
            Kind.CREATE_EXPORT, volume_id, "only if the attach makes no NBD export", volume_id=volume_id, vm_id=vm_id
        )
    if step.kind is Kind.DESTROY_VM:
        yield Action(Kind.EXPUNGE_VM, step.object, "only if the destroy leaves it Destroyed", vm_id=step.object)
