"""The client: places orders and asks for changes of cleanups, each as one write based on what was read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from failed_execution_cleanup.client.ending import EndingState, ending
from failed_execution_cleanup.client.errors import (
    AmbiguousTarget,
    ClusterUnreachable,
    NoSuchAppliance,
    NotAllowed,
    NotEnded,
    NotPossible,
    of,
    translated,
)
from failed_execution_cleanup.client.following import follow
from failed_execution_cleanup.client.order import Order
from failed_execution_cleanup.client.stuck import StuckVM, stuck_job, stuck_of
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Body,
    Conflict,
    CustomResource,
    Expired,
    KubernetesError,
    NotFound,
    ResourceApi,
    Selection,
)
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, Mode, WaiverGrant
from failed_execution_cleanup.resources.identifiers import (
    APPROVED_PLAN_ANNOTATION,
    REQUESTED_AT_ANNOTATION,
    SUSPENDED_ANNOTATION,
)
from failed_execution_cleanup.resources.naming import cleanup_name
from failed_execution_cleanup.resources.reasons import Reason, Waiver

Change = Callable[[FailedExecutionCleanup], dict[str, Any]]
"""From a cleanup as it is to the merge patch that asks for something; an empty one asks for nothing."""

DEFAULT_APPLIANCE: Final = "default"
_SPENT: Final = frozenset({Reason.SUPERSEDED, Reason.SUPERSEDED_IN_RUN, Reason.JOB_MISMATCH})
"""Ends after which a cleanup can do nothing for its VM any more: another job took the place of its own."""
_ATTEMPTS: Final = 5
"""Writes tried in a row while somebody else changes the object."""


class Placed(NamedTuple):
    """What became of an order.

    Attributes:
        cleanup: the one that stands for it.
        created: whether it is a new one.
    """

    cleanup: FailedExecutionCleanup
    created: bool


class CleanupClient:
    """Cleanups of one namespace. Every call raises `ClientError` or one of its subclasses."""

    def __init__(
        self, api: ResourceApi, namespace: str, *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            api: acts with the rights of whoever asks.
            namespace: where cleanups are looked for and created.
            now: the wall clock, with a time zone; makes the tokens of requests.
        """
        self._api = api
        self._namespace = namespace
        self._now = now

    @property
    def namespace(self) -> str:
        """Where cleanups are looked for and created."""
        return self._namespace

    # -- reading -----------------------------------------------------------------------------------------------------

    async def get(self, name: str) -> FailedExecutionCleanup:
        """One cleanup.

        Raises:
            NoSuchCleanup: there is none of that name.
        """
        return FailedExecutionCleanup.model_validate(await self._read(name))

    async def list_cleanups(
        self,
        *,
        vm_name: str | None = None,
        appliance: str | None = None,
        states: Collection[EndingState] = (),
        labels: str = "",
        all_namespaces: bool = False,
    ) -> list[FailedExecutionCleanup]:
        """The cleanups that fit all of these, newest first.

        Args:
            vm_name: those of this VM.
            appliance: those of this Appliance.
            states: those in one of these states; any if empty.
            labels: label selector in the API's notation.
            all_namespaces: not only those of the client's namespace.
        """
        wanted = {"spec.vmName": vm_name, "spec.applianceRef.name": appliance}
        fields = ",".join(f"{field}={_escaped(value)}" for field, value in wanted.items() if value is not None)
        namespace = None if all_namespaces else self._namespace
        bodies = await self._all(CLEANUPS, namespace, Selection(labels, fields))
        found = [FailedExecutionCleanup.model_validate(body) for body in bodies]
        kept = (cleanup for cleanup in found if not states or ending(cleanup).state in states)
        return sorted(kept, key=_age, reverse=True)

    async def appliances(self) -> list[Appliance]:
        """All Appliances, by name."""
        bodies = await self._all(APPLIANCES, None, Selection())
        return sorted((Appliance.model_validate(body) for body in bodies), key=lambda each: each.metadata.name)

    async def appliance(self, name: str) -> Appliance:
        """One Appliance.

        Raises:
            NoSuchAppliance: there is none of that name.
        """
        try:
            return Appliance.model_validate(await self._api.get(APPLIANCES, None, name))
        except NotFound as error:
            raise NoSuchAppliance(
                f"There is no Appliance {name}.", remedy="`kubectl get appliances` lists them."
            ) from error
        except KubernetesError as error:
            raise of(error) from error

    async def stuck(self, appliance: str | None = None) -> tuple[StuckVM, ...]:
        """The VMs whose failover is stuck, as the last scans tell, of one Appliance or of all.

        Raises:
            NoSuchAppliance: there is none of that name.
        """
        return stuck_of([await self.appliance(appliance)] if appliance is not None else await self.appliances())

    async def user_name(self) -> str:
        """Who asks, as the API server knows them."""
        with translated():
            return await self._api.user_name()

    def follow(self, name: str) -> AsyncGenerator[FailedExecutionCleanup]:
        """The cleanup as it is now and after each change, until nothing happens any more; see `following.follow`."""
        return follow(self._api, self._namespace, name)

    async def ended(self, name: str, timeout_seconds: float | None = None) -> FailedExecutionCleanup:
        """Wait until nothing happens any more, and return the cleanup as it is then.

        Raises:
            NotEnded: the time was over first; the cleanup goes on.
            NoSuchCleanup: it was deleted meanwhile.
        """
        cleanup = await self.get(name)
        try:
            async with asyncio.timeout(timeout_seconds), aclosing(self.follow(name)) as changes:
                async for change in changes:
                    cleanup = change
        except TimeoutError:
            raise NotEnded(
                f"FailedExecutionCleanup {self._namespace}/{name} did not end in {timeout_seconds:g} s: {ending(cleanup).message}",
                cleanup,
                remedy="It goes on; look again later.",
            ) from None
        return cleanup

    # -- asking ------------------------------------------------------------------------------------------------------

    async def place(self, order: Order, *, again: bool = False) -> Placed:
        """Make sure that a cleanup stands for an order: one per failed job, whoever asks and how often.

        The job is the order's, else the one the Appliance lists as stuck. Where neither is known, the VM's latest cleanup stands for the
        order, unless a newer job superseded it; the operator then binds a new one to the newest job.

        A cleanup that is there already is given what the order adds: a waiver, a note, an approval, and mode Execute where it was Plan.

        Args:
            order: what is asked for.
            again: ask one that is there already for one more run.

        Raises:
            AmbiguousTarget: several Appliances, or several stuck VMs of the name.
            NoSuchAppliance: there is none of the order's name.
            NotPossible: a waiver for a job that nobody knows yet.
        """
        appliance = await self._appliance_of(order)
        name = order.appliance or DEFAULT_APPLIANCE
        if appliance is not None:
            name, order = appliance.metadata.name, _bound(order, appliance)
        present = await self._present(order, name)
        if present is not None:
            return Placed(await self._amended(present, order, again=again), created=False)
        if order.waivers and order.failover_job_id is None:
            raise NotPossible(
                f"No stuck failover of VM {order.vm_name!r} is known, and a waiver is granted for one failover job.",
                remedy="Name the job, or place the order without the waiver and waive once the job is known.",
            )
        return await self._created(order, name, again=again)

    async def suspend(self, name: str) -> FailedExecutionCleanup:
        """Stop after the action in flight and let go of the claim; by annotation, which needs no right on the Appliance."""
        return await self._change(name, lambda _: {"metadata": {"annotations": {SUSPENDED_ANNOTATION: "true"}}})

    async def resume(self, name: str) -> FailedExecutionCleanup:
        """Go on from what is observed then, however it was suspended."""

        def going_on(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
            patch: dict[str, Any] = {}
            if SUSPENDED_ANNOTATION in cleanup.metadata.annotations:
                patch["metadata"] = {"annotations": {SUSPENDED_ANNOTATION: None}}
            if cleanup.spec.suspend:
                patch["spec"] = {"suspend": False}
            return patch

        return await self._change(name, going_on)

    async def rerun(self, name: str) -> FailedExecutionCleanup:
        """Ask for one more run; one that is running counts its tries anew."""
        return await self._change(name, self._asked_again)

    async def approve(self, name: str, plan_hash: str | None = None) -> FailedExecutionCleanup:
        """Approve the plan in the status: it is carried out, and nothing outside of it.

        Args:
            name: the cleanup.
            plan_hash: of the plan that was read; without it the plan that is there when the approval is written.

        Raises:
            NotPossible: there is no plan, or it is another one by now.
        """

        def approved(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
            present = cleanup.status.plan_hash
            if present is None:
                raise NotPossible(
                    f"FailedExecutionCleanup {self._namespace}/{name} has no plan to approve.",
                    remedy="A plan is made in mode Plan: `fec plan VM`.",
                )
            if plan_hash not in (None, present):
                raise NotPossible(
                    f"The plan of FailedExecutionCleanup {self._namespace}/{name} is {present} by now, not {plan_hash}.",
                    remedy="Read the new plan and approve that one.",
                )
            return {"metadata": {"annotations": {APPROVED_PLAN_ANNOTATION: present}}}

        return await self._change(name, approved)

    async def waive(self, name: str, reason: Waiver, obj: str, *, note: str | None = None) -> FailedExecutionCleanup:
        """Take responsibility for one stop of the failed job the cleanup is bound to.

        Args:
            name: the cleanup.
            reason: the stop.
            obj: `job`, or the id of a volume, a VM or a row.
            note: why, for people; takes the place of the cleanup's note. It stays as it is without one.

        Raises:
            NotPossible: the failed job is not known yet.
        """
        grant = WaiverGrant(reason=reason, object=obj)

        def waived(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
            spec = _granted(cleanup, [grant])
            if note is not None and note != cleanup.spec.note:
                spec["note"] = note
            return {"spec": spec} if spec else {}

        return await self._change(name, waived)

    async def withdraw(self, cleanup: FailedExecutionCleanup) -> None:
        """Delete a cleanup if nothing about it changed since it was read."""
        metadata = cleanup.metadata
        with translated():
            await self._api.delete(
                CLEANUPS,
                metadata.namespace,
                metadata.name,
                uid=metadata.uid,
                resource_version=metadata.resource_version,
            )

    # -- how ---------------------------------------------------------------------------------------------------------

    async def _appliance_of(self, order: Order) -> Appliance | None:
        """The Appliance of an order; None where whoever asks may not read Appliances, which asking does not take."""
        try:
            if order.appliance is not None:
                return await self.appliance(order.appliance)
            every = await self.appliances()
        except NotAllowed:
            return None
        if len(every) == 1:
            return every[0]
        names = [each.metadata.name for each in every]
        if not names:
            raise NoSuchAppliance("There is no Appliance.", remedy="An administrator creates one.")
        holding = [each for each in every if stuck_job(each, order.vm_name, order.vcenter_host) is not None]
        if len(holding) == 1:
            return holding[0]
        raise AmbiguousTarget(f"There are several Appliances: {', '.join(names)}.", remedy="Name the one of the VM.")

    async def _present(self, order: Order, appliance: str) -> FailedExecutionCleanup | None:
        """The cleanup that stands for the order already."""
        every = await self.list_cleanups(vm_name=order.vm_name, appliance=appliance)
        fitting = [
            cleanup
            for cleanup in every
            if order.vcenter_host is None or cleanup.spec.vcenter_host in (None, order.vcenter_host)
        ]
        wanted = order.failover_job_id
        if wanted is not None:
            exact = [cleanup for cleanup in fitting if _job_of(cleanup) == wanted]
            unbound = [cleanup for cleanup in fitting if _job_of(cleanup) is None]
            return next(iter([*exact, *unbound]), None)
        return next((cleanup for cleanup in fitting if ending(cleanup).reason not in _SPENT), None)

    async def _created(self, order: Order, appliance: str, *, again: bool) -> Placed:
        key = order.failover_job_id
        if key is None:
            # Not bound yet: named for the VM and what came before it, so that two who ask at once mean the same one.
            before = await self.list_cleanups(vm_name=order.vm_name, appliance=appliance)
            latest = before[0].metadata.uid if before else ""
            key = "/".join((appliance, order.vcenter_host or "", order.vm_name, latest))
        name = cleanup_name(order.vm_name, key)
        body = order.body(name=name, namespace=self._namespace, appliance=appliance)
        try:
            stored = await self._api.create(CLEANUPS, self._namespace, body)
        except Conflict:
            return Placed(await self._amended(await self.get(name), order, again=again), created=False)
        except KubernetesError as error:
            raise of(error) from error
        return Placed(FailedExecutionCleanup.model_validate(stored), created=True)

    async def _amended(self, present: FailedExecutionCleanup, order: Order, *, again: bool) -> FailedExecutionCleanup:
        """A cleanup with what an order adds."""
        jobs = {job for job in (_job_of(present), order.failover_job_id) if job is not None}
        if present.spec.vm_name != order.vm_name or len(jobs) > 1:
            raise NotPossible(
                f"The name {self._namespace}/{present.metadata.name} is taken by the cleanup of VM {present.spec.vm_name!r}, "
                f"job {_job_of(present)}.",
                remedy="Delete that one, or create a cleanup under a name of your own with kubectl.",
            )

        def more(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
            patch: dict[str, Any] = self._asked_again(cleanup) if again else {}
            spec: dict[str, Any] = _granted(cleanup, order.waivers, order.failover_job_id) if order.waivers else {}
            if order.mode is Mode.EXECUTE and cleanup.spec.mode is Mode.PLAN:
                spec["mode"] = Mode.EXECUTE.value
            if order.note is not None and order.note != cleanup.spec.note:
                spec["note"] = order.note
            if order.approved_plan is not None and order.approved_plan != cleanup.approved_plan:
                annotations = patch.get("metadata", {}).get("annotations", {})
                patch["metadata"] = {"annotations": {**annotations, APPROVED_PLAN_ANNOTATION: order.approved_plan}}
            return {**patch, **({"spec": spec} if spec else {})}

        return await self._change(present.metadata.name, more)

    def _asked_again(self, cleanup: FailedExecutionCleanup) -> dict[str, Any]:
        del cleanup
        return {"metadata": {"annotations": {REQUESTED_AT_ANNOTATION: self._now().isoformat()}}}

    async def _change(self, name: str, change: Change) -> FailedExecutionCleanup:
        """Write what a change asks for, based on what was read; again where somebody else was faster."""
        for _ in range(_ATTEMPTS):
            body = await self._read(name)
            cleanup = FailedExecutionCleanup.model_validate(body)
            patch = change(cleanup)
            if not patch:
                return cleanup
            version = cleanup.metadata.resource_version
            try:
                stored = await self._api.patch(CLEANUPS, self._namespace, name, patch, resource_version=version)
            except Conflict:
                continue
            except KubernetesError as error:
                raise of(error) from error
            return FailedExecutionCleanup.model_validate(stored)
        raise ClusterUnreachable(
            f"FailedExecutionCleanup {self._namespace}/{name} keeps changing.", remedy="Try again in a moment."
        )

    async def _read(self, name: str) -> Body:
        with translated():
            return await self._api.get(CLEANUPS, self._namespace, name)

    async def _all(self, resource: CustomResource, namespace: str | None, selection: Selection) -> list[Body]:
        bodies: list[Body] = []
        token = ""
        with translated():
            while True:
                try:
                    page = await self._api.page(resource, namespace, selection=selection, continue_token=token)
                except Expired as expired:
                    if not expired.continue_token:
                        raise
                    token = expired.continue_token
                    continue
                bodies += page.items
                token = page.continue_token
                if not token:
                    return bodies


def _bound(order: Order, appliance: Appliance) -> Order:
    """The order for the job that the Appliance lists as stuck, unless it names one itself."""
    if order.failover_job_id is not None:
        return order
    job = stuck_job(appliance, order.vm_name, order.vcenter_host)
    if job is None:
        return order
    return replace(order, failover_job_id=job.job_id, vcenter_host=order.vcenter_host or job.vcenter_host or None)


def _job_of(cleanup: FailedExecutionCleanup) -> str | None:
    """The failed job it is bound to, once that is known."""
    job = cleanup.status.failed_job
    return cleanup.spec.failover_job_id or (job.id if job is not None else None)


def _granted(
    cleanup: FailedExecutionCleanup, grants: Iterable[WaiverGrant], job_id: str | None = None
) -> dict[str, Any]:
    """The change of spec that adds waivers; empty where all of them are granted already."""
    missing = [grant for grant in grants if grant not in cleanup.spec.waive]
    if not missing:
        return {}
    job = _job_of(cleanup) or job_id
    if job is None:
        raise NotPossible(
            f"FailedExecutionCleanup {cleanup.metadata.namespace}/{cleanup.metadata.name} is bound to no failed job yet, and a waiver is "
            "granted for one.",
            remedy="Wait until status.failedJob is there.",
        )
    every = [grant.to_kubernetes() for grant in (*cleanup.spec.waive, *missing)]
    return {"waive": every, "failoverJobID": job}


def _age(cleanup: FailedExecutionCleanup) -> tuple[datetime, str]:
    created = cleanup.metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC)
    return created, cleanup.metadata.name


def _escaped(value: str) -> str:
    """A value in a field selector; see `fields.EscapeValue` of the API machinery."""
    return value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
