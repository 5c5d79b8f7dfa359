"""When the finalizer must stay: as long as a claim may be left in the database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from failed_execution_cleanup.controller.reconcile import _may_be_claimed
from failed_execution_cleanup.recovery.decide import Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.order import Progress


def waiting(reason: Reason | None) -> Wait:
    return Wait(reason, "", timedelta(seconds=1), Assessment())


@pytest.mark.parametrize("reason", [Reason.APPLIANCE_UNREACHABLE, Reason.CLAIMED_ELSEWHERE])
def test_an_outage_or_a_dead_owners_claim_keeps_the_finalizer(reason: Reason) -> None:
    assert _may_be_claimed(Progress(waiting(reason)), deleting=False)


@pytest.mark.parametrize(
    "decision",
    [
        waiting(Reason.REPLICATION_ACTIVE),
        Done(Reason.CLEANED, "", Assessment()),
        Refuse(Reason.RUNNING_TEST_VM, "", Assessment()),
        Stopped("", (), Assessment()),
    ],
)
def test_a_run_that_released_its_claim_lets_the_object_go(decision: Decision) -> None:
    assert not _may_be_claimed(Progress(decision), deleting=False)


def test_a_run_that_was_handed_over_keeps_the_finalizer_for_its_successor() -> None:
    assert _may_be_claimed(Progress(waiting(None), handed_over=True), deleting=False)


@pytest.mark.parametrize("deleting", [False, True])
def test_a_refusal_without_a_look_keeps_the_finalizer_of_an_earlier_run(deleting: bool) -> None:
    refused = Refuse(Reason.APPLIANCE_INCONSISTENT, "", Assessment())
    assert _may_be_claimed(Progress(refused), deleting=deleting)


def test_a_deletion_waits_while_anything_is_waited_for() -> None:
    assert _may_be_claimed(Progress(waiting(Reason.REPLICATION_ACTIVE)), deleting=True)
