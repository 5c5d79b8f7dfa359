"""Why nothing is done, or how it ended: the words of `Ready`, of log lines and of the job log.

The same names are documented one by one in `resources.reasons`; a test keeps the two lists equal.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Reasons the core can give."""

    # Ended well.
    CLEANED = "Cleaned"
    ALREADY_CLEAN = "AlreadyClean"
    NOTHING_TO_DO = "NothingToDo"
    SUPERSEDED = "Superseded"
    # Ended, but the replica does not deserve `ready_for_failover` (rule 17).
    CLEANED_DATA_SUSPECT = "CleanedDataSuspect"
    REPLICA_NOT_CONSISTENT = "ReplicaNotConsistent"
    # Clears itself; the cleanup goes on by itself.
    FAILOVER_STILL_RUNNING = "FailoverStillRunning"
    REPLICATION_ACTIVE = "ReplicationActive"
    OPERATION_IN_FLIGHT = "OperationInFlight"
    CLAIMED_ELSEWHERE = "ClaimedElsewhere"
    APPLIANCE_UNREACHABLE = "ApplianceUnreachable"
    OUTSIDE_WINDOW = "OutsideWindow"
    QUIET_TIME = "QuietTime"
    # Only a person can help.
    AWAITING_APPROVAL = "AwaitingApproval"
    NOTHING_FAILED = "NothingFailed"
    LIVE_FAILOVER = "LiveFailover"
    RUNNING_TEST_VM = "RunningTestVM"
    ENGINE_MAY_WAKE = "EngineMayWake"
    ZOMBIE_JOB = "ZombieJob"
    SNAPSHOT_MISSING = "SnapshotMissing"
    REVERT_IMPOSSIBLE = "RevertImpossible"
    REVERT_FAILING = "RevertFailing"
    DETACH_FAILING = "DetachFailing"
    ATTACH_FAILING = "AttachFailing"
    STOP_FAILING = "StopFailing"
    UNKNOWN_HOLDER = "UnknownHolder"
    RESCUE_NEEDED = "RescueNeeded"
    VOLUME_MISSING = "VolumeMissing"
    UNEXPECTED_STATE = "UnexpectedState"
    VM_SNAPSHOTS_PRESENT = "VMSnapshotsPresent"
    HOST_UNKNOWN = "HostUnknown"
    AMBIGUOUS_VM = "AmbiguousVM"
    UNKNOWN_VM = "UnknownVM"
    JOB_MISMATCH = "JobMismatch"
    APPLIANCE_INCONSISTENT = "ApplianceInconsistent"
    NOT_PERMITTED = "NotPermitted"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    SUPERSEDED_IN_RUN = "SupersededInRun"
    DRIFT_NEEDS_REVERT = "DriftNeedsRevert"


SUCCESSES = frozenset({Reason.CLEANED, Reason.ALREADY_CLEAN, Reason.NOTHING_TO_DO, Reason.SUPERSEDED})
FINAL_FAILURES = frozenset({Reason.CLEANED_DATA_SUSPECT, Reason.REPLICA_NOT_CONSISTENT})
WAITS = frozenset(
    {
        Reason.FAILOVER_STILL_RUNNING,
        Reason.REPLICATION_ACTIVE,
        Reason.OPERATION_IN_FLIGHT,
        Reason.CLAIMED_ELSEWHERE,
        Reason.APPLIANCE_UNREACHABLE,
        Reason.OUTSIDE_WINDOW,
        Reason.QUIET_TIME,
    }
)
HELD = frozenset({Reason.NOTHING_FAILED, Reason.RUNNING_TEST_VM, Reason.LIVE_FAILOVER})
"""Once reported they hold until a new request or waiver (rule 19): a VM stopped by a colleague is no consent to destroy it."""


def needs_person(reason: Reason) -> bool:
    """Whether only a person can help: then, and only then, `Stalled` is true."""
    return reason not in SUCCESSES and reason not in WAITS
