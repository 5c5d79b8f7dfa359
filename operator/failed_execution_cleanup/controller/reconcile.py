"""One look at one FailedExecutionCleanup: read it, open its appliance, run the engine, tell the outcome.

Called by the queue's workers, never by Kopf; safe to repeat at any point.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.access.goals import settings_of, waivers_refused
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.controller.appliance_identity import require_eldest
from failed_execution_cleanup.controller.appliances import Appliances
from failed_execution_cleanup.controller.claimed_appliances import ApplianceGone, ClaimedAppliances
from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import CLEANUPS, KubernetesApi, NotFound
from failed_execution_cleanup.controller.metrics import Metrics
from failed_execution_cleanup.controller.progress_watch import ProgressWatch
from failed_execution_cleanup.controller.projection import is_finished
from failed_execution_cleanup.controller.reason_link import DOCS_URL
from failed_execution_cleanup.controller.reporter import ResourceReporter, corrects_drift, order_of
from failed_execution_cleanup.controller.status_writer import StatusWriter, transitions
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, HELD, Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import ConditionStatus, get_condition
from failed_execution_cleanup.resources.identifiers import FINALIZER
from failed_execution_cleanup.resources.reasons import ConditionType
from failed_execution_cleanup.run.attribution import about
from failed_execution_cleanup.run.cleanup import Cleanup, Limits, job_mismatch
from failed_execution_cleanup.run.order import Progress
from failed_execution_cleanup.run.queue import Lane, Result, WorkQueue

logger = logging.getLogger(__name__)

Key = tuple[str, str]
"""Namespace and name."""

LOOK_AGAIN_SECONDS: Final = 300.0
"""How soon a refused cleanup is looked at again: its reason may have been cleared in the product or in OSSEA."""

_UNRELEASED: Final = frozenset({Reason.APPLIANCE_UNREACHABLE, Reason.CLAIMED_ELSEWHERE})
"""Waits that end a run, or keep it from going on, without a word from the database that the claim was released."""

_FINAL: Final = {reason.value for reason in FINAL_FAILURES | HELD}


def is_settled(cleanup: FailedExecutionCleanup) -> bool:
    """Whether nothing is to be done until its spec or its request changes (rules 18, 19).

    True for success, for final failures and for stops that hold until a person answers.
    """
    ready = get_condition(cleanup.status.conditions, ConditionType.READY)
    if ready is None or ready.observed_generation != cleanup.metadata.generation:
        return False
    if cleanup.requested_at != cleanup.status.last_handled_request:
        return False
    return ready.status is ConditionStatus.TRUE or ready.reason in _FINAL


@dataclass(slots=True)
class Reconciler:
    """Looks at cleanups one by one; shared by all workers."""

    api: KubernetesApi
    appliances: Appliances
    events: EventRecorder
    queue: WorkQueue[Key]
    identity: str
    namespace: str
    limits: Limits
    claimed: ClaimedAppliances
    leaving: asyncio.Event
    docs_url: str = DOCS_URL
    metrics: Metrics = field(default_factory=Metrics)
    watch: ProgressWatch = field(default_factory=ProgressWatch)

    async def reconcile(self, key: Key) -> Result:
        """Bring one cleanup as far as it goes now.

        Raises:
            KubernetesError: the API server failed; the queue backs off.
        """
        namespace, name = key
        try:
            body = await self.api.get(CLEANUPS, namespace, name)
        except NotFound:
            return Result.done()
        writer = StatusWriter(self.api, body)
        cleanup = writer.cleanup
        deleting = cleanup.metadata.deletion_timestamp is not None
        ours = FINALIZER in cleanup.metadata.finalizers
        settled = not ours and is_settled(cleanup) and not corrects_drift(cleanup)
        if (deleting and not ours) or (not deleting and settled):
            return Result.done()
        appliance, vm = cleanup.spec.appliance_ref.name, cleanup.spec.vm_name
        with self.watch.working(key), about(resource=f"{namespace}/{name}", appliance=appliance, vm=vm):
            return await self._work(key, writer, ObjectReference.of(body))

    async def _work(self, key: Key, writer: StatusWriter, regarding: ObjectReference) -> Result:
        cleanup = writer.cleanup
        notes: list[asyncio.Task[None]] = []

        def told(before: CleanupStatus, after: CleanupStatus) -> None:
            self.watch.sign()
            self.metrics.cleanup_changed(cleanup.spec.appliance_ref.name, before, after)
            for note in transitions(before, after):
                record = self.events.record(regarding, note.type, note.reason, note.action, note.note)
                notes.append(asyncio.create_task(record))

        reporter = ResourceReporter(writer, self.queue.changed(key), told, self.docs_url)
        ours = FINALIZER in cleanup.metadata.finalizers
        progress = None if ours else _without_a_look(cleanup)
        gone = False
        if progress is None:
            try:
                progress = await self._run(cleanup, reporter)
            except ApplianceGone as error:
                gone, progress = True, Progress(_wait(error))
            except Inconsistent as error:
                progress = Progress(Refuse(Reason.APPLIANCE_INCONSISTENT, str(error), Assessment()))
            except ApplianceError as error:
                progress = Progress(_wait(error))
        if not await reporter.finish(progress):
            return Result.requeue_after(5.0)
        if ours or FINALIZER in writer.cleanup.metadata.finalizers:
            deleting = writer.cleanup.metadata.deletion_timestamp is not None
            if gone and deleting:
                notes.append(asyncio.create_task(self._tell_what_is_left(regarding, cleanup)))
                await writer.drop_finalizer()
            elif not _may_be_claimed(progress, deleting=deleting):
                await writer.drop_finalizer()
        await asyncio.gather(*notes)
        return _next(progress.decision)

    async def _run(self, cleanup: FailedExecutionCleanup, reporter: ResourceReporter) -> Progress:
        every = await self.appliances.read_all()
        appliance = every.get(cleanup.spec.appliance_ref.name)
        if appliance is None:
            raise ApplianceGone(f"there is no Appliance {cleanup.spec.appliance_ref.name!r}.")
        if (refusal := not_permitted(cleanup, appliance, self.namespace)) is not None:
            return Progress(refusal)
        self.queue.set_limit(appliance.metadata.name, appliance.spec.limits.cleanups)
        reporter.allowed = frozenset(waiver.value for waiver in appliance.spec.waivers)
        async with self.appliances.doors(appliance) as doors:
            for config in await doors.database.active_configs():
                require_eldest(appliance, every.values(), config.oma_vm_id)
            name = appliance.metadata.name
            reporter.hold_appliance = lambda resuming: self.claimed.ensure(name, resuming=resuming)
            async with self.claimed.held(name):
                settings = settings_of(appliance.spec)
                claimed = self.metrics.claimed(name)
                run = Cleanup(doors, settings, self.identity, reporter, self.limits, self.leaving, claimed)
                progress = await run.run()
            if reporter.began and not progress.handed_over:
                await self.claimed.try_to_let_go(name, doors.database)
            return progress

    async def _tell_what_is_left(self, regarding: ObjectReference, cleanup: FailedExecutionCleanup) -> None:
        """Nobody can end what an earlier run began: say so where a person looks for it."""
        claim = cleanup.status.cleanup_job_id or "unknown"
        note = (
            f"Appliance {cleanup.spec.appliance_ref.name} is gone, so nothing of {cleanup.spec.vm_name} could be brought home: its "
            f"claim (job_tracking {claim}) stays in the appliance's database, and the next cleanup of this VM takes it over."
        )
        await self.events.record(regarding, "Warning", "ClaimLeftBehind", "Finalize", note)


def not_permitted(cleanup: FailedExecutionCleanup, appliance: Appliance, own_namespace: str) -> Refuse | None:
    """The stop where the Appliance does not allow the namespace or a waiver; administrators own both lists.

    Said here too, because the cluster's admission policy may be absent and knows nothing of these lists.

    Args:
        cleanup: what is asked for.
        appliance: the Appliance it names.
        own_namespace: the operator's, the only one allowed where the list is empty.
    """
    name = appliance.metadata.name
    namespaces = appliance.spec.allowed_namespaces or (own_namespace,)
    if cleanup.metadata.namespace not in namespaces:
        message = (
            f"Appliance {name} does not allow cleanups of namespace {cleanup.metadata.namespace}: an administrator adds it to "
            "spec.allowedNamespaces, or the cleanup is created in an allowed one."
        )
        return Refuse(Reason.NOT_PERMITTED, message, Assessment())
    return waivers_refused(appliance, (waiver.reason for waiver in cleanup.spec.waive))


def _without_a_look(cleanup: FailedExecutionCleanup) -> Progress | None:
    """The outcome that follows from the resource alone; None where the appliance must be looked at.

    A finished cleanup stays finished whatever its spec becomes, without a new request (rule 18).
    """
    status, wanted = cleanup.status, cleanup.spec.failover_job_id
    if status.failed_job is not None and wanted not in (None, status.failed_job.id):
        return Progress(job_mismatch(status.failed_job.id, wanted))
    if corrects_drift(cleanup):
        return None
    if is_finished(status) and cleanup.requested_at == status.last_handled_request:
        return Progress(Stopped("finished; nothing is touched without a new request.", (), Assessment()))
    ready = get_condition(status.conditions, ConditionType.READY)
    answered = any(ready is not None and waiver.reason.value == ready.reason for waiver in cleanup.spec.waive)
    asked_again = cleanup.requested_at != status.last_handled_request
    if ready is not None and ready.reason in HELD and not answered and not asked_again:
        # Held until a person answers: with a waiver of just this reason, or by asking again (rule 19).
        return Progress(Refuse(Reason(ready.reason), ready.message, Assessment()))
    if order_of(cleanup, frozenset()).stopping:
        return Progress(Stopped("stopped; nothing is claimed.", (), Assessment()))
    return None


def _may_be_claimed(progress: Progress, *, deleting: bool) -> bool:
    """Whether a claim of ours may be left in the database: then a deletion must still wait for what it left behind."""
    decision = progress.decision
    if isinstance(decision, Refuse):
        return decision.reason is Reason.APPLIANCE_INCONSISTENT  # said before anybody looked
    return isinstance(decision, Wait) and (deleting or progress.handed_over or decision.reason in _UNRELEASED)


def _wait(error: ApplianceError) -> Wait:
    return Wait(Reason.APPLIANCE_UNREACHABLE, str(error), timedelta(seconds=15), Assessment())


def _next(decision: Decision) -> Result:
    match decision:
        case Wait(after=after):
            return Result.requeue_after(min(max(after.total_seconds(), 1.0), LOOK_AGAIN_SECONDS))
        case Act():  # a plan that nobody approved: it is made anew now and then, because the world moves on
            return Result.requeue_after(LOOK_AGAIN_SECONDS, Lane.DRIFT)
        case Refuse(reason=reason) if reason not in HELD:
            return Result.requeue_after(LOOK_AGAIN_SECONDS, Lane.DRIFT)
        case Done() | Refuse() | Stopped():
            return Result.done()
