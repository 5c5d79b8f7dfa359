"""One cleanup, from the first look to the last row: observe, decide, perform, again.

    lock ─► observe ─► decide ─┬─► Done / Refuse / Wait: nothing was written, say so
                               └─► Act: take the claim ─► settle what a dead owner left ─► loop until nothing is left ─► release

Nothing is sent without a request written ahead, and nothing is sent when the read right before it shows foreign activity (rule 7).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial

from failed_execution_cleanup.appliance.database import ClaimLost, ClaimOutcome, ContextLock, LockHeld, StoredClaim
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.perform import Performer, Subject
from failed_execution_cleanup.recovery.actions import System
from failed_execution_cleanup.recovery.approval import adopted, executes, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait, decide
from failed_execution_cleanup.recovery.goals import Settings, Wish
from failed_execution_cleanup.recovery.incident import newest_job_id
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import SUCCESSES, Reason
from failed_execution_cleanup.recovery.world import ContextRow, World
from failed_execution_cleanup.run import phases
from failed_execution_cleanup.run.attribution import about
from failed_execution_cleanup.run.claim import Claim, dump_memory, load_memory
from failed_execution_cleanup.run.order import Order, Progress, Reporter
from failed_execution_cleanup.run.surroundings import Surroundings
from failed_execution_cleanup.run.worker import LEAVING, Worker, unreachable

logger = logging.getLogger(__name__)


class Taken(StrEnum):
    """How a claim was taken."""

    NEW = "new"
    RESUMED = "resumed"
    """The one before was released: suspended, interrupted, or asked for again."""
    TAKEOVER = "takeover"
    """Its owner is gone without a word."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Times of the process, not of the appliance.

    Attributes:
        http_seconds: longest time between sending a request and reading its answer; a taker waits it out on top of the heartbeat.
        expiry_seconds: age of a heartbeat after which its owner counts as dead; one is sent every third of it.
    """

    http_seconds: float = 30.0
    expiry_seconds: float = 15.0

    @property
    def heartbeat_seconds(self) -> float:
        """Pause between heartbeats: two may be late or lost before anybody takes over."""
        return self.expiry_seconds / 3

    @property
    def owner_alive_seconds(self) -> float:
        """Age of a heartbeat after which nothing of its owner's can arrive any more."""
        return self.expiry_seconds + self.http_seconds


