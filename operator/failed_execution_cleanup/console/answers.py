"""The JSON of requests and answers. Field names are part of the public interface: they are added to, never changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from failed_execution_cleanup.client import EndingState, ending
from failed_execution_cleanup.console.cards import Card, CardState
from failed_execution_cleanup.console.outlines import Outline, outline_of
from failed_execution_cleanup.console.plans import Obstacle, Plan
from failed_execution_cleanup.console.problems import Problem
from failed_execution_cleanup.recovery.actions import Phase
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Waiver

Note = Annotated[str, Field(min_length=1, max_length=1024)]
ObjectID = Annotated[str, Field(min_length=1, max_length=255)]
PlanHash = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class _Request(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


# -- requests ----------------------------------------------------------------------------------------------------------


class WaiverRequest(_Request):
    """A stop that the caller takes responsibility for."""

    reason: Waiver
    """The stop, as the cleanup names it."""
    object: ObjectID = Field(description="`job`, or the id of a volume, a VM or a database row.")
    note: Note | None = Field(default=None, description="Why, for people.")


class WaiverWanted(_Request):
    """A stop that the caller takes responsibility for."""

    reason: Waiver
    """The stop, as the cleanup names it."""
    object: ObjectID = Field(description="`job`, or the id of a volume, a VM or a database row.")


class ApprovalRequest(_Request):
    """The plan that was read."""

    plan_hash: PlanHash
    """Of the plan that was read; another one by now is refused."""


class CleanupRequest(_Request):
    """What is asked for beside the VM; all of it is optional."""

    note: Note | None = Field(default=None, description="Free text for people, such as a ticket.")
    waive: tuple[WaiverWanted, ...] = Field(default=(), max_length=64)
    """Each for one object; the Appliance must allow it."""
    plan_hash: PlanHash | None = Field(
        default=None, description="Of the plan that was read: what is not in it is not done."
    )


# -- answers -----------------------------------------------------------------------------------------------------------


class ProblemAnswer(_Answer):
    """Something did not succeed."""

    success: Literal[False] = False
    """It did not succeed."""
    error: str = Field(description="What is wrong, with the object.")
    vm_name: str | None
    """The VM that was asked about, if one was."""
    reason: str = Field(description="One word; those of cleanups are explained in the documentation.")
    remedy: str = Field(description="What to do next.")

    @classmethod
    def of(cls, problem: Problem, vm_name: str | None) -> ProblemAnswer:
        """The body for a problem."""
        return cls(error=problem.error, vm_name=vm_name, reason=problem.reason, remedy=problem.remedy)


class CompletedAnswer(_Answer):
    """The VM is clean."""

    success: Literal[True] = True
    """It succeeded."""
    message: str
    """For people."""
    vm_name: str
    """As in vCenter."""
    timestamp: datetime
    """When it was seen to be clean."""


class OutlineAnswer(_Answer):
    """A cleanup in a few words."""

    name: str
    """Of the resource."""
    namespace: str
    """Of the resource."""
    appliance: str
    """Name of the Appliance."""
    vm_name: str
    """As in vCenter."""
    vcenter_host: str | None
    """vCenter of the VM, where the resource names it."""
    job_id: str | None
    """The failover job it is bound to, once it is known."""
    state: EndingState
    """How far it is."""
    reason: str
    """Of its condition Ready, in one word."""
    message: str
    """Of its condition Ready, for people."""
    remedy: str
    """What a person does next; empty if nothing."""
    phase_summary: str | None
    """Phases completed of all, such as `3/5`."""
    queue_position: int | None
    """Its place in the line of the appliance, while it waits there."""
    created_at: datetime
    """When the resource was created."""

    @classmethod
    def of(cls, seen: Outline) -> OutlineAnswer:
        """The answer for an outline."""
        return cls.model_validate(seen, from_attributes=True)


class CleanupAnswer(OutlineAnswer):
    """A cleanup in full."""

    over: bool = Field(description="Nothing happens any more unless somebody asks for it.")
    resource_version: str
    """Of the resource as it was read."""
    spec: dict[str, Any] = Field(description="As in the resource: `kubectl explain fec.spec`.")
    status: dict[str, Any] = Field(description="As in the resource: `kubectl explain fec.status`.")

    @classmethod
    def of_resource(cls, cleanup: FailedExecutionCleanup) -> CleanupAnswer:
        """The answer for a resource."""
        return cls(
            **OutlineAnswer.of(outline_of(cleanup)).model_dump(),
            over=ending(cleanup).over,
            resource_version=cleanup.metadata.resource_version,
            spec=cleanup.spec.to_kubernetes(),
            status=cleanup.status.to_kubernetes(),
        )


class AcceptedAnswer(_Answer):
    """The cleanup was placed, or goes on."""

    success: Literal[True] = True
    """It was placed."""
    message: str
    """For people."""
    vm_name: str
    """As in vCenter."""
    status_url: str
    """Where to see how it goes."""
    cleanup: CleanupAnswer
    """As it is now."""


class IncidentAnswer(_Answer):
    """The failover that hangs or is at work."""

    job_id: str
    """`failover_jobs.job_id`."""
    operation: str = Field(description="`test failover` or `live failover`.")
    live: bool
    """Whether it was to move the VM for good."""
    last_step: str | None = Field(description="What it did last, in words for people.")
    blocked_by: str | None = Field(description="What would keep a cleanup from running now, as one word.")


class CardAnswer(_Answer):
    """A protected VM."""

    vm_name: str
    """As in vCenter."""
    vcenter_host: str
    """vCenter of the VM."""
    appliance: str
    """Name of the Appliance."""
    context_id: str
    """Of the VM's replication context."""
    context_status: str
    """`current_status` of the context, as it is stored."""
    state: CardState
    """What it needs."""
    incident: IncidentAnswer | None
    """The failover that hangs or is at work, if there is one."""
    stuck_since: datetime | None
    """Last sign of life of a failover that hangs."""
    problem: str = Field(description="Why nothing can be said of it; empty if something can.")
    cleanup: OutlineAnswer | None = Field(description="The one of its failed job, else its newest, if you may see it.")

    @classmethod
    def of(cls, card: Card) -> CardAnswer:
        """The answer for a card."""
        incident = card.incident
        return cls(
            vm_name=card.vm_name,
            vcenter_host=card.vcenter_host,
            appliance=card.appliance,
            context_id=card.context_id,
            context_status=card.context_status,
            state=card.state,
            incident=None
            if incident is None
            else IncidentAnswer(
                job_id=incident.job_id,
                operation=incident.operation,
                live=incident.live,
                last_step=incident.last_step,
                blocked_by=incident.blocked_by.value if incident.blocked_by is not None else None,
            ),
            stuck_since=card.stuck_since,
            problem=card.problem,
            cleanup=OutlineAnswer.of(card.cleanup) if card.cleanup is not None else None,
        )


