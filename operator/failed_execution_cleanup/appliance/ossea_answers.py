"""What OSSEA answers: the envelope, its errors, and the rows in it (CloudStack facts 1.2 to 1.5)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import httpx
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from failed_execution_cleanup.appliance.errors import (
    ApplianceError,
    BadCredentials,
    NotExecuted,
    Refused,
    Unavailable,
)
from failed_execution_cleanup.appliance.http_exchange import no_answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

SYSTEM = "OSSEA"

PARAMETER_ERROR = 431
"""Unknown id, wrong state, used job id, page too long: one code for many reasons (CloudStack facts 1.3)."""

NOT_PERMITTED = frozenset({401, 432, 531})
"""How versions and roles say "not for this account" (CloudStack facts 1.3)."""

_INTERNAL_ERROR = 530
_LONGEST_QUOTE = 300
_REMEDIES = {
    411: "Use an account without two-factor login.",
    432: "The account may not use this command, or this version does not have it.",
    531: "Ask the administrator of the cloud for the permission.",
    532: "Raise the limits of the account or free resources.",
}


def read_answer(response: httpx.Response, *, what: str, mutating: bool, secrets: Iterable[str]) -> dict[str, Any]:
    """The value of the single top-level key, under whatever name and content type.

    Args:
        response: the whole answer.
        what: the request in words, for messages.
        mutating: whether the request changes something there.
        secrets: texts that must not be quoted, should the server echo them.

    Raises:
        ApplianceError: the answer is an error, or not the API's; the class says what was executed.
    """
    body = _envelope(response)
    if body is None:
        raise _foreign_answer(response, what=what, mutating=mutating)
    code = _error_code(response, body)
    if code is None:
        return body
    text = " ".join(str(body.get("errortext") or response.headers.get("x-description") or "no reason given").split())
    for secret in secrets:
        text = text.replace(secret, "***") if secret else text
    said = f"{code}, {text[:_LONGEST_QUOTE].rstrip('.')}"
    if code == httpx.codes.UNAUTHORIZED:
        raise _bad_credentials(f"{what}: {said}.")
    if code == httpx.codes.TOO_MANY_REQUESTS:
        raise _throttled(f"{what}: {said}.", _wait_in_text(text) or _wait_in_header(response))
    if code == httpx.codes.SERVICE_UNAVAILABLE:
        remedy = "The management server takes no work at present; it is asked again."
        raise NotExecuted(f"{what}: {said}.", system=SYSTEM, code=code, remedy=remedy)
    if httpx.codes.INTERNAL_SERVER_ERROR <= code <= _INTERNAL_ERROR:
        raise no_answer(said, system=SYSTEM, what=what, mutating=mutating, code=code)
    remedy = _REMEDIES.get(code, "Nothing was done there; the state is read again.")
    raise Refused(f"{what}: {said}.", system=SYSTEM, code=code, remedy=remedy)


def read_rows(body: Mapping[str, Any], entity: str, model: type[RowT], *, what: str) -> list[RowT]:
    """The rows of a list; an empty list has no array at all (CloudStack facts 1.4).

    Raises:
        Unavailable: a row has a field that cannot be read.
    """
    for name, value in body.items():
        if name.lower() == entity and isinstance(value, list):
            return [validated(model, row, what=what) for row in value]
    return []


def validated(model: type[ModelT], row: object, *, what: str) -> ModelT:
    """One object of an answer, checked.

    Raises:
        Unavailable: it has a field that cannot be read; the message names the field, not the value.
    """
    try:
        return model.model_validate(row)
    except ValidationError as error:
        fields = ", ".join(sorted({".".join(map(str, problem["loc"])) or "row" for problem in error.errors()}))
        raise Unavailable(
            f"{what}: the answer has an unreadable {fields}.",
            system=SYSTEM,
            remedy="Check that the address is a CloudStack server of a known version.",
        ) from None


def _envelope(response: httpx.Response) -> dict[str, Any] | None:
    try:
        document = response.json()
    except ValueError:
        return None
    if not isinstance(document, dict) or len(document) != 1:
        return None
    (body,) = document.values()
    return body if isinstance(body, dict) else None


def _error_code(response: httpx.Response, body: Mapping[str, Any]) -> int | None:
    try:
        return int(body["errorcode"])
    except (KeyError, TypeError, ValueError):
        return None if response.is_success else response.status_code


def _foreign_answer(response: httpx.Response, *, what: str, mutating: bool) -> ApplianceError:
    """The error for an answer that is not the API's: empty, HTML, a proxy's."""
    status = response.status_code
    if status == httpx.codes.UNAUTHORIZED:
        return _bad_credentials(f"{what}: {status} without a reason.")
    if status == httpx.codes.TOO_MANY_REQUESTS:
        return _throttled(f"{what}: {status} without a reason.", _wait_in_header(response))
    if httpx.codes.MULTIPLE_CHOICES <= status < httpx.codes.INTERNAL_SERVER_ERROR:
        return NotExecuted(
            f"{what}: HTTP {status} from something that is not the CloudStack API.",
            system=SYSTEM,
            remedy="Check the address: it ends with /client/api and needs no redirect.",
            code=status,
        )
    # A proxy's 502, 503 or 504 may come after the request was passed on.
    reason = "without an API answer" if response.content else "with an empty body"
    return no_answer(f"HTTP {status} {reason}", system=SYSTEM, what=what, mutating=mutating, code=status)


def _bad_credentials(message: str) -> BadCredentials:
    return BadCredentials(
        message,
        system=SYSTEM,
        code=401,
        remedy="Check API key, secret key, the role of the account, and the clocks of both machines.",
    )


def _throttled(message: str, retry_after: float | None) -> NotExecuted:
    return NotExecuted(
        message,
        system=SYSTEM,
        code=429,
        retry_after=retry_after,
        remedy="It is asked again later; lower requestsPerSecond of the Appliance if this stays.",
    )


def _wait_in_text(text: str) -> float | None:
    """Seconds from `… retry after 1234 ms` (CloudStack facts 1.7)."""
    match = re.search(r"(\d+)\s*ms\b", text)
    return int(match[1]) / 1000 if match else None


def _wait_in_header(response: httpx.Response) -> float | None:
    """Seconds of `Retry-After`; CloudStack sends none, a proxy may."""
    value = response.headers.get("retry-after", "")
    return float(value) if value.isdecimal() else None


_Text = Annotated[str | None, BeforeValidator(lambda value: value or None)]
"""Text that may be absent; an empty one is none."""


class _Wire(BaseModel):
    # Ids and enums arrive as numbers in some versions.
    model_config = ConfigDict(frozen=True, coerce_numbers_to_str=True)


class _Row(_Wire):
    id: str
    name: str = ""


class VMRow(_Row):
    """A row of listVirtualMachines."""

    displayname: str = ""
    state: str = ""
    created: AwareDatetime | None = None
    hostid: _Text = None
    jobid: _Text = None


class VolumeRow(_Row):
    """A row of listVolumes. Detached: no `virtualmachineid`, `deviceid`, `attached` (CloudStack facts 2.3)."""

    type: str = ""
    state: str = ""
    size: int = 0
    virtualmachineid: _Text = None
    deviceid: int | None = None
    attached: _Text = None
    created: AwareDatetime | None = None
    jobid: _Text = None


class SnapshotRow(_Row):
    """A row of listSnapshots (CloudStack facts 2.7)."""

    volumeid: str = ""
    state: str = ""
    created: AwareDatetime | None = None
    revertable: bool | None = None
    virtualsize: int | None = None
    jobid: _Text = None


class VMSnapshotRow(_Row):
    """A row of listVMSnapshot."""

    displayname: str = ""
    virtualmachineid: str = ""


class HostRow(_Row):
    """A row of listHosts."""

    state: str = ""


class PendingJobRow(_Row):
    """A row of listAsyncJobs, which shows pending jobs only (CloudStack facts 1.5)."""

    id: Annotated[str, Field(validation_alias="jobid")]


class JobRow(_Wire):
    """The body of queryAsyncJobResult; `jobresult` may be absent or text (CloudStack facts 1.5)."""

    jobstatus: int
    jobresultcode: int | None = None
    jobresult: dict[str, Any] | str | None = None


class CapabilityRow(_Wire):
    """The `capability` of listCapabilities (CloudStack facts 1.8)."""

    cloudstackversion: str = ""
    allowuserexpungerecovervm: bool | None = None
    allowuserviewdestroyedvm: bool | None = None
    allowuserforcestopvm: bool | None = None
    apilimitmax: int | None = None
    apilimitinterval: int | None = None


RowT = TypeVar("RowT", bound=_Row)
ModelT = TypeVar("ModelT", bound=_Wire)
