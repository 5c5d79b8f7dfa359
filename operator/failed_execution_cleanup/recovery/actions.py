"""What may be done to the world: one small value per kind of call, grouped by the phase it belongs to.

An action names its object and says why; `key` identifies it across attempts, so a request written ahead can be found again after a
crash. Only `Kind`s with `system != DATABASE` are mutating calls to OSSEA or the Volume Daemon.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Phase(StrEnum):
    """The five phases, in their order, as written to the OMA's job log and to status."""

    DETACH = "detach-volumes"
    SNAPSHOTS = "cleanup-snapshots"
    REATTACH = "reattach-volumes"
    TEST_VM = "cleanup-test-vm"
    DATABASE = "database-cleanup"


class System(StrEnum):
    """Who executes an action."""

    DATABASE = "database"
    DAEMON = "volume-daemon"
    OSSEA = "ossea"


class Kind(StrEnum):
    """Everything this software ever does to an appliance. There is no delete of a volume and never will be."""

    MARK_CONTEXT = "mark-context"
    STOP_VM = "stop-vm"
    DETACH = "detach"
    REVERT = "revert"
    MARK_REVERTED = "mark-reverted"
    DELETE_SNAPSHOT = "delete-snapshot"
    CLEAR_SNAPSHOT = "clear-snapshot"
    REMOVE_MAPPING = "remove-mapping"
    ATTACH = "attach"
    SET_MODE = "set-mode"
    CREATE_EXPORT = "create-export"
    DESTROY_VM = "destroy-vm"
    EXPUNGE_VM = "expunge-vm"
    CLOSE_INCIDENT = "close-incident"


PHASE_OF: dict[Kind, Phase] = {
    Kind.MARK_CONTEXT: Phase.DATABASE,
    Kind.STOP_VM: Phase.DETACH,
    Kind.DETACH: Phase.DETACH,
    Kind.REVERT: Phase.SNAPSHOTS,
    Kind.MARK_REVERTED: Phase.SNAPSHOTS,
    Kind.DELETE_SNAPSHOT: Phase.SNAPSHOTS,
    Kind.CLEAR_SNAPSHOT: Phase.SNAPSHOTS,
    Kind.REMOVE_MAPPING: Phase.REATTACH,
    Kind.ATTACH: Phase.REATTACH,
    Kind.SET_MODE: Phase.REATTACH,
    Kind.CREATE_EXPORT: Phase.REATTACH,
    Kind.DESTROY_VM: Phase.TEST_VM,
    Kind.EXPUNGE_VM: Phase.TEST_VM,
    Kind.CLOSE_INCIDENT: Phase.DATABASE,
}

SYSTEM_OF: dict[Kind, System] = {
    Kind.STOP_VM: System.OSSEA,
    Kind.DETACH: System.DAEMON,
    Kind.REVERT: System.OSSEA,
    Kind.DELETE_SNAPSHOT: System.OSSEA,
    Kind.ATTACH: System.DAEMON,
    Kind.CREATE_EXPORT: System.DAEMON,
    Kind.DESTROY_VM: System.OSSEA,
    Kind.EXPUNGE_VM: System.OSSEA,
    **dict.fromkeys(
        (
            Kind.MARK_CONTEXT,
            Kind.MARK_REVERTED,
            Kind.CLEAR_SNAPSHOT,
            Kind.REMOVE_MAPPING,
            Kind.SET_MODE,
            Kind.CLOSE_INCIDENT,
        ),
        System.DATABASE,
    ),
}


@dataclass(frozen=True, slots=True)
class Closing:
    """The last transaction: rows to close, each with the status it was seen in (rule 16).

    Every compare is NULL-safe and every matched row is counted; a mismatch rolls the whole transaction back.

    Attributes:
        context_id: context to write.
        context_from: statuses the context may have had (what was observed, or our own `cleanup_required`).
        context_to: `ready_for_failover`, or `failed` where the replica does not deserve it (rule 17).
        failovers: (`failover_jobs.id`, observed status) of the incident's open failover jobs; become `failed`.
        tracking: (`job_tracking.id`, observed status) of the incident's open rows; become `failed` with their running steps.
        steps: `job_steps.id` of steps left `running`.
        newest_failover: highest `failover_jobs.id` of the context (0: none); a newer one aborts.
        message: error text for the closed rows.
        dead_replications: `replication_jobs.id` of open rows whose deadness a person vouched for (ZombieJob).
        nameless: `job_tracking.id` of those rows that name no context and are proven to be of this VM.
    """

    context_id: str
    context_from: tuple[str, ...]
    context_to: str
    failovers: tuple[tuple[int, str], ...]
    tracking: tuple[tuple[str, str | None], ...]
    steps: tuple[int, ...]
    newest_failover: int
    message: str
    dead_replications: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Action:
    """One thing to do.

    Attributes:
        kind: what.
        object: id of the volume, snapshot, VM or context it acts on.
        why: one sentence for people.
        volume_id: the context volume it belongs to, where there is one.
        vm_id: destination of an attach; holder at a detach; VM named in a stale mapping.
        snapshot_id: snapshot of a revert, delete or clear.
        forced: stop without the guest (rule 15); `expunge` for a destroy.
        closing: rows of the last transaction.
        disk_number: position of the disk, for an export.
    """

    kind: Kind
    object: str
    why: str
    volume_id: str | None = None
    vm_id: str | None = None
    snapshot_id: str | None = None
    forced: bool = False
    expunge: bool = True
    closing: Closing | None = None
    disk_number: int = 0

    @property
    def phase(self) -> Phase:
        """Phase it is shown under."""
        return PHASE_OF[self.kind]

    @property
    def system(self) -> System:
        """Who executes it."""
        return SYSTEM_OF[self.kind]

    @property
    def key(self) -> str:
        """Identity across attempts and owners."""
        return f"{self.kind}/{self.object}"
