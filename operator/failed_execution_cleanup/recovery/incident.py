"""Which job failed, what belongs to it, and what it did (rules 1, 2, 4, 5, 13).

The status columns of the product do not say what happened (appliance facts 0.7-0.9): step rows and logs do.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .world import Clock, CloudVM, FailoverRow, Records, TrackingRow, World

TERMINAL_FAILOVER = frozenset({"completed", "failed"})
TERMINAL_TRACKING = frozenset({"completed", "failed", "cancelled"})
FAILOVER_STATUSES = frozenset(
    {
        "pending",
        "validating",
        "snapshotting",
        "creating_vm",
        "switching_volume",
        "powering_on",
        "completed",
        "failed",
        "cleanup",
        "reverting",
    }
)
TRACKING_STATUSES = frozenset({"pending", "running", "completed", "failed", "cancelled"})

INJECTION_STEP = "virtio-driver-injection"
START_STEP = "vm-startup-and-validation"
FINAL_SYNC_STEP = "final-sync"
OPENING_STEPS = frozenset(
    {
        "validation",
        "source-vm-power-off",
        FINAL_SYNC_STEP,
        "volume-mode-switch-failover",
        "multi-volume-snapshot-creation",
    }
)
"""Steps before anything is written to a volume (appliance facts 3.2). Rows that begin later are what is left of more."""
FINAL_SYNC_FLOOR = timedelta(minutes=45)
DST_HOUR = timedelta(hours=1)
CLOCK_TOLERANCE = timedelta(minutes=2)
"""OSSEA and the OMA keep their own clocks; creation times are compared with this slack."""

PRODUCT_CLEANUP = "failed-execution-cleanup"


def is_rollback(row: TrackingRow) -> bool:
    """Whether a tracking row is a rollback (its operation also contains `test-failover`; appliance facts 5)."""
    return row.job_type == "cleanup" and row.operation.endswith("-rollback")


def is_product_cleanup(row: TrackingRow) -> bool:
    """Whether a tracking row is the product's own failed-execution cleanup."""
    return row.job_type == "cleanup" and row.operation == PRODUCT_CLEANUP


def is_failover(row: TrackingRow) -> bool:
    """Whether a tracking row is a unified failover."""
    return row.job_type == "failover"


def is_open(row: TrackingRow) -> bool:
    """Whether a tracking row, or a step of it, is left open."""
    return row.status not in TERMINAL_TRACKING or row.step_running