class Cleanup:
    """One VM's cleanup for one order. Made for a single `run`."""

    def __init__(
        self,
        doors: Doors,
        settings: Settings,
        owner: str,
        reporter: Reporter,
        limits: Limits | None = None,
        leaving: asyncio.Event | None = None,
        claimed: Callable[[Taken], None] | None = None,
    ) -> None:
        """Prepare; nothing is read or sent.

        Args:
            doors: the appliance.
            settings: its counts and times.
            owner: identity of this process, unique among all that may ever run.
            reporter: who asked.
            limits: times of the process.
            leaving: set by a process that is about to end: the claim is handed over as soon as possible.
            claimed: hears when the claim was taken, and how.
        """
        self._limits = limits or Limits()
        settings = replace(settings, owner_alive=timedelta(seconds=self._limits.owner_alive_seconds))
        self._around = Surroundings(doors, settings, reporter, leaving or asyncio.Event())
        self._owner = owner
        self._told_claimed = claimed

    async def run(self) -> Progress:
        """Work until nothing is left, nothing may be done, or somebody else must act; never raises for the appliance's trouble."""
        return await self._under_lock(self._locked)

    async def preview(self) -> Progress:
        """Say what would be done now; nothing is claimed or written, also where a former owner left requests open."""
        return await self._under_lock(self._previewed)

    async def _under_lock(self, look: Callable[[ContextLock, Order], Awaitable[Progress]]) -> Progress:
        order = await self._around.reporter.order()
        try:
            contexts = await self._around.doors.database.find_contexts(order.vm_name, order.vcenter_host)
            if len(contexts) != 1:
                return Progress(_identity(order, contexts))
            silence = self._limits.owner_alive_seconds
            async with self._around.doors.database.lock(contexts[0].context_id, idle_seconds=silence) as lock:
                return await look(lock, order)
        except (LockHeld, ClaimLost) as error:
            return Progress(Wait(Reason.CLAIMED_ELSEWHERE, str(error), timedelta(seconds=15), Assessment()))
        except ApplianceError as error:
            return Progress(unreachable(error, 2))

    async def _previewed(self, lock: ContextLock, order: Order) -> Progress:
        world = await self._around.observe(lock)
        job_id = order.job_id or await _pinned(lock, world, order) or newest_job_id(world.records)
        stored = await lock.load_claim(job_id) if job_id else None
        memory = load_memory(stored.memory if stored else None, job_id or "")
        if memory.finished and memory.handled_request != order.requested_at:
            memory = memory.again(self._around.now(), order.requested_at)
        decision = decide(world, self._around.wish(order, job_id), memory)
        return Progress(decision, world, memory, stored.id if stored else None)

    async def _locked(self, lock: ContextLock, order: Order) -> Progress:
        looked_at = asyncio.get_running_loop().time()
        world = await self._around.observe(lock)
        pinned = await _pinned(lock, world, order)
        if pinned is not None and order.job_id not in (None, pinned):
            return Progress(job_mismatch(pinned, order.job_id), world)
        job_id = order.job_id or pinned or newest_job_id(world.records)
        stored = await lock.load_claim(job_id) if job_id else None
        memory = load_memory(stored.memory if stored else None, job_id or "")
        wish = self._around.wish(order, job_id)
        if memory.finished and memory.handled_request == order.requested_at and not order.correcting:
            ended = _as_ended(Reason(memory.finished), world, wish, memory)
            kept_to = memory.approval is not None and memory.approval.plan_hash == order.approved_plan
            return Progress(ended, world, memory, stored.id if stored else None, approved=kept_to)
        before = memory
        if order.correcting:
            memory = _correcting(memory, self._around.now(), order)
        elif memory.finished or memory.handled_request != order.requested_at:
            memory = (
                memory.again(self._around.now(), order.requested_at)
                if memory.finished
                else _asked_again(memory, self._around.now(), order)
            )
        abandoned = stored is not None and stored.owner is not None
        keeps_to_a_plan = not order.execute or order.approved_plan is not None
        foreseen = _as_next_claim(memory) if keeps_to_a_plan else memory
        decision = decide(world, wish, foreseen)
        unsettled = abandoned or any(r.open for r in memory.requests)
        approved = False
        if order.correcting and not unsettled and not isinstance(decision, Act):
            # What cannot be put right leaves the end of the last run as it was.
            ended = _as_ended(Reason(before.finished or Reason.ALREADY_CLEAN), world, wish, before)
            return Progress(ended, world, before, stored.id if stored else None)
        if not order.execute and not unsettled:
            # A plan: what would be done if it were asked for; nothing is claimed or written.
            preview = preview_decision(world, wish, memory)
            approved = executes(wish, adopted(wish, memory, plan_of(world, preview.assessment)))
            if not approved:
                return Progress(preview, world, memory)
        # What an earlier run reverted is still brought home, although its claim was let go (rule 19).
        if order.stopping and not unsettled and not memory.touched:
            return Progress(Stopped("stopped before anything was touched.", (), decision.assessment), world, memory)
        if job_id is None or not (isinstance(decision, Act) or unsettled):
            return Progress(decision, world, memory, stored.id if stored else None, approved=approved)
        if stored is not None and (left := self._owner_alive(stored)) > timedelta(0):
            message = f"{stored.owner} worked on this VM until a moment ago; its requests must be over before anybody goes on."
            waiting = Wait(Reason.CLAIMED_ELSEWHERE, message, left, decision.assessment)
            return Progress(waiting, world, memory, stored.id, approved=approved)
        if self._around.leaving.is_set():
            return Progress(LEAVING, world, memory, stored.id if stored else None)
        if any(step.system is System.DAEMON for step in decision.assessment.steps):
            await self._around.doors.daemon.health()  # before the claim: an outage must leave no trace
        await self._around.reporter.claiming()
        taken = await lock.take_claim(job_id, self._owner, previous=stored)
        claim = Claim(lock, taken, memory, heartbeat_seconds=self._limits.heartbeat_seconds)
        with about(job=job_id, claim=taken.id):
            self._tell_taken(stored, taken)
            now = self._around.now()
            await claim.change(
                lambda m: replace(
                    m.resumed(at=now),
                    number=taken.number,
                    asker=order.asker,
                    started_at=m.started_at or now,
                    found=m.found if m.started_at is not None else decision.assessment.goals,
                )
            )
            async with claim.kept_alive():
                await phases.resume(claim)
                if order.note:
                    await lock.log(claim.stored, "INFO", order.note)
                return await self._claimed(claim, world, looked_at, abandoned=abandoned)

    async def _claimed(self, claim: Claim, world: World, looked_at: float, *, abandoned: bool) -> Progress:
        subject = Subject(
            job_id=claim.memory.job_id,
            vm_name=world.records.context.vm_name,
            oma_vm_id=world.oma_vm_id,
            volume_ids=frozenset(row.volume_id for row in world.records.volumes),
        )
        worker = Worker(
            self._around,
            claim,
            Performer(
                self._around.doors,
                subject,
                self._around.now,
                arrival_seconds=self._limits.http_seconds,
                operation_seconds=self._around.settings.operation_limit.total_seconds(),
                stop_seconds=self._around.settings.stop_timeout.total_seconds(),
            ),
        )
        try:
            if abandoned or any(r.open for r in claim.memory.requests):
                await worker.settle_abandoned()
            else:
                worker.has_looked(world, looked_at)
            progress = await worker.work()
        except ApplianceError as error:
            # Kept in the table without a heartbeat, or taken by somebody else: in any case not ours any more.
            logger.warning("Claim lost", extra={"transition": "claim", "state": "lost", "cause": str(error)})
            raise
        finally:
            await worker.cancel()
        await self._release(claim, progress)
        decision = await self._with_a_plan_to_go_on(progress, claim.memory)
        return replace(progress, decision=decision, memory=claim.memory, claimed=False)

    async def _with_a_plan_to_go_on(self, progress: Progress, memory: Memory) -> Decision:
        """A stop that people answer by approving a plan says what the next claim would do, which may be more than what was left."""
        decision, order = progress.decision, await self._around.reporter.order()
        back_to_a_plan = isinstance(decision, Stopped) and not order.execute and not order.stopping
        unapproved = isinstance(decision, Refuse) and decision.reason is Reason.AWAITING_APPROVAL
        if progress.world is None or not isinstance(decision, Stopped | Refuse) or not (back_to_a_plan or unapproved):
            return decision
        preview = preview_decision(progress.world, self._around.wish(order, memory.job_id), memory)
        return replace(decision, assessment=preview.assessment)

    async def _release(self, claim: Claim, progress: Progress) -> None:
        status: ClaimOutcome = "failed"
        error: str | None = "interrupted"
        ended: Memory | None = None
        match progress.decision:
            case Done(reason=reason, message=message, assessment=seen):
                await phases.skip_rest(claim)
                suspects = tuple(v.volume.id for v in seen.suspects) if seen.volumes else None
                # Stored with the release: a claim that is finished and still held would be taken over by nobody.
                ended = claim.memory.ended(reason=reason.value, at=self._around.now(), suspects=suspects)
                status, error = ("completed", None) if reason in SUCCESSES else ("failed", message)
            case Stopped(message=message):
                await claim.change(partial(Memory.stopped, at=self._around.now()))
                status, error = "cancelled", message
            case Refuse(reason=reason, message=message):
                if reason is Reason.AWAITING_APPROVAL:  # the deadline does not count a pause for a person's word
                    await claim.change(partial(Memory.stopped, at=self._around.now()))
                error = f"{reason.value}: {message}"
            case Wait(message=message):
                error = f"interrupted: {message}" if progress.handed_over else f"waiting: {message}"
        memory = ended or claim.memory
        await claim.lock.release_claim(
            claim.stored, status, error, finished=ended is not None, memory=dump_memory(memory)
        )
        claim.memory = memory
        told = {"transition": "claim", "state": "released", "outcome": status, "cause": error}
        logger.info("Claim released", extra={name: value for name, value in told.items() if value is not None})

    def _tell_taken(self, before: StoredClaim | None, taken: StoredClaim) -> None:
        how, told = Taken.NEW, {"transition": "claim", "state": "taken", "number": taken.number}
        if before is not None and before.owner is not None:
            how, told["former_owner"] = Taken.TAKEOVER, before.owner
        elif before is not None:
            how = Taken.RESUMED
        logger.info("Claim taken", extra={**told, "how": how.value})
        if self._told_claimed is not None:
            self._told_claimed(how)

    def _owner_alive(self, stored: StoredClaim) -> timedelta:
        """How long the former owner may still be waiting for an answer (rules, claim and memory)."""
        if stored.owner is None or stored.heartbeat_age is None:
            return timedelta(0)
        return timedelta(seconds=self._limits.owner_alive_seconds - stored.heartbeat_age)


