"""The one decision: what may be done now. Pure: no I/O, no clock; the time is in the world."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from . import guards
from .actions import Action, Kind
from .activity import activity
from .approval import adopted, allows, executes, mark, needs_mark, plan_of
from .goals import Wish
from .guards import Block
from .incident import Incident, newest_job_id, resolve, superseded_by
from .memory import Approval, Memory
from .plan import Assessment, VolumeAssessment, assess
from .reasons import Reason, needs_person
from .restore_points import BACKED_UP, revert_quiet_until
from .volumes import Holder
from .world import World


@dataclass(frozen=True, slots=True)
class Done:
    """Nothing is left to do; the reason says how it ended."""

    reason: Reason
    message: str
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing may be done before `after`; it goes on by itself. `reason` is None while our own requests are in flight or retried."""

    reason: Reason | None
    message: str
    after: timedelta
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Refuse:
    """Only a person can help."""

    reason: Reason
    message: str
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Act:
    """These actions may run side by side now."""

    actions: tuple[Action, ...]
    assessment: Assessment


@dataclass(frozen=True, slots=True)
class Stopped:
    """Asked to stop, and nothing more can be brought home; `away` names volumes that stay detached."""

    message: str
    away: tuple[str, ...]
    assessment: Assessment


Decision = Done | Wait | Refuse | Act | Stopped

IN_FLIGHT_POLL = timedelta(seconds=5)
QUIET_WHY = "the engine did not end the job itself: nothing is deleted or closed before it stayed quiet"
HOME_ALLOWED = frozenset(
    {
        Reason.RUNNING_TEST_VM,
        Reason.STOP_FAILING,
        Reason.HOST_UNKNOWN,
        Reason.LIVE_FAILOVER,
        Reason.VOLUME_MISSING,
        Reason.UNEXPECTED_STATE,
    }
)
"""Guards that still allow a call by rule 7: reverted volumes are brought home before the stop (rule 19)."""
SETTLED_DETACH_STATES = frozenset({"Stopped", "Destroyed"})


def decide(world: World, wish: Wish, memory: Memory) -> Decision:
    """Say what may be done next.

    Args:
        world: a fresh observation.
        wish: the spec and the appliance's settings.
        memory: what the claim remembers; an empty one before the first claim.
    """
    for block in guards.appliance(world, wish):
        return Refuse(block.reason, block.message, Assessment(blocks=(block,)))
    job_id = wish.job_id or newest_job_id(world.records)
    name = world.records.context.vm_name
    if job_id is None:
        return Done(Reason.NOTHING_TO_DO, f"{name} has no failover job.", Assessment())
    incident = resolve(world.records, job_id)
    if incident is None:
        return Refuse(
            Reason.JOB_MISMATCH,
            f"{name} has no failover job {job_id}: correct failoverJobID in a new resource.",
            Assessment(),
        )
    if (newer := superseded_by(world.records, incident)) is not None:
        return _superseded(world, incident, wish, memory, newer)
    assessment = assess(world, incident, wish, memory)
    for block in (*guards.identity(incident, world), *guards.health(incident, world, assessment.vms)):
        return Refuse(block.reason, block.message, _with_blocks(assessment, (block,)))
    settling = any(request.open for request in memory.requests)
    if not assessment.steps and not settling and not any(v.blocks for v in assessment.volumes):
        return _done(assessment, memory)
    if world.first is not None and activity(world.first, memory) != activity(world.records, memory):
        return Wait(None, "the database changed while OSSEA was read", timedelta(seconds=1), assessment)
    return _act(world, incident, wish, memory, assessment)


def _superseded(world: World, incident: Incident, wish: Wish, memory: Memory, newest: str) -> Decision:
    if not memory.touched or memory.finished:
        return Done(
            Reason.SUPERSEDED,
            f"job {incident.job_id} is not the newest failover job of this VM ({newest}): nothing is touched.",
            Assessment(incident=incident),
        )
    assessment = assess(world, incident, wish, memory)
    if any(request.open for request in memory.requests):
        return Wait(None, "requests are in flight", IN_FLIGHT_POLL, assessment)
    away = ", ".join(f"{v.volume.label} is {v.holder}" for v in assessment.volumes if v.holder is not Holder.OMA)
    return Refuse(
        Reason.SUPERSEDED_IN_RUN,
        f"a newer failover job {newest} began while {incident.job_id} was being cleaned up: nothing more is touched. "
        + (f"{away}. " if away else "All volumes are on the appliance. ")
        + "Look at them, and create a new resource if the newer failover failed as well.",
        assessment,
    )


