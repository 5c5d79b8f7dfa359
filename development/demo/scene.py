"""The VMs of the demo, in the states their failovers left them in, and how long the cloud takes for things."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

REQUESTED_AT: Final = datetime(2025, 9, 27, 9, 0, tzinfo=UTC)
"""When the failovers were requested; at 11:39 somebody set steps to completed by hand, in vain (appliance facts 9.1)."""


@dataclass(frozen=True, slots=True)
class ProtectedVM:
    """A VM of the scene.

    Attributes:
        vm_name: as in vCenter.
        cleanup: name of its FailedExecutionCleanup.
        leftover: row of the simulator's table of leftovers.
        disks: number of its disks.
        story: what state it is in, in one line.
        refused_for: reason with which its cleanup has to be refused; empty if it has to be cleaned.
        rows_only: whether nothing but database rows differs, so that not a single call may be made.
    """

    vm_name: str
    cleanup: str
    leftover: str
    disks: int
    story: str
    refused_for: str = ""
    rows_only: bool = False


STUCK: Final = (
    ProtectedVM("pgtest1", "pgtest1", "F11", 3, "hung in driver injection, volumes attached, snapshots present"),
    ProtectedVM(
        "PhilB Test machine", "philb-test-machine", "F12b", 2, "hung too; steps set completed by hand, in vain"
    ),
    ProtectedVM(
        "pgtest2", "pgtest2", "C01", 3, "injection failed; volumes detached, mappings stale: error 431 for ever"
    ),
    ProtectedVM("pgtest3", "pgtest3", "F26", 2, "got as far as a test VM, which holds the volumes"),
    ProtectedVM(
        "QUAD-DCMGMT-01", "quad-dcmgmt-01", "C04-rows", 3, "all repaired but its database rows", rows_only=True
    ),
)
"""The five of 2025-09-27."""

GUARDED: Final = (
    ProtectedVM("pgtest1", "pgtest1", "F30", 2, "a healthy test failover, in use", refused_for="NothingFailed"),
    ProtectedVM("pgtest2", "pgtest2", "F28", 2, "its test VM runs, the job hung", refused_for="RunningTestVM"),
)
"""Two VMs that somebody asks to be cleaned up and that must not be."""

BRISK: Final[Mapping[str, float]] = {
    "detachVolume": 0.3,
    "revertSnapshot": 1.5,
    "deleteSnapshot": 0.3,
    "attachVolume": 0.3,
    "destroyVirtualMachine": 0.5,
}
"""Seconds by command of OSSEA: just long enough to be seen."""

REALISTIC: Final[Mapping[str, float]] = {
    "detachVolume": 2.0,
    "revertSnapshot": 8.0,
    "deleteSnapshot": 1.0,
    "attachVolume": 2.0,
    "destroyVirtualMachine": 3.0,
}
"""Seconds by command of OSSEA, in the proportions of a real cloud."""
