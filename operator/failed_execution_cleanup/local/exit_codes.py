"""What the exit code of a break-glass command says."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.reasons import SUCCESSES, Reason


class ExitCode(IntEnum):
    """Exit codes; documented in docs/break-glass.md."""

    CLEAN = 0
    """The VM is clean; of a plan: it can be carried out."""
    USAGE = 2
    """The command line, the Appliance file or the name of the VM is wrong."""
    STALLED = 3
    """Only a person can help."""
    WAITING = 4
    """It waits for something that clears itself, or was interrupted: the same command goes on."""
    UNREACHABLE = 5
    """The appliance could not be reached, or did not accept the credentials."""


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
