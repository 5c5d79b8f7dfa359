"""From errors to answers, in one place: which status, which reason, what a person does next.

401  no token, or one that is not accepted        409  refused, ambiguous, or only a person can help
403  a right is missing                           413  the body is too long
404  no such VM, Appliance, cleanup or page       422  the request cannot be understood
414  the address is too long                      431  the headers are too long
429  too many requests or refused tokens          500  it was tried and did not succeed
503  API server or appliance cannot be reached    504  not finished yet; it goes on
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from failed_execution_cleanup import client
from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.appliance.errors import ApplianceError, Refused
from failed_execution_cleanup.client import Ending, EndingState
from failed_execution_cleanup.console.access_review import NotAllowed
from failed_execution_cleanup.console.catalogue import AmbiguousVM, NamespaceNeeded, UnknownVM
from failed_execution_cleanup.console.identity import Unauthenticated
from failed_execution_cleanup.console.limits import TooMany
from failed_execution_cleanup.controller.kubernetes_api import KubernetesError
from failed_execution_cleanup.resources.reasons import Reason

__all__ = ["HANDLED", "NO_CLUSTER", "NoCluster", "Problem", "of_ending", "problem_of"]

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = "15"


@dataclass(frozen=True, slots=True)
class Problem:
    """What a caller is told when something did not succeed.

    Attributes:
        status: HTTP status.
        reason: one CamelCase word; those of cleanups are explained in docs/reasons.
        error: a sentence that names the object.
        remedy: what to do next.
        headers: of the answer.
    """

    status: int
    reason: str
    error: str
    remedy: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


class NoCluster(Exception):  # noqa: N818 - named for what happened
    """What is asked for is about resources, and there is no cluster to keep them."""


HANDLED: Final[tuple[type[Exception], ...]] = (
    Unauthenticated,
    NotAllowed,
    TooMany,
    UnknownVM,
    AmbiguousVM,
    NamespaceNeeded,
    NoCluster,
    client.ClientError,
    ApplianceError,
    KubernetesError,
)
"""Errors that `problem_of` knows; any other is a defect."""

NO_CLUSTER: Final = Problem(
    501,
    "NoCluster",
    "this console runs on an appliance without Kubernetes, where there are no cleanup resources.",
    "Use the cards, the plan and cleanup-failed here, or `fec local` on the appliance.",
)

_FAILED: Final = frozenset(
    {
        Reason.REVERT_IMPOSSIBLE,
        Reason.REVERT_FAILING,
        Reason.DETACH_FAILING,
        Reason.ATTACH_FAILING,
        Reason.STOP_FAILING,
        Reason.REPLICA_NOT_CONSISTENT,
        Reason.CLEANED_DATA_SUSPECT,
        Reason.DEADLINE_EXCEEDED,
        Reason.SUPERSEDED_IN_RUN,
    }
)
"""Ends of what was begun and did not succeed; other stops were refused before, or wait for a person's word."""


def of_ending(end: Ending) -> Problem | None:
    """What a caller who waited for a clean VM is told; None if it is clean."""
    if end.state is EndingState.CLEAN and end.reason != Reason.SUPERSEDED:
        return None
    status = 409
    if end.reason == Reason.UNKNOWN_VM:
        status = 404
    elif end.reason in _FAILED:
        status = 500
    elif end.reason == Reason.APPLIANCE_UNREACHABLE:
        status = 503
    elif not end.over:
        status = 504
    return Problem(status, end.reason, end.message or end.reason, end.remedy)


def problem_of(error: Exception) -> Problem:
    """The answer to one of `HANDLED`."""
    match error:
        case Unauthenticated():
            return _unauthenticated(str(error))
        case NotAllowed():
            return Problem(403, "Forbidden", str(error), error.remedy)
        case TooMany():
            again = str(error.retry_after_seconds)
            return Problem(429, "TooManyRequests", str(error), f"Wait {again} s.", {"Retry-After": again})
        case UnknownVM():
            return Problem(404, Reason.UNKNOWN_VM.value, str(error), error.remedy)
        case AmbiguousVM():
            return Problem(409, Reason.AMBIGUOUS_VM.value, str(error), error.remedy)
        case NamespaceNeeded():
            return Problem(409, "NamespaceNeeded", str(error), error.remedy)
        case NoCluster():
            return NO_CLUSTER
        case client.ClientError():
            return _of_client(error)
        case Inconsistent():
            return Problem(409, Reason.APPLIANCE_INCONSISTENT.value, error.message, error.remedy)
        case Refused():
            return Problem(500, Reason.UNEXPECTED_STATE.value, f"{error.system}: {error.message}", error.remedy)
        case ApplianceError():
            message = f"{error.system}: {error.message}"
            return _unreachable(Reason.APPLIANCE_UNREACHABLE.value, message, error.remedy)
    return _unreachable(
        "KubernetesUnreachable", str(error), "Try again in a moment; an administrator looks at the console's rights."
    )


def _of_client(error: client.ClientError) -> Problem:
    text, remedy = str(error), error.remedy
    match error:
        case client.NotAllowed() if isinstance(error.__cause__, KubernetesError) and error.__cause__.status == 401:
            return _unauthenticated("the Kubernetes API server does not accept the token any more.")
        case client.NotAllowed():
            return Problem(403, "Forbidden", text, remedy)
        case client.NoSuchCleanup() | client.NoSuchAppliance():
            return Problem(404, "NotFound", text, remedy)
        case client.AmbiguousTarget():
            return Problem(409, Reason.AMBIGUOUS_VM.value, text, remedy)
        case client.NotPossible():
            return Problem(409, "NotPossible", text, remedy)
        case client.NotAccepted():
            return Problem(422, "InvalidRequest", text, remedy)
        case client.NotEnded():
            return Problem(504, client.ending(error.cleanup).reason, text, remedy)
    return _unreachable("KubernetesUnreachable", text, "Try again in a moment.")


def _unauthenticated(why: str) -> Problem:
    remedy = "Send `Authorization: Bearer <token>` with a token of the cluster, such as `kubectl create token` prints."
    return Problem(401, "Unauthenticated", why, remedy, {"WWW-Authenticate": "Bearer"})


def _unreachable(reason: str, why: str, remedy: str) -> Problem:
    return Problem(503, reason, why, remedy, {"Retry-After": _RETRY_SECONDS})
