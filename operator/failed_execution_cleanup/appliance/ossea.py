"""The door to OSSEA, a CloudStack cloud: reads, and the five requests a cleanup may make there.

Every request is a POST form. Nothing secret is ever part of a URL, so neither httpx's own log line nor a proxy's
shows it, and servers that insist on POST for changes are served as well (CloudStack facts 1.1). Volumes are attached
and detached through the Volume Daemon, never here; no volume is ever deleted.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from failed_execution_cleanup.appliance.errors import BadCredentials, NotExecuted, NotFound, Refused, Unavailable
from failed_execution_cleanup.appliance.http_exchange import (
    checked_id,
    exchange,
    no_answer,
    server_url,
    usual_authorities,
)
from failed_execution_cleanup.appliance.ossea_answers import (
    NOT_PERMITTED,
    PARAMETER_ERROR,
    SYSTEM,
    CapabilityRow,
    HostRow,
    JobRow,
    PendingJobRow,
    RowT,
    SnapshotRow,
    VMRow,
    VMSnapshotRow,
    VolumeRow,
    read_answer,
    read_rows,
    validated,
)
from failed_execution_cleanup.appliance.ossea_signing import signed
from failed_execution_cleanup.appliance.polling import poll
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.appliance.shared_read import SharedRead
from failed_execution_cleanup.appliance.skyline import Skyline, list_everything
from failed_execution_cleanup.recovery.world import CloudSnapshot, CloudVM, CloudVolume, VMSnapshot

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from failed_execution_cleanup.appliance.calls import CallListener

_LIST_ATTEMPTS = 3
_VOLUMES: Final = "listVolumes"
_SNAPSHOTS: Final = "listSnapshots"
_LOOK_WAITS_SECONDS = 0.5
"""The longest a look at a job steps back behind requests that something waits for."""
_LONGEST_PAUSE_SECONDS = 60.0
"""The longest the server may silence us at once; the window of its limit is a second (CloudStack facts 1.7)."""


class JobStatus(StrEnum):
    """What is known of an asynchronous job. `VANISHED`: the server does not know the id (never arrived, or purged)."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class AsyncJob:
    """An asynchronous job as OSSEA reports it (CloudStack facts 1.5).

    Attributes:
        id: the job's id.
        status: its status; only `SUCCEEDED` says that the work was done.
        code: `jobresultcode` of a failed job. 530 or 0 without a text: the server gave up, the work may go on.
        error_text: why it failed, where the server says.
        result: `jobresult` of any job where it is an object, else empty.
    """

    id: str
    status: JobStatus
    code: int | None = None
    error_text: str | None = None
    result: Mapping[str, object] = field(default_factory=dict)

    @property
    def final(self) -> bool:
        """Whether asking again brings nothing new."""
        return self.status is not JobStatus.PENDING


