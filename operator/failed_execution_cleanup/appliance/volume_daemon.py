"""The door to the Volume Daemon: what it believes, its operations, and the three requests a cleanup makes there.

The daemon is not idempotent: attaching an attached volume and detaching a detached one both answer 201 and end `failed`
(appliance facts 0.1), and it neither queues nor joins requests. What it says about a location is a read of its own
table, never the truth (rule 9). Its endpoints that delete volumes or clean up are not spoken here, and never will be.
"""

from __future__ import annotations

import contextlib
import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self, TypeVar

import httpx
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from failed_execution_cleanup.appliance.errors import NotExecuted, NotFound, Refused
from failed_execution_cleanup.appliance.http_exchange import (
    checked_id,
    exchange,
    no_answer,
    server_url,
    usual_authorities,
)
from failed_execution_cleanup.appliance.polling import poll
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.appliance.shared_read import SharedRead

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from failed_execution_cleanup.appliance.calls import CallListener

SYSTEM = "Volume Daemon"

_FINAL_STATUSES = frozenset({"completed", "failed", "cancelled"})
_LONGEST_QUOTE = 300


@dataclass(frozen=True, slots=True)
class Health:
    """`GET /health`. Only `database_health` carries information: `healthy`, or `unhealthy: …` (appliance facts 1.4)."""

    status: str
    database_health: str

    @property
    def database_reachable(self) -> bool:
        """Whether the daemon reaches its database."""
        return self.database_health == "healthy"


