"""What a cleanup must remember between observations, kept in its claim and nowhere else.

Every mutating request is written ahead as an open `Request` and settled afterwards by what re-reading showed. All stamps are UTC
digits of the database's clock, so that owners on different machines agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from .actions import PHASE_OF, SYSTEM_OF, Action, Kind, Phase, System
from .goals import Goal, GoalState
from .world import ContentVerdict


class Outcome(StrEnum):
    """How a request ended, judged by re-reading the world and not by the answer alone."""

    EFFECT = "effect"
    """The world shows it; for a revert: its job ended with jobstatus 1."""
    NO_EFFECT = "no-effect"
    """It was executed, ended, and the world does not show it."""
    REFUSED = "refused"
    """It was certainly not executed."""
    UNKNOWN = "unknown"
    """Nobody can say; it may still be running."""


@dataclass(frozen=True, slots=True)
class Request:
    """One mutating request, written ahead.

    Attributes:
        attempt: 1, 2, …: part of the id that makes a submission at-most-once.
        number: claim number under which it was written; another number means the claim was broken in between.
        external_id: OSSEA job id or daemon operation id, once known.
    """

    kind: Kind
    object: str
    attempt: int
    number: int
    sent_at: datetime
    volume_id: str | None = None
    snapshot_id: str | None = None
    vm_id: str | None = None
    external_id: str | None = None
    outcome: Outcome | None = None
    settled_at: datetime | None = None
    error: str | None = None

    @property
    def open(self) -> bool:
        """Written ahead, not yet settled: in flight, or left behind by a dead owner."""
        return self.outcome is None

    @property
    def key(self) -> str:
        """Identity across attempts; equals `Action.key`."""
        return f"{self.kind}/{self.object}"


@dataclass(frozen=True, slots=True)
class PhaseRecord:
    """Life of one phase in this run."""

    started_at: datetime | None = None
    completed_at: datetime | None = None
    skipped: str | None = None
    step_id: int | None = None
    total: int = 0


@dataclass(frozen=True, slots=True)
class Approval:
    """A plan that a person approved.

    Attributes:
        plan_hash: digest by which it was approved.
        actions: what may be done, see `approval.approved_key`; none while the digest fits no observed plan.
    """

    plan_hash: str
    actions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Memory:
    """All a new owner needs to go on.

    Attributes:
        job_id: failover job this cleanup is bound to (rule 2).
        number: number of the current claim.
        started_at: when this run's claim was first taken.
        changed_at: when foreign activity last changed under our eyes; restarts the quiet time (rule 5).
        asker: identity of the resource that asked; finds the claim again when the resource's status was erased.
        handled_request: the `requestedAt` token this run answers.
        stopped_at: when the run was suspended; None while it runs.
        stopped_for: how long it was suspended in all; the deadline does not count it.
        marked_from: status the context had before this run marked it `cleanup_required`.
        tries_from: attempts before it do not count as failures any more: a person asked again.
        finished: reason of the end, when the run ended clean or final.
        verdict: what the last run to the end said of the content; it outlives a new run's beginning.
        approval: the plan this run keeps to; None when no approval was asked for. A run asked for again needs a new one.
        correcting: this run puts right what drifted after the end, which nobody asked for: it never reverts (rule 18).
        found: the goals as this run found them, before it touched anything; empty in claims of older versions.
    """

    job_id: str
    number: int = 0
    started_at: datetime | None = None
    changed_at: datetime | None = None
    requests: tuple[Request, ...] = ()
    phases: dict[Phase, PhaseRecord] = field(default_factory=dict)
    waivers_used: tuple[tuple[str, str], ...] = ()
    asker: str | None = None
    handled_request: str | None = None
    stopped_at: datetime | None = None
    stopped_for: timedelta = timedelta(0)
    marked_from: str | None = None
    tries_from: datetime | None = None
    finished: str | None = None
    verdict: ContentVerdict | None = None
    approval: Approval | None = None
    correcting: bool = False
    found: dict[Goal, GoalState] = field(default_factory=dict)

    def with_phase(self, *, phase: Phase, record: PhaseRecord) -> Memory:
        """Memory in which a phase got as far as this."""
        return replace(self, phases={**self.phases, phase: record})

    def stopped(self, *, at: datetime) -> Memory:
        """Memory of a run that was suspended."""
        return replace(self, stopped_at=at)

    def resumed(self, *, at: datetime) -> Memory:
        """Memory of a run that goes on; one that was not suspended is unchanged."""
        if self.stopped_at is None:
            return self
        return replace(self, stopped_at=None, stopped_for=self.stopped_for + (at - self.stopped_at))

    def paused(self, *, until: datetime) -> timedelta:
        """How long the run was suspended in all, a suspension that still lasts included."""
        return self.stopped_for + (until - self.stopped_at if self.stopped_at is not None else timedelta(0))

    def with_waiver(self, *, reason: str, obj: str) -> Memory:
        """Memory in which a waiver was needed."""
        return replace(self, waivers_used=(*self.waivers_used, (reason, obj)))

    def ended(self, *, reason: str, at: datetime, suspects: tuple[str, ...] | None) -> Memory:
        """Memory of a run that came to its end; `suspects` is None where no volume was looked at."""
        verdict = self.verdict if suspects is None else ContentVerdict(at, suspects)
        return replace(self, finished=reason, verdict=verdict)

    def with_approval(self, *, approval: Approval) -> Memory:
        """Memory of a run that keeps to an approved plan."""
        return replace(self, approval=approval)

    def again(self, at: datetime, token: str | None, *, correcting: bool = False) -> Memory:
        """Memory of a new run: one that a person asked for, or one that corrects drift.

        All requests stay: reverts and deletes explain snapshots that are gone (rule 12), and an attempt counted from one again would
        carry the job id of an old one, which the server takes for the same request.
        """
        return Memory(
            self.job_id,
            number=self.number,
            requests=self.requests,
            asker=self.asker,
            handled_request=token,
            tries_from=at,
            verdict=self.verdict,
            correcting=correcting,
        )

    def of(self, kind: Kind, obj: str | None = None, *, volume_id: str | None = None) -> Iterator[Request]:
        """Requests of a kind, oldest first, of one object or volume if given."""
        for request in self.requests:
            if (
                request.kind is kind
                and (obj is None or request.object == obj)
                and (volume_id is None or request.volume_id == volume_id)
            ):
                yield request

    def last(self, kind: Kind, obj: str) -> Request | None:
        """Newest request of a kind on an object."""
        return max(self.of(kind, obj), key=lambda r: r.attempt, default=None)

    def in_flight(self, obj: str) -> bool:
        """Whether a request on this object or volume is open."""
        return any(r.open and obj in (r.object, r.volume_id) for r in self.requests)

    def failures(self, kind: Kind, obj: str) -> tuple[Request, ...]:
        """Settled attempts without effect since the last one that had, or since a person asked again; oldest first."""
        run: list[Request] = []
        for request in sorted(self.of(kind, obj), key=lambda r: r.attempt):
            if request.outcome is Outcome.EFFECT:
                run.clear()
            elif not request.open and (self.tries_from is None or request.sent_at >= self.tries_from):
                run.append(request)
        return tuple(run)

    def sent(self, phase: Phase) -> int:
        """How many requests of a phase this run sent to OSSEA and the Volume Daemon, repeated ones included."""
        if self.started_at is None:
            return 0
        ours = (r for r in self.requests if r.sent_at >= self.started_at and SYSTEM_OF[r.kind] is not System.DATABASE)
        return sum(PHASE_OF[request.kind] is phase for request in ours)

    @property
    def touched(self) -> bool:
        """Whether any mutating request to OSSEA or the daemon was written ahead in this run."""
        return self.started_at is not None and any(r.sent_at >= self.started_at for r in self.requests)

    @property
    def displaced(self) -> bool:
        """Whether this run asked for a volume to be detached or a VM to be stopped."""
        requests = (*self.of(Kind.DETACH), *self.of(Kind.STOP_VM))
        return self.started_at is not None and any(r.sent_at >= self.started_at for r in requests)

    @property
    def first_request_at(self) -> datetime | None:
        """Time of this run's first mutating request since a person last asked; the deadline counts from here."""
        if self.started_at is None:
            return None  # requests, if any, are an earlier run's
        since = max(self.started_at, self.tries_from or self.started_at)
        return min((r.sent_at for r in self.requests if r.sent_at >= since), default=None)

    def write_ahead(self, action: Action, at: datetime) -> tuple[Memory, Request]:
        """Memory with an open request for the action, and that request."""
        previous = self.last(action.kind, action.object)
        request = Request(
            kind=action.kind,
            object=action.object,
            attempt=previous.attempt + 1 if previous else 1,
            number=self.number,
            sent_at=at,
            volume_id=action.volume_id,
            snapshot_id=action.snapshot_id,
            vm_id=action.vm_id,
        )
        return replace(self, requests=(*self.requests, request)), request

    def with_request(self, request: Request) -> Memory:
        """Memory in which a request of the same key and attempt is replaced."""
        return replace(
            self,
            requests=tuple(
                request if (r.key, r.attempt) == (request.key, request.attempt) else r for r in self.requests
            ),
        )