def _done(assessment: Assessment, memory: Memory) -> Done:
    if assessment.undeserved is not None:
        return Done(assessment.undeserved, assessment.undeserved_why, assessment)
    if memory.started_at is not None:
        return Done(
            Reason.CLEANED, "volumes attached, no snapshots, no test VM, context ready for failover.", assessment
        )
    return Done(Reason.ALREADY_CLEAN, "everything was already as wanted; nothing was touched.", assessment)


def _act(world: World, incident: Incident, wish: Wish, memory: Memory, assessment: Assessment) -> Decision:
    now = world.records.clock.utc
    started = memory.first_request_at
    timed_out = started is not None and now > started + wish.deadline + memory.paused(until=now)
    approval = adopted(wish, memory, plan_of(world, assessment))
    asked_to_stop = wish.stopping or not executes(wish, approval)
    stopping = asked_to_stop or timed_out
    found = _found_blocks(world, incident, wish, memory, assessment)
    single = tuple(block for v in assessment.volumes for block in v.blocks)
    if memory.touched:
        # In the middle of the work a young operation on one volume holds only that volume.
        everywhere = tuple(b for b in found if b.volume_id is None)
        single += tuple(b for b in found if b.volume_id is not None)
    else:
        everywhere = found
    assessment = _with_blocks(assessment, everywhere + tuple(b for b in single if b not in everywhere))
    settling = any(request.open for request in memory.requests)
    if everywhere:
        if memory.touched and all(block.reason in HOME_ALLOWED for block in everywhere):
            home, _ = _enabled(world, incident, wish, memory, assessment, stopping=True)
            if home:
                return Act(tuple(home), assessment)
        if stopping and not settling:
            return _stopped(wish, assessment, asked=asked_to_stop)
        return _blocked(everywhere, memory, assessment)

    outside: list[Action] = []
    if not stopping and not memory.touched:
        # A plan that is out of date is not begun, not even the part of it that still holds.
        outside = [action for action in plan_of(world, assessment) if not allows(approval, action)]
        if outside and not settling:
            return _unapproved(outside, approval, assessment)
    actions, waits = _enabled(world, incident, wish, memory, assessment, stopping=stopping)
    if actions and not stopping:
        if needs_mark(world, assessment.steps):
            actions = [mark(world)]
        outside = [action for action in actions if not _may_begin(action, approval, assessment)]
        actions = [action for action in actions if action not in outside]
    if actions:
        return Act(tuple(actions), assessment)
    if settling:
        return Wait(None, "requests are in flight", IN_FLIGHT_POLL, assessment)
    retries = [wait for wait in waits if wait.reason is None]
    if stopping and not retries:
        return _stopped(wish, assessment, asked=asked_to_stop)
    if waits:
        return min(retries if stopping else waits, key=lambda wait: wait.after)
    if outside:
        home, _ = _enabled(world, incident, wish, memory, assessment, stopping=True)
        if home:
            return Act(tuple(home), assessment)
        unapproved = [step for step in assessment.steps if not allows(approval, step)]
        return _unapproved(unapproved or outside, approval, assessment)
    return _blocked(single, memory, assessment)


def _may_begin(action: Action, approval: Approval | None, assessment: Assessment) -> bool:
    """Whether an action is approved; a volume is detached only if all that makes it necessary is."""
    if action.kind is not Kind.DETACH:
        return allows(approval, action)
    steps = next(v.steps for v in assessment.volumes if v.volume.id == action.volume_id)
    return all(allows(approval, step) for step in steps)


def _unapproved(outside: list[Action], approval: Approval | None, assessment: Assessment) -> Refuse:
    """The stop before an action that nobody approved (rule 19)."""
    named = "; ".join(f"{action.kind} {action.object} ({action.why})" for action in outside[:3])
    more = f"; and {len(outside) - 3} more" if len(outside) > 3 else ""
    approved = approval.plan_hash if approval is not None else ""
    return Refuse(
        Reason.AWAITING_APPROVAL,
        f"{len(outside)} action(s) are not in the approved plan {approved}: {named}{more}. Read the plan and approve its digest.",
        assessment,
    )


