"""The scan of an Appliance for stuck failovers and drift: what its status tells, its Events, and the cleanups it creates.

Which cleanups the scan created before is remembered in an annotation of the Appliance: a status may be erased at any moment, a claim
exists only once a cleanup began, but whoever deletes a cleanup that was never begun has dismissed it for good.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from failed_execution_cleanup.access.goals import settings_of
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.controller.cleanup_index import CleanupIndex, IndexedCleanup
from failed_execution_cleanup.controller.drift_writer import DriftWriter
from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Body,
    Conflict,
    KubernetesApi,
    KubernetesError,
    NotFound,
)
from failed_execution_cleanup.detection.drift import FinishedCleanup
from failed_execution_cleanup.detection.scan import ScanResult, scan
from failed_execution_cleanup.detection.stuck import StuckFailover
from failed_execution_cleanup.detection.windows import any_open
from failed_execution_cleanup.resources.appliance import (
    MAX_STUCK,
    Appliance,
    ApplianceStatus,
    DetectionAction,
    StuckJob,
)
from failed_execution_cleanup.resources.cleanup import JobType
from failed_execution_cleanup.resources.conditions import ConditionStatus, set_condition
from failed_execution_cleanup.resources.identifiers import (
    API_VERSION,
    APPLIANCE_KIND,
    APPLIANCE_LABEL,
    CLEANUP_KIND,
    CLEANUPS_CREATED_ANNOTATION,
)
from failed_execution_cleanup.resources.kubernetes_model import shortened
from failed_execution_cleanup.resources.naming import MAX_NAME_LENGTH, cleanup_name
from failed_execution_cleanup.resources.reasons import ConditionType, Reason

logger = logging.getLogger(__name__)

MAX_REMEMBERED: Final = 1000
"""Cleanups the annotation remembers, newest last: at most 64 kB of the 256 kB that annotations may take."""

MAX_EVENTS: Final = 10
"""Stuck failovers named one by one in Events of one scan; more are told together."""


@dataclass(frozen=True, slots=True)
class Scanned:
    """One scan of an Appliance.

    Attributes:
        result: what was found; None when the appliance could not be scanned.
        stuck: all stuck jobs as the status tells them; it holds the first `MAX_STUCK`.
        problems: what keeps the scan from being complete, in sentences.
        creating: whether cleanups may be created now.
        cleanups: the finished cleanups that were compared.
    """

    result: ScanResult | None
    stuck: tuple[StuckJob, ...] = ()
    problems: tuple[str, ...] = ()
    creating: bool = False
    cleanups: Mapping[FinishedCleanup, IndexedCleanup] = field(default_factory=dict)

    def told(self, status: ApplianceStatus, generation: int, now: datetime) -> ApplianceStatus:
        """The status of the Appliance with what was found; a scan that failed keeps what was found before."""
        complete = not self.problems
        conditions = set_condition(
            status.conditions,
            ConditionType.SCANNED,
            ConditionStatus.TRUE if complete else ConditionStatus.FALSE,
            reason=Reason.SCAN_COMPLETE if complete else Reason.SCAN_INCOMPLETE,
            message=self._summary() if complete else " ".join(self.problems),
            observed_generation=generation,
            now=now,
        )
        change: dict[str, object] = {"conditions": conditions}
        if self.result is not None:
            vms = len({job.context_id for job in self.stuck})
            change |= {"stuck": self.stuck[:MAX_STUCK], "stuck_vms": vms, "last_scan_time": now.replace(microsecond=0)}
        return status.model_copy(update=change)

    def _summary(self) -> str:
        return f"{len(self.stuck)} failover(s) are stuck." if self.stuck else "no failover is stuck."


class ApplianceScanner:
    """Scans Appliances; only the leader's queue asks for it."""

    def __init__(
        self,
        api: KubernetesApi,
        index: CleanupIndex,
        events: EventRecorder,
        drift: DriftWriter,
        namespace: str,
        *,
        watched: tuple[str, ...] = (),
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Prepare; nothing is read.

        Args:
            api: where cleanups are created.
            index: the cleanups there are.
            events: where transitions are told.
            drift: where drift is told.
            namespace: the operator's own, the only one allowed where the Appliance lists none.
            watched: namespaces with cleanups; all if empty.
            now: the wall clock, with a time zone; windows are held against it.
        """
        self._api = api
        self._index = index
        self._events = events
        self._drift = drift
        self._namespace = namespace
        self._watched = watched
        self._now = now

    async def look(self, appliance: Appliance, database: OMADatabase, ossea: OSSEAClient) -> Scanned:
        """Scan; only reads. Trouble with the appliance is told, not raised."""
        entries = self._index.of(appliance.metadata.name)
        finished = {entry.finished: entry for entry in entries if entry.finished is not None}
        try:
            result = await scan(database, ossea, settings_of(appliance.spec), finished.keys())
        except ApplianceError as error:
            return Scanned(None, problems=(str(error),))
        problems = [f"Context {context_id}: {why}" for context_id, why in sorted(result.unreadable.items())]
        creating = appliance.spec.detection.action is not DetectionAction.REPORT
        outside = False
        if creating:
            try:
                outside = not any_open(appliance.spec.detection.windows, self._now())
            except ValueError as error:
                problems.append(f"spec.detection.windows: {error}.")
                creating = False
            if (why_not := self._not_allowed(appliance)) is not None:
                problems.append(why_not)
                creating = False
        waits = Reason.OUTSIDE_WINDOW if outside else None
        stuck = [_stuck_job(job, entries, waits) for job in result.stuck]
        known = {job.context_id for job in stuck}
        stuck += [
            told
            for told in appliance.status.stuck
            if told.context_id in result.unsettled and told.context_id not in known
        ]
        return Scanned(result, tuple(stuck), tuple(problems), creating and not outside, finished)

    async def follow_up(self, appliance: Appliance, stored: Body, scanned: Scanned) -> None:
        """Act on a scan whose status is stored: Events, drift, cleanups.

        Args:
            appliance: as it was before the scan.
            stored: the object as it is now.
            scanned: what was found.

        Raises:
            KubernetesError: the API server failed.
        """
        if scanned.result is None:
            return
        regarding = ObjectReference(API_VERSION, APPLIANCE_KIND, None, appliance.metadata.name, appliance.metadata.uid)
        for type_, reason, note in _changes(appliance.status.stuck, scanned.stuck):
            await self._events.record(regarding, type_, reason, "Scan", note)
        await self._drift.tell(scanned.cleanups, scanned.result.drift)
        if scanned.creating:
            await self._create(appliance, stored, scanned.result.stuck, regarding)

    def _not_allowed(self, appliance: Appliance) -> str | None:
        namespace = appliance.spec.detection.namespace
        if namespace in (appliance.spec.allowed_namespaces or (self._namespace,)):
            return None
        return (
            f"spec.detection.namespace {namespace} is not in spec.allowedNamespaces, so no cleanup is created: an administrator adds "
            "it, or names another."
        )

    async def _create(
        self, appliance: Appliance, stored: Body, stuck: Collection[StuckFailover], regarding: ObjectReference
    ) -> None:
        """Create what is missing, one cleanup per failed job, and remember it."""
        remembered = _remembered(stored)
        missing = {cleanup_name(job.vm_name, job.job_id): job for job in stuck}
        for name in remembered:
            missing.pop(name, None)
        if all(_cleanup_of(job, self._index.of(appliance.metadata.name)) is not None for job in missing.values()):
            return
        await self._refresh()
        entries = self._index.of(appliance.metadata.name)
        created: list[str] = []
        for name, job in missing.items():
            if _cleanup_of(job, entries) is not None:
                continue
            body = _cleanup(appliance, job, name)
            try:
                await self._api.create(CLEANUPS, appliance.spec.detection.namespace, body)
            except Conflict:
                logger.info("Cleanup exists already", extra={"cleanup": name})
            except KubernetesError as error:
                note = f"Cleanup {name} of VM {job.vm_name} could not be created: {error}"
                await self._events.record(regarding, "Warning", "CleanupNotCreated", "Scan", note)
                continue
            else:
                note = f"Created {appliance.spec.detection.namespace}/{name} for VM {job.vm_name}."
                await self._events.record(regarding, "Normal", "CleanupCreated", "Scan", note)
            created.append(name)
        if created:
            await self._remember(stored, (*remembered, *created))

    async def _refresh(self) -> None:
        """See all cleanups there are: right after a start the watch may not have shown every one."""
        for namespace in self._watched or (None,):
            async for body in self._api.list(CLEANUPS, namespace):
                self._index.see(body)

    async def _remember(self, stored: Body, names: tuple[str, ...]) -> None:
        metadata = stored["metadata"]
        text = ",".join(names[-MAX_REMEMBERED:])
        try:
            await self._api.set_annotations(
                APPLIANCES,
                None,
                metadata["name"],
                {CLEANUPS_CREATED_ANNOTATION: text},
                resource_version=metadata["resourceVersion"],
            )
        except (Conflict, NotFound) as error:
            # They exist, so the next scan meets them again and remembers them then.
            logger.info("Created cleanups not remembered yet", extra={"cause": str(error)})


def _stuck_job(job: StuckFailover, entries: Collection[IndexedCleanup], waits: Reason | None) -> StuckJob:
    reason = job.reason.value if job.reason is not None else None
    cleanup = _cleanup_of(job, entries)
    if reason is None and cleanup is None and waits is not None:
        reason = waits.value
    return StuckJob(
        job_id=job.job_id,
        vm_name=job.vm_name,
        vcenter_host=job.vcenter_host or None,
        context_id=job.context_id,
        type=JobType.LIVE if job.live else JobType.TEST,
        stuck_since=job.since.replace(microsecond=0),
        last_step=job.last_step,
        reason=reason,
        cleanup=cleanup,
    )


def _cleanup_of(job: StuckFailover, entries: Collection[IndexedCleanup]) -> str | None:
    found = sorted(entry.key for entry in entries if entry.is_of(job.vm_name, job.vcenter_host, job.job_id))
    return "/".join(found[0]) if found else None


def _cleanup(appliance: Appliance, job: StuckFailover, name: str) -> dict[str, Any]:
    label = shortened(appliance.metadata.name, MAX_NAME_LENGTH).rstrip("-.…")
    return {
        "apiVersion": API_VERSION,
        "kind": CLEANUP_KIND,
        "metadata": {"name": name, "namespace": appliance.spec.detection.namespace, "labels": {APPLIANCE_LABEL: label}},
        "spec": {
            "vmName": job.vm_name,
            "vcenterHost": job.vcenter_host,
            "failoverJobID": job.job_id,
            "applianceRef": {"name": appliance.metadata.name},
            "mode": appliance.spec.detection.action.value,
            "note": f"Created by the scan of Appliance {appliance.metadata.name}.",
        },
    }


def _remembered(stored: Body) -> tuple[str, ...]:
    text = (stored["metadata"].get("annotations") or {}).get(CLEANUPS_CREATED_ANNOTATION, "")
    return tuple(filter(None, text.split(",")))


def _changes(before: Collection[StuckJob], after: Collection[StuckJob]) -> Iterator[tuple[Any, str, str]]:
    """What became stuck, and what is not stuck any more, as Events."""
    known = {job.job_id for job in before}
    new = [job for job in after if job.job_id not in known]
    gone = [job for job in before if job.job_id not in {job.job_id for job in after}]
    for job in new[:MAX_EVENTS]:
        since = job.stuck_since.isoformat() if job.stuck_since is not None else "an unknown time"
        step = f", last step {job.last_step}" if job.last_step else ""
        yield (
            "Warning",
            "StuckFailover",
            f"{job.type} failover {job.job_id} of VM {job.vm_name} is stuck since {since}{step}.",
        )
    if len(new) > MAX_EVENTS:
        yield "Warning", "StuckFailover", f"{len(new) - MAX_EVENTS} more failovers are stuck: see status.stuck."
    for job in gone[:MAX_EVENTS]:
        yield (
            "Normal",
            "StuckFailoverGone",
            f"{job.type} failover {job.job_id} of VM {job.vm_name} is not stuck any more.",
        )
