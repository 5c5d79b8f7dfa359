"""A mutating request without a usable answer: the same end, executed once, whether it had been executed or not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from appliance_simulator.faults import FaultKind
from tests.faults.trials import Trial, fault, findings

pytestmark = pytest.mark.timeout(400)

OSSEA: Final[Mapping[str, str]] = {
    "revertSnapshot": "F11",
    "deleteSnapshot": "C03",
    "stopVirtualMachine": "F28",
    "destroyVirtualMachine": "R04",
    "expungeVirtualMachine": "R09-vm-destroyed",
}
"""What the engine asks of OSSEA, with a leftover state in which it has to."""
DAEMON: Final[Mapping[str, str]] = {"detach": "F24", "attach": "C01", "export": "R09-export-missing"}
BOTH: Final = {**OSSEA, **DAEMON}

FAULTS: Final[tuple[tuple[FaultKind, Mapping[str, str], dict[str, Any]], ...]] = (
    (FaultKind.RESPONSE_LOST_BEFORE, BOTH, {}),
    (FaultKind.RESPONSE_LOST_AFTER, BOTH, {}),
    (FaultKind.HTTP_530, BOTH, {"executed": False}),
    (FaultKind.HTTP_530, BOTH, {"executed": True}),
    (FaultKind.HTTP_431, OSSEA, {}),
    (FaultKind.HTTP_429, OSSEA, {"seconds": 3.0}),
    (FaultKind.HTTP_503, BOTH, {}),
    (FaultKind.HTML_502, BOTH, {"executed": False}),
    (FaultKind.HTML_502, BOTH, {"executed": True}),
    (FaultKind.EMPTY_BODY, BOTH, {"executed": False}),
    (FaultKind.EMPTY_BODY, BOTH, {"executed": True}),
)
"""What goes wrong, at which commands, and how."""


@pytest.mark.parametrize(
    ("kind", "commands", "options"),
    FAULTS,
    ids=[f"{kind.value}{'-executed' if options.get('executed') else ''}" for kind, _, options in FAULTS],
)
async def test_request_is_executed_once_whatever_its_answer(
    tmp_path: Path, kind: FaultKind, commands: Mapping[str, str], options: dict[str, Any]
) -> None:
    trials = [Trial(row, (fault(kind, command, **options),)) for command, row in commands.items()]
    assert await findings(trials, tmp_path) == []


async def test_answers_lost_again_and_again(tmp_path: Path) -> None:
    kinds = (FaultKind.RESPONSE_LOST_AFTER, FaultKind.RESPONSE_LOST_BEFORE)
    commands = ("detach", "attach", "revertSnapshot")
    trials = [Trial("F11", (fault(kind, command, times=2),)) for kind in kinds for command in commands]
    assert await findings(trials, tmp_path) == []


async def test_faults_at_every_request_of_one_cleanup(tmp_path: Path) -> None:
    commands = ("detach", "revertSnapshot", "deleteSnapshot", "attach", "stopVirtualMachine", "destroyVirtualMachine")
    kinds = (FaultKind.RESPONSE_LOST_AFTER, FaultKind.RESPONSE_LOST_BEFORE, FaultKind.EMPTY_BODY)
    trials = [Trial("F28", tuple(fault(kind, command) for command in commands)) for kind in kinds]
    assert await findings(trials, tmp_path) == []