@dataclass(frozen=True, slots=True)
class Incident:
    """The failed job and its relatives.

    Attributes:
        job_id: `failover_jobs.job_id`, which equals `job_tracking.id`.
        live: any failover job of the incident is live: its VM may carry production even when a test failover came later.
        job: None for a job that died before its `failover_jobs` row (F01, F02).
        tracking: None when the tracking row was purged or never written.
        failovers: the job and every other open failover job of the context, newest first.
        relatives: failover, rollback and product-cleanup rows of the context that began with or after the oldest of these jobs,
            and older ones left open; newest first. A product cleanup without context id is one when it is proven to be of this VM.
        nameless: the other product cleanups without context id that began after the job; evidence only when they name this VM (rule 13).
    """

    job_id: str
    live: bool
    job: FailoverRow | None
    tracking: TrackingRow | None
    failovers: tuple[FailoverRow, ...]
    relatives: tuple[TrackingRow, ...]
    nameless: tuple[TrackingRow, ...]
    created_at: datetime

    @property
    def operation(self) -> str:
        """Words for people."""
        live = self.live if self.job is None else self.job.job_type == "live"
        return "live failover" if live else "test failover"

    @property
    def rollbacks(self) -> tuple[TrackingRow, ...]:
        """Rollbacks that began after the job, newest first."""
        return tuple(
            row
            for row in self.relatives
            if is_rollback(row) and (row.started_at is None or row.started_at >= self.created_at)
        )

    @property
    def ended_by_engine(self) -> bool:
        """Whether the engine itself ended the job and every relative: nothing can wake up (rule 5)."""
        if any(row.step_running or row.status not in TERMINAL_TRACKING for row in self.relatives):
            return False
        ends = {row.id: row.status for row in self.relatives}
        if self.job is None and ends.get(self.job_id) not in {"completed", "failed"}:
            return False
        # Each of the jobs: an older one that was closed by hand may still have its process (F12b).
        return all(
            ends.get(job.job_id) == "failed" or (ends.get(job.job_id) == "completed" and job.status == "completed")
            for job in self.failovers
        )

    @property
    def newest_activity(self) -> datetime:
        """Newest sign of life of the job and its relatives, in local digits."""
        stamps = [self.created_at]
        stamps += [row.newest_activity for row in self.relatives if row.newest_activity is not None]
        if self.tracking is not None and self.tracking.newest_activity is not None:
            stamps.append(self.tracking.newest_activity)
        return max(stamps)

    def stuck_threshold(self, stuck_after: timedelta, final_sync: timedelta = FINAL_SYNC_FLOOR) -> timedelta:
        """Silence after which the job counts as dead; the final sync of a live failover may be silent for long."""
        syncing = self.tracking is not None and any(
            step.name == FINAL_SYNC_STEP and step.status == "running" for step in self.tracking.steps
        )
        return max(stuck_after, final_sync) if syncing else stuck_after

    def step_begun(self, name: str, job_id: str | None = None) -> bool | None:
        """Whether a step was begun by any failover job of the incident, or by this one; None when no step rows are left to tell."""
        rows = [row for row in self.relatives if is_failover(row) and job_id in (None, row.id)]
        known = {
            row.id for row in rows if row.steps and min(row.steps, key=lambda step: step.seq).name in OPENING_STEPS
        }
        if any(step.name == name for row in rows for step in row.steps):
            return True
        jobs = [job for job in self.failovers if job_id in (None, job.job_id)]
        if all(job.job_id in known for job in jobs) and (self.job is not None or known):
            return False
        return None

    def may_have_written(self, *, os_disk: bool, job_id: str | None = None) -> bool:
        """Whether the jobs, or one of them, may have written to a disk (rule 13).

        Injection writes the OS disk, a started VM writes every disk; missing steps count as both.
        """
        started = self.step_begun(START_STEP, job_id)
        if started is None or started:
            return True
        injected = self.step_begun(INJECTION_STEP, job_id)
        return os_disk and (injected is None or injected)

    def first_write(self, job: FailoverRow, *, os_disk: bool) -> datetime | None:
        """When one of the jobs may first have written to a disk, in local digits; None if it did not, or nobody knows when."""
        writing = {START_STEP, INJECTION_STEP} if os_disk else {START_STEP}
        begun = [
            step.started_at
            for row in self.relatives
            if row.id == job.job_id
            for step in row.steps
            if step.name in writing and step.started_at is not None
        ]
        return min(begun, default=None)

    @property
    def newest_begin(self) -> datetime:
        """When a job of the incident, a relative or a step of these last began, in local digits; ends may be written by anybody."""
        stamps = [self.created_at, *(job.created_at for job in self.failovers)]
        for row in self.relatives:
            stamps += [s for s in (row.started_at, *(step.started_at for step in row.steps)) if s is not None]
        return max(stamps)

    @property
    def last_step(self) -> str | None:
        """Newest step of the job, the running one first."""
        steps = self.tracking.steps if self.tracking else ()
        running = [step for step in steps if step.status == "running"]
        newest = max(running or steps, key=lambda step: step.seq, default=None)
        return newest.name if newest else None


def is_of_this_vm(row: TrackingRow, records: Records) -> bool:
    """Whether a row without context id is proven to be of this VM, so that it may be closed with the incident.

    The product's cleanup works on one VM (appliance facts 3.1): the id of a volume or recorded snapshot of ours proves it, and so does
    this VM's name as the whole value of an attribute, where no other vCenter has a VM of that name. A name inside a sentence may
    belong to a VM whose name is longer: evidence at most (rule 13), never ground to write.
    """
    ids = {volume.volume_id for volume in records.volumes} | {volume.snapshot_id or "" for volume in records.volumes}
    if mentions(row, ids):
        return True
    name = records.context.vm_name
    quoted = {json.dumps(name), json.dumps(name, ensure_ascii=False)} if not records.namesakes else set()
    return any(value in text for value in quoted for text in row.texts)


def mentions(row: TrackingRow, words: Collection[str]) -> bool:
    """Whether what a job wrote has one of these words in it, as a whole word; empty ones do not count."""
    known = sorted(re.escape(word) for word in words if word)
    pattern = re.compile(r"(?<![\w-])(" + "|".join(known) + r")(?![\w-])")
    return bool(known) and any(pattern.search(text) for text in row.texts)


def newest_job_id(records: Records) -> str | None:
    """Id of the newest job: a `failover_jobs` row, or an open failover tracking row newer than all of these (rule 1)."""
    newest = max(records.failovers, key=lambda row: row.row_id, default=None)
    known = {row.job_id for row in records.failovers}
    orphan = _orphan(records, known, newest)
    if orphan is not None:
        return orphan.id
    return newest.job_id if newest else None


