"""The custom resource FailedExecutionCleanup: one VM whose failed failover is to be cleaned up."""

from enum import StrEnum
from typing import Annotated, Final

from pydantic import ConfigDict, Field, JsonValue

from failed_execution_cleanup.resources.conditions import Condition
from failed_execution_cleanup.resources.identifiers import (
    APPROVED_PLAN_ANNOTATION,
    REQUESTED_AT_ANNOTATION,
    SUSPENDED_ANNOTATION,
)
from failed_execution_cleanup.resources.kubernetes_model import (
    CustomResource,
    Identifier,
    KubernetesModel,
    Label,
    Message,
    ObservedGeneration,
    ReasonText,
    State,
    Timestamp,
    map_schema,
    rule,
    shortened,
)
from failed_execution_cleanup.resources.reasons import Waiver

MAX_CONDITIONS: Final = 32
MAX_VOLUMES: Final = 256
MAX_HISTORY: Final = 5
MAX_REQUEST_LENGTH: Final = 255

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class Mode(StrEnum):
    """What a cleanup may do."""

    EXECUTE = "Execute"
    PLAN = "Plan"


class DriftPolicy(StrEnum):
    """What happens when a finished cleanup's goal no longer holds (rule 18)."""

    REPORT = "Report"
    CORRECT = "Correct"


class JobType(StrEnum):
    """Kind of a failover, as ``failover_jobs.job_type`` spells it."""

    LIVE = "live"
    TEST = "test"


class PhaseName(StrEnum):
    """The five phases, in their order; the names of the steps in the appliance's job log."""

    DETACH_VOLUMES = "detach-volumes"
    CLEANUP_SNAPSHOTS = "cleanup-snapshots"
    REATTACH_VOLUMES = "reattach-volumes"
    CLEANUP_TEST_VM = "cleanup-test-vm"
    DATABASE_CLEANUP = "database-cleanup"


class PhaseState(StrEnum):
    """How far a phase is."""

    PENDING = "Pending"
    RUNNING = "Running"
    COMPLETED = "Completed"
    SKIPPED = "Skipped"
    FAILED = "Failed"


class Holder(StrEnum):
    """Who holds a volume, as OSSEA shows it."""

    OMA = "OMA"
    TEST_VM = "TestVM"
    DETACHED = "Detached"
    OTHER = "Other"
    UNKNOWN = "Unknown"


class LeftoverKind(StrEnum):
    """What kind of thing was left behind."""

    SNAPSHOT = "Snapshot"
    VOLUME = "Volume"
    VIRTUAL_MACHINE = "VirtualMachine"
    ROW = "Row"


def _immutable(field: str, what: str) -> JsonValue:
    return rule(
        f"self.{field} == oldSelf.{field}",
        f"{field} cannot be changed: create a new FailedExecutionCleanup for another {what}",
        field=field,
    )


def _set_once(field: str, what: str) -> JsonValue:
    return rule(
        f"!has(oldSelf.{field}) || (has(self.{field}) && self.{field} == oldSelf.{field})",
        f"{field} can be added but neither changed nor removed: create a new FailedExecutionCleanup for another {what}",
        field=field,
    )


class ApplianceReference(KubernetesModel):
    """Names the Appliance that replicates the VM."""

    name: Annotated[
        str,
        Field(
            min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"
        ),
    ]
    """Name of the cluster-scoped Appliance."""


