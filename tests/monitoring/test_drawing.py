"""The picture of the dashboard shows every panel."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from development.monitoring.drawing import draw, legend
from development.monitoring.panels import ROWS, Kind, Panel
from development.monitoring.prometheus import Series

PANELS = [panel for row in ROWS for panel in row.panels]


def series(panel: Panel) -> Series:
    """Two stretches with a gap between them."""
    times = tuple(float(moment) for moment in itertools.chain(range(0, 20, 2), range(40, 60, 2)))
    states = itertools.cycle((1.0, 1.0, 0.0)) if panel.kind is Kind.STATES else itertools.count(1.0)
    return Series({}, times, tuple(itertools.islice(states, len(times))))


def test_labels_take_their_place_in_a_legend() -> None:
    assert legend("{{appliance}} {{system}}", {"appliance": "east", "system": "OSSEA"}) == "east OSSEA"
    assert legend("{{state}} {{reason}}", {"state": "working"}) == "working"


@pytest.mark.parametrize("empty", [False, True])
def test_every_panel_is_drawn_with_its_title_and_legends(tmp_path: Path, empty: bool) -> None:
    path = tmp_path / "dashboard.svg"
    results = {panel: [] if empty else [(f"series of {panel.title}", series(panel))] for panel in PANELS}
    draw(path, results, start=0.0, end=60.0, title="a run")
    drawn = path.read_text(encoding="utf-8")
    for text in ("a run", *(row.title for row in ROWS), *(panel.title for panel in PANELS)):
        assert f">{text}</text>" in drawn
    for panel in PANELS:
        if panel.kind is not Kind.STAT:
            assert (f">series of {panel.title}</text>" in drawn) is not empty
