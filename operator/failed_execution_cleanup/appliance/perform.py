"""Carry out one mutating request and judge it by re-reading the world.

A request has four parts, so that it can be taken up again by another process after a crash: `turn` waits for its turn under the
appliance's limit, `check` is the last look before it, `submit` sends it at once and once, `settle` follows it and says what it did.
`settle` needs nothing but the request written ahead.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import ApplianceError, NotExecuted, NotFound, Refused, Unknown
from failed_execution_cleanup.appliance.ossea import AsyncJob, JobStatus
from failed_execution_cleanup.appliance.volume_daemon import Operation
from failed_execution_cleanup.recovery.actions import Action, Kind, System
from failed_execution_cleanup.recovery.guards import ANSWERING_HOST
from failed_execution_cleanup.recovery.memory import Outcome, Request
from failed_execution_cleanup.recovery.restore_points import BACKED_UP
from failed_execution_cleanup.recovery.volumes import BY_ID
from failed_execution_cleanup.recovery.world import CloudVM, CloudVolume

_FORBIDDEN: Final = frozenset({432, 531, 532})
"""Codes of OSSEA that say that the account may not do this (CloudStack facts 1.3)."""
_JOB_IDS: Final = uuid.UUID("5c0f2c1e-6f0b-5a44-9d3a-6a5d3f1f7b10")


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose volumes are worked on.

    Attributes:
        job_id: the failover job; part of every OSSEA job id.
        volume_ids: all volumes of the context.
    """

    job_id: str
    vm_name: str
    oma_vm_id: str
    volume_ids: frozenset[str]


def job_id_for(subject_job: str, request: Request) -> str:
    """The job id OSSEA is asked to use: the same for the same attempt, whoever sends it (CloudStack facts 1.6)."""
    return str(uuid.uuid5(_JOB_IDS, f"{subject_job}/{request.kind}/{request.object}/{request.attempt}"))


