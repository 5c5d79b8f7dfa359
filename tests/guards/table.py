"""Every stop of a cleanup: how it comes about, what lifts it, and how the cleanup ends then. Written by hand from the rules.

The rows are played on an appliance over HTTP by `test_guards`. Stops that need more than a start state are in `test_in_the_course`,
those said by the controller alone in `test_permissions`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, TypeAlias

from failed_execution_cleanup.recovery.reasons import Reason

Grants: TypeAlias = tuple[tuple[str, str], ...]
"""Waivers: reason and object. Objects are `job`, `job id`, `vm`, `disk-0` and so on, and `replication`."""

CLEANED: Final = Reason.CLEANED
SUSPECT: Final = Reason.CLEANED_DATA_SUSPECT


@dataclass(frozen=True, slots=True)
class Exit:
    """One way on: an act of a person or of time, and how the cleanup ends then.

    Attributes:
        arrange: what changes in the world, see `acts` and `tests.matrix.arrangements`.
        waive: the waivers that lift it.
        again: the person asks again, by a new `requestedAt`.
        by_itself: nobody does anything: what is waited for comes about.
        corrected: a person corrects the resource, or makes a new one.
    """

    what: str
    end: Reason = CLEANED
    arrange: tuple[str, ...] = ()
    waive: Grants = ()
    again: bool = False
    by_itself: bool = False
    corrected: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """What the resource says where it differs from naming just the VM."""

    vm_name: str | None = None
    job_id: str | None = None
    vcenter: bool = False
    deadline: timedelta | None = None
    approved_plan: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop.

    Attributes:
        row: how the simulator builds the leftover state.
        granted: waivers given from the beginning, because without them another stop comes first.
        touches: requests are sent before it: some other volumes are worked on, or tries of one action are used up.
        homeward: a volume whose content is accepted is still brought home (rule 19).
        names: objects the message must name: `job`, `vm`, `disk-0`, `replication`, or literal text.
    """

    reason: Reason
    row: str
    exits: tuple[Exit, ...]
    note: str = ""
    arrange: tuple[str, ...] = ()
    granted: Grants = ()
    asked: Asked = field(default_factory=Asked)
    kind: str | None = None
    age_seconds: float = 7200.0
    operation_seconds: float = 4.0
    stop_seconds: float = 300.0
    force_stop: bool = False
    touches: bool = False
    homeward: bool = False
    names: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Name of the row."""
        return f"{self.reason.value}{'-' + self.note if self.note else ''}"


TIME: Final = Exit("time passes", arrange=("time-passes",), by_itself=True)
RUNNING_VM: Final[Grants] = (("RunningTestVM", "job"),)
NO_ENGINE: Final[Grants] = (("EngineMayWake", "job"),)

WAITS: Final = (
    Stop(Reason.FAILOVER_STILL_RUNNING, "F11", (TIME,), age_seconds=100.0, names=("job id",)),
    Stop(
        Reason.FAILOVER_STILL_RUNNING,
        "C04",
        (TIME,),
        note="product cleanup",
        age_seconds=100.0,
    ),
    Stop(
        Reason.REPLICATION_ACTIVE,
        "F12",
        (Exit("the replication ends", arrange=("replication-ends",), by_itself=True),),
        arrange=("replication-running",),
        names=("replication",),
    ),
    Stop(
        Reason.OPERATION_IN_FLIGHT,
        "F18",
        (TIME,),
        note="daemon",
        age_seconds=100.0,
        operation_seconds=420.0,
        names=("disk-0",),
    ),
    Stop(
        Reason.OPERATION_IN_FLIGHT,
        "F15",
        (Exit("it stops", arrange=("vm-stopped",), by_itself=True),),
        note="VM",
        arrange=("vm-starting",),
        age_seconds=2400.0,
        names=("vm",),
    ),
    Stop(
        Reason.OPERATION_IN_FLIGHT,
        "F12",
        (Exit("it becomes Ready", arrange=("os-volume-ready",), by_itself=True),),
        note="volume",
        arrange=("os-volume-attaching",),
        age_seconds=2400.0,
        names=("disk-0",),
    ),
    Stop(
        Reason.OPERATION_IN_FLIGHT,
        "F12",
        (Exit("the job ends", arrange=("job-ends",), by_itself=True),),
        note="job of another row",
        arrange=("other-job-running",),
    ),
    Stop(
        Reason.CLAIMED_ELSEWHERE,
        "F12",
        (Exit("the other one lets go", arrange=("claim-released",), by_itself=True),),
        arrange=("claimed-elsewhere",),
        names=("operator-0",),
    ),
    Stop(
        Reason.APPLIANCE_UNREACHABLE,
        "F12",
        (Exit("the daemon comes back", arrange=("daemon-up",), by_itself=True),),
        note="daemon",
        arrange=("daemon-down",),
    ),
    Stop(
        Reason.APPLIANCE_UNREACHABLE,
        "F12",
        (Exit("OSSEA comes back", arrange=("cloud-up",), by_itself=True),),
        note="OSSEA",
        arrange=("cloud-down",),
    ),
)

IDENTITY: Final = (
    Stop(
        Reason.AMBIGUOUS_VM,
        "F12",
        (Exit("set vcenterHost", corrected=True),),
        arrange=("same-name-elsewhere",),
        names=("vc01.example.com", "vc02.example.com"),
    ),
    Stop(
        Reason.UNKNOWN_VM,
        "F12",
        (Exit("a new resource with the right name", corrected=True),),
        asked=Asked(vm_name="PGTEST1"),
        names=("PGTEST1",),
    ),
    Stop(
        Reason.JOB_MISMATCH,
        "F12",
        (Exit("a new resource with the right job", corrected=True),),
        asked=Asked(job_id="11111111-2222-3333-4444-555555555555"),
        names=("11111111-2222-3333-4444-555555555555",),
    ),
    Stop(
        Reason.APPLIANCE_INCONSISTENT,
        "F12",
        (Exit("an administrator deactivates one", arrange=("one-config",), by_itself=True),),
        arrange=("two-configs",),
        names=("ossea_configs",),
    ),
    Stop(
        Reason.AWAITING_APPROVAL,
        "F12",
        (Exit("the approval is taken back", corrected=True),),
        asked=Asked(approved_plan="0" * 32),
    ),
)

IN_USE: Final = (
    Stop(
        Reason.NOTHING_FAILED,
        "F30",
        (Exit("roll back in the product", end=Reason.ALREADY_CLEAN, arrange=("rolled-back",), by_itself=True),),
        names=("job id", "vm"),
    ),
    Stop(
        Reason.LIVE_FAILOVER,
        "F24",
        (
            Exit("waive it", waive=(("LiveFailover", "job"),)),
            Exit("waive it by id", waive=(("LiveFailover", "job id"),)),
        ),
        granted=NO_ENGINE,
        kind="live",
        names=("job id", "vm"),
    ),
    Stop(
        Reason.RUNNING_TEST_VM,
        "F28",
        (
            Exit("waive it for the job", waive=RUNNING_VM),
            Exit("waive it by the job's id", waive=(("RunningTestVM", "job id"),)),
            Exit("waive it for the VM", waive=(("RunningTestVM", "vm"),)),
            Exit("stop it and ask again", arrange=("vm-stopped",), again=True),
        ),
        names=("vm",),
    ),
    Stop(
        Reason.RUNNING_TEST_VM,
        "F28",
        (Exit("stop it and ask again", arrange=("vm-stopped",), again=True),),
        note="live",
        granted=(*NO_ENGINE, ("LiveFailover", "job"), *RUNNING_VM),
        kind="live",
        names=("vm",),
    ),
    Stop(
        Reason.ENGINE_MAY_WAKE,
        "F11",
        (
            Exit("waive it for the job", waive=NO_ENGINE),
            Exit("restart the OMA API and close the row", arrange=("failover-closed",), by_itself=True),
        ),
        kind="live",
        names=("job id",),
    ),
    Stop(
        Reason.ZOMBIE_JOB,
        "F12",
        (
            Exit("waive it for the replication", waive=(("ZombieJob", "replication"),)),
            Exit("end it in the product", arrange=("replication-ends",), by_itself=True),
        ),
        arrange=("replication-dead",),
        names=("replication",),
    ),
    Stop(
        Reason.ZOMBIE_JOB,
        "F12",
        (
            Exit("waive it for the row", waive=(("ZombieJob", "other-job"),)),
            Exit("close the row", arrange=("job-ends",), by_itself=True),
        ),
        note="row",
        arrange=("other-job-dead",),
        names=("other-job",),
    ),
)

DATA: Final = (
    Stop(
        Reason.SNAPSHOT_MISSING,
        "F12",
        (
            Exit("restore the snapshot", arrange=("os-snapshot-restored",), by_itself=True),
            Exit("accept the content", end=SUSPECT, waive=(("AcceptContent", "disk-0"),)),
        ),
        arrange=("os-snapshot-deleted",),
        names=("disk-0",),
    ),
    Stop(
        Reason.REVERT_IMPOSSIBLE,
        "F12",
        (
            Exit("fix the storage", arrange=("os-snapshot-revertable",), by_itself=True),
            Exit("accept the content", end=SUSPECT, waive=(("AcceptContent", "disk-0"),)),
        ),
        arrange=("os-snapshot-not-revertable",),
        names=("disk-0",),
    ),
    Stop(
        Reason.REVERT_FAILING,
        "F12",
        (
            Exit("fix the storage and ask again", again=True),
            Exit("accept the content", end=SUSPECT, waive=(("AcceptContent", "disk-0"),)),
        ),
        arrange=("os-reverts-fail",),
        touches=True,
        names=("disk-0",),
    ),
    Stop(
        Reason.DETACH_FAILING,
        "F12",
        (
            Exit("end the process and ask again", again=True),
            Exit(
                "accept the content, so that it need not be detached", end=SUSPECT, waive=(("AcceptContent", "disk-0"),)
            ),
        ),
        arrange=("os-disk-busy",),
        touches=True,
        names=("disk-0",),
    ),
    Stop(
        Reason.ATTACH_FAILING,
        "F12",
        (Exit("free slots and ask again", again=True),),
        arrange=("no-slots",),
        touches=True,
        names=("disk-0",),
    ),
    Stop(
        Reason.UNKNOWN_HOLDER,
        "F12",
        (Exit("detach it there", arrange=("os-volume-let-go",), by_itself=True),),
        arrange=("os-volume-elsewhere",),
        names=("disk-0",),
    ),
    Stop(
        Reason.RESCUE_NEEDED,
        "F24",
        (Exit("recover the VM", arrange=("vm-stopped",), by_itself=True),),
        arrange=("vm-destroyed",),
        names=("disk-0", "vm", "recoverVirtualMachine"),
    ),
    Stop(
        Reason.VOLUME_MISSING,
        "F12",
        (Exit("correct the row", arrange=("disk-linked",), by_itself=True),),
        arrange=("disk-elsewhere",),
    ),
)

STRANGE: Final = (
    Stop(
        Reason.UNEXPECTED_STATE,
        "F12",
        (Exit("correct the row", arrange=("context-failed-over",), by_itself=True),),
        note="row",
        arrange=("context-discovered",),
        names=("discovered",),
    ),
    Stop(
        Reason.UNEXPECTED_STATE,
        "F15",
        (Exit("an administrator stops it", arrange=("vm-stopped",), by_itself=True),),
        note="VM",
        arrange=("vm-starting",),
        names=("vm",),
    ),
    Stop(
        Reason.UNEXPECTED_STATE,
        "F12",
        (Exit("an administrator brings it to Ready", arrange=("os-volume-ready",), by_itself=True),),
        note="volume",
        arrange=("os-volume-attaching",),
        names=("disk-0",),
    ),
    Stop(
        Reason.VM_SNAPSHOTS_PRESENT,
        "F12",
        (Exit("remove it", arrange=("vm-snapshot-removed",), by_itself=True),),
        arrange=("vm-snapshot-taken",),
        names=("nightly",),
    ),
    Stop(
        Reason.HOST_UNKNOWN,
        "F28",
        (Exit("bring the host up", arrange=("host-up",), by_itself=True),),
        arrange=("host-down",),
        granted=RUNNING_VM,
        names=("vm",),
    ),
    Stop(
        Reason.STOP_FAILING,
        "F28",
        (
            Exit("shut it down by hand", arrange=("vm-stopped",), by_itself=True),
            Exit("ask again", again=True),
        ),
        note="ignored",
        arrange=("stop-ignored",),
        granted=RUNNING_VM,
        touches=True,
        names=("vm",),
    ),
    Stop(
        Reason.STOP_FAILING,
        "F28",
        (Exit("the job ends", arrange=("jobs-released",), by_itself=True),),
        note="pending",
        arrange=("stop-hangs",),
        granted=RUNNING_VM,
        stop_seconds=0.5,
        touches=True,
        names=("vm",),
    ),
    Stop(
        Reason.STOP_FAILING,
        "F28",
        (Exit("the job ends without effect, and force is allowed", arrange=("jobs-fail",), by_itself=True),),
        note="pending, forced",
        arrange=("stop-hangs",),
        granted=RUNNING_VM,
        stop_seconds=0.5,
        force_stop=True,
        touches=True,
        names=("vm",),
    ),
    Stop(
        Reason.DEADLINE_EXCEEDED,
        "F12",
        (Exit("raise the deadline and ask again", again=True, corrected=True),),
        arrange=("slow-reverts",),
        asked=Asked(deadline=timedelta(seconds=0.2)),
        touches=True,
        homeward=True,
    ),
)

FINAL: Final = (
    Stop(
        Reason.CLEANED_DATA_SUSPECT,
        "R06",
        (Exit("replicate in full and ask again", end=Reason.ALREADY_CLEAN, arrange=("synced-in-full",), again=True),),
        touches=True,
        names=("disk-0",),
    ),
    Stop(
        Reason.REPLICA_NOT_CONSISTENT,
        "F05-failed",
        (Exit("replicate and ask again", end=Reason.ALREADY_CLEAN, arrange=("synced-on-top",), again=True),),
        granted=NO_ENGINE,
        touches=True,
    ),
)

STOPS: Final = (*WAITS, *IDENTITY, *IN_USE, *DATA, *STRANGE, *FINAL)


@dataclass(frozen=True, slots=True)
class Success:
    """An end that needs nobody; all but `Cleaned` touch nothing."""

    reason: Reason
    row: str
    arrange: tuple[str, ...] = ()
    own_job: bool = False


SUCCESSES: Final = (
    Success(Reason.CLEANED, "F12"),
    Success(Reason.ALREADY_CLEAN, "R12"),
    Success(Reason.NOTHING_TO_DO, "F02b"),
    Success(Reason.SUPERSEDED, "F12", arrange=("newer-failover",), own_job=True),
)


def for_job(stop: Stop, job_id: str) -> Stop:
    """The same, with the job named in the resource."""
    return replace(stop, asked=replace(stop.asked, job_id=job_id))