class ApplianceProblem(_Answer):
    """An appliance nothing is known of now."""

    appliance: str
    """Name of the Appliance."""
    problem: str
    """Why, for people."""


class CardsAnswer(_Answer):
    """A page of cards: what needs somebody comes first, then by name."""

    items: tuple[CardAnswer, ...]
    """The cards of this page."""
    total: int = Field(description="How many fit the filters.")
    counts: dict[CardState, int] = Field(description="By state, whatever the filter by state.")
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")
    problems: tuple[ApplianceProblem, ...]
    """Appliances whose VMs are missing here."""
    as_of: datetime | None = Field(description="When the oldest of it was read.")


class CleanupsAnswer(_Answer):
    """A page of cleanups, newest first."""

    items: tuple[OutlineAnswer, ...]
    """The cleanups of this page."""
    total: int
    """How many fit the filters."""
    next: str | None
    """`cursor` of the next page; null on the last one."""


class ActionAnswer(_Answer):
    """One action of a plan."""

    step: int
    """Counted from 1."""
    phase: Phase
    """The phase it belongs to."""
    action: str
    """What is done."""
    object: str
    """Id of what it is done to."""
    forced: bool
    """Whether a VM is stopped without its consent."""
    why: str
    """For people."""


class PhaseAnswer(_Answer):
    """One of the five phases."""

    name: Phase
    """The phase."""
    needed: bool
    """Whether it has anything to do."""
    why: str = Field(description="What it does, or why it is not needed.")


class OfferedWaiverAnswer(_Answer):
    """What lets a cleanup pass an obstacle."""

    reason: Waiver
    """Of the waiver to give."""
    object: str
    """Of the waiver to give."""
    allowed: bool = Field(description="Whether the Appliance lets people waive it.")