@dataclass(frozen=True, slots=True)
class DeviceMapping:
    """Where the daemon believes a volume to be (appliance facts 1.4).

    Attributes:
        volume_id: the volume; `volume_uuid` on the wire.
        vm_id: the VM it was attached to.
        operation_mode: raw: `oma` or `failover`. It does not tell a location (appliance facts 0.5).
        device_path: `/dev/disk/by-id/virtio-…` on the OMA; `remote-vm-…` elsewhere.
        linux_state: raw: `detected` on the OMA, `n/a` elsewhere.
        size: bytes; 0 elsewhere than on the OMA.
        updated_at: the daemon's stamp. Its digits are UTC.
    """

    volume_id: Annotated[str, Field(validation_alias="volume_uuid")]
    vm_id: str
    operation_mode: str
    device_path: str
    linux_state: str = ""
    size: int = 0
    updated_at: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class NBDExport:
    """An export that replication writes to; `status` is raw: `pending`, `active`, `failed` (appliance facts 1.10)."""

    volume_id: str
    export_name: str
    device_path: str
    status: str
    port: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the daemon (appliance facts 1.4, 1.5).

    Attributes:
        id: its id.
        type: raw: `attach`, `detach`, `create`, `delete`, `cleanup`.
        status: raw: `pending`, `executing`, `completed`, `failed`, `cancelled`. `failed` does not say that nothing
            was done (appliance facts 0.2), and `executing` may be left for ever by a restart.
        volume_id: the volume; empty for `create`.
        vm_id: the VM of an attach.
        error: why it failed.
        response: what it brought.
        created_at: start. From a list or a look its digits are UTC; compare it with the daemon's own clock only.
        completed_at: end, failed ones too.
    """

    id: str
    type: str
    status: str
    volume_id: str
    created_at: AwareDatetime
    vm_id: str | None = None
    error: str | None = None
    response: dict[str, Any] | None = None
    completed_at: AwareDatetime | None = None

    @property
    def final(self) -> bool:
        """Whether it has ended."""
        return self.status in _FINAL_STATUSES


_LOOK_WAITS_SECONDS = 0.5
"""The longest a look at an operation steps back behind requests that something waits for."""
_RECENT = 50
"""Operations of a list: more than are ever at work side by side."""

T = TypeVar("T")

_HEALTH = TypeAdapter(Health)
_MAPPING = TypeAdapter(DeviceMapping)
_EXPORT = TypeAdapter(NBDExport)
_OPERATION = TypeAdapter(Operation)
_OPERATIONS = TypeAdapter(list[Operation] | None)


class VolumeDaemonClient:
    """Speaks the Volume Daemon's REST API. The daemon knows neither users nor TLS.

    Reads raise `NotExecuted` or `Refused`. Requests may also raise `Unknown`: look at the operations of the volume
    and at OSSEA before anything is repeated.
    """

    def __init__(
        self,
        url: str,
        *,
        http: httpx.AsyncClient | None = None,
        limiter: RateLimit | None = None,
        timeout_seconds: float = 30.0,
        recent: SharedRead[tuple[Operation, ...]] | None = None,
        heard: CallListener | None = None,
    ) -> None:
        """Prepare a client; nothing is sent.

        Args:
            url: address of the daemon, `http://oma.example.com:8090`; `/api/v1` is appended when missing.
            http: client to send with; stays open. None: an own one, closed by `aclose`.
            limiter: entered before every read, and by `turn` for a mutating request.
            timeout_seconds: limit for one request from connection to last byte.
            recent: shares the list of recent operations among the clients that follow one.
            heard: hears of every request.

        Raises:
            NotExecuted: `url` is not usable.
        """
        base = server_url(url, system=SYSTEM)
        path = base.path.rstrip("/")
        self._base = str(base.copy_with(path=path if path.endswith("/api/v1") else f"{path}/api/v1"))
        self._owns_http = http is None
        self._http = http or httpx.AsyncClient(verify=usual_authorities())
        self._limiter = limiter or RateLimit(math.inf)
        self._timeout_seconds = timeout_seconds
        self._heard = heard
        self._recent: SharedRead[tuple[Operation, ...]] = recent or SharedRead()

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

    async def health(self) -> Health:
        """Whether the daemon answers and reaches its database."""
        what = "health"
        return _read(_HEALTH, await self._get("/health", what=what), what=what)

    async def device_mapping(self, volume_id: str) -> DeviceMapping | None:
        """What the daemon believes about a volume; None when it has no mapping.

        Raises:
            Unavailable: the daemon could not read its table; it answers 404 for that as well (appliance facts 0.4).
        """
        what = f"mapping of volume {checked_id(volume_id, system=SYSTEM)}"
        response = await self._get("/volumes/{id}/device", volume_id, what=what)
        if _says_missing(response, f"mapping not found for volume: {volume_id}"):
            return None
        return _read(_MAPPING, response, what=what)

    async def export(self, volume_id: str) -> NBDExport | None:
        """The NBD export of a volume; None when there is none.

        Raises:
            Unavailable: the daemon could not read its table; it answers 404 for that as well.
        """
        what = f"export of volume {checked_id(volume_id, system=SYSTEM)}"
        response = await self._get("/exports/{id}", volume_id, what=what)
        if _says_missing(response, f"export not found for volume: {volume_id}"):
            return None
        return _read(_EXPORT, response, what=what)

    async def operation(self, operation_id: str) -> Operation | None:
        """One operation; None when the daemon does not know it."""
        what = f"operation {checked_id(operation_id, system=SYSTEM)}"
        response = await self._get("/operations/{id}", operation_id, what=what)
        if _says_missing(response, f"operation not found: {operation_id}"):
            return None
        return _read(_OPERATION, response, what=what)

    async def operations(
        self, *, volume_id: str | None = None, status: str | None = None, limit: int | None = None
    ) -> tuple[Operation, ...]:
        """Operations, newest first; the daemon's `null` is an empty answer.

        Args:
            volume_id: of this volume only.
            status: in this raw status only.
            limit: at most so many.
        """
        asked: dict[str, str] = {}
        if volume_id is not None:
            asked["volume_id"] = checked_id(volume_id, system=SYSTEM)
        if status is not None:
            asked["status"] = status
        if limit is not None:
            asked["limit"] = str(limit)
        what = "operations" if volume_id is None else f"operations of volume {volume_id}"
        found = _read(_OPERATIONS, await self._get("/operations", what=what, query=asked), what=what)
        return tuple(found or ())

    async def attach(self, volume_id: str, vm_id: str) -> Operation:
        """Start to attach a detached volume as a data disk.

        Raises:
            Unknown: the operation may have been started.
        """
        # The daemon accepts an empty VM and fails later (appliance facts 1.2).
        what = f"attach of volume {checked_id(volume_id, system=SYSTEM)} to VM {checked_id(vm_id, system=SYSTEM)}"
        response = await self._post("/volumes/{id}/attach", volume_id, what=what, body={"vm_id": vm_id})
        return _read(_OPERATION, response, what=what, mutating=True)

    async def detach(self, volume_id: str) -> Operation:
        """Start to detach a volume from whoever holds it.

        Raises:
            Unknown: the operation may have been started.
        """
        what = f"detach of volume {checked_id(volume_id, system=SYSTEM)}"
        return _read(
            _OPERATION, await self._post("/volumes/{id}/detach", volume_id, what=what), what=what, mutating=True
        )

    async def create_export(self, volume_id: str, *, vm_name: str, vm_id: str, disk_number: int) -> NBDExport:
        """Create the NBD export of a volume that has a mapping on the OMA.

        Raises:
            Unknown: also when there is no mapping, which the daemon answers with 500.
        """
        what = f"create export of volume {checked_id(volume_id, system=SYSTEM)}"
        body = {"volume_id": volume_id, "vm_name": vm_name, "vm_id": vm_id, "disk_number": disk_number}
        return _read(_EXPORT, await self._post("/exports", what=what, body=body), what=what, mutating=True)

    async def wait_operation(self, operation_id: str, *, deadline_seconds: float = 420.0) -> Operation:
        """Follow an operation until it ends: in the list of recent ones, which serves all that follow one, or by its id.

        A look that fails is repeated.

        Args:
            operation_id: the operation.
            deadline_seconds: time to wait. The daemon's own limit is CloudStack's 300 s and a margin; what is older
                is dead.

        Returns:
            The operation, ended, or as last seen at the deadline.

        Raises:
            NotExecuted: at the deadline the latest look had failed.
            NotFound: the daemon does not know it.
        """

        async def look() -> Operation:
            await self._limiter.spare(at_most_seconds=_LOOK_WAITS_SECONDS)
            operation = await self._listed(operation_id) or await self.operation(operation_id)
            if operation is None:
                raise NotFound(
                    f"operation {operation_id} is not known.",
                    system=SYSTEM,
                    remedy="Check that the daemon and the operator use the same database.",
                    code=404,
                )
            return operation

        return await poll(
            look,
            final=lambda operation: operation.final,
            first_seconds=0.25,
            longest_seconds=5.0,
            deadline_seconds=deadline_seconds,
            patience_seconds=math.inf,
        )

    async def _listed(self, operation_id: str) -> Operation | None:
        """An operation as the list of recent ones shows it; None where it does not, or cannot be had."""
        try:
            recent = await self._recent(partial(self.operations, limit=_RECENT))
        except (NotExecuted, Refused):
            return None
        return next((operation for operation in recent if operation.id == operation_id), None)

    async def _get(
        self, path: str, object_id: str = "", *, what: str, query: Mapping[str, str] | None = None
    ) -> httpx.Response:
        return await self._exchange("GET", path, object_id, what=what, query=query)

    async def _post(
        self, path: str, object_id: str = "", *, what: str, body: Mapping[str, object] | None = None
    ) -> httpx.Response:
        return await self._exchange("POST", path, object_id, what=what, body=body, mutating=True)

    async def _exchange(
        self,
        method: str,
        path: str,
        object_id: str,
        *,
        what: str,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, object] | None = None,
        mutating: bool = False,
    ) -> httpx.Response:
        request = self._http.build_request(method, self._base + path.format(id=object_id), params=query, json=body)
        async with contextlib.nullcontext() if mutating else self._limiter:
            return await exchange(
                self._http,
                request,
                system=SYSTEM,
                command=f"{method} {path}",
                what=what,
                mutating=mutating,
                timeout_seconds=self._timeout_seconds,
                heard=self._heard,
            )


def _read(shape: TypeAdapter[T], response: httpx.Response, *, what: str, mutating: bool = False) -> T:
    """Read an answer: only 200 is one for a read, only 201 for a request (appliance facts 1.3)."""
    status = response.status_code
    if status == (httpx.codes.CREATED if mutating else httpx.codes.OK):
        try:
            return shape.validate_json(response.content)
        except ValidationError:
            raise no_answer(
                f"HTTP {status} with a body that cannot be read",
                system=SYSTEM,
                what=what,
                mutating=mutating,
                code=status,
            ) from None
    text = _error_text(response)
    client_error = httpx.codes.MULTIPLE_CHOICES <= status < httpx.codes.INTERNAL_SERVER_ERROR
    if client_error and text is None:
        raise NotExecuted(
            f"{what}: HTTP {status} from something that is not the Volume Daemon.",
            system=SYSTEM,
            remedy="Check the address; the daemon listens on port 8090.",
            code=status,
        )
    said = f"HTTP {status}" if text is None else f"HTTP {status}, {text}"
    # A read's 404 that is not plainly "not there" is trouble with the daemon's database (appliance facts 0.4).
    if client_error and (mutating or status != httpx.codes.NOT_FOUND):
        remedy = "Nothing was done there; the state is read again."
        raise Refused(f"{what}: {said}.", system=SYSTEM, remedy=remedy, code=status)
    raise no_answer(said, system=SYSTEM, what=what, mutating=mutating, code=status)


def _says_missing(response: httpx.Response, text: str) -> bool:
    """Whether a 404 says that the row does not exist: its text ends like this; a prefix is only wrapping."""
    return response.status_code == httpx.codes.NOT_FOUND and (_error_text(response) or "").endswith(text)


def _error_text(response: httpx.Response) -> str | None:
    try:
        document = response.json()
    except ValueError:
        return None
    text = document.get("error") if isinstance(document, dict) else None
    return " ".join(text.split())[:_LONGEST_QUOTE] if isinstance(text, str) else None
