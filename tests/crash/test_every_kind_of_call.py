"""SIGKILL before and after the first mutating call of each kind: the next operator comes to the same end.

    python -m tests.crash.full --kinds      # the same, with progress

Each call of each kind is `make crash-full`, kept in docs/crash-record.md.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from development.stand import ROOT
from tests.crash.mutating_calls import System
from tests.crash.point import SCENARIOS

pytestmark = pytest.mark.timeout(1800)

PACED_BY_THE_CLOCK = ("kubernetes lease renewed", "kubernetes status of cleanup", "database heartbeat")
"""A run that was quicker than the reference run may come to its end before such a call."""

JOBS = "4"
"""Points at once; more of them starve whatever else is tested at the same time."""

Verdicts = list[dict[str, Any]]


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> Verdicts:
    """What became of each point; played in a process without threads, which points can be forked from."""
    results: Path = tmp_path_factory.mktemp("crash") / "results.json"
    command = [sys.executable, "-m", "tests.crash.full", "--kinds", "--jobs", JOBS, "--results", str(results)]
    path = os.pathsep.join(str(ROOT / part) for part in ("operator", "simulators", "."))
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert results.exists(), "the points could not be played: see the output above"
    played: Verdicts = json.loads(results.read_text())
    return played


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_kill_at_any_kind_of_call_changes_nothing_about_the_end(verdicts: Verdicts, scenario: str) -> None:
    ours = [verdict for verdict in verdicts if verdict["scenario"] == scenario]
    failed = [verdict for verdict in ours if verdict["problems"]]
    assert not failed, "\n".join(
        line for v in failed for line in (*v["kills"], *v["problems"], f"replay: {v['replay']}")
    )
    missed = [kill for verdict in ours for kill in verdict["kills"] if not all(verdict["reached"])]
    assert [kill for kill in missed if not kill.endswith(tuple(f"{kind}#1" for kind in PACED_BY_THE_CLOCK))] == []
    systems = {kill.split()[1] for verdict in ours for kill in verdict["kills"]}
    assert systems == {*System}, "every system was cut off"


def test_figures_are_told(verdicts: Verdicts, record_property: Any) -> None:
    assert verdicts
    seconds = sum(verdict["seconds"] for verdict in verdicts)
    record_property("figure", f"{len(verdicts)} crash points, {seconds:.0f} s one after the other")