def superseded_by(records: Records, incident: Incident) -> str | None:
    """Id of a newer job, if there is one (rule 2); a job that never got its row is not listed any more once closed (F01)."""
    newest = newest_job_id(records)
    other = resolve(records, newest) if newest is not None and newest != incident.job_id else None
    if other is None:
        return None
    if incident.job is not None and other.job is not None:
        return newest if other.job.row_id > incident.job.row_id else None
    return newest if other.created_at >= incident.created_at else None


def _orphan(records: Records, known: set[str], newest: FailoverRow | None) -> TrackingRow | None:
    candidates = [
        row
        for row in records.tracking
        if is_failover(row)
        and row.id not in known
        and row.context_id == records.context.context_id
        and is_open(row)
        and row.started_at is not None
        and (newest is None or row.started_at > newest.created_at)
    ]
    return max(candidates, key=lambda row: (row.started_at or datetime.min, row.id), default=None)  # noqa: DTZ901


def resolve(records: Records, job_id: str) -> Incident | None:
    """The incident of a job; None when the context has no such job."""
    job = next((row for row in records.failovers if row.job_id == job_id), None)
    tracking = next((row for row in records.tracking if row.id == job_id), None)
    if job is None and tracking is None:
        return None
    failovers = tuple(
        row
        for row in sorted(records.failovers, key=lambda row: -row.row_id)
        if row.job_id == job_id or row.status not in TERMINAL_FAILOVER
    )
    begun = [row.created_at for row in failovers]
    if tracking is not None and tracking.started_at is not None:
        begun.append(tracking.started_at)
    created_at = job.created_at if job else max(begun, default=records.clock.local)
    since = min(begun, default=created_at)
    own = {row.job_id for row in failovers} | {job_id}
    nameless = tuple(
        row
        for row in records.tracking
        if row.context_id is None
        and row.id not in own
        and is_product_cleanup(row)
        and (row.started_at is None or row.started_at >= since)
    )
    proven = {row.id for row in nameless if is_of_this_vm(row, records)}
    relatives = tuple(
        row
        for row in records.tracking
        if row.id in own | proven
        or (
            row.context_id == records.context.context_id
            and (is_failover(row) or is_rollback(row) or is_product_cleanup(row))
            and (is_open(row) or row.started_at is None or row.started_at >= since)
        )
    )
    live = any(row.job_type == "live" for row in failovers) or (
        job is None and "live-failover" in (tracking.operation if tracking else "")
    )
    return Incident(
        job_id=job_id,
        live=live,
        job=job,
        tracking=tracking,
        failovers=failovers,
        relatives=relatives,
        nameless=tuple(row for row in nameless if row.id not in proven),
        created_at=created_at,
    )


def as_utc(stamp: datetime, clock: Clock) -> datetime:
    """A local stamp as an instant, by the offset in force now."""
    return (stamp - clock.offset).replace(tzinfo=UTC)


def test_vm_name(job: FailoverRow, created: datetime) -> str:
    """Display name the product gives the VM of a test failover (appliance facts 3.2)."""
    return f"{job.source_vm_name}-test-{int(created.timestamp())}"


def test_vms(world: World, incident: Incident) -> tuple[CloudVM, ...]:
    """VMs the incident created (rule 4): recorded ids, and unrecorded test VMs by their deterministic display name.

    A name counts only for test failovers, and only if its suffix is the job's creation time and the VM was created within the job's
    time. The suffix may be off by one hour of daylight saving, because the offset in force then is not stored anywhere.
    """
    clock = world.records.clock
    found: dict[str, CloudVM] = {}
    for job in incident.failovers:
        if job.destination_vm_id and job.destination_vm_id in world.cloud.vms:
            found[job.destination_vm_id] = world.cloud.vms[job.destination_vm_id]
        if job.job_type != "test":
            continue
        created = as_utc(job.created_at, clock)
        names = {test_vm_name(job, created + shift) for shift in (-DST_HOUR, timedelta(0), DST_HOUR)}
        for vm in world.cloud.vms.values():
            if vm.display_name in names and _within_job_time(vm, created):
                found[vm.id] = vm
    found.pop(world.oma_vm_id, None)
    return tuple(sorted(found.values(), key=lambda vm: vm.id))


def _within_job_time(vm: CloudVM, created: datetime) -> bool:
    return vm.created is not None and vm.created >= created - DST_HOUR - CLOCK_TOLERANCE


_SUFFIX = re.compile(r"^multi-test-failover-(?P<disk>.+)-(?P<unix>\d{9,11})$")


def snapshot_name_parts(name: str) -> tuple[str, datetime] | None:
    """Disk id and time in the name of a product-made snapshot; None for any other name."""
    match = _SUFFIX.match(name)
    if match is None:
        return None
    return match["disk"], datetime.fromtimestamp(int(match["unix"]), tz=UTC)
