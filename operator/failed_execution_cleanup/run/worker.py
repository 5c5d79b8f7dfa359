"""The loop under a claim: observe, decide, send what is enabled side by side, follow it, again.

Nothing is sent without a request written ahead, and nothing is sent when the read right before it shows foreign activity (rule 7).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from failed_execution_cleanup.appliance.database import ClaimLost, Level, LockLost, RowsChanged
from failed_execution_cleanup.appliance.errors import (
    ApplianceError,
    BadCredentials,
    DatabaseUnavailable,
    NotExecuted,
    Refused,
    Unknown,
    Untrusted,
)
from failed_execution_cleanup.appliance.http_exchange import sent_within
from failed_execution_cleanup.appliance.perform import Performer, refused
from failed_execution_cleanup.recovery.actions import PHASE_OF, Action, Kind, System
from failed_execution_cleanup.recovery.activity import Activity, activity
from failed_execution_cleanup.recovery.approval import adopted, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Wait, decide
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import Cloud, World
from failed_execution_cleanup.run import phases
from failed_execution_cleanup.run.claim import Claim
from failed_execution_cleanup.run.order import Order, Progress
from failed_execution_cleanup.run.surroundings import Surroundings

logger = logging.getLogger(__name__)

HOLDING: Final = frozenset({None, Reason.QUIET_TIME, Reason.OPERATION_IN_FLIGHT})
"""Waits that keep the claim: giving it up would break it, and reverts would have to be made again (rule 12)."""

HAND_OVER_SECONDS: Final = 5.0
"""How long a process that is told to end waits for its requests in flight: most detaches, attaches and deletes are over by then."""

LEAVING: Final = Wait(None, "the operator is ending; another one goes on at once", timedelta(0), Assessment())
"""What is said of a run that ends with its process."""

_ON_ITS_OWN_LOOK: Final = frozenset(
    {
        Kind.MARK_CONTEXT,
        Kind.DETACH,
        Kind.REVERT,
        Kind.MARK_REVERTED,
        Kind.DELETE_SNAPSHOT,
        Kind.CLEAR_SNAPSHOT,
        Kind.ATTACH,
    }
)
"""Requests on one volume, each of which looks at it right before it is sent, and rows that tell what such a request brought, or that
a cleanup is at work."""

_SETTLE_RETRY: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_LOOK_SECONDS: Final = 5.0
_UNREACHABLE: Final = (2.0, 5.0, 10.0, 30.0)
_INTERRUPTED: Final = (0.2, 1.0, 2.0, 5.0)


class Interrupted(Exception):  # noqa: N818 - a signal inside this module, not an error
    """The world changed between decision and request; nothing was sent."""


class Worker:
    """The loop under a claim."""

    def __init__(self, around: Surroundings, claim: Claim, performer: Performer) -> None:
        self._around = around
        self._claim = claim
        self._performer = performer
        self._running: dict[asyncio.Task[Outcome | None], Action] = {}
        self._held_back: dict[str, tuple[int, float]] = {}
        self._trouble = 0
        self._seen: Activity | None = None  # of others, at the last full look
        self._first: World | None = None  # the full look that the claim was taken for, until it was decided on
        self._cloud: Cloud | None = None  # what OSSEA showed, while nothing can have changed it but requests on volumes
        self._stale: set[str] = set()  # volumes whose requests ended since
        self._looked_at = 0.0  # loop time at which the last full look began
        self._unreached: dict[str, ApplianceError] = {}  # by request: why it cannot be sent or followed for now

    def has_looked(self, world: World, at: float) -> None:
        """Go on from a full look that was made right before the claim was taken.

        What is done first confirms by a read of its own, under the claim, that the rows are still as they were (rule 7).

        Args:
            world: what it showed.
            at: loop time at which it began.
        """
        self._first, self._cloud, self._looked_at = world, world.cloud, at
        self._seen = activity(world.records, self._claim.memory)

    async def settle_abandoned(self) -> None:
        """Follow what a dead owner left open, then wait for two equal observations (claim and memory).

        Ends early when this process is about to end: what is open then stays open for the next owner.
        """
        settling = asyncio.create_task(self._settle_abandoned(), name="settle abandoned requests")
        leaving = asyncio.create_task(self._around.leaving.wait())
        try:
            await asyncio.wait([settling, leaving], return_when=asyncio.FIRST_COMPLETED)
            if not settling.done():
                await self._cut([settling])
        finally:
            for task in (settling, leaving):
                task.cancel()
            await asyncio.gather(settling, leaving, return_exceptions=True)
        if not settling.cancelled():
            settling.result()

    async def _settle_abandoned(self) -> None:
        for request in self._claim.memory.requests:
            if request.open:
                _tell(request, "followed")
                await self._settle(request)
        previous = None
        while True:
            world = await self._around.observe(self._claim.lock)
            ours = {row.volume_id for row in world.records.volumes}
            seen = (
                activity(world.records, self._claim.memory),
                {i: v for i, v in world.cloud.volumes.items() if i in ours},
                world.cloud.snapshots,
            )
            if seen == previous:
                return
            previous = seen
            await asyncio.sleep(1.0)

    async def work(self) -> Progress:
        """Loop until a decision ends the run."""
        around, claim = self._around, self._claim
        approved = False
        while True:
            if claim.lost.is_set():
                raise ClaimLost(claim.stored.id)
            if around.leaving.is_set():
                return await self._hand_over(LEAVING)
            order = await around.reporter.order()
            try:
                world, decision = await self._look(order)
                await phases.complete(
                    claim, decision.assessment, {a.phase for a in self._running.values()}, around.now()
                )
                await self._note_waivers(world, order, decision)
                approved = await self._note_approval(world, order, decision)
            except (LockLost, ClaimLost, DatabaseUnavailable, Unknown):
                raise
            except (BadCredentials, Untrusted) as error:
                # The doors were opened with secrets that may have been replaced since: another run reads them afresh.
                return await self._hand_over(unreachable(error, self._trouble))
            except ApplianceError as error:
                world, decision = None, unreachable(error, self._trouble)
                self._trouble += 1
            else:
                self._trouble = 0
            if world is not None and not self._running and _ends(decision):
                # Told by the caller once the claim is released: who sees the end finds the job log closed.
                return Progress(decision, world, claim.memory, claim.stored.id, approved=approved)
            told, pause = self._as_seen_by_a_person(decision), _LOOK_SECONDS
            match decision:
                case Act(actions=actions) if world is not None:
                    pause = await self._start(actions, decision.assessment, world)
                case Wait(after=after):
                    pause = min(after.total_seconds(), 60.0)
            # What was started goes on while it is told.
            await around.reporter.progress(
                Progress(told, world, claim.memory, claim.stored.id, claimed=True, approved=approved)
            )
            await self._wait(pause)

    async def _look(self, order: Order) -> tuple[World, Decision]:
        """Observe and decide.

        A request that had its effect on a volume changes this volume, and rows that we write change nothing in OSSEA. So for a few
        seconds after a full look only such volumes are looked at again, if nothing follows but requests on volumes, each of which looks
        at its own object right before it is sent, or rows that tell what a request brought. Anything else rests on a full look.
        """
        around, claim = self._around, self._claim
        wish = around.wish(order, claim.memory.job_id)
        if (world := await self._look_at_changes()) is not None:
            decision = decide(world, wish, claim.memory)
            if activity(world.records, claim.memory) == self._seen and self._needs_no_more(decision):
                return world, decision
        self._looked_at = asyncio.get_running_loop().time()
        self._stale.clear()
        world = await around.observe(claim.lock)
        self._cloud, before = world.cloud, self._seen
        self._seen = activity(world.records, claim.memory)
        if before not in (None, self._seen):
            await claim.change(partial(_changed, at=around.now()))
        return world, decide(world, wish, claim.memory)

    async def _look_at_changes(self) -> World | None:
        """The last full look, brought up to date where it changed; None where that is not enough."""
        cloud, first = self._cloud, self._first
        self._first = None
        if cloud is None or asyncio.get_running_loop().time() - self._looked_at >= _LOOK_SECONDS:
            return None
        if first is not None:
            return first
        self._cloud = None  # until the volumes were seen
        self._cloud = await self._around.look_again(cloud, self._stale)
        self._stale.clear()
        return None if self._cloud is None else World(await self._around.read(self._claim.lock), self._cloud)

    def _needs_no_more(self, decision: Decision) -> bool:
        """Whether what was decided may follow on less than a full look."""
        match decision:
            case Act(actions=actions):
                return all(action.kind in _ON_ITS_OWN_LOOK for action in actions)
            case Wait(reason=None):
                return bool(self._running)
        return False

    async def _hand_over(self, decision: Decision) -> Progress:
        """End in the middle: give requests in flight a few seconds to end; those that go on stay open in the memory for the next owner."""
        if self._running:
            await asyncio.wait(self._running, timeout=HAND_OVER_SECONDS)
        for task in [task for task in self._running if task.done()]:
            await self._ended(task, self._running.pop(task))
        await self._cut(self._running)
        self._running.clear()
        return Progress(decision, None, self._claim.memory, self._claim.stored.id, handed_over=True)

    async def _cut(self, tasks: Iterable[asyncio.Task[Any]]) -> None:
        """Cancel tasks while none of them uses the lock's connection, which would end with it."""
        async with self._claim.lock.between_statements():
            for task in tasks:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel(self) -> None:
        """End what is still followed; requests stay open in the memory and are taken up by the next owner."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._running.clear()

    def _as_seen_by_a_person(self, decision: Decision) -> Decision:
        """The decision, or the outage that keeps it from being carried out."""
        if not self._unreached or not isinstance(decision, Act | Wait):
            return decision
        return replace(unreachable(next(iter(self._unreached.values())), 0), assessment=decision.assessment)

    async def _start(self, actions: tuple[Action, ...], assessment: Assessment, world: World) -> float:
        """Start what is not held back; returns the seconds after which the next one that is may be tried."""
        now = asyncio.get_running_loop().time()
        pause = _LOOK_SECONDS
        busy = {obj for a in self._running.values() for obj in (a.object, a.volume_id) if obj}
        for action in actions:
            if action.object in busy or action.volume_id in busy:
                continue
            _, not_before = self._held_back.get(action.key, (0, now))
            if not_before > now:
                pause = min(pause, not_before - now)
                continue
            await phases.begin(self._claim, action, assessment, self._around.now())
            task = asyncio.create_task(self._carry_out(action, world), name=action.key)
            self._running[task] = action
        return pause

    async def _wait(self, seconds: float) -> None:
        """Until something ended, the order changed, the claim was lost, this process is to end or the time is over."""
        others = [
            asyncio.create_task(self._around.reporter.pause(seconds)),
            asyncio.create_task(self._claim.lost.wait()),
            asyncio.create_task(self._around.leaving.wait()),
        ]
        try:
            await asyncio.wait([*self._running, *others], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        ended = [(task, action) for task, action in self._running.items() if task.done()]
        if not ended:
            self._cloud = None
        for task, action in ended:
            del self._running[task]
            await self._ended(task, action)

    async def _ended(self, task: asyncio.Task[Outcome | None], action: Action) -> None:
        self._unreached.pop(action.key, None)
        cloud, self._cloud = self._cloud, None  # whatever was not as foreseen is looked into
        try:
            outcome = task.result()
        except (Interrupted, RowsChanged) as cause:
            logger.info("Not sent: observing again", extra={"action": action.key, "cause": str(cause)})
            self._hold_back(action, _INTERRUPTED)
        except (LockLost, ClaimLost, DatabaseUnavailable, Unknown):
            raise
        except ApplianceError as error:
            self._unreached[action.key] = error
            self._hold_back(action, _UNREACHABLE, at_least=error.retry_after or 0.0)
            logger.warning("Could not be sent", extra={"action": action.key, "cause": str(error)})
            await self._log("WARN", f"{action.why}: {error}", action)
        else:
            self._held_back.pop(action.key, None)
            if action.system is System.DATABASE:
                self._cloud = cloud
            elif outcome is Outcome.EFFECT and action.kind in _ON_ITS_OWN_LOOK:
                self._cloud = cloud
                self._stale.add(action.volume_id or action.object)

    def _hold_back(self, action: Action, pauses: tuple[float, ...], *, at_least: float = 0.0) -> None:
        """Do not try the action again before a pause that grows with each time in a row, nor before a server asks for it."""
        times, _ = self._held_back.get(action.key, (0, 0.0))
        pause = max(pauses[min(times, len(pauses) - 1)], at_least)
        self._held_back[action.key] = (times + 1, asyncio.get_running_loop().time() + pause)

    async def _carry_out(self, action: Action, world: World) -> Outcome | None:
        """Do it; returns what a request came to, None for rows."""
        if action.system is System.DATABASE:
            await self._write(action, world)
            return None
        gate = self._around.doors.reverts if action.kind is Kind.REVERT else contextlib.nullcontext()
        async with gate:
            return await self._request(action, world)

    async def _request(self, action: Action, world: World) -> Outcome | None:
        await self._performer.turn(action)  # first: a turn may take long, and what is checked must not grow old
        if (why_not := await self._performer.check(action)) is not None:
            raise Interrupted(why_not)
        request = await self._claim.write_ahead(action, self._around.now())
        try:
            with sent_within(self._performer.arrival_seconds):
                await self._confirm(world)
                external_id = await self._performer.submit(action, request)
        except (Interrupted, NotExecuted):
            await self._claim.forget(request)
            raise
        except Refused as error:
            request = refused(request, error, self._around.now())
            await self._claim.settle(request)
            _tell(request, "settled", cause=str(error))
            await self._log("WARN", f"{action.why}: {error}", action)
            return request.outcome
        except Unknown as error:
            _tell(request, "sent", cause=str(error))
        else:
            self._unreached.pop(action.key, None)
            request = replace(request, external_id=external_id)
            await self._claim.settle(request)
            _tell(request, "sent")
        return await self._settle(request, action)

    async def _confirm(self, world: World) -> None:
        """The read right before every request (rule 7): claim and lock are ours, and nobody else was at work."""
        if self._around.leaving.is_set():
            raise Interrupted("this process is about to end")
        memory = self._claim.memory
        records = await self._claim.lock.read()
        if activity(records, memory) != activity(world.records, memory):
            raise Interrupted("rows of the failover, a replication or a daemon operation changed")

    async def _settle(self, request: Request, action: Action | None = None) -> Outcome | None:
        """Follow a request until it is known what it did, remember that and return it."""
        for pause in itertools.chain(_SETTLE_RETRY, itertools.repeat(_SETTLE_RETRY[-1])):
            try:
                request = await self._performer.settle(request)
                self._unreached.pop(request.key, None)
                break
            except (BadCredentials, Untrusted) as error:
                self._unreached[request.key] = error
                if action is None:
                    raise  # nobody observes beside a take-over: the next run reads the secrets afresh
                await asyncio.sleep(pause)
            except ApplianceError as error:
                self._unreached[request.key] = error
                logger.warning(
                    "Cannot see what became of a request", extra={"request": request.key, "cause": str(error)}
                )
                await asyncio.sleep(pause)
        await self._claim.settle(request)
        _tell(request, "settled", cause=request.error)
        level: Level = "INFO" if request.outcome is Outcome.EFFECT else "WARN"
        text = f"{request.kind} of {request.object}: {request.outcome}"
        await self._log(level, text + (f" ({request.error})" if request.error else ""), action)
        return request.outcome

    async def _write(self, action: Action, world: World) -> None:
        lock, stored = self._claim.lock, self._claim.stored
        await self._confirm(world)
        volume_id = action.volume_id or ""
        match action.kind:
            case Kind.MARK_CONTEXT:
                before = world.records.context.current_status
                await self._claim.change(partial(_marked, before=before))
                await lock.mark_cleanup_required(self._claim.stored, action.object, before)
            case Kind.SET_MODE:
                mode = next(m.operation_mode for m in world.records.mappings if m.volume_id == volume_id)
                await lock.set_mode_oma(stored, volume_id, mode, action.vm_id or "")
            case Kind.MARK_REVERTED:
                await lock.mark_reverted(stored, volume_id, action.snapshot_id)
            case Kind.CLEAR_SNAPSHOT:
                await lock.clear_snapshot(stored, volume_id, action.snapshot_id)
            case Kind.REMOVE_MAPPING:
                limit = self._around.settings.operation_limit
                await lock.remove_stale_mapping(stored, volume_id, action.vm_id or "", operation_limit=limit)
            case Kind.CLOSE_INCIDENT if action.closing is not None:
                await lock.close_incident(stored, action.closing)
        told = {
            "transition": "write",
            "phase": action.phase.value,
            "action": action.kind.value,
            "object": action.object,
        }
        logger.info("Rows written", extra=told)
        await self._log("INFO", action.why, action)

    async def _note_waivers(self, world: World, order: Order, decision: Decision) -> None:
        """Remember the waivers without which this decision would have been a stop."""
        if not isinstance(decision, Act):
            return
        wish = self._around.wish(order, self._claim.memory.job_id)
        for waiver in sorted(order.waivers, key=lambda w: (w.reason, w.object)):
            used = (waiver.reason, waiver.object)
            if used in self._claim.memory.waivers_used:
                continue
            without = decide(world, replace(wish, waivers=wish.waivers - {waiver}), self._claim.memory)
            if without.assessment.blocks != decision.assessment.blocks:
                await self._claim.change(partial(Memory.with_waiver, reason=waiver.reason, obj=waiver.object))
                logger.warning("Waiver used", extra={"waiver": waiver.reason, "object": waiver.object})
                await self._log("WARN", f"waiver {waiver.reason} for {waiver.object} was used", None)

    async def _note_approval(self, world: World, order: Order, decision: Decision) -> bool:
        """Remember which plan was approved before anything of it is done; returns whether one is in force."""
        wish, memory = self._around.wish(order, self._claim.memory.job_id), self._claim.memory
        if isinstance(decision, Done):
            return memory.approval is not None and memory.approval.plan_hash == order.approved_plan
        approval = adopted(wish, memory, plan_of(world, decision.assessment))
        if approval is None or not approval.actions:
            return False
        if approval != memory.approval:
            await self._claim.change(partial(Memory.with_approval, approval=approval))
            logger.info("Keeping to the approved plan", extra={"plan": approval.plan_hash})
            await self._log("INFO", f"keeping to the approved plan {approval.plan_hash}", None)
        return True

    async def _log(self, level: Level, message: str, action: Action | None) -> None:
        """Write to the appliance's own job log, for whoever looks there."""
        phase = self._claim.memory.phases.get(action.phase) if action else None
        attrs = {"action": action.kind.value, "object": action.object, "volume_id": action.volume_id} if action else {}
        await self._claim.lock.log(
            self._claim.stored,
            level,
            message,
            attrs,
            phase.step_id if phase else None,
        )