@dataclass(frozen=True, slots=True)
class Host:
    """A hypervisor host; `state` is raw (`Up`, `Down`, `Disconnected`, `Alert`, …)."""

    id: str
    name: str
    state: str


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What the server allows this account (CloudStack facts 1.8). None: the server does not say.

    Attributes:
        version: version of CloudStack.
        expunge: whether VMs may be expunged.
        sees_destroyed: whether Destroyed VMs are listed.
        forced_stop: whether a forced stop is allowed.
        request_limit: requests per `request_interval_seconds`, where throttling is on.
        request_interval_seconds: see `request_limit`.
    """

    version: str
    expunge: bool | None
    sees_destroyed: bool | None
    forced_stop: bool | None
    request_limit: int | None
    request_interval_seconds: int | None


@dataclass(frozen=True, slots=True)
class OSSEAReads:
    """Reads that clients of one account make together.

    Attributes:
        pages: requests that the last reading of each long list took, by command.
    """

    skyline: SharedRead[Skyline] = field(default_factory=SharedRead)
    volumes: SharedRead[tuple[CloudVolume, ...]] = field(default_factory=partial(SharedRead, gather_seconds=0.0))
    snapshots: SharedRead[tuple[CloudSnapshot, ...]] = field(default_factory=partial(SharedRead, gather_seconds=0.0))
    pending_jobs: SharedRead[frozenset[str]] = field(default_factory=SharedRead)
    pages: dict[str, int] = field(default_factory=dict)


class OSSEAClient:
    """Speaks the CloudStack API for one account.

    Reads raise `NotExecuted` or `Refused`. Submissions return the id of the asynchronous job; they raise
    `NotExecuted` and `Refused` when this request made no job, and `Unknown` when it may have. With a chosen job id
    compare the answer with it: a server that answers another one ignores the parameter. A chosen id that was used
    before is refused with 431: ask for the job first (CloudStack facts 1.6).
    """

    def __init__(
        self,
        url: str,
        api_key: str,
        secret_key: str,
        *,
        http: httpx.AsyncClient | None = None,
        limiter: RateLimit | None = None,
        timeout_seconds: float = 30.0,
        verify: ssl.SSLContext | bool = True,
        shared: OSSEAReads | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        heard: CallListener | None = None,
    ) -> None:
        """Prepare a client; nothing is sent.

        Args:
            url: address of the management server; `/client/api` is appended when missing.
            api_key: API key of the account.
            secret_key: secret key of the account.
            http: client to send with; stays open. None: an own one, closed by `aclose`.
            limiter: entered before every read, and by `turn` for a mutating request; paused when the server asks for it.
            timeout_seconds: limit for one request from connection to last byte.
            verify: how an own client checks certificates; a given `http` brings its own way.
            shared: what it reads together with other clients of the same account; None: nothing.
            clock: current time with zone, for the expiry of requests.
            heard: hears of every request.

        Raises:
            NotExecuted: `url` is not usable.
        """
        base = server_url(url, system=SYSTEM)
        path = base.path.rstrip("/")
        self._url = base.copy_with(path=path if path.endswith("/client/api") else f"{path}/client/api")
        self._api_key = api_key
        self._secret_key = secret_key
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(verify=usual_authorities() if verify is True else verify)
        self._limiter = limiter or RateLimit(math.inf)
        self._timeout_seconds = timeout_seconds
        self._clock = clock
        self._heard = heard
        self._shared = shared or OSSEAReads()
        self._may_list_jobs = True

    @property
    def url(self) -> str:
        """Address of the API; holds no secret."""
        return str(self._url)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, if they are ours."""
        if self._owns_http:
            await self._http.aclose()

    async def turn(self) -> None:
        """Wait for this client's turn under the limit, for the mutating request that is sent next.

        Such a request takes no turn itself, so that nothing waits between the last look before it and its sending (rule 7).
        """
        async with self._limiter:
            return

    async def skyline(self) -> Skyline:
        """Everything the account sees, read after this was called, and once for all who ask at the same moment.

        Raises:
            NotExecuted, Refused: a list could not be read.
        """
        return await self._shared.skyline(partial(list_everything, self))

    async def list_virtual_machines(self, vm_id: str | None = None) -> tuple[CloudVM, ...]:
        """Every VM the account sees, in the server's order; or the one asked for, if it is seen.

        Accounts without rights do not see Destroyed and Expunging VMs (CloudStack facts 2.2).
        """
        rows = await self._list("listVirtualMachines", "virtualmachine", VMRow, id=vm_id)
        return tuple(
            CloudVM(
                id=row.id,
                name=row.name,
                display_name=row.displayname,
                state=row.state,
                created=row.created,
                host_id=row.hostid,
                job_id=row.jobid,
            )
            for row in rows
        )

    async def list_volumes(self, *, vm_id: str | None = None, volume_id: str | None = None) -> tuple[CloudVolume, ...]:
        """Volumes: all, those on one VM, or one.

        An id the server does not know and an id of nothing visible are both an empty answer; neither proves that the
        volume is gone (rule 9). `size` is in bytes, 0 where the server does not say.

        Raises:
            NotFound: the server does not know the VM.
        """
        if vm_id is None and (volume_id is None or self._is_list_cheaper(_VOLUMES)):
            listed = await self._shared.volumes(self._read_volumes)
            if volume_id is None:
                return listed
            if shown := tuple(volume for volume in listed if volume.id == volume_id):
                return shown
        return await self._read_volumes(vm_id, volume_id)

    async def list_snapshots(
        self, volume_id: str | None = None, *, snapshot_id: str | None = None
    ) -> tuple[CloudSnapshot, ...]:
        """Volume snapshots: all, those of one volume, or one. `size` is the size of the volume they hold, in bytes.

        Raises:
            NotFound: the server does not know the volume; its snapshots may exist all the same.
        """
        if snapshot_id is None and (volume_id is None or self._is_list_cheaper(_SNAPSHOTS)):
            listed = await self._shared.snapshots(self._read_snapshots)
            if volume_id is None:
                return listed
            if shown := tuple(snapshot for snapshot in listed if snapshot.volume_id == volume_id):
                return shown
        return await self._read_snapshots(volume_id, snapshot_id)

    def _is_list_cheaper(self, command: str) -> bool:
        """Whether the list of everything takes no more requests than wait for their turn already.

        All who look for one object then take that list, so a queue for the limit grows shorter by itself; what the list does not show
        is asked for by its id, as ever.
        """
        return self._limiter.waiting >= self._shared.pages.get(command, 1)

    async def _read_volumes(self, vm_id: str | None = None, volume_id: str | None = None) -> tuple[CloudVolume, ...]:
        rows = await self._list(_VOLUMES, "volume", VolumeRow, of={"virtualmachineid": vm_id}, id=volume_id)
        return tuple(
            CloudVolume(
                id=row.id,
                name=row.name,
                type=row.type,
                state=row.state,
                size=row.size,
                vm_id=row.virtualmachineid,
                device_id=row.deviceid,
                attached=row.attached,
                job_id=row.jobid,
                created=row.created,
            )
            for row in rows
        )

    async def _read_snapshots(
        self, volume_id: str | None = None, snapshot_id: str | None = None
    ) -> tuple[CloudSnapshot, ...]:
        rows = await self._list(_SNAPSHOTS, "snapshot", SnapshotRow, of={"volumeid": volume_id}, id=snapshot_id)
        return tuple(
            CloudSnapshot(
                id=row.id,
                name=row.name,
                volume_id=row.volumeid,
                state=row.state,
                created=row.created,
                revertable=row.revertable,
                size=row.virtualsize,
                job_id=row.jobid,
            )
            for row in rows
        )

    async def list_vm_snapshots(self, vm_id: str | None = None) -> tuple[VMSnapshot, ...]:
        """Snapshots of whole VMs: all, or those of one VM.

        Raises:
            NotFound: the server does not know the VM.
        """
        rows = await self._list("listVMSnapshot", "vmsnapshot", VMSnapshotRow, of={"virtualmachineid": vm_id})
        return tuple(
            VMSnapshot(id=row.id, name=row.displayname or row.name, vm_id=row.virtualmachineid) for row in rows
        )

    async def list_hosts(self) -> tuple[Host, ...] | None:
        """Hypervisor hosts; None when the account may not see them."""
        try:
            rows = await self._list("listHosts", "host", HostRow, only={"type": "Routing"})
        except (BadCredentials, Refused) as error:
            if error.code in NOT_PERMITTED:
                return None
            raise
        return tuple(Host(id=row.id, name=row.name, state=row.state) for row in rows)

    async def capabilities(self) -> Capabilities:
        """What the server allows this account."""
        body = await self._request("listCapabilities", {}, what="listCapabilities")
        row = validated(CapabilityRow, body.get("capability") or {}, what="listCapabilities")
        return Capabilities(
            version=row.cloudstackversion,
            expunge=row.allowuserexpungerecovervm,
            sees_destroyed=row.allowuserviewdestroyedvm,
            forced_stop=row.allowuserforcestopvm,
            request_limit=row.apilimitmax,
            request_interval_seconds=row.apilimitinterval,
        )

    async def query_job(self, job_id: str) -> AsyncJob | None:
        """One look at an asynchronous job; None when the server does not know it (never arrived, or purged)."""
        what = f"queryAsyncJobResult of {checked_id(job_id, system=SYSTEM)}"
        try:
            body = await self._request("queryAsyncJobResult", {"jobid": job_id}, what=what)
        except Refused as error:
            if error.code == PARAMETER_ERROR:
                return None
            raise
        return _job(job_id, validated(JobRow, body, what=what))

    async def pending_jobs(self) -> frozenset[str]:
        """Ids of the jobs the account sees at work; one that is not among them has ended, or is not known."""
        rows = await self._list("listAsyncJobs", "asyncjobs", PendingJobRow)
        return frozenset(row.id for row in rows)

    async def wait_job(
        self, job_id: str, *, deadline_seconds: float | None = None, patience_seconds: float = 300.0
    ) -> AsyncJob:
        """Follow a job until it ends: by the list of pending ones, which serves all that follow jobs; once it is not listed, by its id.

        Args:
            job_id: the job.
            deadline_seconds: time to wait; None: as long as it takes. The job goes on whatever we do.
            patience_seconds: how long looks may fail in a row.

        Returns:
            The job: succeeded, failed, `VANISHED` when the server does not know it, or still pending at the deadline.

        Raises:
            NotExecuted: the server could not be asked for `patience_seconds`, or at the deadline.
            Refused: the job is not ours to see.
        """

        async def look() -> AsyncJob:
            await self._limiter.spare(at_most_seconds=_LOOK_WAITS_SECONDS)
            if await self._is_pending(job_id):
                return AsyncJob(job_id, JobStatus.PENDING)
            return await self.query_job(job_id) or AsyncJob(job_id, JobStatus.VANISHED)

        return await poll(
            look,
            final=lambda job: job.final,
            first_seconds=0.25,
            longest_seconds=10.0,
            deadline_seconds=deadline_seconds,
            patience_seconds=patience_seconds,
        )

    async def _is_pending(self, job_id: str) -> bool:
        """Whether the list shows the job at work; a list that cannot be had says nothing, and the job is asked for itself."""
        if not self._may_list_jobs:
            return False
        try:
            return job_id in await self._shared.pending_jobs(self.pending_jobs)
        except (BadCredentials, NotExecuted, Refused) as error:
            self._may_list_jobs = error.code not in NOT_PERMITTED
            return False

    async def stop_vm(self, vm_id: str, *, forced: bool = False, custom_job_id: str | None = None) -> str:
        """Stop a VM. `forced` may only mark it Stopped while the guest still writes (CloudStack facts 2.10)."""
        extra = {"forced": "true"} if forced else {}
        return await self._submit("stopVirtualMachine", vm_id, custom_job_id, extra)

    async def revert_snapshot(self, snapshot_id: str, *, custom_job_id: str | None = None) -> str:
        """Put a volume back to one of its snapshots. The server takes the volume from the snapshot: compare before."""
        return await self._submit("revertSnapshot", snapshot_id, custom_job_id)

    async def delete_snapshot(self, snapshot_id: str, *, custom_job_id: str | None = None) -> str:
        """Delete a volume snapshot."""
        return await self._submit("deleteSnapshot", snapshot_id, custom_job_id)

    async def destroy_vm(self, vm_id: str, *, expunge: bool, custom_job_id: str | None = None) -> str:
        """Destroy a VM with its ROOT volumes; data disks are detached and survive. Names no volumes, ever (rule 14)."""
        extra = {"expunge": "true"} if expunge else {}
        return await self._submit("destroyVirtualMachine", vm_id, custom_job_id, extra)

    async def expunge_vm(self, vm_id: str, *, custom_job_id: str | None = None) -> str:
        """Expunge a Destroyed VM (CloudStack facts 2.12)."""
        return await self._submit("expungeVirtualMachine", vm_id, custom_job_id)

    async def _submit(
        self, command: str, object_id: str, custom_job_id: str | None, extra: Mapping[str, str] | None = None
    ) -> str:
        what = f"{command} of {checked_id(object_id, system=SYSTEM)}"
        parameters = {"id": object_id, **(extra or {})}
        if custom_job_id is not None:
            parameters["customjobid"] = checked_id(custom_job_id, system=SYSTEM).lower()
        body = await self._request(command, parameters, what=what, mutating=True)
        job_id = body.get("jobid")
        if not isinstance(job_id, str) or not job_id:
            raise no_answer("the answer names no job", system=SYSTEM, what=what, mutating=True)
        return job_id

    async def _list(
        self,
        command: str,
        entity: str,
        model: type[RowT],
        *,
        only: Mapping[str, str] | None = None,
        of: Mapping[str, str | None] | None = None,
        id: str | None = None,  # noqa: A002 - the parameter's name on the wire
    ) -> list[RowT]:
        """List to the end. Rows are unique by id and in the order first seen; an unknown `id` lists nothing.

        What belongs to an unknown object (`of`) is unknown too, which is an error and no empty list (rule 9).

        The first request asks for no page: the server answers its own maximum (`default.page.size`), which is then the
        page size. A size chosen here could be refused with 431, which a list by id would read as "unknown".
        A list longer than a page that changes while it is read is read again, so no row is lost between pages.
        """
        owners = {name: checked_id(value, system=SYSTEM) for name, value in (of or {}).items() if value is not None}
        asked = owners if id is None else {**owners, "id": checked_id(id, system=SYSTEM)}
        previous: dict[str, RowT] | None = None
        for _ in range(_LIST_ATTEMPTS):
            try:
                rows, complete = await self._list_pages(command, entity, model, {**asked, **(only or {})})
            except Refused as error:
                if error.code != PARAMETER_ERROR:
                    raise
                if owners:
                    known_by = ", ".join(f"{name} {value}" for name, value in owners.items())
                    raise NotFound(
                        f"{command}: the server does not know {known_by}.",
                        system=SYSTEM,
                        remedy="It is asked again; check the rights of the account if this stays.",
                        code=error.code,
                    ) from error
                if id is None:
                    raise
                return []
            if complete or (previous is not None and rows.keys() == previous.keys()):
                return list(rows.values())
            previous = rows
        raise Unavailable(
            f"{command}: the list changed each time it was read.", system=SYSTEM, remedy="It is asked again."
        )

    async def _list_pages(
        self, command: str, entity: str, model: type[RowT], parameters: Mapping[str, str]
    ) -> tuple[dict[str, RowT], bool]:
        """Read all pages once; also says whether what was seen is as many as each page promised."""
        rows: dict[str, RowT] = {}
        totals: set[int] = set()
        paging: dict[str, str] = {}
        page, page_size = 1, 0
        while True:
            body = await self._request(command, {"listall": "true", **parameters, **paging}, what=command)
            found = read_rows(body, entity, model, what=command)
            for row in found:
                rows.setdefault(row.id, row)
            total = body.get("count")
            totals.add(total if isinstance(total, int) else len(rows))
            page_size = page_size or len(found)
            if not found or page * page_size >= max(totals):
                if not parameters:
                    self._shared.pages[command] = page
                return rows, totals == {len(rows)}
            page += 1
            paging = {"page": str(page), "pagesize": str(page_size)}

    async def _request(
        self, command: str, parameters: Mapping[str, str], *, what: str, mutating: bool = False
    ) -> dict[str, Any]:
        async with contextlib.nullcontext() if mutating else self._limiter:
            form = signed(
                {"command": command, **parameters},
                api_key=self._api_key,
                secret_key=self._secret_key,
                now=self._clock(),
            )
            response = await exchange(
                self._http,
                self._http.build_request("POST", self._url, data=form),
                system=SYSTEM,
                command=command,
                what=what,
                mutating=mutating,
                timeout_seconds=self._timeout_seconds,
                heard=self._heard,
            )
        try:
            return read_answer(response, what=what, mutating=mutating, secrets=(self._api_key, self._secret_key))
        except NotExecuted as error:
            if error.retry_after:
                self._limiter.pause(min(error.retry_after, _LONGEST_PAUSE_SECONDS))
            raise


def _job(job_id: str, row: JobRow) -> AsyncJob:
    result = row.jobresult if isinstance(row.jobresult, dict) else {}
    if row.jobstatus == 0:
        return AsyncJob(job_id, JobStatus.PENDING, result=result)
    if row.jobstatus == 1:
        return AsyncJob(job_id, JobStatus.SUCCEEDED, result=result)
    text = row.jobresult if isinstance(row.jobresult, str) else result.get("errortext")
    return AsyncJob(
        job_id, JobStatus.FAILED, code=row.jobresultcode, error_text=str(text) if text else None, result=result
    )