class ObstacleAnswer(_Answer):
    """A reason why nothing may be done now."""

    reason: str
    """In one word; explained in the documentation."""
    message: str
    """For people."""
    remedy: str
    """What to do next."""
    object: str
    """What it is about."""
    volume_id: str | None
    """The volume it is about, if it is about one."""
    needs_person: bool = Field(description="It does not clear itself.")
    waiver: OfferedWaiverAnswer | None
    """What lets a cleanup pass, if anything does."""

    @classmethod
    def of(cls, obstacle: Obstacle) -> ObstacleAnswer:
        """The answer for an obstacle."""
        waiver = obstacle.waiver
        return cls(
            reason=obstacle.reason.value,
            message=obstacle.message,
            remedy=obstacle.remedy,
            object=obstacle.object,
            volume_id=obstacle.volume_id,
            needs_person=obstacle.needs_person,
            waiver=None
            if waiver is None
            else OfferedWaiverAnswer(reason=waiver.reason, object=waiver.object, allowed=waiver.allowed),
        )


class JobAnswer(_Answer):
    """The failover job a plan is for."""

    id: str
    """`failover_jobs.job_id`."""
    operation: str
    """`test failover` or `live failover`."""
    live: bool
    """Whether it was to move the VM for good."""
    last_activity: datetime
    """Its last sign of life."""
    last_step: str | None
    """What it did last, in words for people."""


class GoalAnswer(_Answer):
    """One of the four goals."""

    name: str
    """Condition of a cleanup that tells of it."""
    reached: bool
    """Whether it is true now."""
    message: str
    """For people."""


class LeftoverAnswer(_Answer):
    """Something that was found and will not be removed."""

    kind: str
    """What it is."""
    id: str
    """Its id."""
    message: str
    """Why it stays."""


class PlanAnswer(_Answer):
    """What a cleanup would do from here to the end."""

    vm_name: str
    """As in vCenter."""
    vcenter_host: str
    """vCenter of the VM."""
    appliance: str
    """Name of the Appliance."""
    context_id: str
    """Of the VM's replication context."""
    context_status: str
    """`current_status` of the context, as it is stored."""
    job: JobAnswer | None
    """The failover job it is for, if there is one."""
    reason: str | None = Field(description="Why it would stop or wait, or how it would end; null if it would begin.")
    message: str
    """For people."""
    actions: tuple[ActionAnswer, ...]
    """In the order of their phases."""
    phases: tuple[PhaseAnswer, ...]
    """All five."""
    obstacles: tuple[ObstacleAnswer, ...]
    """What forbids it now."""
    leftovers: tuple[LeftoverAnswer, ...]
    """What a person has to look at."""
    goals: tuple[GoalAnswer, ...]
    """All four, as they are now."""
    context_would_become: str
    """`current_status` of the context at the end."""
    plan_hash: PlanHash
    """Stands for exactly these actions; give it to have no others done."""
    cleanup: OutlineAnswer | None
    """The one of this job, if there is one and you may see it."""

    @classmethod
    def of(cls, plan: Plan, cleanup: Outline | None) -> PlanAnswer:
        """The answer for a plan.

        Args:
            plan: the plan.
            cleanup: that of the same job, if there is one and the caller may see it.
        """
        job = plan.job
        return cls(
            vm_name=plan.context.vm_name,
            vcenter_host=plan.context.vcenter_host,
            appliance=plan.appliance,
            context_id=plan.context.context_id,
            context_status=plan.context_status,
            job=None
            if job is None
            else JobAnswer(
                id=job.id, operation=job.operation, live=job.live, last_activity=job.since, last_step=job.last_step
            ),
            reason=plan.reason.value if plan.reason is not None else None,
            message=plan.message,
            actions=tuple(
                ActionAnswer(
                    step=number,
                    phase=action.phase,
                    action=action.kind.value,
                    object=action.object,
                    forced=action.forced,
                    why=action.why,
                )
                for number, action in enumerate(plan.actions, start=1)
            ),
            phases=tuple(PhaseAnswer(name=ahead.phase, needed=ahead.needed, why=ahead.why) for ahead in plan.phases),
            obstacles=tuple(ObstacleAnswer.of(obstacle) for obstacle in plan.obstacles),
            leftovers=tuple(
                LeftoverAnswer(kind=each.kind, id=each.id, message=each.message) for each in plan.leftovers
            ),
            goals=tuple(
                GoalAnswer(name=name, reached=state.reached, message=state.message) for name, state in plan.goals
            ),
            context_would_become=plan.context_would_become,
            plan_hash=plan.digest,
            cleanup=OutlineAnswer.of(cleanup) if cleanup is not None else None,
        )