def _tell(request: Request, state: str, *, cause: str | None = None) -> None:
    """Log what became of a request.

    Args:
        request: the request.
        state: sent (answered or not), settled (its outcome is known), followed (a former owner sent it).
        cause: why it is not as it should be.
    """
    as_wanted = request.outcome in (None, Outcome.EFFECT) and (cause is None or state == "settled")
    told = {
        "transition": "request",
        "state": state,
        "request": f"{request.key}/{request.attempt}",
        "external_id": request.external_id,
        "action": request.kind.value,
        "object": request.object,
        "volume": request.volume_id,
        "phase": PHASE_OF[request.kind].value,
        "outcome": request.outcome.value if request.outcome is not None else None,
        "cause": cause,
    }
    logger.log(
        logging.INFO if as_wanted else logging.WARNING,
        "Request %s",
        state,
        extra={name: value for name, value in told.items() if value is not None},
    )


def _ends(decision: Decision) -> bool:
    """Whether a run ends with this decision, once nothing is in flight any more."""
    match decision:
        case Act():
            return False
        case Wait(reason=reason):
            return reason not in HOLDING
    return True


def _marked(memory: Memory, *, before: str) -> Memory:
    return replace(memory, marked_from=memory.marked_from or before)


def _changed(memory: Memory, *, at: datetime) -> Memory:
    return replace(memory, changed_at=at)


def unreachable(error: ApplianceError, trouble: int) -> Wait:
    """The wait that follows from an error of a door; longer each time it repeats."""
    seconds = error.retry_after or _UNREACHABLE[min(trouble, len(_UNREACHABLE) - 1)]
    return Wait(Reason.APPLIANCE_UNREACHABLE, str(error), timedelta(seconds=seconds), Assessment())
