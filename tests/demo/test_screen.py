"""Progress is shown live on a terminal, and elsewhere as a line for every change."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from development.demo.progress import Progress, progress_of
from development.demo.scene import STUCK
from development.demo.screen import Screen

VM = STUCK[1]


def at(phase: str, **counts: int) -> Progress:
    ready = {"type": "Ready", "status": "Unknown", "reason": "Progressing"}
    status: dict[str, Any] = {"conditions": [ready], "phases": [{"name": phase, "state": "Running", **counts}]}
    return progress_of({"status": status})


def shown(*, terminal: bool, moments: list[Progress]) -> str:
    output = io.StringIO()
    console = Console(file=output, force_terminal=terminal, width=110)
    with Screen(console, [VM]) as screen:
        for seconds, progress in enumerate(moments):
            screen.show(seconds, {VM.cleanup: progress})
    return output.getvalue()


def test_a_cleanup_without_status_has_not_begun() -> None:
    nothing = progress_of({})
    assert set(nothing.phases) == {"Pending"}
    assert set(nothing.goals) == {"Unknown"}
    assert not nothing.finished


def test_a_file_gets_one_line_for_each_change() -> None:
    detaching, reverting = at("detach-volumes", done=1, total=2), at("cleanup-snapshots")
    lines = shown(terminal=False, moments=[progress_of({}), detaching, detaching, reverting]).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("  1.0 s  PhilB Test machine  ◐ · · · ·")
    assert lines[0].endswith("detach-volumes 1/2")
    assert lines[1].endswith("cleanup-snapshots")


def test_a_terminal_shows_a_table() -> None:
    table = shown(terminal=True, moments=[at("detach-volumes", done=1, total=2)])
    assert "PhilB Test machine" in table
    assert "detach-volumes 1/2" in table
    assert "Progressing" in table