class Performer:
    """Carries out requests for one VM. Holds no state of its own.

    Attributes:
        arrival_seconds: how long a request may be on its way.
    """

    def __init__(
        self,
        doors: Doors,
        subject: Subject,
        now: Callable[[], datetime],
        *,
        arrival_seconds: float = 30.0,
        operation_seconds: float = 420.0,
        stop_seconds: float = 300.0,
    ) -> None:
        """Prepare; nothing is sent.

        Args:
            doors: the appliance.
            subject: whose volumes.
            now: the database's UTC clock, for settle stamps.
            arrival_seconds: how long a request whose answer was lost may still be on its way; the HTTP time-out.
            operation_seconds: age at which a daemon operation counts as dead. CloudStack's SDK gives up after 300 s
                (appliance facts 1.5).
            stop_seconds: how long a guest has to shut down; a stop that takes longer is let go, its job may go on (rule 15).
        """
        self._doors = doors
        self._subject = subject
        self._now = now
        self.arrival_seconds = arrival_seconds
        self._operation_seconds = operation_seconds
        self._stop_seconds = stop_seconds

    async def check(self, action: Action) -> str | None:
        """Last look before the request: what forbids it by now, or None."""
        match action.kind:
            case Kind.REVERT:
                return await self._check_revert(action)
            case Kind.DESTROY_VM | Kind.EXPUNGE_VM:
                return await self._check_destroy(action)
            case Kind.STOP_VM:
                return await self._check_stop(action)
            case Kind.DELETE_SNAPSHOT if action.volume_id is not None:
                volume = await self._volume(action.volume_id)
                if volume is None or volume.vm_id not in (None, self._subject.oma_vm_id):
                    return f"volume {action.volume_id} is not with the appliance any more: its snapshot may be needed (rule 12)"
            case Kind.ATTACH:
                volume = await self._volume(action.object)
                if volume is None or volume.vm_id is not None or volume.state != "Ready":
                    return f"volume {action.object} is not detached and Ready"
            case Kind.DETACH:
                volume = await self._volume(action.object)
                if volume is None or volume.vm_id != action.vm_id:
                    return f"volume {action.object} is not on VM {action.vm_id} any more"
        return None

    async def turn(self, action: Action) -> None:
        """Wait for the request's turn under `requestsPerSecond`; whoever reads on after this reads right before it (rule 7)."""
        await (self._doors.daemon if action.system is System.DAEMON else self._doors.ossea).turn()

    async def submit(self, action: Action, request: Request) -> str | None:
        """Send the request once; returns the id of the job or operation where there is one.

        Raises:
            NotExecuted, Refused: certainly no effect.
            Unknown: nobody can say; `settle` finds out.
        """
        ossea, daemon = self._doors.ossea, self._doors.daemon
        custom = job_id_for(self._subject.job_id, request)
        match action.kind:
            case Kind.DETACH:
                return (await daemon.detach(action.object)).id
            case Kind.ATTACH:
                return (await daemon.attach(action.object, self._subject.oma_vm_id)).id
            case Kind.CREATE_EXPORT:
                await daemon.create_export(
                    action.object,
                    vm_name=self._subject.vm_name,
                    vm_id=self._subject.oma_vm_id,
                    disk_number=action.disk_number,
                )
                return None
        try:
            match action.kind:
                case Kind.STOP_VM:
                    return await ossea.stop_vm(action.object, forced=action.forced, custom_job_id=custom)
                case Kind.REVERT:
                    return await ossea.revert_snapshot(action.object, custom_job_id=custom)
                case Kind.DELETE_SNAPSHOT:
                    return await ossea.delete_snapshot(action.object, custom_job_id=custom)
                case Kind.DESTROY_VM:
                    return await ossea.destroy_vm(action.object, expunge=action.expunge, custom_job_id=custom)
                case Kind.EXPUNGE_VM:
                    return await ossea.expunge_vm(action.object, custom_job_id=custom)
        except Refused:
            # 431 is also the answer to a job id that was accepted before (CloudStack facts 1.6).
            try:
                known = await ossea.query_job(custom)
            except NotExecuted as unasked:
                # The look failed, not the request: it must not pass for a request that was never sent.
                raise Unknown(
                    f"{action.kind} of {action.object} was refused, and its job cannot be asked for.",
                    system="OSSEA",
                    remedy="Its state is read again.",
                ) from unasked
            if known is None:
                raise
            return custom
        raise ValueError(f"{action.kind} is not a request")  # a mistake of ours: database actions go another way

    async def settle(self, request: Request) -> Request:
        """Follow a request until it ended and judge it by re-reading (rules 9, 11).

        Raises:
            NotExecuted, Refused: the world could not be read; the request stays open.
        """
        match request.kind:
            case Kind.DETACH | Kind.ATTACH:
                outcome, error = await self._settle_operation(request)
            case Kind.CREATE_EXPORT:
                found = await self._doors.daemon.export(request.object)
                outcome, error = (Outcome.EFFECT, None) if found else (Outcome.NO_EFFECT, "the daemon has no export")
            case _:
                outcome, error = await self._settle_job(request)
                # A job found by its chosen id, after the answer was lost, is known from now on as ours.
                request = replace(request, external_id=request.external_id or job_id_for(self._subject.job_id, request))
        return replace(request, outcome=outcome, error=error, settled_at=self._now())

    async def _check_revert(self, action: Action) -> str | None:
        """Rule 10, read now: detached, Ready, and the snapshot is of this volume and BackedUp."""
        volume = await self._volume(action.volume_id or "")
        if volume is None or volume.vm_id is not None or volume.state != "Ready":
            return f"volume {action.volume_id} is not detached and Ready"
        snapshots = await self._doors.ossea.list_snapshots(volume.id)
        snapshot = next((s for s in snapshots if s.id == action.object), None)
        if snapshot is None or snapshot.volume_id != volume.id or snapshot.state != BACKED_UP or snapshot.job_id:
            return f"snapshot {action.object} is not a {BACKED_UP} snapshot of volume {volume.id}"
        return None

    async def _check_destroy(self, action: Action) -> str | None:
        """Rule 14, read now: every volume of the context on the OMA, none of them on the VM."""
        for volume_id in sorted(self._subject.volume_ids):
            volume = await self._volume(volume_id)
            if volume is None or volume.vm_id != self._subject.oma_vm_id:
                return f"volume {volume_id} is not attached to the appliance"
        on_vm = await self._doors.ossea.list_volumes(vm_id=action.object)
        ours = [v.id for v in on_vm if v.id in self._subject.volume_ids]
        if ours or len(on_vm) > 1 or any(v.type != "ROOT" for v in on_vm):
            return f"VM {action.object} holds more than its own root disk: {', '.join(v.id for v in on_vm)}"
        return None

    async def _check_stop(self, action: Action) -> str | None:
        """Rule 15, read now: Running, no job at work on it, and for a forced stop a host that answers."""
        vm = await self._vm(action.object)
        if vm is None or vm.state != "Running" or vm.job_id is not None:
            return f"VM {action.object} is not Running, or an OSSEA job is at work on it"
        if action.forced:
            hosts = {host.id: host.state for host in await self._doors.ossea.list_hosts() or ()}
            if hosts.get(vm.host_id or "") not in ANSWERING_HOST:
                return f"the host of VM {action.object} does not answer: a forced stop might only change a row"
        return None

    async def _settle_operation(self, request: Request) -> tuple[Outcome, str | None]:
        operation = await self._operation(request)
        ended = operation is not None and operation.final
        error = operation.error if operation is not None else "the daemon knows no such operation"
        volume = await self._volume(request.object)
        if request.kind is Kind.DETACH:
            # Detached by OSSEA's word counts, whatever the operation says (appliance facts 1.8).
            if volume is not None and volume.vm_id is None:
                return Outcome.EFFECT, None
        elif volume is not None and volume.vm_id == self._subject.oma_vm_id:
            mapping = await self._doors.daemon.device_mapping(request.object)
            if mapping and mapping.vm_id == self._subject.oma_vm_id and BY_ID.match(mapping.device_path):
                return Outcome.EFFECT, None
            error = error or "attached in OSSEA, but the daemon has no usable mapping"
        if not ended and operation is not None:
            return (
                Outcome.UNKNOWN,
                f"operation {operation.id} is still {operation.status} after {self._operation_seconds:.0f} s",
            )
        return Outcome.NO_EFFECT, error or "OSSEA does not show the effect"

    async def _operation(self, request: Request) -> Operation | None:
        daemon = self._doors.daemon
        if request.external_id is not None:
            try:
                return await daemon.wait_operation(request.external_id, deadline_seconds=self._operation_seconds)
            except NotFound:
                return None
        # The answer was lost: the newest operation of that type on the volume since the write-ahead is ours.
        for operation in await daemon.operations(volume_id=request.object, limit=10):
            created = operation.created_at.replace(tzinfo=None)
            if operation.type == request.kind.value and created >= request.sent_at.replace(microsecond=0):
                if operation.final:
                    return operation
                return await daemon.wait_operation(operation.id, deadline_seconds=self._operation_seconds)
        self._may_still_arrive(request)
        return None

    def _may_still_arrive(self, request: Request) -> None:
        """A request whose answer was lost and that is not known yet may still be on its way."""
        if request.external_id is None and self._now() - request.sent_at < timedelta(seconds=self.arrival_seconds):
            raise NotExecuted(
                f"{request.kind} of {request.object} may still be on its way.",
                system="the network",
                remedy="It is looked for again.",
            )

    async def _settle_job(self, request: Request) -> tuple[Outcome, str | None]:
        job = await self._doors.ossea.wait_job(
            request.external_id or job_id_for(self._subject.job_id, request), deadline_seconds=self._patience(request)
        )
        if job.status is JobStatus.VANISHED:
            self._may_still_arrive(request)
        said = _said(job)
        match request.kind:
            case Kind.REVERT:
                return await self._judge_revert(request, job, said)
            case Kind.DELETE_SNAPSHOT:
                if job.status is JobStatus.SUCCEEDED:
                    return Outcome.EFFECT, None
                volume = await self._volume(request.volume_id or "")
                left = await self._doors.ossea.list_snapshots(request.volume_id)
                # Gone needs a witness: the volume itself in the same account's sight (rule 9).
                gone = volume is not None and all(s.id != request.object for s in left)
                return (Outcome.EFFECT, None) if gone else (Outcome.NO_EFFECT, said)
            case Kind.STOP_VM:
                vm = await self._vm(request.object)
                if vm is None or vm.state in {"Stopped", "Destroyed", "Expunging"}:
                    return Outcome.EFFECT, None
                if not job.final:
                    return Outcome.UNKNOWN, f"OSSEA job {job.id} has not ended after {self._stop_seconds:.0f} s"
                return Outcome.NO_EFFECT, said
        vm = await self._vm(request.object)
        gone_states = {"Expunging"} if request.kind is Kind.EXPUNGE_VM else {"Expunging", "Destroyed"}
        if vm is None or vm.state in gone_states:
            return Outcome.EFFECT, None
        return (Outcome.REFUSED if _not_permitted(job) else Outcome.NO_EFFECT), said

    def _patience(self, request: Request) -> float | None:
        """Seconds for which the job of a request is followed; None: until it ends."""
        if request.kind is not Kind.STOP_VM:
            return None
        return max(0.0, self._stop_seconds - (self._now() - request.sent_at).total_seconds())

    async def _judge_revert(self, request: Request, job: AsyncJob, said: str) -> tuple[Outcome, str | None]:
        if job.status is not JobStatus.SUCCEEDED:
            # Whatever else was said, a revert without jobstatus 1 may still be copying (rule 11).
            return Outcome.UNKNOWN, said
        volume = await self._volume(request.volume_id or "")
        if volume is None:
            return Outcome.UNKNOWN, "OSSEA does not show the volume that was reverted"
        if volume.vm_id is not None:
            return Outcome.UNKNOWN, "the volume was attached while it was being reverted"
        return Outcome.EFFECT, None

    async def _volume(self, volume_id: str) -> CloudVolume | None:
        """The volume; None where neither its id nor the list of all shows it: one odd 431 proves nothing (rule 9)."""
        found = await self._doors.ossea.list_volumes(volume_id=volume_id) or await self._doors.ossea.list_volumes()
        return next((v for v in found if v.id == volume_id), None)

    async def _vm(self, vm_id: str) -> CloudVM | None:
        """The VM, from a list in which the OMA's own VM is the witness that absence means gone (rule 9)."""
        vms = {vm.id: vm for vm in await self._doors.ossea.list_virtual_machines()}
        if self._subject.oma_vm_id not in vms:
            raise NotExecuted(
                f"the list of VMs lacks the appliance's own VM {self._subject.oma_vm_id}, so it proves nothing.",
                system="OSSEA",
                remedy="Check the rights of the account.",
            )
        return vms.get(vm_id)


def _said(job: AsyncJob) -> str:
    if job.error_text:
        return job.error_text
    if job.status is JobStatus.VANISHED:
        return f"OSSEA does not know job {job.id}"
    return f"OSSEA job {job.id} ended {job.status.value} without a text (code {job.code})"


def _not_permitted(job: AsyncJob) -> bool:
    return job.status is JobStatus.FAILED and job.code in _FORBIDDEN


def refused(request: Request, error: ApplianceError, at: datetime) -> Request:
    """The request settled as certainly not executed.

    For the removal of a VM `REFUSED` means that the account has no right to it, so any other refusal counts as a try.
    """
    removal = request.kind in {Kind.DESTROY_VM, Kind.EXPUNGE_VM}
    outcome = Outcome.NO_EFFECT if removal and error.code not in _FORBIDDEN else Outcome.REFUSED
    return replace(request, outcome=outcome, error=str(error), settled_at=at)
