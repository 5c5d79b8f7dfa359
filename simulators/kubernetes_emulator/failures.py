"""Refusals, as `Status` objects the way the API server words them."""

from __future__ import annotations

from typing import Any

from kubernetes_emulator.kinds import Kind


class ApiError(Exception):
    """A request that is refused.

    Attributes:
        code: HTTP status.
        status: the `Status` object of the answer.
        headers: headers of the answer.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        continue_token: str = "",
        *,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.headers = {} if retry_after is None else {"Retry-After": str(retry_after)}
        self.status = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": continue_token} if continue_token else {},
            "status": "Failure",
            "message": message,
            "reason": reason,
            **({} if details is None else {"details": details}),
            "code": code,
        }


class PageNotFound(Exception):  # noqa: N818 - named for what happened
    """Nothing is served under this path; the answer is plain text, as for the paths of unknown custom resources."""


def details_of(kind: Kind, name: str) -> dict[str, Any]:
    """The object a `Status` is about."""
    return {"name": name, **({"group": kind.group} if kind.group else {}), "kind": kind.plural}


def not_found(kind: Kind, name: str) -> ApiError:
    """No object of that name."""
    return ApiError(404, "NotFound", f'{kind.resource} "{name}" not found', details_of(kind, name))


def no_such_resource() -> ApiError:
    """A built-in group without such a resource."""
    return ApiError(404, "NotFound", "the server could not find the requested resource", {})


def already_exists(kind: Kind, name: str) -> ApiError:
    """Creation of what is there already."""
    return ApiError(409, "AlreadyExists", f'{kind.resource} "{name}" already exists', details_of(kind, name))


def conflict(kind: Kind, name: str, explanation: str) -> ApiError:
    """The object is not the one, or not the version, the request is based on."""
    message = f'Operation cannot be fulfilled on {kind.resource} "{name}": {explanation}'
    return ApiError(409, "Conflict", message, details_of(kind, name))


def invalid(kind: Kind, name: str, field: str, explanation: str) -> ApiError:
    """A field has a value it may not have."""
    cause = {"reason": "FieldValueInvalid", "message": explanation, "field": field}
    message = f'{kind.kind}{"." if kind.group else ""}{kind.group} "{name}" is invalid: {field}: {explanation}'
    return ApiError(422, "Invalid", message, {**details_of(kind, name), "kind": kind.kind, "causes": [cause]})


def bad_request(message: str) -> ApiError:
    """The request makes no sense, or means something the emulator cannot do."""
    return ApiError(400, "BadRequest", message)


def method_not_allowed() -> ApiError:
    """The path exists, for other methods."""
    return ApiError(405, "MethodNotAllowed", "the server does not allow this method on the requested resource", {})


def expired(message: str, continue_token: str = "") -> ApiError:
    """The version asked for is forgotten."""
    return ApiError(410, "Expired", message, continue_token=continue_token)
