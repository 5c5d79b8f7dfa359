"""What may be reverted, what may be deleted, what is left alone (rules 3, 10-13)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from .actions import Kind
from .incident import (
    CLOCK_TOLERANCE,
    DST_HOUR,
    FINAL_SYNC_FLOOR,
    START_STEP,
    Incident,
    as_utc,
    is_failover,
    is_product_cleanup,
    is_rollback,
    mentions,
    snapshot_name_parts,
)
from .memory import Memory, Outcome, Request
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
        put_right: a revert ended well under any claim, and nobody but the OMA held the volume since: fit to go home, though the
            snapshot may not be deleted on its strength.
        deletable: snapshots that may be deleted now or after the revert, restore point last.
        leftovers: snapshots that are found but never touched, with the reason.
        modified: the incident may have changed the content and nothing known has put it right.
        missing: a recorded snapshot that OSSEA does not show and that no delete of ours explains.
        evidence: what the product's rows say about reverts it made, when it removed the snapshots itself.
        doubt: why the content was not the replica's even before the job that is cleaned up: then its snapshot holds no better.
    """

    point: CloudSnapshot | None
    reverted: bool
    put_right: bool
    deletable: tuple[CloudSnapshot, ...]
    leftovers: tuple[tuple[CloudSnapshot, str], ...]
    modified: bool
    missing: str | None
    evidence: Evidence
    doubt: str | None

    @property
    def suspect(self) -> bool:
        """Modified, and no restore point is left to put it right."""
        return self.modified and self.point is None


def restore_of(world: World, incident: Incident, volume: Volume, memory: Memory, *, tries: int) -> Restore:
    """Judge the snapshots of one volume; one whose delete had no effect in so many tries is given up."""
    records = world.records
    synced = last_sync(records, volume)
    product = [s for s in volume.snapshots if is_product_made(s, volume, records)]
    product.sort(key=lambda s: (_taken(s, volume, records), s.id))
    usable: list[CloudSnapshot] = []
    deletable: list[CloudSnapshot] = []
    leftovers: list[tuple[CloudSnapshot, str]] = []
    for snapshot in product:
        if snapshot.volume_id != volume.id:
            leftovers.append((snapshot, f"OSSEA says it is of volume {snapshot.volume_id}"))
        elif snapshot.state == BACKED_UP and synced is not None and _obsolete(snapshot, volume, records, synced):
            leftovers.append(
                (snapshot, "older than the disk's last stored sync: reverting it would roll the replica back")
            )
        elif snapshot.state == BACKED_UP:
            usable.append(snapshot)
        elif snapshot.state in DELETABLE_UNFINISHED:
            deletable.append(snapshot)
        elif snapshot.state not in {"Destroying", "Destroyed"}:
            leftovers.append((snapshot, f"never became {BACKED_UP} (state {snapshot.state})"))
    point = _restore_point(usable, volume, memory, incident, records)
    newest = _newest_revert(memory, volume)
    put_right = (
        newest is not None and newest.outcome is Outcome.EFFECT and not _given_away(world, memory, volume, newest)
    )
    reverted = (
        put_right
        and newest is not None
        and newest.number == memory.number
        and (point is None or newest.object == point.id)
    )
    # Newest first, the restore point last: while anything is left to go wrong, it is still there.
    if point is not None or reverted:
        deletable += reversed(usable)
    else:
        leftovers += [(s, "it holds what the failover wrote, and the snapshot of before is gone") for s in usable]
    given_up = [s for s in deletable if len(memory.failures(Kind.DELETE_SNAPSHOT, s.id)) >= tries]
    leftovers += [(s, "OSSEA refuses to delete it") for s in given_up]
    deletable = [s for s in deletable if s not in given_up]

    removed_by_us = put_right and any(
        r.outcome is not Outcome.REFUSED for r in memory.of(Kind.DELETE_SNAPSHOT, volume_id=volume.id)
    )
    missing = _missing(volume, memory)
    evidence = Evidence.NONE if removed_by_us else product_reverts(incident, records, volume, memory)
    healed = reverted or (point is None and (put_right or evidence is Evidence.GOOD))
    in_doubt = newest is not None and newest.outcome is not Outcome.EFFECT
    doubtful = in_doubt or (point is None and evidence is Evidence.BAD)
    modified = (
        not healed
        and not _fully_synced(records, incident, volume, newest)
        and (doubtful or may_be_modified(incident, volume) or _was_running(world, volume, memory))
    )
    return Restore(
        point=point,
        reverted=reverted,
        put_right=put_right,
        deletable=tuple(deletable),
        leftovers=tuple(leftovers),
        modified=modified,
        missing=missing,
        evidence=evidence,
        doubt=doubt_before(records, incident, volume, memory),
    )


