"""How far a cleanup is, with what the operator has not seen yet taken into account."""

from __future__ import annotations

from typing import Any

import pytest

from failed_execution_cleanup.client import EndingState, ending
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind
from tests.unit.client.cluster import cleanup_body, ready

REQUESTED = "failover.ossea.io/requestedAt"
APPROVED = "failover.ossea.io/approvedPlan"
SUSPENDED = "failover.ossea.io/suspended"


def cleanup(
    status: dict[str, Any], annotations: dict[str, str] | None = None, generation: int = 1, **spec: Any
) -> FailedExecutionCleanup:
    body = cleanup_body(status=status, annotations=annotations, **spec)
    body["metadata"]["generation"] = generation
    return FailedExecutionCleanup.model_validate(body)


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.kind is not ReasonKind.OBSERVATION])
def test_every_reason_of_ready_has_its_state_and_its_remedy(reason: Reason) -> None:
    suspended = {SUSPENDED: "true"} if reason is Reason.SUSPENDED else {}
    found = ending(cleanup(ready(reason.value, message="why"), suspended))
    expected = {
        ReasonKind.FINISHED: EndingState.CLEAN,
        ReasonKind.WORKING: EndingState.WORKING,
        ReasonKind.WAITING: EndingState.WAITING,
        ReasonKind.STALLED: EndingState.NEEDS_PERSON,
    }
    special = {
        "Suspended": EndingState.SUSPENDED,
        "PlanReady": EndingState.AWAITING_APPROVAL,
        "AwaitingApproval": EndingState.AWAITING_APPROVAL,
    }
    assert found.state is (special.get(reason.value) or expected[reason.kind])
    assert (found.reason, found.message, found.remedy) == (reason.value, "why", reason.remedy)
    assert found.over is (reason.kind not in {ReasonKind.WORKING, ReasonKind.WAITING})
    assert found.wrong_input is (reason.value in {"UnknownVM", "AmbiguousVM", "JobMismatch"})


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (cleanup({}), "has not looked at it"),
        (cleanup(ready("Cleaned", "True"), generation=2), "changed spec"),
        (cleanup(ready("RunningTestVM"), {REQUESTED: "t2"}), "another run"),
        (cleanup(ready("Cleaned", "True", lastHandledRequest="t1"), {REQUESTED: "t2"}), "another run"),
        (cleanup(ready("PlanReady", planHash="h"), {APPROVED: "h"}, mode="Plan"), "approval"),
        (cleanup(ready("AwaitingApproval", planHash="h"), {APPROVED: "h"}), "approval"),
        (cleanup(ready("Suspended")), "resumed"),
    ],
)
def test_what_the_operator_has_not_seen_is_no_end(seen: FailedExecutionCleanup, told: str) -> None:
    found = ending(seen)
    assert (found.state, found.over) == (EndingState.WORKING, False)
    assert told in found.message


@pytest.mark.parametrize(
    ("seen", "state"),
    [
        (cleanup(ready("Cleaned", "True", lastHandledRequest="t1"), {REQUESTED: "t1"}), EndingState.CLEAN),
        (cleanup(ready("PlanReady", planHash="h2"), {APPROVED: "h1"}), EndingState.AWAITING_APPROVAL),
        (cleanup(ready("RunningTestVM"), {APPROVED: ""}), EndingState.NEEDS_PERSON),
        # A request made while it is suspended waits for the end of the suspension.
        (cleanup(ready("Suspended"), {REQUESTED: "t1"}, suspend=True), EndingState.SUSPENDED),
        (cleanup(ready("Cleaned", "True"), {REQUESTED: "t1"}, suspend=True), EndingState.CLEAN),
        (cleanup(ready("JobMismatch"), {REQUESTED: "t1"}), EndingState.NEEDS_PERSON),
        (cleanup(ready("OfTheFuture", "True")), EndingState.CLEAN),
        (cleanup(ready("OfTheFuture", "Unknown")), EndingState.WORKING),
        (cleanup(ready("OfTheFuture", "False")), EndingState.NEEDS_PERSON),
    ],
)
def test_ends_that_hold(seen: FailedExecutionCleanup, state: EndingState) -> None:
    assert ending(seen).state is state
