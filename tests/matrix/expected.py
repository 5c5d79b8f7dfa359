"""What must become of every leftover state: written by hand from the appliance's facts and the rules, before any run.

One case per row of the failure table (F01-F30 with F02b and F12b, R01-R12, C01-C06, D01-D04), with its `hang` and `error` variants where
both exist, and per scenario S01-S40. A case names its requests exactly, volume by volume: what is not named must not be sent.

Every VM has three disks; disk 0 holds the operating system. Numbers in parentheses are rules of docs/rules.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final, Literal, TypeAlias

Disks: TypeAlias = tuple[int, ...]
NONE: Final[Disks] = ()
OS: Final[Disks] = (0,)
DATA: Final[Disks] = (1, 2)
ALL: Final[Disks] = (0, 1, 2)

Content: TypeAlias = Literal["replica", "as found"]
Holder: TypeAlias = Literal["OMA", "nobody", "as found"]

REPLICA: Final[tuple[Content, ...]] = ("replica", "replica", "replica")
AS_FOUND: Final[tuple[Content, ...]] = ("as found", "as found", "as found")
HOME: Final[tuple[Holder, ...]] = ("OMA", "OMA", "OMA")
NOBODY: Final[tuple[Holder, ...]] = ("nobody", "nobody", "nobody")
UNMOVED: Final[tuple[Holder, ...]] = ("as found", "as found", "as found")
FOUND: Final = "as found"
MARKED: Final = "cleanup_required"

ORDER: Final = (
    ("stopVirtualMachine", "detach"),
    ("detach", "revertSnapshot"),
    ("revertSnapshot", "deleteSnapshot"),
    ("deleteSnapshot", "attach"),
    ("attach", "destroyVirtualMachine"),
)
"""What comes first within a run: per volume, its request of the left kind before its first of the right kind; for the test VM, its stop
before any detach and its destroy after every attach (rules 10, 12, 14). Where the left kind is repeated on a volume (S40), the way begins
anew and the pair says nothing."""


class Outcome(StrEnum):
    """How a case ends."""

    RECOVERED = "recovered"
    """The declared goal is reached."""
    NOTHING_TO_DO = "nothing to do"
    """There was nothing to reach: not a row was changed."""
    WAITING = "waiting"
    """Nothing was touched; it goes on by itself once the cause is gone."""
    REFUSED = "refused"
    """Nothing was touched; a person must decide."""
    STALLED = "stalled"
    """All that is safe was done; for the rest a person is needed."""


@dataclass(frozen=True, slots=True)
class Requests:
    """Mutating requests, by the disk they are about (once per request), and counts for the test VM."""

    stop: int = 0
    detach: Disks = NONE
    revert: Disks = NONE
    delete: Disks = NONE
    attach: Disks = NONE
    destroy: int = 0
    expunge: int = 0


@dataclass(frozen=True, slots=True)
class End:
    """How a run must end.

    Attributes:
        requests: exactly these, no more and no fewer.
        contents: by disk: what the last stored replication wrote, or untouched.
        holders: by disk.
        context: `vm_replication_contexts.current_status`.
        failover: `failover_jobs.status`; None where the failover has no row.
        leftovers: snapshots that stay and are listed.
    """

    outcome: Outcome
    reason: str
    requests: Requests = Requests()
    contents: tuple[Content, ...] = AS_FOUND
    holders: tuple[Holder, ...] = UNMOVED
    context: str = FOUND
    failover: str | None = FOUND
    leftovers: int = 0


@dataclass(frozen=True, slots=True)
class Way:
    """A way out: what a person does, and how it ends then. Requests are those made from here on.

    Attributes:
        waive: reason and object: `job`, `disk-0`, or `replication`.
        arrange: what else changes in the world.
        again: the person asks again.
        vcenter: the person names the vCenter.
    """

    what: str
    end: End
    waive: tuple[tuple[str, str], ...] = ()
    arrange: tuple[str, ...] = ()
    again: bool = False
    vcenter: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """One leftover state, and what must become of it.

    Attributes:
        id: row, row with variant, or scenario.
        row: how the simulator builds it.
        arrange: what else is told of the world, see `arrangements`.
        way: how a person gets on where the end is a stop.
        scenarios: scenarios this case shows, apart from its own id.
        vcenter: whether the order names the vCenter.
        age_seconds: how long ago the failover was requested.
        operation_limit_seconds: age at which an operation of the daemon counts as dead.
    """

    id: str
    row: str
    why: str
    end: End
    way: Way | None = None
    scenarios: tuple[str, ...] = ()
    arrange: tuple[str, ...] = ()
    waive: tuple[tuple[str, str], ...] = ()
    kind: str | None = None
    vm_name: str = "pgtest1"
    vcenter: bool = False
    force_stop: bool = False
    age_seconds: float = 7200.0
    operation_limit_seconds: float = 4.0


def recovered(
    *,
    detach: Disks = ALL,
    revert: Disks = ALL,
    attach: Disks | None = None,
    stop: int = 0,
    destroy: int = 0,
    failover: str | None = "failed",
    leftovers: int = 0,
) -> End:
    """The goal is reached; what is reverted is freed of its snapshot, what is detached comes home."""
    requests = Requests(stop, detach, revert, revert, detach if attach is None else attach, destroy)
    return End(Outcome.RECOVERED, "Cleaned", requests, REPLICA, HOME, "ready_for_failover", failover, leftovers)


def waiting(reason: str) -> End:
    """Nothing is touched for now."""
    return End(Outcome.WAITING, reason)


def refused(reason: str) -> End:
    """Nothing is touched without a person."""
    return End(Outcome.REFUSED, reason)


ROWS_ONLY: Final = recovered(detach=NONE, revert=NONE)
ALL_BACK: Final = recovered()
ALL_BACK_VM_GONE: Final = recovered(destroy=1)
STOPPED_ALL_BACK: Final = recovered(stop=1, destroy=1)
NO_JOB: Final = End(Outcome.NOTHING_TO_DO, "NothingToDo")

WAIVED_VM: Final = (("RunningTestVM", "job"),)
WAIVED_ENGINE: Final = (("EngineMayWake", "job"),)
WAIVED_LIVE: Final = (("LiveFailover", "job"), *WAIVED_ENGINE)


def suspect(requests: Requests, contents: tuple[Content, ...], failover: str, *, leftovers: int = 0) -> End:
    """Everything is home, and the context is `failed` so that replication may put the content right (rule 17)."""
    return End(Outcome.STALLED, "CleanedDataSuspect", requests, contents, HOME, "failed", failover, leftovers)


def running(end: End = STOPPED_ALL_BACK) -> Way:
    """A person says the running test VM is not needed."""
    return Way("waive RunningTestVM for the job", end, waive=WAIVED_VM)


FAILOVER: Final = (
    Case("F01", "F01", "The job ended itself before it had a row: nothing is open, nothing was made (1).", NO_JOB),
    Case(
        "F01-hang",
        "F01-hang",
        "An open tracking row without failover row is the newest job; only it and its step are closed (1), after a quiet time (5).",
        replace(ROWS_ONLY, failover=None),
    ),
    Case("F02", "F02", "As F01: tracking ended, no failover row (1).", NO_JOB),
    Case("F02b", "F02b", "The job log never began: there is no job at all (2).", NO_JOB, scenarios=("S32",)),
    Case(
        "F03",
        "F03",
        "Nothing moved, but a live failover with an open row needs a person's word (5); then rows only.",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ROWS_ONLY, waive=WAIVED_ENGINE),
        scenarios=("S05",),
    ),
    Case(
        "F03-hang",
        "F03-hang",
        "As F03 with the power-off step left running: a live engine may wake (5).",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ROWS_ONLY, waive=WAIVED_ENGINE),
    ),
    Case(
        "F04",
        "F04",
        "No replication exists; live with an open row (5), then rows only; the source VM stays off, which is not ours to change.",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ROWS_ONLY, waive=WAIVED_ENGINE),
        scenarios=("S05",),
    ),
    Case(
        "F05",
        "F05-error",
        "The final sync timed out in the engine, its replication is alive: nothing is touched (6).",
        waiting("ReplicationActive"),
        scenarios=("S05",),
    ),
    Case(
        "F05-hang",
        "F05",
        "The final sync hangs, its replication is alive: nothing is touched (6).",
        waiting("ReplicationActive"),
    ),
    Case(
        "F05-failed",
        "F05-failed",
        "The newest replication wrote and failed: the replica does not deserve ready_for_failover (17).",
        refused("EngineMayWake"),
        Way(
            "waive EngineMayWake for the job",
            End(
                Outcome.STALLED,
                "ReplicaNotConsistent",
                contents=AS_FOUND,
                holders=HOME,
                context="failed",
                failover="failed",
            ),
            waive=WAIVED_ENGINE,
        ),
    ),
    Case(
        "F05-stored",
        "F05-stored",
        "The final sync was stored after the engine gave up: rows only, the replica is good (17).",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ROWS_ONLY, waive=WAIVED_ENGINE),
    ),
    Case(
        "F06",
        "F06",
        "Nothing moved and no snapshot was taken: rows only; mode and location are not what the context says (9).",
        ROWS_ONLY,
        scenarios=("S06",),
    ),
    Case(
        "F06-hang",
        "F06-hang",
        "Modes are mixed on volumes that never left: SQL, no detach; quiet first (5).",
        ROWS_ONLY,
    ),
    Case(
        "F07",
        "F07",
        "Two BackedUp snapshots are restore points and are reverted (3); the one stuck in Creating is a leftover, its volume stays put.",
        recovered(detach=(0, 1), revert=(0, 1), leftovers=1),
        scenarios=("S07",),
    ),
    Case(
        "F08",
        "F08",
        "The data disk without snapshot was not written by injection, so it stays where it is (13); the others go back.",
        recovered(detach=(0, 1), revert=(0, 1)),
        scenarios=("S07",),
    ),
    Case(
        "F08-os",
        "F08-os",
        "Injection began on an OS disk without restore point: a person decides before anything is touched (8, 13).",
        refused("SnapshotMissing"),
        Way(
            "waive AcceptContent for the OS disk",
            suspect(Requests(0, DATA, DATA, DATA, DATA), ("as found", "replica", "replica"), "failed"),
            waive=(("AcceptContent", "disk-0"),),
        ),
    ),
    Case(
        "F08-started",
        "F08-started",
        "The VM start began: a data disk without restore point may be modified too (13).",
        refused("SnapshotMissing"),
        Way(
            "waive AcceptContent for the last disk",
            suspect(Requests(0, ALL, (0, 1), (0, 1), ALL, 1), ("replica", "replica", "as found"), "failed"),
            waive=(("AcceptContent", "disk-2"),),
        ),
    ),
    Case(
        "F09",
        "F09",
        "The one orphan snapshot is the product's by name, disk and time: it is the restore point of its disk (3).",
        recovered(detach=OS, revert=OS),
        scenarios=("S06",),
    ),
    Case(
        "F10",
        "F10",
        "The untracked snapshot is found by name and is the OS disk's restore point (3).",
        ALL_BACK,
        scenarios=("S07",),
    ),
    Case(
        "F11",
        "F11",
        "Hung injection: each disk back to its restore point, deletes only after a quiet time (5, 12).",
        ALL_BACK,
        scenarios=("S01", "S03"),
    ),
    Case(
        "F11-live",
        "F11",
        "A live engine goes on after a failed injection: its open row needs a person's word (5).",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ALL_BACK, waive=WAIVED_ENGINE),
        kind="live",
    ),
    Case("F12", "F12", "As F11; the engine itself ended the job, so no quiet time is due (5).", ALL_BACK),
    Case(
        "F12b",
        "F12b",
        "Completed by hand with the failover row open is no end by the engine: failed, with quiet time (1, 5).",
        ALL_BACK,
        scenarios=("S04",),
    ),
    Case("F13", "F13", "As F11: the process died, the rows say running for ever (5).", ALL_BACK),
    Case("F14", "F14", "As F12: no VM was made.", ALL_BACK),
    Case(
        "F15",
        "F15",
        "The unrecorded VM is known by its display name, whose suffix is the job's creation time (4); destroyed last (14).",
        ALL_BACK_VM_GONE,
        scenarios=("S08",),
    ),
    Case("F15-hang", "F15-hang", "As F15 with the engine's rows left running (5).", ALL_BACK_VM_GONE),
    Case(
        "F15-vm-error",
        "F15",
        "As F15: a VM in state Error is destroyed all the same (14).",
        ALL_BACK_VM_GONE,
        arrange=("vm-error",),
    ),
    Case(
        "F15-vm-starting",
        "F15",
        "A VM that is still Starting is work in progress of the cloud: wait (5, 14).",
        waiting("OperationInFlight"),
        Way("it stops by itself", ALL_BACK_VM_GONE, arrange=("vm-stopped",)),
        arrange=("vm-starting",),
        age_seconds=2400.0,
    ),
    Case(
        "F15-vm-starting-for-ever",
        "F15",
        "Starting for two hours and no job of the cloud at work on it: nobody brings it to an end any more, a person must (19).",
        refused("UnexpectedState"),
        Way("an administrator stops it", ALL_BACK_VM_GONE, arrange=("vm-stopped",)),
        arrange=("vm-starting",),
    ),
    Case(
        "F15-live",
        "F15",
        "A live VM is never known by name (4): all volumes go back, the VM with the source's name is left alone.",
        refused("EngineMayWake"),
        Way("waive EngineMayWake for the job", ALL_BACK, waive=WAIVED_ENGINE),
        kind="live",
    ),
    Case(
        "F16",
        "F16-error",
        "As F15: the VM exists, its id was never recorded (4).",
        ALL_BACK_VM_GONE,
        scenarios=("S08",),
    ),
    Case("F16-hang", "F16", "As F16 after a crash: rows left running (5).", ALL_BACK_VM_GONE),
    Case(
        "F17",
        "F17",
        "The VM holds only the root made with it: it goes, root and all (14).",
        ALL_BACK_VM_GONE,
        scenarios=("S09",),
    ),
    Case(
        "F17-orphan",
        "F17-orphan",
        "The template's root was detached and not deleted: nothing ties it to the VM any more, so it is not ours to delete.",
        ALL_BACK_VM_GONE,
        scenarios=("S09",),
    ),
    Case(
        "F18",
        "F18",
        "An operation left executing for hours is dead, the volume is where OSSEA says (9).",
        ALL_BACK_VM_GONE,
        scenarios=("S10",),
    ),
    Case(
        "F18-late",
        "F18-late",
        "The detach came through after the engine gave up: the OS disk is detached, and is not detached again (9).",
        recovered(detach=DATA, attach=ALL, destroy=1),
        scenarios=("S35",),
    ),
    Case(
        "F18-young",
        "F18",
        "The engine ended the job, but its detach is still executing and young: wait (8).",
        waiting("OperationInFlight"),
        age_seconds=100.0,
        operation_limit_seconds=420.0,
        scenarios=("S35",),
    ),
    Case(
        "F19",
        "F19",
        "The OS disk is nowhere, the data disks are on the OMA: only these are detached (9, 10).",
        recovered(detach=DATA, attach=ALL, destroy=1),
        scenarios=("S10",),
    ),
    Case("F20", "F20", "All on the OMA in mixed modes: all go back (3), the empty VM goes (14).", ALL_BACK_VM_GONE),
    Case(
        "F21",
        "F21",
        "As F19; the engine ended the job itself.",
        recovered(detach=DATA, attach=ALL, destroy=1),
        scenarios=("S10",),
    ),
    Case(
        "F22",
        "F22",
        "OSSEA shows the OS disk on the test VM, whatever the daemon believes (9).",
        ALL_BACK_VM_GONE,
        scenarios=("S11",),
    ),
    Case("F23", "F23", "The late attach won: the OS disk is on the test VM (9).", ALL_BACK_VM_GONE, scenarios=("S35",)),
    Case(
        "F24", "F24", "Disks on both VMs: each is taken off whoever holds it (9).", ALL_BACK_VM_GONE, scenarios=("S12",)
    ),
    Case("F25", "F25", "As F24 with one disk brought back.", ALL_BACK_VM_GONE, scenarios=("S12",)),
    Case(
        "F26", "F26", "As F22 for a data disk: no mapping tells, OSSEA does (9).", ALL_BACK_VM_GONE, scenarios=("S11",)
    ),
    Case(
        "F27",
        "F27",
        "Every disk may be modified and has a restore point (13); the VM is already stopped.",
        ALL_BACK_VM_GONE,
    ),
    Case(
        "F27-running",
        "F27",
        "The start was late but worked: a Running VM may be in use (15).",
        refused("RunningTestVM"),
        running(),
        arrange=("vm-running",),
    ),
    Case(
        "F27-starting",
        "F27",
        "A VM that is Starting is not stopped in the middle.",
        waiting("OperationInFlight"),
        arrange=("vm-starting",),
        age_seconds=2400.0,
    ),
    Case(
        "F28",
        "F28",
        "The VM runs and looks like a success: only a person may say that it is not needed.",
        refused("RunningTestVM"),
        running(),
        scenarios=("S13",),
    ),
    Case(
        "F28-live",
        "F28",
        "A live VM may carry production; a Running one cannot be waived at all, it must be stopped by a person.",
        refused("LiveFailover"),
        Way(
            "waive LiveFailover, EngineMayWake and RunningTestVM",
            refused("RunningTestVM"),
            waive=(*WAIVED_LIVE, *WAIVED_VM),
        ),
        kind="live",
    ),
    Case(
        "F24-live",
        "F24",
        "A live failover with a VM and volumes off the OMA needs both words of a person; its recorded VM goes then (4).",
        refused("LiveFailover"),
        Way("waive LiveFailover and EngineMayWake for the job", ALL_BACK_VM_GONE, waive=WAIVED_LIVE),
        kind="live",
    ),
    Case(
        "F29",
        "F29",
        "As F28; the engine ended the job with an error, the VM runs.",
        refused("RunningTestVM"),
        running(),
        scenarios=("S13",),
    ),
    Case(
        "F30",
        "F30",
        "Completed, no rollback, VM in use: healthy, refused (1); no waiver covers it.",
        refused("NothingFailed"),
        Way("waive RunningTestVM for the job", refused("NothingFailed"), waive=WAIVED_VM),
        scenarios=("S14",),
    ),
    Case(
        "F30-live",
        "F30",
        "A healthy live failover is refused, whatever is waived (1).",
        refused("NothingFailed"),
        Way("waive everything for the job", refused("NothingFailed"), waive=(*WAIVED_LIVE, *WAIVED_VM)),
        kind="live",
        scenarios=("S15",),
    ),
)

KEPT: Final = "completed"
"""A failover job that completed stays completed when only its rollback failed (rule 1)."""

ROLLBACK: Final = (
    Case("R01", "R01", "The rollback did nothing: as F12.", ALL_BACK),
    Case(
        "R02",
        "R02",
        "The rollback's good words are about another VM of the same name: our own snapshots are still there and are reverted (3, 13).",
        ALL_BACK,
        vcenter=True,
    ),
    Case(
        "R03",
        "R03",
        "A rollback began, so it is not healthy (1); the VM runs and needs a person's word.",
        refused("RunningTestVM"),
        running(recovered(stop=1, destroy=1, failover=KEPT)),
        scenarios=("S16",),
    ),
    Case(
        "R04",
        "R04",
        "All volumes by context, not by what the rollback remembers: one on the VM, two nowhere (9).",
        recovered(detach=(2,), attach=ALL, destroy=1, failover=KEPT),
        scenarios=("S17",),
    ),
    Case(
        "R05",
        "R05",
        "OSSEA shows every volume on the VM: home first, destroy last (9, 14); step and log say that the reverts went well (13).",
        recovered(revert=NONE, destroy=1, failover=KEPT),
        scenarios=("S18",),
    ),
    Case(
        "R05-revert-failed",
        "R05-revert-failed",
        "As R05, but the log tells of a failed revert, and the snapshots are gone: the data is suspect (13, 17).",
        suspect(Requests(0, ALL, NONE, NONE, ALL, 1), ("as found", "replica", "replica"), KEPT),
    ),
    Case(
        "R06",
        "R06",
        "The log tells of a failed revert and the snapshot is gone: nothing can repair it, replication may (13, 17).",
        suspect(Requests(), AS_FOUND, KEPT),
        scenarios=("S19",),
    ),
    Case(
        "R07",
        "R07",
        "The rollback's snapshot step ended well, all is detached: attach and destroy (13); the dead rollback row is closed (6).",
        recovered(detach=NONE, revert=NONE, attach=ALL, destroy=1, failover=KEPT),
        scenarios=("S17",),
    ),
    Case(
        "R08",
        "R08",
        "Attached without mapping is repaired by detach and attach; the volume that is well stays put.",
        recovered(detach=(1,), revert=NONE, attach=(0, 1), destroy=1, failover=KEPT),
        scenarios=("S17",),
    ),
    Case(
        "R09",
        "R09",
        "Everything is home: only the VM is left (14).",
        recovered(detach=NONE, revert=NONE, destroy=1, failover=KEPT),
    ),
    Case(
        "R09-vm-destroyed",
        "R09",
        "As R09 with the VM Destroyed and not expunged: it is expunged.",
        replace(
            recovered(detach=NONE, revert=NONE, failover=KEPT),
            requests=Requests(expunge=1),
        ),
        arrange=("vm-destroyed",),
    ),
    Case(
        "R10",
        "R10",
        "The VM is gone and the volumes are nowhere: stale mappings go, all go back (16).",
        recovered(detach=NONE, attach=ALL, failover=KEPT),
        scenarios=("S29",),
    ),
    Case(
        "R10-root-lost",
        "R10b",
        "The OS disk went with the VM: nothing is detached (8), but the others, in the air already, are reverted and brought home.",
        End(
            Outcome.STALLED,
            "VolumeMissing",
            Requests(revert=DATA, delete=DATA, attach=DATA),
            ("as found", "replica", "replica"),
            ("as found", "OMA", "OMA"),
            MARKED,
        ),
        scenarios=("S29",),
    ),
    Case(
        "R11",
        "R11",
        "Only the rows are missing; the rollback's reverts are proven by its step (13).",
        recovered(detach=NONE, revert=NONE, failover=KEPT),
    ),
    Case(
        "R12",
        "R12",
        "Rolled back but for the source VM's power, which is not ours: everything is as wanted.",
        End(Outcome.NOTHING_TO_DO, "AlreadyClean"),
    ),
)

PRODUCT_CLEANUP: Final = (
    Case(
        "C01",
        "C01",
        "Stale mappings of detached volumes go before the attach (16); nothing is detached twice (9).",
        recovered(detach=NONE, attach=ALL),
        scenarios=("S20",),
    ),
    Case(
        "C02",
        "C02",
        "Reverting again is harmless, and only a revert of ours allows a delete (12).",
        recovered(detach=NONE, attach=ALL),
        scenarios=("S22",),
    ),
    Case(
        "C03",
        "C03",
        "An error in the product's delete proves good reverts (13); what is still there is reverted before it goes (12).",
        recovered(detach=NONE, revert=DATA, attach=ALL),
        scenarios=("S21", "S22"),
    ),
    Case(
        "C04",
        "C04",
        "The product's cleanup died with one volume detached; its log names this VM, so its row is closed with the incident (6, 13).",
        recovered(detach=DATA, attach=ALL),
        scenarios=("S22",),
    ),
    Case("C04-error", "C04-error", "As C04; the cleanup ended failed.", recovered(detach=DATA, attach=ALL)),
    Case(
        "C05",
        "C05",
        "Its snapshot step ended well (13); attached without mapping is repaired, the others are attached.",
        recovered(detach=OS, revert=NONE, attach=ALL),
        scenarios=("S22",),
    ),
    Case(
        "C06",
        "C06",
        "Rows are closed and the context is ready: only the VM it forgot is left (14).",
        recovered(detach=NONE, revert=NONE, destroy=1),
        scenarios=("S23",),
    ),
)

INFRASTRUCTURE: Final = (
    Case(
        "D01",
        "D01",
        "The daemon died after the cloud detached: its operation is ignored, its mapping is stale and goes (9, 16).",
        recovered(detach=DATA, attach=ALL, destroy=1),
        scenarios=("S24",),
    ),
    Case(
        "D02",
        "F12",
        "The daemon is down: nothing is touched, an error is an error (9).",
        waiting("ApplianceUnreachable"),
        Way("the daemon comes back", ALL_BACK, arrange=("daemon-up",)),
        arrange=("daemon-down",),
        scenarios=("S24",),
    ),
    Case(
        "D02-database",
        "F12",
        "The database cannot be read: nothing is known, nothing is touched.",
        waiting("ApplianceUnreachable"),
        arrange=("no-database",),
    ),
    Case(
        "D03",
        "F12",
        "OSSEA does not answer: location is its word alone (9), so nothing is touched.",
        waiting("ApplianceUnreachable"),
        Way("OSSEA comes back", ALL_BACK, arrange=("cloud-up",)),
        arrange=("cloud-down",),
        scenarios=("S25",),
    ),
    Case(
        "D03-credentials",
        "F12",
        "OSSEA refuses the keys: as unreachable, no state change.",
        waiting("ApplianceUnreachable"),
        arrange=("wrong-credentials",),
        scenarios=("S25",),
    ),
    Case(
        "D04",
        "D04",
        "oma_vm_id names a VM that is not there: where home is, is not known.",
        refused("ApplianceInconsistent"),
        Way(
            "correct oma_vm_id",
            recovered(revert=NONE),
            arrange=("right-oma",),
        ),
        scenarios=("S26",),
    ),
    Case(
        "D04-no-config",
        "F12",
        "No active configuration: where home is, is not known.",
        refused("ApplianceInconsistent"),
        arrange=("no-config",),
        scenarios=("S26",),
    ),
    Case(
        "D04-two-configs",
        "F12",
        "Two active configurations: which home is right is a person's business.",
        refused("ApplianceInconsistent"),
        arrange=("two-configs",),
        scenarios=("S26",),
    ),
)

SCENARIOS: Final = (
    Case(
        "S02-young",
        "F11",
        "The injection may still be running: a young job is left alone (5).",
        waiting("FailoverStillRunning"),
        age_seconds=100.0,
        scenarios=("S02",),
    ),
    Case(
        "S02-held",
        "F11",
        "A process holds the disk and OSSEA refuses the detach three times; the other disks are not kept detached (19).",
        End(
            Outcome.STALLED,
            "DetachFailing",
            Requests(0, (0, 0, 0, 1, 2), DATA, DATA, DATA),
            ("as found", "replica", "replica"),
            HOME,
            MARKED,
            "pending",
        ),
        Way("end the process and ask again", recovered(detach=OS, revert=OS), again=True),
        arrange=("os-disk-busy",),
        scenarios=("S02",),
    ),
    Case(
        "S16-never",
        "R03",
        "A guest that ignores three stops is not forced: forceStop is Never (15).",
        End(
            Outcome.STALLED,
            "StopFailing",
            Requests(stop=3),
            context=MARKED,
            failover=KEPT,
        ),
        Way(
            "stop it by hand and ask again",
            recovered(destroy=1, failover=KEPT),
            arrange=("vm-stopped",),
            again=True,
            waive=WAIVED_VM,
        ),
        waive=WAIVED_VM,
        arrange=("stop-ignored",),
        scenarios=("S16",),
    ),
    Case(
        "S16-forced",
        "R03",
        "Where the appliance allows it, the stop is forced once the graceful one ended without effect (15).",
        recovered(stop=2, destroy=1, failover=KEPT),
        waive=WAIVED_VM,
        arrange=("stop-ignored-once",),
        force_stop=True,
        scenarios=("S16",),
    ),
    Case(
        "S24-our-operation",
        "F12",
        "The daemon restarts in the middle of our detach: the cloud is asked, its stale mapping goes (9, 16).",
        ALL_BACK,
        arrange=("detach-abandoned",),
        scenarios=("S24",),
    ),
    Case(
        "S27",
        "F12",
        "Two VMs of this name: a person says which vCenter.",
        refused("AmbiguousVM"),
        Way("name the vCenter", ALL_BACK, vcenter=True),
        arrange=("same-name-elsewhere",),
    ),
    Case(
        "S28",
        "F12",
        "Every snapshot is older than the newest sync: never reverted (3), so nothing puts the injected OS disk right (13).",
        refused("SnapshotMissing"),
        Way(
            "waive AcceptContent for the OS disk",
            suspect(Requests(), AS_FOUND, "failed", leftovers=3),
            waive=(("AcceptContent", "disk-0"),),
        ),
        arrange=("synced-on-top",),
    ),
    Case(
        "S28-full",
        "F12",
        "A full sync of every disk after the injection vouches for the content; the obsolete snapshots are leftovers (3, 17).",
        recovered(detach=NONE, revert=NONE, leftovers=3),
        arrange=("synced-in-full",),
        scenarios=("S28",),
    ),
    Case(
        "S30",
        "F12",
        "A replica volume is gone: no detach before every volume is known (8), no row is closed.",
        refused("VolumeMissing"),
        arrange=("volume-deleted",),
    ),
    Case(
        "S31",
        "F12",
        "The OS disk's snapshot is gone and no delete of ours explains it: a person decides (13).",
        refused("SnapshotMissing"),
        Way(
            "waive AcceptContent for the OS disk",
            suspect(Requests(0, DATA, DATA, DATA, DATA), ("as found", "replica", "replica"), "failed"),
            waive=(("AcceptContent", "disk-0"),),
        ),
        arrange=("os-snapshot-deleted",),
    ),
    Case(
        "S31-data",
        "F12",
        "Injection writes only the OS disk: a data disk whose snapshot is gone is as it was (13).",
        recovered(detach=(0, 1), revert=(0, 1)),
        arrange=("last-snapshot-deleted",),
        scenarios=("S31",),
    ),
    Case(
        "S32-spaces",
        "F15",
        "Blanks and capitals: the display name is the unsanitised one (4).",
        ALL_BACK_VM_GONE,
        vm_name="PhilB Test machine",
        scenarios=("S32",),
    ),
    Case(
        "S32-long",
        "F15",
        "More than 47 characters: the cloud's name loses its suffix, the display name does not (4); no id of ours grows too long.",
        ALL_BACK_VM_GONE,
        vm_name="finance-reporting-warehouse-replica-frankfurt-node-01",
        scenarios=("S32",),
    ),
    Case(
        "S33",
        "F12",
        "Somebody started a replication by hand: nothing while it is alive (6).",
        waiting("ReplicationActive"),
        arrange=("replication-running",),
    ),
    Case(
        "S33-dead",
        "F12",
        "A replication that is dead and not ended: a person vouches for it by its id (6); it wrote nothing (17).",
        refused("ZombieJob"),
        Way("waive ZombieJob for the replication", ALL_BACK, waive=(("ZombieJob", "replication"),)),
        arrange=("replication-dead",),
        scenarios=("S33",),
    ),
    Case(
        "S34",
        "F12",
        "No free slot on the OMA: reverted volumes stay detached and named; their snapshots are gone by then (12).",
        End(
            Outcome.STALLED,
            "AttachFailing",
            Requests(0, ALL, ALL, ALL, (0, 0, 0, 1, 1, 1, 2, 2, 2)),
            REPLICA,
            NOBODY,
            MARKED,
            "pending",
        ),
        Way("free slots and ask again", recovered(detach=NONE, revert=NONE, attach=ALL), again=True),
        arrange=("no-slots",),
    ),
    Case(
        "S36-button",
        "F12",
        "Somebody pressed the product's own button a moment ago: nameless, young, maybe on this VM (6).",
        waiting("FailoverStillRunning"),
        arrange=("product-cleanup-running",),
        scenarios=("S36",),
    ),
    Case(
        "S36-operator",
        "F12",
        "Another operator holds the VM's lock.",
        waiting("ClaimedElsewhere"),
        arrange=("lock-held",),
        scenarios=("S36",),
    ),
    Case(
        "S37",
        "F12",
        "Time and status of a recorded snapshot are NULL: OSSEA knows both.",
        ALL_BACK,
        arrange=("snapshot-row-nulls",),
    ),
    Case(
        "S38",
        "F12",
        "vm_disks names a volume this VM does not have: a volume may be missing from the list.",
        refused("VolumeMissing"),
        arrange=("disk-elsewhere",),
    ),
    Case(
        "S38-no-disk",
        "F12",
        "A volume no disk refers to is still the VM's volume, its recorded snapshot is its restore point (3).",
        ALL_BACK,
        arrange=("disk-unlinked",),
        scenarios=("S38",),
    ),
    Case(
        "S39",
        "F12",
        "Somebody wrote `failed` over the context: job rows decide (1).",
        ALL_BACK,
        arrange=("context-failed",),
    ),
    Case(
        "S39-replicating",
        "F12",
        "The context says replicating and no replication is open: job rows decide (1).",
        ALL_BACK,
        arrange=("context-replicating",),
        scenarios=("S39",),
    ),
    Case(
        "S40",
        "F12",
        "Attached without mapping because the link came late: once more off and on (1.8 of the appliance's facts).",
        recovered(detach=(0, 0, 1, 2), revert=ALL, attach=(0, 0, 1, 2)),
        arrange=("link-late",),
    ),
)

CASES: Final = (*FAILOVER, *ROLLBACK, *PRODUCT_CLEANUP, *INFRASTRUCTURE, *SCENARIOS)
