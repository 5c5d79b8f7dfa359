"""What an exit code says, for every way a command can end."""

from __future__ import annotations

from datetime import timedelta

import pytest

from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local.exit_codes import exit_code
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import FINAL_FAILURES, SUCCESSES, WAITS, Reason

SEEN = Assessment()
NAMES = {Reason.UNKNOWN_VM, Reason.AMBIGUOUS_VM, Reason.JOB_MISMATCH}
PERSON = set(Reason) - SUCCESSES - FINAL_FAILURES - WAITS - NAMES


@pytest.mark.parametrize(
    ("decision", "code"),
    [
        (Act((), SEEN), 0),
        *((Done(reason, "", SEEN), 0) for reason in SUCCESSES),
        *((Done(reason, "", SEEN), 3) for reason in FINAL_FAILURES),
        *((Refuse(reason, "", SEEN), 2) for reason in NAMES),
        *((Refuse(reason, "", SEEN), 3) for reason in PERSON),
        *((Wait(reason, "", timedelta(0), SEEN), 4) for reason in WAITS - {Reason.APPLIANCE_UNREACHABLE}),
        (Wait(None, "", timedelta(0), SEEN), 4),
        (Stopped("", (), SEEN), 4),
        (Wait(Reason.APPLIANCE_UNREACHABLE, "", timedelta(0), SEEN), 5),
    ],
    ids=lambda value: f"{type(value).__name__} {getattr(value, 'reason', '')}" if not isinstance(value, int) else None,
)
def test_each_end_has_its_code(decision: Decision, code: int) -> None:
    assert exit_code(decision) is ExitCode(code)
