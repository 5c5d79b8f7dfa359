"""The exit code of a break-glass command, by its last decision."""

from __future__ import annotations

from typing import Final

from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.reasons import SUCCESSES, Reason

_NAMES: Final = frozenset({Reason.UNKNOWN_VM, Reason.AMBIGUOUS_VM, Reason.JOB_MISMATCH})
"""Refusals of what stands on the command line."""


def exit_code(decision: Decision) -> ExitCode:
    """The exit code after a last decision."""
    match decision:
        case Act():
            return ExitCode.CLEAN
        case Done(reason=reason):
            return ExitCode.CLEAN if reason in SUCCESSES else ExitCode.STALLED
        case Refuse(reason=reason):
            return ExitCode.USAGE if reason in _NAMES else ExitCode.STALLED
        case Wait(reason=Reason.APPLIANCE_UNREACHABLE):
            return ExitCode.UNREACHABLE
        case Wait() | Stopped():
            return ExitCode.WAITING
