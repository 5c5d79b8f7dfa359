"""What may be reverted, what may be deleted, what is left alone (rules 3, 10-13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .actions import Kind
from .incident import (
    CLOCK_TOLERANCE,
    INJECTION_STEP,
    START_STEP,
    Incident,
    as_utc,
    is_product_cleanup,
    is_rollback,
    snapshot_name_parts,
)
from .memory import Memory, Outcome
from .volumes import Volume
from .world import CloudSnapshot, Records, TrackingRow, World

BACKED_UP = "BackedUp"
DELETABLE_UNFINISHED = frozenset({"Allocated", "Error"})
COMPLETED_REPLICATION = frozenset({"completed"})


class Evidence(StrEnum):
    """What the product's own rows say about reverts it made (rule 13)."""

    GOOD = "good"
    BAD = "bad"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Restore:
    """What is to become of one volume's snapshots.

    Attributes:
        point: the restore point; None when there is none.
        reverted: the revert to it ended with jobstatus 1 within the unbroken claim, and nobody but the OMA held the volume since.
        deletable: snapshots that may be deleted now or after the revert, restore point last.
        leftovers: snapshots that are found but never touched, with the reason.
        modified: the incident may have changed the content and nothing known has put it right.
        missing: a recorded snapshot that OSSEA does not show and that no delete of ours explains.
        evidence: what the product's rows say about reverts it made, when it removed the snapshots itself.
    """

    point: CloudSnapshot | None
    reverted: bool
    deletable: tuple[CloudSnapshot, ...]
    leftovers: tuple[tuple[CloudSnapshot, str], ...]
    modified: bool
    missing: str | None
    evidence: Evidence

    @property
    def suspect(self) -> bool:
        """Modified, and no restore point is left to put it right."""
        return self.modified and self.point is None


def restore_of(world: World, incident: Incident, volume: Volume, memory: Memory) -> Restore:
    """Judge the snapshots of one volume."""
    records = world.records
    synced = last_sync(records, volume)
    product = [s for s in volume.snapshots if is_product_made(s, volume, records)]
    product.sort(key=lambda s: (_taken(s, volume, records), s.id))
    usable: list[CloudSnapshot] = []
    deletable: list[CloudSnapshot] = []
    leftovers: list[tuple[CloudSnapshot, str]] = []
    for snapshot in product:
        if snapshot.state == BACKED_UP and synced is not None and _taken(snapshot, volume, records) <= synced:
            leftovers.append(
                (snapshot, "older than the disk's last stored sync: reverting it would roll the replica back")
            )
        elif snapshot.state == BACKED_UP:
            usable.append(snapshot)
        elif snapshot.state in DELETABLE_UNFINISHED:
            deletable.append(snapshot)
        elif snapshot.state not in {"Destroying", "Destroyed"}:
            leftovers.append((snapshot, f"never became {BACKED_UP} (state {snapshot.state})"))
    point = usable[0] if usable else None
    # Newest first, the restore point last: while anything is left to go wrong, it is still there.
    deletable += [s for s in reversed(usable) if s is not point]
    if point is not None:
        deletable.append(point)
    given_up = [s for s in deletable if len(memory.failures(Kind.DELETE_SNAPSHOT, s.id)) >= 3]
    leftovers += [(s, "OSSEA refuses to delete it") for s in given_up]
    deletable = [s for s in deletable if s not in given_up]

    reverted = point is not None and _reverted(memory, volume, point)
    removed_by_us = any(
        r.outcome is not Outcome.REFUSED for r in memory.of(Kind.DELETE_SNAPSHOT, volume_id=volume.id)
    ) and _ever_reverted(memory, volume)
    missing = _missing(volume, memory)
    evidence = Evidence.NONE if removed_by_us else product_reverts(incident, volume)
    healed = reverted or (removed_by_us and point is None) or (point is None and evidence is Evidence.GOOD)
    modified = not healed and may_be_modified(records, incident, volume)
    return Restore(
        point=point,
        reverted=reverted,
        deletable=tuple(deletable),
        leftovers=tuple(leftovers),
        modified=modified,
        missing=missing,
        evidence=evidence,
    )


def is_product_made(snapshot: CloudSnapshot, volume: Volume, records: Records) -> bool:
    """Recorded id, or the product's name on a volume of the context, created within a failover job's time."""
    if snapshot.id == volume.row.snapshot_id:
        return True
    parts = snapshot_name_parts(snapshot.name)
    if parts is None:
        return False
    disk, named_at = parts
    if disk not in {volume.disk_id, "unknown"}:
        return False
    oldest = min((job.created_at for job in records.failovers), default=None)
    taken = snapshot.created or named_at
    return oldest is not None and taken >= as_utc(oldest, records.clock) - CLOCK_TOLERANCE


def last_sync(records: Records, volume: Volume) -> datetime | None:
    """Instant of this disk's last stored sync; where no sync of the disk is recorded, the newest finished replication."""
    stamps = [row.created_at for row in records.syncs if row.success and row.disk_id == volume.disk_id]
    if not stamps:
        stamps = [
            row.completed_at
            for row in records.replications
            if row.completed_at is not None and row.status in COMPLETED_REPLICATION
        ]
    return as_utc(max(stamps), records.clock) if stamps else None