def _found_blocks(
    world: World, incident: Incident, wish: Wish, memory: Memory, assessment: Assessment
) -> tuple[Block, ...]:
    vms = assessment.vms
    found = [
        *guards.claims(world, incident.job_id, wish.settings.owner_alive),
        *guards.alive(incident, world, wish),
        *guards.replication(world, wish),
        *guards.foreign_rows(incident, world, wish),
        *guards.live(incident, world, wish, memory, vms),
        *guards.moving_vm(incident, world, memory, vms),
        *guards.running_vm(incident, wish, vms, memory),
        *guards.stop_failing(wish, memory, vms),
        *guards.unknown_disks(world.records),
        *guards.in_flight(world, wish, memory, vms),
    ]
    disturbing = {Kind.DETACH, Kind.ATTACH, Kind.REVERT, Kind.DESTROY_VM, Kind.EXPUNGE_VM}
    if any(step.kind in disturbing for step in assessment.steps):
        found += [*guards.vm_snapshots(world), *guards.foreign_disks(world, vms)]
    return tuple(found)


def _with_blocks(assessment: Assessment, blocks: tuple[Block, ...]) -> Assessment:
    return replace(assessment, blocks=(*blocks, *(b for b in assessment.blocks if b not in blocks)))


def _blocked(blocks: tuple[Block, ...], memory: Memory, assessment: Assessment) -> Decision:
    """Requests in flight settle first; then a person's guard counts more than one that clears by itself."""
    if any(request.open for request in memory.requests):
        return Wait(None, "requests are in flight", IN_FLIGHT_POLL, assessment)
    blocks = blocks or assessment.blocks
    if not blocks:
        return Wait(None, "nothing can be done at this moment; looking again", IN_FLIGHT_POLL, assessment)
    waits = [block for block in blocks if not needs_person(block.reason)]
    # While the job may still be running nothing else is worth saying: what else is wrong may be its work in progress.
    first = (
        next(
            (b for b in waits if b.reason in {Reason.FAILOVER_STILL_RUNNING, Reason.REPLICATION_ACTIVE}),
            next((b for b in blocks if needs_person(b.reason)), None),
        )
        or blocks[0]
    )
    if needs_person(first.reason):
        return Refuse(first.reason, first.message, assessment)
    return Wait(first.reason, first.message, first.retry_after, assessment)


def _stopped(wish: Wish, assessment: Assessment, *, asked: bool) -> Decision:
    away = tuple(v.volume.label for v in assessment.volumes if v.holder is not Holder.OMA)
    named = f"; not on the appliance: {', '.join(away)}" if away else "; all volumes are on the appliance"
    if not asked:
        seconds = wish.deadline.total_seconds()
        return Refuse(
            Reason.DEADLINE_EXCEEDED,
            f"not finished {seconds:.0f} s after the first request{named}. Look at status.volumes for what took so long; raise "
            "deadlineSeconds, or ask again with the annotation failover.ossea.io/requestedAt.",
            assessment,
        )
    return Stopped(f"stopped as asked{named}.", away, assessment)


def _enabled(
    world: World, incident: Incident, wish: Wish, memory: Memory, assessment: Assessment, *, stopping: bool
) -> tuple[list[Action], list[Wait]]:
    now = world.records.clock.utc
    actions: list[Action] = []
    waits: list[Wait] = []
    held = {b.volume_id for b in assessment.blocks if b.volume_id is not None}
    # Before every volume is safe none is detached and no VM stopped; one that hangs in the air already is brought home (rule 8), unless
    # nobody asked: putting drift right is begun as a whole or not at all.
    safe = not held or memory.displaced
    loose = () if memory.correcting and not memory.touched else (Holder.NOBODY,)
    quiet_until = _quiet_until(incident, wish, memory)
    for v in assessment.volumes:
        if v.volume.id in held or memory.in_flight(v.volume.id) or not (safe or v.holder in loose):
            continue
        step = _home_step(v) if stopping else next(iter(v.steps), None)
        if step is None or not _possible(step, v, assessment):
            continue
        until, why = _not_before(step, v, wish, memory, quiet_until)
        if until is not None and until > now:
            reason = Reason.QUIET_TIME if why else None
            waits.append(Wait(reason, why or f"{step.why}: retried", until - now, assessment))
        else:
            actions.append(step)
    if not stopping and safe:
        actions += _vm_actions(memory, assessment, waits, now, wish)
    if not stopping:
        closing = assessment.closing
        settling = any(request.open for request in memory.requests)
        if closing is not None and len(assessment.steps) == 1 and not settling and not held and not assessment.blocks:
            if quiet_until is not None and quiet_until > now:
                waits.append(_quiet(quiet_until - now, assessment))
            else:
                actions.append(closing)
    return actions, waits


