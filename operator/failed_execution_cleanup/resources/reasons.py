"""Every condition type and every reason a resource may report, each with its meaning and what a person does next.

One list for status messages, REST answers, the command line and the documentation, so that they cannot disagree.

A reason has a kind, which fixes how ``Ready``, ``Reconciling`` and ``Stalled`` look (rule 19: ``Stalled`` is true
exactly when only a person can help)::

    ReasonKind      Ready     others
    ----------      -----     ------
    FINISHED        True      nothing more will be touched
    WORKING         Unknown   Reconciling
    WAITING         False     Reconciling; goes on by itself
    HELD            False     a person asked for the pause (suspend, plan mode)
    STALLED         False     Stalled
    OBSERVATION     -         reasons of goals, of phases and of the Appliance's other conditions
"""

from enum import Enum, StrEnum
from typing import Final, Self


class ConditionType(StrEnum):
    """Types of ``status.conditions``, in the order in which they are listed."""

    READY = "Ready"
    VOLUMES_ATTACHED = "VolumesAttached"
    SNAPSHOTS_REMOVED = "SnapshotsRemoved"
    TEST_VM_REMOVED = "TestVMRemoved"
    CONTEXT_READY = "ContextReady"
    DATABASE_REACHABLE = "DatabaseReachable"
    VOLUME_DAEMON_REACHABLE = "VolumeDaemonReachable"
    OSSEA_REACHABLE = "OSSEAReachable"
    SCANNED = "Scanned"
    RECONCILING = "Reconciling"
    STALLED = "Stalled"
    SUSPENDED = "Suspended"
    PLANNED = "Planned"
    DRIFTED = "Drifted"
    DATA_SUSPECT = "DataSuspect"


GOALS: Final = (
    ConditionType.VOLUMES_ATTACHED,
    ConditionType.SNAPSHOTS_REMOVED,
    ConditionType.TEST_VM_REMOVED,
    ConditionType.CONTEXT_READY,
)
"""The four declared goals of a cleanup; frozen when it has finished."""

PRESENT_ONLY_WHILE_TRUE: Final = frozenset(
    {
        ConditionType.RECONCILING,
        ConditionType.STALLED,
        ConditionType.SUSPENDED,
        ConditionType.PLANNED,
        ConditionType.DRIFTED,
        ConditionType.DATA_SUSPECT,
    }
)
"""Conditions that kstatus and dashboards expect to be absent unless True."""


class Waiver(StrEnum):
    """A stop that a person may take responsibility for."""

    LIVE_FAILOVER = "LiveFailover"
    RUNNING_TEST_VM = "RunningTestVM"
    ENGINE_MAY_WAKE = "EngineMayWake"
    ZOMBIE_JOB = "ZombieJob"
    ACCEPT_CONTENT = "AcceptContent"


class ReasonKind(Enum):
    """What a reason says about the future of its resource."""

    FINISHED = "finished"
    WORKING = "working"
    WAITING = "waiting"
    HELD = "held"
    STALLED = "stalled"
    OBSERVATION = "observation"


