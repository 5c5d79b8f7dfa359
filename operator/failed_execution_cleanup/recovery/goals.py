"""What is wanted: the spec of a cleanup and the settings of its appliance, as plain values."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Goal(StrEnum):
    """The four goal conditions."""

    VOLUMES_ATTACHED = "VolumesAttached"
    SNAPSHOTS_REMOVED = "SnapshotsRemoved"
    TEST_VM_REMOVED = "TestVMRemoved"
    CONTEXT_READY = "ContextReady"


@dataclass(frozen=True, slots=True)
class GoalState:
    """Whether a goal is reached, and one sentence about it."""

    reached: bool
    message: str


@dataclass(frozen=True, slots=True)
class Waiver:
    """A person's word that one named guard does not count for one named object."""

    reason: str
    object: str


@dataclass(frozen=True, slots=True)
class Settings:
    """Counts and times of the Appliance (seconds in the resource, durations here)."""

    stuck_after: timedelta = timedelta(seconds=1800)
    final_sync_stuck_after: timedelta = timedelta(seconds=2700)
    operation_limit: timedelta = timedelta(seconds=420)
    quiet: timedelta = timedelta(seconds=60)
    revert_quiet: timedelta = timedelta(seconds=1800)
    revert_bytes_per_second: int = 50 * 1024 * 1024
    """Slowest copy assumed while a revert of unknown outcome may still be writing (rule 11)."""
    retry: timedelta = timedelta(seconds=5)
    """Pause after a first failed attempt; doubles."""
    tries: int = 3
    force_stop: bool = False
    stop_timeout: timedelta = timedelta(seconds=300)
    """How long a guest has to shut down before a person is asked (rule 15)."""
    oma_vm_id: str | None = None
    owner_alive: timedelta = timedelta(seconds=45)
    """How long after its last heartbeat the owner of another claim may still have a request on its way."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What this cleanup wants now.

    Attributes:
        job_id: failover job it is bound to: the spec's, else the pinned one; None before the first observation.
        waivers: those of the spec that the appliance allows.
        stopping: suspended, deleted or timed out: bring reverted volumes home, start nothing else (rule 19).
        deadline: longest time from the first mutating request.
        execute: False in mode Plan: nothing is begun unless the plan was approved.
        approved_plan: digest of the plan a person approved; None: no approval is asked for in mode Execute.
    """

    job_id: str | None = None
    waivers: frozenset[Waiver] = frozenset()
    stopping: bool = False
    deadline: timedelta = timedelta(hours=4)
    execute: bool = True
    approved_plan: str | None = None
    settings: Settings = field(default_factory=Settings)

    def waived(self, reason: str, *objects: str) -> Waiver | None:
        """The waiver that covers this reason for one of these objects."""
        return next((w for w in self.waivers if w.reason == reason and w.object in objects), None)
