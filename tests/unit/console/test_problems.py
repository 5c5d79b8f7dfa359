"""From errors and endings to answers: one table."""

from __future__ import annotations

from typing import Any

import pytest

from failed_execution_cleanup import client
from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.appliance.errors import BadCredentials, Refused, Unavailable
from failed_execution_cleanup.client import Ending, EndingState
from failed_execution_cleanup.console.access_review import NotAllowed, use_appliance
from failed_execution_cleanup.console.catalogue import AmbiguousVM, NamespaceNeeded, UnknownVM
from failed_execution_cleanup.console.identity import Unauthenticated, User
from failed_execution_cleanup.console.limits import TooMany
from failed_execution_cleanup.console.problems import HANDLED, of_ending, problem_of
from failed_execution_cleanup.controller.kubernetes_api import Forbidden, KubernetesError, Unreachable
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind
from tests.unit.client.cluster import cleanup_body


def caused(error: client.ClientError, cause: KubernetesError) -> client.ClientError:
    error.__cause__ = cause
    return error


APPLIANCE: Any = {"system": "OMA database", "remedy": "Look at it."}
CLEANUP = FailedExecutionCleanup.model_validate(cleanup_body())


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Unauthenticated("nobody"), 401, "Unauthenticated"),
        (NotAllowed(User("bob"), use_appliance("oma")), 403, "Forbidden"),
        (TooMany("slow down", 7), 429, "TooManyRequests"),
        (UnknownVM("no VM", "Correct it."), 404, "UnknownVM"),
        (AmbiguousVM("two VMs", "Name one."), 409, "AmbiguousVM"),
        (NamespaceNeeded("oma", "Name one."), 409, "NamespaceNeeded"),
        (client.NotAllowed("policy", remedy="Ask."), 403, "Forbidden"),
        (caused(client.NotAllowed("expired"), Forbidden("expired", status=401)), 401, "Unauthenticated"),
        (client.NoSuchCleanup("gone"), 404, "NotFound"),
        (client.NoSuchAppliance("gone"), 404, "NotFound"),
        (client.AmbiguousTarget("several"), 409, "AmbiguousVM"),
        (client.NotPossible("another plan"), 409, "NotPossible"),
        (client.NotAccepted("bad field"), 422, "InvalidRequest"),
        (client.NotEnded("late", CLEANUP), 504, "Queued"),
        (client.ClusterUnreachable("no answer"), 503, "KubernetesUnreachable"),
        (Inconsistent("two rows", **APPLIANCE), 409, "ApplianceInconsistent"),
        (Refused("odd row", **APPLIANCE), 500, "UnexpectedState"),
        (Unavailable("no route", **APPLIANCE), 503, "ApplianceUnreachable"),
        (BadCredentials("wrong password", **APPLIANCE), 503, "ApplianceUnreachable"),
        (Unreachable("no answer"), 503, "KubernetesUnreachable"),
    ],
)
def test_answer_to_an_error(error: Exception, status: int, reason: str) -> None:
    assert isinstance(error, HANDLED)
    problem = problem_of(error)
    assert (problem.status, problem.reason) == (status, reason)
    assert problem.error


@pytest.mark.parametrize(
    ("reason", "status"),
    [
        (Reason.UNKNOWN_VM, 404),
        (Reason.AMBIGUOUS_VM, 409),
        (Reason.RUNNING_TEST_VM, 409),
        (Reason.SNAPSHOT_MISSING, 409),
        (Reason.NOT_PERMITTED, 409),
        (Reason.DETACH_FAILING, 500),
        (Reason.REVERT_FAILING, 500),
        (Reason.CLEANED_DATA_SUSPECT, 500),
        (Reason.REPLICA_NOT_CONSISTENT, 500),
        (Reason.DEADLINE_EXCEEDED, 500),
    ],
)
def test_answer_to_a_stop(reason: Reason, status: int) -> None:
    problem = of_ending(Ending(EndingState.NEEDS_PERSON, reason.value, "why", reason.remedy))
    assert problem is not None
    assert (problem.status, problem.reason, problem.remedy) == (status, reason.value, reason.remedy)


@pytest.mark.parametrize(("reason", "status"), [("QuietTime", 504), ("ApplianceUnreachable", 503)])
def test_answer_to_a_run_that_gave_up_waiting(reason: str, status: int) -> None:
    problem = of_ending(Ending(EndingState.WAITING, reason, "why", "Ask again."))
    assert problem is not None
    assert (problem.status, problem.reason) == (status, reason)


def test_every_reason_that_stalls_has_a_remedy_to_tell() -> None:
    for reason in Reason:
        if reason.kind is ReasonKind.STALLED:
            problem = of_ending(Ending(EndingState.NEEDS_PERSON, reason.value, "why", reason.remedy))
            assert problem is not None
            assert problem.remedy


@pytest.mark.parametrize(("reason", "clean"), [("Cleaned", True), ("AlreadyClean", True), ("Superseded", False)])
def test_only_a_vm_that_is_clean_is_told_as_clean(reason: str, clean: bool) -> None:
    assert (of_ending(Ending(EndingState.CLEAN, reason, "m", "r")) is None) is clean