def _restore_point(
    usable: list[CloudSnapshot], volume: Volume, memory: Memory, incident: Incident, records: Records
) -> CloudSnapshot | None:
    """The oldest usable snapshot (rule 3), unless it holds what the failover wrote because the one of before is gone."""
    oldest = usable[0] if usable else None
    gone_back_to = {r.object for r in memory.of(Kind.REVERT, volume_id=volume.id) if r.outcome is not Outcome.REFUSED}
    if oldest is None or gone_back_to:
        return oldest if oldest is not None and oldest.id in gone_back_to else None
    return None if written_before(oldest, records, incident, volume) else oldest


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


def _obsolete(snapshot: CloudSnapshot, volume: Volume, records: Records, synced: datetime) -> bool:
    """Whether a snapshot is not younger than the disk's last stored sync, by either clock that knows.

    The recorded time and the sync are digits of one writer, so they order truly even where the offset has changed since.
    """
    if _taken(snapshot, volume, records) <= synced:
        return True
    recorded = volume.row.snapshot_created_at if snapshot.id == volume.row.snapshot_id else None
    return recorded is not None and as_utc(recorded, records.clock) < synced


def _fully_synced(records: Records, incident: Incident, volume: Volume, revert: Request | None) -> bool:
    """Whether a full sync of the disk was stored after all that could have changed it (rule 17)."""
    full = [r.created_at for r in records.syncs if r.success and r.disk_id == volume.disk_id and r.sync_type == "full"]
    if not full:
        return False
    begun = incident.newest_begin
    if incident.step_begun(START_STEP) is None:
        begun += FINAL_SYNC_FLOOR  # its own final sync is not told apart without steps
    newest = max(full)
    return newest > begun and (revert is None or as_utc(newest, records.clock) > revert.sent_at.replace(tzinfo=UTC))


def may_be_modified(incident: Incident, volume: Volume) -> bool:
    """Whether a job of the incident may have written to the volume (rule 13).

    Injection writes the OS disk, a started VM writes every disk; missing steps count as both.
    """
    if incident.job is None and not incident.failovers:
        return False  # the job died before its first storage step (F01, F02)
    return incident.may_have_written(os_disk=volume.is_os_disk)


def _was_running(world: World, volume: Volume, memory: Memory) -> bool:
    """Whether a VM was seen running with the volume, whatever the steps say: a person may have started it (rule 13)."""
    holder = world.cloud.vms.get(volume.cloud.vm_id or "") if volume.cloud else None
    if holder is not None and holder.id != world.oma_vm_id and holder.state == "Running":
        return True
    stopped = {request.object for request in memory.of(Kind.STOP_VM)}
    return any(request.vm_id in stopped for request in memory.of(Kind.DETACH, volume.id))


def product_reverts(incident: Incident, records: Records, volume: Volume, memory: Memory) -> Evidence:
    """What rollbacks and product cleanups after the job say about their reverts.

    Good words of a row that began before the newest job say nothing about what this job wrote, nor do any where the job could not
    snapshot every volume: the product reverts what it has recorded and passes over the rest in silence (F08).

    A rollback reports a failed revert only as a log line and goes on to delete (appliance facts 3.3); the product's cleanup deletes
    only after all its reverts worked, so an error in its delete proves good reverts (rule 13).
    """
    verdict = Evidence.NONE
    lost = False
    rows = [r for r in incident.relatives if is_rollback(r) or is_product_cleanup(r)]
    marks = _marks(records, volume, memory)
    rows += [r for r in incident.nameless if mentions(r, marks)]
    for row in sorted(rows, key=lambda r: (r.started_at is None, r.started_at)):
        word = _verdict(row)
        lost = lost or _lost(row)
        early = row.started_at is not None and row.started_at < incident.created_at
        if word is not None and not (word is Evidence.GOOD and early):
            verdict = word
    if lost:
        return Evidence.BAD  # good words of a later row are about what was left
    emptied = all(row.snapshot_emptied for row in records.volumes)
    if verdict is Evidence.NONE and emptied and incident.job is not None and incident.job.status == "failed":
        # The product's cleanup empties the ids and fails the job only after every revert and a delete worked (rule 13).
        verdict = Evidence.GOOD
    unprotected = any("snapshot" in p.message.lower() for r in incident.relatives if is_failover(r) for p in r.problems)
    return Evidence.NONE if verdict is Evidence.GOOD and unprotected else verdict


