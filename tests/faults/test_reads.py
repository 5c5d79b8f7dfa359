"""A read without a usable answer proves nothing: it is made again, and nothing is sent on what it did not say (rule 9)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import pytest

from appliance_simulator.faults import FaultKind
from tests.faults.trials import Fault, Trial, fault, findings

pytestmark = pytest.mark.timeout(400)

OSSEA: Final[Mapping[str, tuple[str, ...]]] = {
    "listVirtualMachines": ("F28", "R04"),
    "listVolumes": ("F24", "C03"),
    "listSnapshots": ("F11", "C03"),
    "listVMSnapshot": ("F11", "F26"),
    "queryAsyncJobResult": ("F24", "F28"),
}
"""What the engine reads of OSSEA, with leftover states in which a wrong word would do harm."""
DAEMON: Final[Mapping[str, tuple[str, ...]]] = {
    "device": ("C01", "F24"),
    "operations": ("F24", "R04"),
    "export-of": ("R09-export-missing",),
    "health": ("F11",),
}
OSSEA_KINDS: Final = (
    FaultKind.RESPONSE_LOST_BEFORE,
    FaultKind.HTTP_530,
    FaultKind.HTTP_503,
    FaultKind.HTML_502,
    FaultKind.EMPTY_BODY,
)
DAEMON_KINDS: Final = OSSEA_KINDS


LATE: Final[Mapping[str, tuple[int, ...]]] = {"listVirtualMachines": (0, 1, 2), "listVMSnapshot": (0, 1, 2)}
"""Reads that are struck, by what comes before them; long lists are read only a few times in a cleanup, the others often."""
OFTEN: Final = (0, 3, 6)


def every_kind(command: str, kinds: Iterable[FaultKind]) -> tuple[Fault, ...]:
    """One fault after another at one command, with requests that work in between."""
    return tuple(fault(kind, command, skip=number) for number, kind in enumerate(kinds))


@pytest.mark.parametrize("command", OSSEA)
async def test_read_of_ossea_that_fails_in_every_way(tmp_path: Path, command: str) -> None:
    # Snapshots of VMs are listed too seldom to strike with all kinds in one cleanup.
    parts = (OSSEA_KINDS[:3], OSSEA_KINDS[3:]) if command == "listVMSnapshot" else (OSSEA_KINDS, OSSEA_KINDS)
    trials = [Trial(row, every_kind(command, kinds)) for row, kinds in zip(OSSEA[command], parts, strict=True)]
    assert await findings(trials, tmp_path) == []


@pytest.mark.parametrize("command", DAEMON)
async def test_read_of_the_daemon_that_fails_in_every_way(tmp_path: Path, command: str) -> None:
    trials = [Trial(row, (fault(kind, command),)) for kind in DAEMON_KINDS for row in DAEMON[command][:1]]
    trials += [Trial(row, (fault(FaultKind.RESPONSE_LOST_BEFORE, command),)) for row in DAEMON[command][1:]]
    assert await findings(trials, tmp_path) == []


@pytest.mark.parametrize("command", OSSEA)
async def test_limit_of_the_account_is_respected(tmp_path: Path, command: str) -> None:
    trials = [
        Trial(OSSEA[command][0], (fault(FaultKind.HTTP_429, command, seconds=3.0, skip=skip),))
        for skip in (0, 2 if command in LATE else 3)
    ]
    assert await findings(trials, tmp_path) == []


@pytest.mark.parametrize("command", ["listVirtualMachines", "listVolumes", "listSnapshots", "listVMSnapshot"])
async def test_list_that_is_refused_does_not_say_that_something_is_gone(tmp_path: Path, command: str) -> None:
    trials = [
        Trial(row, (fault(FaultKind.HTTP_431, command, skip=skip),))
        for row in OSSEA[command]
        for skip in LATE.get(command, OFTEN)
    ]
    assert await findings(trials, tmp_path) == []


async def test_jobs_are_followed_to_their_end_without_their_list(tmp_path: Path) -> None:
    kinds = (*OSSEA_KINDS, FaultKind.HTTP_431)
    trials = [Trial(row, (fault(kind, "listAsyncJobs"),)) for kind in kinds for row in ("F24", "R04")]
    assert await findings(trials, tmp_path) == []


async def test_job_that_is_refused_once_is_not_taken_for_one_that_never_was(tmp_path: Path) -> None:
    trials = [
        Trial(row, (fault(FaultKind.HTTP_431, "queryAsyncJobResult"),), repeated=frozenset({"reverted"}))
        for row in ("F11", "F28", "R04", "R09-vm-destroyed")
    ]
    assert await findings(trials, tmp_path) == []
