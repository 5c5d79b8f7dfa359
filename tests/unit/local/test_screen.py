"""What a person reads: each change once, names as they are, and no trouble of the terminal ends a cleanup."""

from __future__ import annotations

import io
from datetime import timedelta

import pytest
from rich.console import Console

from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local import wording
from failed_execution_cleanup.local.report import Report
from failed_execution_cleanup.local.screen import Lines, Picture, Screen
from failed_execution_cleanup.recovery.actions import Phase
from failed_execution_cleanup.recovery.decide import Wait
from failed_execution_cleanup.recovery.memory import Memory, PhaseRecord
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.run.order import Progress
from tests.unit.recovery.worlds import leftover, look

VM = "[bold]evil\x1b[2J"


def fresh(*, planned: bool = False) -> Report:
    spec = {"vmName": VM, "applianceRef": {"name": "oma"}}
    return Report(FailedExecutionCleanup.model_validate({"metadata": {"name": "x"}, "spec": spec}), planned=planned)


def working() -> Progress:
    scene = leftover("F11")
    memory = Memory("job-1", started_at=scene.now, phases={Phase.DETACH: PhaseRecord(scene.now, step_id=1, total=1)})
    return Progress(look(scene), scene.world(), memory, "claim-1", claimed=True)


def waiting() -> Progress:
    return Progress(Wait(Reason.CLAIMED_ELSEWHERE, "somebody works", timedelta(seconds=9), Assessment()))


def test_each_change_is_told_once() -> None:
    before = fresh()
    began = before.after(working())
    told = list(wording.changes(before, began))
    assert [line for line in told if line.startswith(("after test job", "job log: job_tracking claim-1"))] == told[:2]
    assert any(line.startswith("detach-volumes: Running") for line in told)
    assert list(wording.changes(began, began.after(working()))) == []
    held = began.after(waiting())
    assert list(wording.changes(began, held)) == [
        "ClaimedElsewhere: somebody works See docs/reasons/ClaimedElsewhere.md"
    ]
    assert held.code is ExitCode.WAITING


def test_a_plan_names_every_action_and_how_to_have_it_done() -> None:
    scene = leftover("F11")
    planned = fresh(planned=True).after(Progress(look(scene), scene.world(), Memory("job-1")))
    text = "\n".join(wording.plan(planned, "fec local cleanup x"))
    assert planned.code is ExitCode.CLEAN
    assert [a.object for a in planned.status.plan if a.object not in text] == []
    assert f"fec local cleanup x --approve {planned.status.plan_hash}" in text


@pytest.mark.parametrize("terminal", [False, True], ids=["lines", "picture"])
def test_names_steer_no_terminal_and_are_no_markup(terminal: bool) -> None:
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, color_system=None, width=200)
    screen: Screen = Picture(console) if terminal else Lines(stream)
    before = fresh()
    screen.show(before, before.after(working()))
    screen.say([VM])
    screen.close()
    assert "\x1b[2J" not in stream.getvalue()
    assert stream.getvalue().count("[bold]evil") > terminal, "the picture's head names the VM as well"
    assert "detach-volumes" in stream.getvalue()


class Gone(io.StringIO):
    """A terminal that is not there any more."""

    def write(self, text: str) -> int:
        raise OSError(5, f"Input/output error, {len(text)} characters lost")


@pytest.mark.parametrize("terminal", [False, True], ids=["lines", "picture"])
def test_a_terminal_that_is_gone_ends_nothing(terminal: bool) -> None:
    screen: Screen = Picture(Console(file=Gone(), force_terminal=True)) if terminal else Lines(Gone())
    before = fresh()
    after = before.after(working())
    screen.show(before, after)
    screen.show(after, after.after(waiting()))
    screen.say(["still here"])
    screen.close()