def doubt_before(records: Records, incident: Incident, volume: Volume, memory: Memory) -> str | None:
    """Why the disk was not the replica before the job began; None when nothing says so, or it was put right since (rule 17).

    A snapshot that was taken after a bad revert holds what the bad revert left. Only a full sync of the disk mends that, or a later
    cleanup of ours that vouched for it. Rows say it (R06), and so do the verdicts of our own earlier cleanups.
    """
    doubts = [
        (claim.verdict.at.replace(tzinfo=UTC), f"the cleanup of failover {claim.job_id} could not vouch for it")
        for claim in records.claims
        if claim.job_id != incident.job_id and claim.verdict is not None and volume.id in claim.verdict.suspects
    ]
    marks = _marks(records, volume, memory)
    aborted: TrackingRow | None = None
    earlier = (r for r in records.tracking if r.started_at is not None and r.started_at < incident.created_at)
    oldest = min((job.created_at for job in incident.failovers), default=incident.created_at)
    for row in sorted(earlier, key=lambda r: (r.started_at, r.id)):
        if not (is_rollback(row) or is_product_cleanup(row)) or (row.context_id is None and not mentions(row, marks)):
            continue
        word = _verdict(row)
        if _lost(row):
            doubts.append(_bad_revert(row, records))
        elif row.started_at is not None and row.started_at < oldest and word is not None:
            # Snapshots are kept where the product was cut short: those of the incident's own jobs are still to be reverted.
            aborted = row if word is Evidence.BAD else None
    if aborted is not None:
        doubts.append(_bad_revert(aborted, records))
    mended = _mended(records, volume)
    return next((why for at, why in reversed(doubts) if at >= mended), None)


def _mended(records: Records, volume: Volume) -> datetime:
    """When the disk was last known to be the replica, whatever was before: by a full sync, or by a cleanup of ours that vouched for it."""
    vouched = [
        claim.verdict.at.replace(tzinfo=UTC)
        for claim in records.claims
        if claim.verdict is not None and volume.id not in claim.verdict.suspects
    ]
    full = (r.created_at for r in records.syncs if r.success and r.disk_id == volume.disk_id and r.sync_type == "full")
    vouched += [as_utc(stamp, records.clock) for stamp in full]
    return max(vouched, default=datetime.min.replace(tzinfo=UTC))


def written_before(snapshot: CloudSnapshot, records: Records, incident: Incident, volume: Volume) -> bool:
    """Whether an open failover wrote to the disk before the snapshot was taken: then it holds that, and is no restore point (rule 3).

    The snapshot of before was removed by hand, or made obsolete by a sync that does not mend what it did not transfer. A good rollback
    or a full sync in between mends it.
    """
    clock = records.clock
    recorded = volume.row.snapshot_created_at if snapshot.id == volume.row.snapshot_id else None
    parts = snapshot_name_parts(snapshot.name)
    instant = parts[1] if parts else _taken(snapshot, volume, records)
    # Digits of one writer order truly; an instant is an hour off where the clocks changed since.
    taken = recorded or clock.local + (instant - clock.utc.replace(tzinfo=UTC))
    slack = timedelta(0) if recorded is not None else DST_HOUR
    mended = _mended(records, volume)
    begun = [job for job in incident.failovers if job.created_at <= taken]
    taker = max(begun, key=lambda job: job.row_id, default=None)
    for job in begun:
        wrote = incident.first_write(job, os_disk=volume.is_os_disk)
        if (
            wrote is None
            and job is not taker
            and incident.may_have_written(os_disk=volume.is_os_disk, job_id=job.job_id)
        ):
            wrote = (
                job.created_at
            )  # a job takes its own snapshot before it writes; an older one may have written at any time
        if wrote is None or wrote + slack > taken or as_utc(wrote, clock) < mended:
            continue
        rolled_back = any(
            (is_rollback(row) or is_product_cleanup(row))
            and row.context_id == records.context.context_id
            and row.started_at is not None
            and wrote <= row.started_at <= taken
            and _verdict(row) is Evidence.GOOD
            for row in records.tracking
        )
        if not rolled_back:
            return True
    return False