def may_be_modified(records: Records, incident: Incident, volume: Volume) -> bool:
    """Whether a job of the incident may have written to the volume since its last full sync (rule 13).

    Injection writes the OS disk, a started VM writes every disk; missing steps count as both.
    """
    full = [r.created_at for r in records.syncs if r.success and r.disk_id == volume.disk_id and r.sync_type == "full"]
    newest_begin = max((job.created_at for job in incident.failovers), default=incident.created_at)
    if full and max(full) > newest_begin:
        return False
    if incident.job is None and not incident.failovers:
        return False  # the job died before its first storage step (F01, F02)
    started = incident.step_begun(START_STEP)
    if started is None or started:
        return True
    injected = incident.step_begun(INJECTION_STEP)
    return volume.is_os_disk and (injected is None or injected)


def product_reverts(incident: Incident, volume: Volume) -> Evidence:
    """What rollbacks and product cleanups after the job say about their reverts.

    A rollback reports a failed revert only as a log line and goes on to delete (appliance facts 3.3); the product's cleanup deletes
    only after all its reverts worked, so an error in its delete proves good reverts (rule 13).
    """
    verdict = Evidence.NONE
    rows = [r for r in incident.relatives if is_rollback(r) or is_product_cleanup(r)]
    rows += [r for r in incident.nameless if _names(r, volume)]
    for row in sorted(rows, key=lambda r: (r.started_at is None, r.started_at)):
        verdict = _verdict(row) or verdict
    return verdict


def _verdict(row: TrackingRow) -> Evidence | None:
    problems = [problem.message.lower() for problem in row.problems]
    revert_problem = any("revert" in text or "rollback" in text for text in problems)
    if is_rollback(row):
        step = next((s for s in reversed(row.steps) if s.name == "multi-volume-snapshot-cleanup"), None)
        if step is None or step.status == "skipped":
            return None
        return Evidence.BAD if revert_problem or step.status != "completed" else Evidence.GOOD
    step = next((s for s in reversed(row.steps) if s.name == "cleanup-snapshots"), None)
    if step is None:
        return None
    if step.status == "completed":
        return Evidence.GOOD
    error = (step.error or row.error or "").lower()
    if "delete" in error and "revert" not in error:
        return Evidence.GOOD
    return Evidence.BAD


def _names(row: TrackingRow, volume: Volume) -> bool:
    texts = [row.error or "", *(p.message for p in row.problems), *(s.error or "" for s in row.steps)]
    marks = [volume.id, *(s.id for s in volume.snapshots)]
    if volume.row.snapshot_id:
        marks.append(volume.row.snapshot_id)
    return any(mark in text for mark in marks for text in texts)


def _missing(volume: Volume, memory: Memory) -> str | None:
    recorded = volume.row.snapshot_id
    if recorded is None or any(s.id == recorded for s in volume.snapshots):
        return None
    # A delete written ahead by any claim of this cleanup explains it (rule 12).
    if any(True for _ in memory.of(Kind.DELETE_SNAPSHOT, recorded)):
        return None
    return recorded


def _taken(snapshot: CloudSnapshot, volume: Volume, records: Records) -> datetime:
    """Instant a snapshot was taken: OSSEA's word, else the recorded time, else the time in its name."""
    if snapshot.created is not None:
        return snapshot.created
    if snapshot.id == volume.row.snapshot_id and volume.row.snapshot_created_at is not None:
        return as_utc(volume.row.snapshot_created_at, records.clock)
    parts = snapshot_name_parts(snapshot.name)
    # Unknown age sorts first and never counts as younger than a sync.
    return parts[1] if parts else datetime.fromtimestamp(0, tz=UTC)


def _reverted(memory: Memory, volume: Volume, point: CloudSnapshot) -> bool:
    """A revert to this point with jobstatus 1 under the current number, and nobody but the OMA was given the volume since."""
    request = memory.last(Kind.REVERT, point.id)
    return (
        request is not None
        and request.volume_id == volume.id
        and request.outcome is Outcome.EFFECT
        and request.number == memory.number
    )


def _ever_reverted(memory: Memory, volume: Volume) -> bool:
    return any(r.outcome is Outcome.EFFECT for r in memory.of(Kind.REVERT, volume_id=volume.id))


def revert_quiet_until(
    memory: Memory, volume: Volume, settings_quiet: timedelta, bytes_per_second: int
) -> datetime | None:
    """Until when a revert of unknown outcome may still be writing (rule 11); None when none is in doubt.

    The server keeps copying after its own time-out (CloudStack facts 2.8), so the wait is the larger of the setting and the time a
    slow copy of the whole volume takes.
    """
    newest = max(
        (r for r in memory.of(Kind.REVERT, volume_id=volume.id) if not r.open),
        key=lambda r: r.attempt,
        default=None,
    )
    if newest is None or newest.outcome in {Outcome.EFFECT, Outcome.REFUSED} or newest.settled_at is None:
        return None
    size = volume.cloud.size if volume.cloud else volume.row.size_gb * 1024**3
    return newest.settled_at + max(settings_quiet, timedelta(seconds=size / bytes_per_second))
