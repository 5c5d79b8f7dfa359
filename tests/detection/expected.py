"""What the scan must say of every leftover state: written by hand from the appliance's facts and rules 1 and 5, before any run.

One line per case of the recovery matrix. Reported is what died and was not cleaned up, also where a person must decide; not reported is
what is healthy, what may still be alive, and what left nothing to clean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Teller = Literal["failover", "rollback", "cleanup"]


@dataclass(frozen=True, slots=True)
class Reported:
    """It hangs.

    Attributes:
        reason: what would keep a cleanup from running now; None: nothing would.
        live: reported as a live failover.
        since: whose last step, log line or tracking time is the last sign of life.
    """

    reason: str | None = None
    live: bool = False
    since: Teller = "failover"


@dataclass(frozen=True, slots=True)
class Unreported:
    """Nothing hangs, as far as anybody may say."""

    why: str


@dataclass(frozen=True, slots=True)
class Unscannable:
    """Nothing can be said of any VM; what was told before stands."""

    why: str


Expected = Reported | Unreported | Unscannable

STUCK: Final = Reported()
ROLLED_BACK: Final = Reported(since="rollback")
CLEANED_BY_PRODUCT: Final = Reported(since="cleanup")
LIVE_ENGINE: Final = Reported("EngineMayWake", live=True)
LIVE_IN_USE: Final = Reported("LiveFailover", live=True)
IN_USE: Final = Reported("RunningTestVM")
NO_CONFIG: Final = Unscannable("which VM is the appliance is not known (D04)")

EXPECTED: Final[dict[str, Expected]] = {
    # The failover itself.
    "F01": Unreported("the job ended itself before it had a row; it left nothing"),
    "F01-hang": STUCK,
    "F02": Unreported("as F01"),
    "F02b": Unreported("the job log never began: there is no job"),
    "F03": LIVE_ENGINE,
    "F03-hang": LIVE_ENGINE,
    "F04": LIVE_ENGINE,
    "F05": Reported("ReplicationActive", live=True),
    "F05-hang": Reported("ReplicationActive", live=True),
    "F05-failed": LIVE_ENGINE,
    "F05-stored": LIVE_ENGINE,
    "F06": STUCK,
    "F06-hang": STUCK,
    "F07": STUCK,
    "F08": STUCK,
    "F08-os": Reported("SnapshotMissing"),
    "F08-started": Reported("SnapshotMissing"),
    "F09": STUCK,
    "F10": STUCK,
    "F11": STUCK,
    "F11-live": LIVE_ENGINE,
    "F12": STUCK,
    "F12b": STUCK,
    "F13": STUCK,
    "F14": STUCK,
    "F15": STUCK,
    "F15-hang": STUCK,
    "F15-vm-error": STUCK,
    "F15-vm-starting": Reported("OperationInFlight"),
    "F15-vm-starting-for-ever": Reported("UnexpectedState"),
    "F15-live": LIVE_ENGINE,
    "F16": STUCK,
    "F16-hang": STUCK,
    "F17": STUCK,
    "F17-orphan": STUCK,
    "F18": STUCK,
    "F18-late": STUCK,
    "F18-young": Unreported("ended a moment ago, and what it left in the daemon has not come to rest"),
    "F19": STUCK,
    "F20": STUCK,
    "F21": STUCK,
    "F22": STUCK,
    "F23": STUCK,
    "F24": STUCK,
    "F24-live": LIVE_IN_USE,
    "F25": STUCK,
    "F26": STUCK,
    "F27": STUCK,
    "F27-running": IN_USE,
    "F27-starting": Reported("OperationInFlight"),
    "F28": IN_USE,
    "F28-live": LIVE_IN_USE,
    "F29": IN_USE,
    "F30": Unreported("completed and in use: healthy (rule 1)"),
    "F30-live": Unreported("as F30"),
    # Rollbacks.
    "R01": ROLLED_BACK,
    "R02": ROLLED_BACK,  # it worked on another VM, but its rows name this one's context
    "R03": Reported("RunningTestVM", since="rollback"),
    "R04": ROLLED_BACK,
    "R05": ROLLED_BACK,
    "R05-revert-failed": ROLLED_BACK,
    "R06": ROLLED_BACK,
    "R07": ROLLED_BACK,
    "R08": ROLLED_BACK,
    "R09": ROLLED_BACK,
    "R09-vm-destroyed": ROLLED_BACK,
    "R10": ROLLED_BACK,
    "R10-root-lost": Reported("VolumeMissing", since="rollback"),
    "R11": ROLLED_BACK,
    "R12": Unreported("rolled back; the power of the source VM is not the appliance's"),
    # The product's own cleanup; its rows name no context, only its log names the VM.
    "C01": CLEANED_BY_PRODUCT,
    "C02": CLEANED_BY_PRODUCT,
    "C03": CLEANED_BY_PRODUCT,
    "C04": CLEANED_BY_PRODUCT,
    "C04-error": CLEANED_BY_PRODUCT,
    "C05": CLEANED_BY_PRODUCT,
    "C06": CLEANED_BY_PRODUCT,
    # The appliance's parts.
    "D01": STUCK,
    "D02": STUCK,  # the daemon is not asked: that it is down is told by the Appliance's conditions
    "D02-database": Unscannable("the database cannot be read"),
    "D03": Unscannable("OSSEA does not answer: where volumes are is its word alone (rule 9)"),
    "D03-credentials": Unscannable("OSSEA refuses the keys"),
    "D04": NO_CONFIG,
    "D04-no-config": NO_CONFIG,
    "D04-two-configs": NO_CONFIG,
    # Scenarios.
    "S02-young": Unreported("the injection may still be running (rule 5)"),
    "S02-held": STUCK,
    "S16-never": Reported("RunningTestVM", since="rollback"),
    "S16-forced": Reported("RunningTestVM", since="rollback"),
    "S24-our-operation": STUCK,
    "S27": STUCK,  # of the one vCenter; its namesake is healthy
    "S28": Reported("SnapshotMissing"),
    "S28-full": STUCK,
    "S30": Reported("VolumeMissing"),
    "S31": Reported("SnapshotMissing"),
    "S31-data": STUCK,
    "S32-spaces": STUCK,
    "S32-long": STUCK,
    "S33": Reported("ReplicationActive"),
    "S33-dead": Reported("ZombieJob"),
    "S34": STUCK,
    "S36-button": Unreported("the product's own cleanup is at work on it: its log names a volume of this VM"),
    "S36-operator": STUCK,
    "S37": STUCK,
    "S38": Reported("VolumeMissing"),
    "S38-no-disk": STUCK,
    "S39": STUCK,
    "S39-replicating": STUCK,
    "S40": STUCK,
}