def _as_next_claim(memory: Memory) -> Memory:
    """Memory as the next claim will have it: reverts of an earlier one do not count any more (rule 12)."""
    return replace(memory, number=memory.number + 1)


def preview_decision(world: World, wish: Wish, memory: Memory) -> Decision:
    """What would be done if it were asked for."""
    return decide(world, replace(wish, execute=True, approved_plan=None), _as_next_claim(memory))


def _identity(order: Order, contexts: tuple[ContextRow, ...]) -> Refuse:
    if not contexts:
        where = f" under vCenter {order.vcenter_host}" if order.vcenter_host else ""
        message = f"the appliance knows no VM {order.vm_name!r}{where}: correct vmName in a new resource (spaces and capitals count)."
        return Refuse(Reason.UNKNOWN_VM, message, Assessment())
    hosts = ", ".join(sorted(context.vcenter_host for context in contexts))
    message = f"{len(contexts)} VMs are named {order.vm_name!r} (vCenters {hosts}): set vcenterHost."
    return Refuse(Reason.AMBIGUOUS_VM, message, Assessment())


async def _pinned(lock: ContextLock, world: World, order: Order) -> str | None:
    """The job this asker was bound to before, as the claims remember it: a status may be erased, a claim is not."""
    for claim in world.records.claims:
        stored = await lock.load_claim(claim.job_id) if order.asker is not None else None
        if stored is not None and load_memory(stored.memory, claim.job_id).asker == order.asker:
            return claim.job_id
    return None