def _quiet(left: timedelta, assessment: Assessment) -> Wait:
    return Wait(Reason.QUIET_TIME, f"{QUIET_WHY}.", left, assessment)


def _home_step(v: VolumeAssessment) -> Action | None:
    """Next step on the way home of a volume whose content is right (rule 19)."""
    unreverted = any(step.kind is Kind.REVERT for step in v.steps) and not v.restore.put_right
    if v.holder is not Holder.NOBODY or unreverted:
        return None
    return next((s for s in v.steps if s.kind in {Kind.MARK_REVERTED, Kind.REMOVE_MAPPING, Kind.ATTACH}), None)


def _possible(step: Action, v: VolumeAssessment, assessment: Assessment) -> bool:
    """Preconditions of a volume's next step that time does not bring about."""
    cloud = v.volume.cloud
    if cloud is None or cloud.state != "Ready":
        return False
    if step.kind is Kind.DETACH and v.holder is Holder.TEST_VM:
        vm = next(vm for vm in assessment.vms if vm.id == cloud.vm_id)
        return vm.state in SETTLED_DETACH_STATES or vm.state == "Error"
    if step.kind in {Kind.REVERT, Kind.ATTACH, Kind.REMOVE_MAPPING}:
        return v.holder is Holder.NOBODY
    if step.kind is Kind.DELETE_SNAPSHOT:
        snapshot = next(s for s in v.restore.deletable if s.id == step.object)
        return snapshot.state != BACKED_UP or (v.restore.reverted and v.holder is Holder.NOBODY)
    return True


def _not_before(
    step: Action, v: VolumeAssessment, wish: Wish, memory: Memory, quiet_until: datetime | None
) -> tuple[datetime | None, str]:
    """Earliest time of a step, and why; no text for a plain retry pause."""
    if step.kind is Kind.DELETE_SNAPSHOT and quiet_until is not None:
        return quiet_until, QUIET_WHY
    if step.kind in {Kind.REVERT, Kind.ATTACH}:
        settings = wish.settings
        doubt = revert_quiet_until(memory, v.volume, settings.revert_quiet, settings.revert_bytes_per_second)
        if doubt is not None:
            return doubt, f"a revert of {v.volume.label} ended without a result and may still be writing"
    return _retry_at(step, wish, memory), ""


def _retry_at(step: Action, wish: Wish, memory: Memory) -> datetime | None:
    failures = memory.failures(step.kind, step.object)
    if not failures or failures[-1].settled_at is None:
        return None
    pause: timedelta = wish.settings.retry * 2 ** (len(failures) - 1)
    return failures[-1].settled_at + pause


def _quiet_until(incident: Incident, wish: Wish, memory: Memory) -> datetime | None:
    """End of rule 5's quiet time; None when the engine ended the job itself."""
    if incident.ended_by_engine:
        return None
    stamps = [memory.started_at, memory.changed_at, *(r.settled_at for r in memory.of(Kind.DETACH))]
    newest = max((s for s in stamps if s is not None), default=None)
    return newest + wish.settings.quiet if newest is not None else None


def _vm_actions(
    memory: Memory, assessment: Assessment, waits: list[Wait], now: datetime, wish: Wish
) -> Iterator[Action]:
    # Home for good: one that is still to be taken off the appliance again comes first.
    home = all(
        v.holder is Holder.OMA and not any(step.kind is Kind.DETACH for step in v.steps) for v in assessment.volumes
    )
    holding = {v.volume.cloud.vm_id for v in assessment.volumes if v.volume.cloud is not None}
    seen: set[str] = set()
    for step in assessment.vm_steps:
        vm = next(vm for vm in assessment.vms if vm.id == step.object)
        if vm.id in seen or memory.in_flight(vm.id) or any(block.object == vm.id for block in assessment.blocks):
            continue
        seen.add(vm.id)
        stoppable = step.kind is Kind.STOP_VM and vm.state == "Running" and (vm.id in holding or home)
        # Every volume is home, and OSSEA lists no foreign disk on it (a block): rule 14.
        removable = step.kind is not Kind.STOP_VM and home and vm.id not in holding
        if not (stoppable or removable):
            continue
        until = _retry_at(step, wish, memory)
        if until is not None and until > now:
            waits.append(Wait(None, f"{step.why}: retried", until - now, assessment))
        else:
            yield step