class WaiverGrant(KubernetesModel):
    """One stop that a person takes responsibility for."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                rule(
                    "!(self.reason in ['AcceptContent', 'ZombieJob']) || self.object != 'job'",
                    "AcceptContent needs the id of a volume and ZombieJob the id of a row, not the word job",
                    field="object",
                ),
            ]
        }
    )

    reason: Waiver
    """The stop to pass: LiveFailover, RunningTestVM, EngineMayWake, ZombieJob, or AcceptContent (a volume without a
    usable restore point is attached as it is; its disk needs a full replication afterwards). The Appliance must allow
    the waiver in spec.waivers."""

    object: Identifier
    """What it is granted for: the word job for the failover job, or the id of a volume, a VM or a database row."""


class CleanupSpec(KubernetesModel):
    """What is to be cleaned up, and how far the operator may go."""

    model_config = ConfigDict(
        json_schema_extra={
            "x-kubernetes-validations": [
                _immutable("vmName", "VM"),
                _immutable("applianceRef", "appliance"),
                _set_once("vcenterHost", "VM"),
                _set_once("failoverJobID", "job"),
                rule(
                    "!has(self.waive) || size(self.waive) == 0 || has(self.failoverJobID)",
                    "a waiver is granted for one failover job: set failoverJobID to the id in status.failedJob.id",
                    field="failoverJobID",
                ),
            ]
        }
    )

    vm_name: Annotated[str, Field(min_length=1, max_length=255, pattern=r"\S")]
    """Name of the protected VM exactly as in vCenter; spaces and capitals count. Cannot be changed."""

    vcenter_host: Identifier | None = None
    """vCenter of the VM, as the appliance records it. Needed only when several protected VMs have the same name. May be
    added later, but neither changed nor removed."""

    failover_job_id: Identifier | None = None
    """Id of the failover job to clean up after. Without it the newest job at the first observation is taken and shown
    in status.failedJob.id. Required for waivers. May be added later, but neither changed nor removed."""

    appliance_ref: ApplianceReference
    """The appliance that replicates the VM. Cannot be changed."""

    mode: Mode = Mode.EXECUTE
    """Execute cleans up. Plan touches nothing and shows in status.plan what would be done and why, until that plan is
    approved by the annotation failover.ossea.io/approvedPlan; changing Execute to Plan in the middle of a run suspends
    it. Default: Execute."""

    suspend: bool = False
    """True stops after the action in flight and releases the claim; false goes on from what is observed then.
    Default: false."""

    drift_policy: DriftPolicy = DriftPolicy.REPORT
    """What happens when a goal that was reached no longer holds, as the appliance's scan finds. Report shows it in the
    condition Drifted. Correct also puts it right at once, but never by reverting a volume. Default: Report."""

    waive: Annotated[
        tuple[WaiverGrant, ...], Field(max_length=64, json_schema_extra=map_schema("reason", "object"))
    ] = ()
    """Stops that a person takes responsibility for; each names a reason and an object. Needs failoverJobID."""

    deadline_seconds: Annotated[int, Field(ge=60, le=604_800)] = 14_400
    """Seconds from the first change made until the cleanup gives up with DeadlineExceeded; suspension is not counted.
    Default: 14400 (4 hours); at least 60, at most 604800 (7 days)."""

    ttl_seconds_after_finished: Annotated[int | None, Field(ge=0, le=31_536_000)] = None
    """Seconds after which a finished cleanup (Cleaned, AlreadyClean, NothingToDo or Superseded) is deleted; one that
    needs a person is kept. Without it the resource is kept for ever. Do not use it for resources kept in Git: they
    would be created again."""

    requested_by: Annotated[str | None, Field(min_length=1, max_length=512)] = None
    """Who asked for the cleanup. An admission policy makes sure that it is the requesting user."""

    note: Annotated[str | None, Field(max_length=1024)] = None
    """Free text for people, such as a ticket number."""


class FailedJob(KubernetesModel):
    """The failover job that the cleanup is bound to."""

    id: Identifier
    """Id of the job (failover_jobs.job_id)."""

    type: JobType | None = None
    """test or live."""

    operation: Label | None = None
    """Operation in the appliance's job log."""

    started_at: Timestamp | None = None
    """When the failover was requested."""

    stuck_since: Timestamp | None = None
    """Last sign of life of the job."""

    last_step: Label | None = None
    """The last step the job began."""

    state: State | None = None
    """Status of the job's row at the last observation."""


class VMContext(KubernetesModel):
    """The replication context of the VM in the appliance's database."""

    id: Identifier
    """Id of the context (vm_replication_contexts.context_id)."""

    vm_name: Label | None = None
    """Name of the VM in the context."""

    vcenter_host: Label | None = None
    """vCenter of the VM in the context."""

    status: State | None = None
    """Status of the context at the last observation; ready_for_failover is the goal."""


