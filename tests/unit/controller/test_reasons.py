"""The core's reasons and the documented ones are the same words with the same consequences."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.recovery.reasons import SUCCESSES, WAITS, Reason
from failed_execution_cleanup.resources import reasons as documented
from failed_execution_cleanup.resources.reasons import ReasonKind


@pytest.mark.parametrize("reason", Reason)
def test_a_reason_of_the_core_is_documented_with_what_follows_from_it(reason: Reason) -> None:
    kind = documented.Reason(reason.value).kind
    if reason in SUCCESSES:
        assert kind is ReasonKind.FINISHED
    elif reason in WAITS:
        assert kind is ReasonKind.WAITING
    else:
        assert kind is ReasonKind.STALLED, "Stalled is true exactly when only a person can help (rule 19)"