class Reason(StrEnum):
    """A CamelCase reason with its explanation.

    Attributes:
        kind: What happens next, see the module's table.
        meaning: One sentence: what was found.
        remedy: One sentence: what a person does, or that nothing is to be done.
        waiver: The waiver that lets a cleanup pass this stop, if there is one.
    """

    kind: ReasonKind
    meaning: str
    remedy: str
    waiver: Waiver | None

    def __new__(
        cls,
        value: str,
        # The defaults let type checkers accept the lookup Reason("Cleaned"); a test demands every explanation.
        kind: ReasonKind = ReasonKind.OBSERVATION,
        meaning: str = "",
        remedy: str = "",
        waiver: Waiver | None = None,
    ) -> Self:
        """Make a member that is a plain string and carries its explanation."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.kind = kind
        member.meaning = meaning
        member.remedy = remedy
        member.waiver = waiver
        return member

    # -- finished ------------------------------------------------------------------------------------------------------
    CLEANED = (
        "Cleaned",
        ReasonKind.FINISHED,
        "The four goals were reached by this cleanup.",
        "Nothing to do; the VM can be replicated and failed over again.",
    )
    ALREADY_CLEAN = (
        "AlreadyClean",
        ReasonKind.FINISHED,
        "The four goals held at the first observation; nothing was touched.",
        "Nothing to do.",
    )
    NOTHING_TO_DO = (
        "NothingToDo",
        ReasonKind.FINISHED,
        "The VM has no failover job, so there is nothing a cleanup could be bound to.",
        "Nothing to do; check spec.vmName if a failover was expected.",
    )
    SUPERSEDED = (
        "Superseded",
        ReasonKind.FINISHED,
        "The VM has a newer failover job than the one this cleanup is bound to; nothing is touched for the old one.",
        "Delete this resource, or create a new one if the newer job failed as well.",
    )

    # -- working -------------------------------------------------------------------------------------------------------
    PROGRESSING = ("Progressing", ReasonKind.WORKING, "The cleanup is running.", "Nothing to do.")
    PROGRESSING_WITH_RETRY = (
        "ProgressingWithRetry",
        ReasonKind.WORKING,
        "An action failed and is tried again after a pause.",
        "Nothing to do; status.nextAttemptAt tells when.",
    )
    QUEUED = (
        "Queued",
        ReasonKind.WORKING,
        "The appliance already has as many cleanups running as spec.limits.cleanups allows.",
        "Nothing to do; status.queuePosition tells the place in the queue.",
    )

    # -- waiting: these go on by themselves ----------------------------------------------------------------------------
    FAILOVER_STILL_RUNNING = (
        "FailoverStillRunning",
        ReasonKind.WAITING,
        "The failover job, its rollback or a product cleanup of the VM shows recent activity and may still be running.",
        "Wait: it goes on once the job was silent for spec.detection.stuckAfterSeconds of the appliance.",
    )
    REPLICATION_ACTIVE = (
        "ReplicationActive",
        ReasonKind.WAITING,
        "A replication of the VM is active.",
        "Wait until it ends, or end it in the product.",
    )
    OPERATION_IN_FLIGHT = (
        "OperationInFlight",
        ReasonKind.WAITING,
        "Somebody else's operation, job or transition on one of the objects has not ended.",
        "Wait until it ends.",
    )
    CLAIMED_ELSEWHERE = (
        "ClaimedElsewhere",
        ReasonKind.WAITING,
        "Another cleanup or operator holds a claim with a living heartbeat on this VM.",
        "Wait, or delete the other cleanup.",
    )
    APPLIANCE_UNREACHABLE = (
        "ApplianceUnreachable",
        ReasonKind.WAITING,
        "The appliance resource, its database, the Volume Daemon or OSSEA cannot be reached.",
        "See the conditions of the Appliance; nothing is lost meanwhile.",
    )
    OUTSIDE_WINDOW = (
        "OutsideWindow",
        ReasonKind.WAITING,
        "The time is outside the appliance's windows for automatic work.",
        "Wait for the window, or request the run by annotation.",
    )
    QUIET_TIME = (
        "QuietTime",
        ReasonKind.WAITING,
        "The last effect is too young to be judged; the quiet time of the appliance's spec.settle is observed.",
        "Wait; status.nextAttemptAt tells until when.",
    )

    # -- held by a person ----------------------------------------------------------------------------------------------
    SUSPENDED = (
        "Suspended",
        ReasonKind.HELD,
        "The cleanup is suspended; the action in flight was finished and the claim released.",
        "Set spec.suspend to false and remove the annotation failover.ossea.io/suspended.",
    )
    PLAN_READY = (
        "PlanReady",
        ReasonKind.HELD,
        "The plan was made and nothing was touched, because spec.mode is Plan.",
        "Read status.plan; to carry it out set the annotation failover.ossea.io/approvedPlan to status.planHash.",
    )

    # -- stalled: only a person can help -------------------------------------------------------------------------------
    AWAITING_APPROVAL = (
        "AwaitingApproval",
        ReasonKind.STALLED,
        "What is to be done now is not part of the plan that was approved, so nothing is done.",
        "Read status.plan and set the annotation failover.ossea.io/approvedPlan to status.planHash.",
    )
    NOTHING_FAILED = (
        "NothingFailed",
        ReasonKind.STALLED,
        "The failover completed and is in use; cleaning it up would destroy a healthy VM.",
        "Nothing to clean: roll the failover back in the product.",
    )
    LIVE_FAILOVER = (
        "LiveFailover",
        ReasonKind.STALLED,
        "A live failover has a destination VM or a volume away from the appliance.",
        "Check that production does not run there, then waive LiveFailover.",
        Waiver.LIVE_FAILOVER,
    )
    RUNNING_TEST_VM = (
        "RunningTestVM",
        ReasonKind.STALLED,
        "The VM of the incident is Running and somebody may be using it.",
        "Waive RunningTestVM, or stop it and request a new run; the VM of a live failover must be stopped by hand.",
        Waiver.RUNNING_TEST_VM,
    )
    ENGINE_MAY_WAKE = (
        "EngineMayWake",
        ReasonKind.STALLED,
        "The row of a live failover job is still open and its engine may continue.",
        "Restart the appliance's API and close the row, or waive EngineMayWake.",
        Waiver.ENGINE_MAY_WAKE,
    )
    ZOMBIE_JOB = (
        "ZombieJob",
        ReasonKind.STALLED,
        "A dead replication job or a dead row of another job stands in the way.",
        "Close it in the product, or waive ZombieJob with the id of the row.",
        Waiver.ZOMBIE_JOB,
    )
    SNAPSHOT_MISSING = (
        "SnapshotMissing",
        ReasonKind.STALLED,
        "A volume was modified and has no usable restore point.",
        "Restore the snapshot, or waive AcceptContent for the volume and replicate it in full.",
        Waiver.ACCEPT_CONTENT,
    )
    REVERT_IMPOSSIBLE = (
        "RevertImpossible",
        ReasonKind.STALLED,
        "The storage refuses to revert a volume to its restore point.",
        "Fix the storage and request a new run, or waive AcceptContent for the volume.",
        Waiver.ACCEPT_CONTENT,
    )
    REVERT_FAILING = (
        "RevertFailing",
        ReasonKind.STALLED,
        "Several reverts of a volume ended without success.",
        "Fix the storage and request a new run, or waive AcceptContent for the volume.",
        Waiver.ACCEPT_CONTENT,
    )
    DETACH_FAILING = (
        "DetachFailing",
        ReasonKind.STALLED,
        "A volume stays attached although it was detached several times.",
        "Find the process that holds the disk on its VM (often virt-v2v), end it and request a new run.",
    )
    ATTACH_FAILING = (
        "AttachFailing",
        ReasonKind.STALLED,
        "A volume stays detached although it was attached several times.",
        "Look for the named cause (often no free PCI slot on the appliance), fix it and request a new run.",
    )
    STOP_FAILING = (
        "StopFailing",
        ReasonKind.STALLED,
        "A test VM does not stop: its stop is pending for too long, or several stops had no effect.",
        "Shut the guest down by hand, or let the appliance's spec.testVM.forceStop allow a forced stop.",
    )
    UNKNOWN_HOLDER = (
        "UnknownHolder",
        ReasonKind.STALLED,
        "A volume is attached to a VM that is neither the appliance nor of the incident.",
        "Detach it there by hand after making sure that nobody uses it.",
    )
    RESCUE_NEEDED = (
        "RescueNeeded",
        ReasonKind.STALLED,
        "A destroyed VM still has a replicated disk as its root disk and will take it along when it is expunged.",
        "Run the named command before the named time.",
    )
    VOLUME_MISSING = (
        "VolumeMissing",
        ReasonKind.STALLED,
        "A volume that the appliance's database refers to no longer exists in OSSEA.",
        "Restore the volume, or remove it from the product.",
    )
    UNEXPECTED_STATE = (
        "UnexpectedState",
        ReasonKind.STALLED,
        "An object or a row is in a state for which no safe action is known.",
        "Look at the named object, column and value; correct it, then request a new run.",
    )
    VM_SNAPSHOTS_PRESENT = (
        "VMSnapshotsPresent",
        ReasonKind.STALLED,
        "A VM has VM snapshots or backups that make a detach or a revert unsafe.",
        "Remove the named VM snapshots.",
    )
    HOST_UNKNOWN = (
        "HostUnknown",
        ReasonKind.STALLED,
        "The host of a VM that must be stopped does not answer, so the guest may go on writing.",
        "Bring the host up, or make sure that it is switched off and stop the VM by hand.",
    )
    AMBIGUOUS_VM = (
        "AmbiguousVM",
        ReasonKind.STALLED,
        "More than one protected VM has this name.",
        "Set spec.vcenterHost.",
    )
    UNKNOWN_VM = (
        "UnknownVM",
        ReasonKind.STALLED,
        "The appliance protects no VM of this name.",
        "Create a new resource with the right spec.vmName or spec.applianceRef.",
    )
    JOB_MISMATCH = (
        "JobMismatch",
        ReasonKind.STALLED,
        "spec.failoverJobID differs from the job this cleanup was bound to before, or is no job of this VM.",
        "Create a new resource for the other job.",
    )
    APPLIANCE_INCONSISTENT = (
        "ApplianceInconsistent",
        ReasonKind.STALLED,
        "The appliance's configuration contradicts itself, or a second Appliance uses the same database.",
        "An administrator corrects the named row or resource.",
    )
    NOT_PERMITTED = (
        "NotPermitted",
        ReasonKind.STALLED,
        "The namespace, the policy or the waiver is not allowed on this appliance.",
        "An administrator extends spec.allowedNamespaces or spec.waivers of the Appliance.",
    )
    REPLICA_NOT_CONSISTENT = (
        "ReplicaNotConsistent",
        ReasonKind.STALLED,
        "Everything is cleaned up, but the newest replication that wrote to the volumes failed or none ever succeeded.",
        "Replicate the VM, then request a new run.",
    )
    CLEANED_DATA_SUSPECT = (
        "CleanedDataSuspect",
        ReasonKind.STALLED,
        "Everything is cleaned up, but nobody can vouch that the content of a volume is the replica.",
        "Run a full replication of the named disks, then request a new run.",
    )
    DEADLINE_EXCEEDED = (
        "DeadlineExceeded",
        ReasonKind.STALLED,
        "The cleanup did not end within spec.deadlineSeconds; the claim was released.",
        "Read what it waited for, then raise spec.deadlineSeconds or request a new run.",
    )
    SUPERSEDED_IN_RUN = (
        "SupersededInRun",
        ReasonKind.STALLED,
        "A newer failover began in the middle of the run; nothing more is touched.",
        "Check the named volumes by hand, then create a new resource if the newer job failed.",
    )

    DRIFT_NEEDS_REVERT = (
        "DriftNeedsRevert",
        ReasonKind.STALLED,
        "What drifted could only be put right by reverting a volume, which is never done without a person's word.",
        "Check that nothing written to the volume since is needed, then request a new run.",
    )

    # -- observations: reasons of goals, phases and the other conditions -----------------------------------------------
    GOAL_REACHED = ("GoalReached", ReasonKind.OBSERVATION, "The goal holds.", "Nothing to do.")
    GOAL_NOT_REACHED = (
        "GoalNotReached",
        ReasonKind.OBSERVATION,
        "The goal does not hold yet.",
        "See the condition Ready for what happens next.",
    )
    NOT_OBSERVED = (
        "NotObserved",
        ReasonKind.OBSERVATION,
        "It was not possible to look yet.",
        "See the condition Ready for what happens next.",
    )
    VOLUMES_IN_PLACE = (
        "VolumesInPlace",
        ReasonKind.OBSERVATION,
        "The phase was skipped: every volume is where it belongs.",
        "Nothing to do.",
    )
    NO_SNAPSHOTS = (
        "NoSnapshots",
        ReasonKind.OBSERVATION,
        "The phase was skipped: no snapshot of the incident is left.",
        "Nothing to do.",
    )
    NO_TEST_VM = (
        "NoTestVM",
        ReasonKind.OBSERVATION,
        "The phase was skipped: no VM of the incident is left.",
        "Nothing to do.",
    )
    ROWS_IN_PLACE = (
        "RowsInPlace",
        ReasonKind.OBSERVATION,
        "The phase was skipped: the rows of the incident are closed and the context is ready.",
        "Nothing to do.",
    )
    DRIFT_OBSERVED = (
        "DriftObserved",
        ReasonKind.OBSERVATION,
        "A goal that was reached no longer holds.",
        "Request a new run by annotation, or set spec.driftPolicy to Correct.",
    )
    CONTENT_UNPROVEN = (
        "ContentUnproven",
        ReasonKind.OBSERVATION,
        "A volume was modified and no successful revert to its restore point is proven.",
        "Run a full replication of the named disks.",
    )
    CONTENT_ACCEPTED = (
        "ContentAccepted",
        ReasonKind.OBSERVATION,
        "A volume was attached as it is, because AcceptContent was waived for it.",
        "Run a full replication of the named disks.",
    )
    REACHABLE = ("Reachable", ReasonKind.OBSERVATION, "The part of the appliance answers.", "Nothing to do.")
    AVAILABLE = (
        "Available",
        ReasonKind.OBSERVATION,
        "Database, Volume Daemon and OSSEA answer and agree with each other.",
        "Nothing to do.",
    )
    CONNECTION_FAILED = (
        "ConnectionFailed",
        ReasonKind.OBSERVATION,
        "No connection: the name does not resolve, the port is closed, or no answer came in time.",
        "Check the address, the network policy and that the service runs.",
    )
    TLS_FAILED = (
        "TLSFailed",
        ReasonKind.OBSERVATION,
        "The server's certificate is not trusted or does not fit its name.",
        "Set spec.ossea.caBundle to the authority that signed it.",
    )
    AUTHENTICATION_FAILED = (
        "AuthenticationFailed",
        ReasonKind.OBSERVATION,
        "The credentials were refused.",
        "Correct the named Secret, or the active row of ossea_configs.",
    )
    SECRET_MISSING = (
        "SecretMissing",
        ReasonKind.OBSERVATION,
        "A Secret or a key in it does not exist in the operator's namespace.",
        "Create the named Secret with the named key.",
    )
    SCAN_COMPLETE = (
        "ScanComplete",
        ReasonKind.OBSERVATION,
        "The last scan looked at every VM that might be stuck or have drifted.",
        "Nothing to do; status.stuck lists what was found.",
    )
    SCAN_INCOMPLETE = (
        "ScanIncomplete",
        ReasonKind.OBSERVATION,
        "The last scan could not judge some VMs, or could not do with them what the Appliance asks for.",
        "Correct what the message names.",
    )
    UNEXPECTED_ANSWER = (
        "UnexpectedAnswer",
        ReasonKind.OBSERVATION,
        "The server answered with something that is not its documented protocol.",
        "Check that the address belongs to the right service.",
    )


def remedy_of(reason: str) -> str:
    """What a person does next; empty for a reason that only a newer version knows."""
    try:
        return Reason(reason).remedy
    except ValueError:
        return ""