class Phase(KubernetesModel):
    """One of the five phases of a cleanup."""

    name: PhaseName
    """Name of the phase, also of its step in the appliance's job log."""

    state: PhaseState
    """Pending, Running, Completed, Skipped (the observed state already was as wanted) or Failed."""

    reason: ReasonText | None = None
    """Why the phase is in this state, as one word."""

    message: Message | None = None
    """Why the phase is in this state, as a sentence."""

    started_at: Timestamp | None = None
    """When its first action began."""

    completed_at: Timestamp | None = None
    """When it was completed, skipped or failed."""

    done: Count | None = None
    """Number of objects of this phase that are done."""

    total: Count | None = None
    """Number of objects of this phase."""

    requests: Count | None = None
    """Number of requests that the latest run sent to the cloud and the Volume Daemon in this phase."""


class FoundGoal(KubernetesModel):
    """One of the four goals as the latest run found it."""

    type: Annotated[str, Field(min_length=1, max_length=64)]
    """VolumesAttached, SnapshotsRemoved, TestVMRemoved or ContextReady."""

    met: bool
    """Whether it held before anything was touched."""

    message: Message | None = None
    """What was found."""


class PlannedAction(KubernetesModel):
    """One action of the plan."""

    step: Annotated[int, Field(ge=1, le=1024)]
    """Place in the plan, from 1."""

    phase: PhaseName
    """Phase the action belongs to."""

    action: Annotated[str, Field(min_length=1, max_length=128)]
    """What is done."""

    object: Identifier
    """Id of what it is done to."""

    why: Message
    """The observed difference that makes it necessary."""


class VolumeStatus(KubernetesModel):
    """A volume of the VM as last observed."""

    id: Identifier
    """Id of the volume in OSSEA."""

    disk: Label | None = None
    """Disk of the VM, as the appliance names it."""

    name: Label | None = None
    """Name of the volume in OSSEA."""

    holder: Holder
    """Who holds it: OMA (the appliance, as it should be), TestVM, Detached, Other, or Unknown while it cannot be
    observed."""

    holder_vm_id: Identifier | None = None
    """Id of the VM that holds it."""

    snapshots: Count | None = None
    """Number of snapshots of the incident that are left of it."""

    state: State | None = None
    """State of the volume in OSSEA; Ready is the goal."""

    step: Annotated[str | None, Field(max_length=128)] = None
    """What is being done to it, or was done last."""

    message: Message | None = None
    """What a person should know about it."""


class IncidentVM(KubernetesModel):
    """A VM that the incident created."""

    id: Identifier
    """Id of the VM in OSSEA."""

    name: Label | None = None
    """Name of the VM in OSSEA."""

    state: State | None = None
    """State of the VM in OSSEA; Expunged when it is gone."""


class Leftover(KubernetesModel):
    """Something that was found and not removed: not of this incident, or not possible. It does not block anything."""

    kind: LeftoverKind
    """Snapshot, Volume, VirtualMachine or Row."""

    id: Identifier
    """Id of the object, or table and id of the row."""

    message: Message
    """Why it was left and what a person may do about it."""


class UsedWaiver(KubernetesModel):
    """A waiver without which the cleanup would have stopped."""

    reason: Waiver
    """The stop that was passed."""

    object: Identifier
    """What it was granted for."""

    used_at: Timestamp | None = None
    """When it was used first."""


class Run(KubernetesModel):
    """One run of the cleanup."""

    run: Annotated[int, Field(ge=1, le=2**31 - 1)]
    """Number of the run, from 1."""

    cleanup_job_id: Annotated[str | None, Field(max_length=64)] = None
    """Id of the run in the appliance's job log."""

    requested_at: Annotated[str | None, Field(max_length=MAX_REQUEST_LENGTH)] = None
    """Value of the annotation failover.ossea.io/requestedAt that asked for the run; none for the first."""

    started_at: Timestamp | None = None
    """When it began."""

    completed_at: Timestamp | None = None
    """When it ended."""

    result: ReasonText
    """Reason of the condition Ready at its end."""

    message: Message | None = None
    """Message of the condition Ready at its end."""


