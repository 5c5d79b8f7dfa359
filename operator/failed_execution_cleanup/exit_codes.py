"""What the exit code of a command says: one table for all of `fec`."""

from __future__ import annotations

from enum import IntEnum
from typing import Self


class ExitCode(IntEnum):
    """Exit codes; documented in docs/reference/cli.md. 1 is Python's own: an error of this program.

    Attributes:
        meaning: what a script may conclude, as a sentence.
    """

    meaning: str

    def __new__(cls, value: int, meaning: str = "") -> Self:
        """Make a member that is a plain number and carries its explanation."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    CLEAN = (0, "Done: the VM is clean, what was asked for is written, or, of a plan, it can be carried out.")
    USAGE = (
        2,
        "What was asked for cannot be: the command line, a file, a name, an unknown or ambiguous VM, a plan that changed.",
    )
    STALLED = (3, "Only a person can help: the reason says what to do.")
    WAITING = (
        4,
        "Not at its end: interrupted, out of time, suspended, or waiting for what clears itself. It goes on, or the same command does.",
    )
    UNREACHABLE = (5, "The appliance or the cluster could not be reached, or did not accept the credentials.")
    FORBIDDEN = (
        6,
        "Roles or admission policies of the cluster do not allow it; the message names the role to ask for.",
    )