def job_mismatch(pinned: str, wanted: str | None) -> Refuse:
    """The stop of a cleanup that is bound to one job and asked for another."""
    message = f"this cleanup is bound to failover job {pinned}, and failoverJobID says {wanted}: create a new resource for that job."
    return Refuse(Reason.JOB_MISMATCH, message, Assessment())


def _asked_again(memory: Memory, at: datetime, order: Order) -> Memory:
    """A new request for an unfinished run: tries count anew, everything else goes on."""
    tries_from = at if memory.requests else None
    return replace(memory, handled_request=order.requested_at, tries_from=tries_from, correcting=False)


def _correcting(memory: Memory, at: datetime, order: Order) -> Memory:
    """A run nobody asked for: whatever becomes of its owner, it never reverts (rule 18)."""
    if memory.started_at is None or memory.finished:
        return memory.again(at, order.requested_at, correcting=True)
    return replace(memory, correcting=True)


def _as_ended(reason: Reason, world: World, wish: Wish, memory: Memory) -> Decision:
    """A finished cleanup stays as it ended and touches nothing (rule 18), unless a newer job superseded it (rule 2)."""
    decision = decide(world, wish, memory)
    if isinstance(decision, Done) and decision.reason is Reason.SUPERSEDED:
        return decision
    return Done(reason, "finished; nothing is touched without a new request.", decision.assessment)