class CleanupStatus(KubernetesModel):
    """What was observed and done. A projection: it may be erased without harm and is written again."""

    observed_generation: ObservedGeneration = -1
    """metadata.generation that the operator has seen; -1 before the first time."""

    conditions: Annotated[
        tuple[Condition, ...], Field(max_length=MAX_CONDITIONS, json_schema_extra=map_schema("type"))
    ] = ()
    """Ready and the four goals VolumesAttached, SnapshotsRemoved, TestVMRemoved and ContextReady; only while they are
    true also Reconciling, Stalled, Suspended, Planned, Drifted and DataSuspect."""

    phase_summary: Annotated[str | None, Field(max_length=16)] = None
    """Phases completed or skipped of all, such as 3/5."""

    failed_job: FailedJob | None = None
    """The failover job the cleanup is bound to."""

    context: VMContext | None = None
    """The replication context of the VM."""

    phases: Annotated[tuple[Phase, ...], Field(max_length=len(PhaseName), json_schema_extra=map_schema("name"))] = ()
    """The five phases in their order, with times and reasons."""

    found: Annotated[tuple[FoundGoal, ...], Field(max_length=4, json_schema_extra=map_schema("type"))] = ()
    """The four goals as the latest run found them before it touched anything; what it made of them is in conditions."""

    plan: Annotated[tuple[PlannedAction, ...], Field(max_length=1024, json_schema_extra=map_schema("step"))] = ()
    """What would be done, in mode Plan or while an approval is awaited: one entry for each action that may be done."""

    plan_hash: Annotated[str | None, Field(max_length=64)] = None
    """Digest of the plan, for the annotation failover.ossea.io/approvedPlan."""

    volumes: Annotated[tuple[VolumeStatus, ...], Field(max_length=MAX_VOLUMES, json_schema_extra=map_schema("id"))] = ()
    """Volumes of the VM."""

    test_vms: Annotated[tuple[IncidentVM, ...], Field(max_length=32, json_schema_extra=map_schema("id"))] = ()
    """VMs that the incident created."""

    leftovers: Annotated[tuple[Leftover, ...], Field(max_length=256, json_schema_extra=map_schema("kind", "id"))] = ()
    """Things that were found and not removed; they do not block anything."""

    waivers_used: Annotated[
        tuple[UsedWaiver, ...], Field(max_length=64, json_schema_extra=map_schema("reason", "object"))
    ] = ()
    """Waivers that were needed."""

    cleanup_job_id: Annotated[str | None, Field(max_length=64)] = None
    """Id of the latest run in the appliance's job log (job_tracking.id)."""

    started_at: Timestamp | None = None
    """When the latest run began."""

    completed_at: Timestamp | None = None
    """When the latest run ended."""

    next_attempt_at: Timestamp | None = None
    """When the operator looks again, if it waits."""

    queue_position: Annotated[int | None, Field(ge=1, le=1_000_000)] = None
    """Place among the cleanups that wait for the same appliance, from 1; absent when it does not wait."""

    last_handled_request: Annotated[str | None, Field(max_length=MAX_REQUEST_LENGTH)] = None
    """Value of the annotation failover.ossea.io/requestedAt that was handled last."""

    history: Annotated[tuple[Run, ...], Field(max_length=MAX_HISTORY, json_schema_extra=map_schema("run"))] = ()
    """The last five runs, newest first."""


class FailedExecutionCleanup(CustomResource):
    """Brings a VM back to ready_for_failover after its failover or test failover died half-way.

    Its volumes are attached to the appliance, snapshots and test VM of the incident removed and rows closed. Only what
    differs is touched, and no replicated data is lost.
    """

    spec: CleanupSpec
    """What is to be cleaned up, and how far the operator may go."""

    status: CleanupStatus = CleanupStatus()
    """What was observed and done. A projection: it may be erased without harm and is written again."""

    @property
    def requested_at(self) -> str | None:
        """The request for one more run, as an opaque token fit for ``status.lastHandledRequest``."""
        token = self.metadata.annotations.get(REQUESTED_AT_ANNOTATION)
        # Cut here already: what the status cannot echo would count as a new request for ever.
        return None if token is None else shortened(token, MAX_REQUEST_LENGTH)

    @property
    def approved_plan(self) -> str | None:
        """Digest of the plan that a person approved; an empty annotation is none."""
        return self.metadata.annotations.get(APPROVED_PLAN_ANNOTATION) or None

    @property
    def suspended(self) -> bool:
        """Whether the cleanup is suspended, by its spec or by annotation."""
        return self.spec.suspend or self.metadata.annotations.get(SUSPENDED_ANNOTATION) == "true"
