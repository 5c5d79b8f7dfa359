"""When the finalizer must stay: as long as a claim may be left in the database."""

from __future__ import annotations

from datetime import timedelta

import pytest

from failed_execution_cleanup.controller.reconcile import _may_be_claimed
from failed_execution_cleanup.recovery.decide import Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason


def waiting(reason: Reason | None) -> Wait:
    return Wait(reason, "", timedelta(seconds=1), Assessment())


@pytest.mark.parametrize("reason", [Reason.APPLIANCE_UNREACHABLE, Reason.CLAIMED_ELSEWHERE])
def test_an_outage_or_a_dead_owners_claim_keeps_the_finalizer(reason: Reason) -> None:
    assert _may_be_claimed(waiting(reason), deleting=False)


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
    assert not _may_be_claimed(decision, deleting=False)


def test_a_deletion_waits_while_anything_is_waited_for() -> None:
    assert _may_be_claimed(waiting(Reason.REPLICATION_ACTIVE), deleting=True)