def _bad_revert(row: TrackingRow, records: Records) -> tuple[datetime, str]:
    stamp = row.newest_activity or row.started_at or records.clock.local
    what = "rollback" if is_rollback(row) else "cleanup of the product"
    return as_utc(stamp, records.clock), f"{what} {row.id} could not revert it, before this failover began"


def _lost(row: TrackingRow) -> bool:
    """Whether a revert went wrong and the snapshot was deleted all the same, as only a rollback does (appliance facts 3.3)."""
    return is_rollback(row) and _verdict(row) is Evidence.BAD and _revert_problem(row)


def _revert_problem(row: TrackingRow) -> bool:
    texts = [problem.message.lower() for problem in row.problems]
    return any("revert" in text or "rollback" in text for text in texts)


def _verdict(row: TrackingRow) -> Evidence | None:
    if is_rollback(row):
        step = next((s for s in reversed(row.steps) if s.name == "multi-volume-snapshot-cleanup"), None)
        if step is None or step.status == "skipped":
            return None
        return Evidence.BAD if _revert_problem(row) or step.status != "completed" else Evidence.GOOD
    step = next((s for s in reversed(row.steps) if s.name == "cleanup-snapshots"), None)
    if step is None:
        return None
    if step.status == "completed":
        return Evidence.GOOD
    error = (step.error or row.error or "").lower()
    if "delete" in error and "revert" not in error:
        return Evidence.GOOD
    return Evidence.BAD


def _marks(records: Records, volume: Volume, memory: Memory) -> set[str]:
    """Words that tie a row without context id to this VM: its name, volumes and snapshots, removed ones too (rule 13)."""
    words = {s.id for s in volume.snapshots} | ({records.context.vm_name} if not records.namesakes else set())
    words |= {r.snapshot_id or "" for r in memory.requests}
    return words | {row.volume_id for row in records.volumes} | {row.snapshot_id or "" for row in records.volumes}


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


def _newest_revert(memory: Memory, volume: Volume) -> Request | None:
    """The volume's newest revert that may have been executed, whichever snapshot it went to."""
    sent = (r for r in memory.of(Kind.REVERT, volume_id=volume.id) if r.outcome is not Outcome.REFUSED)
    return max(sent, key=lambda r: (r.sent_at, r.attempt), default=None)


def _given_away(world: World, memory: Memory, volume: Volume, revert: Request) -> bool:
    """Whether anybody but the OMA holds the volume, or it had to be taken off somebody, since a revert (rule 12)."""
    holder = volume.cloud.vm_id if volume.cloud else None
    if holder not in {None, world.oma_vm_id}:
        return True
    detached = memory.of(Kind.DETACH, volume.id)
    return any(r.sent_at > revert.sent_at and r.vm_id != world.oma_vm_id for r in detached)


def revert_quiet_until(
    memory: Memory, volume: Volume, settings_quiet: timedelta, bytes_per_second: int
) -> datetime | None:
    """Until when a revert of unknown outcome may still be writing (rule 11); None when none is in doubt.

    The server keeps copying after its own time-out (CloudStack facts 2.8), so the wait is the larger of the setting and the time a
    slow copy of the whole volume takes.
    """
    newest = _newest_revert(memory, volume)
    if newest is None or newest.outcome is Outcome.EFFECT:
        return None
    size = volume.cloud.size if volume.cloud else volume.row.size_gb * 1024**3
    return (newest.settled_at or newest.sent_at) + max(settings_quiet, timedelta(seconds=size / bytes_per_second))
