"""The panels of the dashboard as one SVG, for the docs: the same queries and layout, without Grafana."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator

from development.monitoring.panels import ROWS, Kind, Panel
from development.monitoring.prometheus import Series

Drawn = Sequence[tuple[str, Series]]
"""Series of a panel with the text of their legend."""

_COLUMNS: Final = 24
_TOO_EXACT: Final = re.compile(r"(\d\.\d\d)\d+")
"""Digits of coordinates that nobody can see."""

_LINES_IN_LEGEND: Final = 8
_GAP: Final = 1.5
"""Steps without a sample after which a line ends."""

_WIDTH: Final = 14.0
"""Of the picture, in inches, like all lengths here."""

_TITLE, _HEADING, _STAT, _CHART = 0.4, 0.35, 0.9, 2.2
_LEFT, _RIGHT, _ABOVE, _BELOW = 0.5, 0.1, 0.25, 0.25
"""Room around the axes of a panel for its title and the numbers at its sides."""
_SETTINGS: Final[Mapping[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, searchable
    "svg.hashsalt": "dashboard",
    "font.family": "sans-serif",
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.fontsize": 6,
    "legend.frameon": False,
}


def legend(template: str, labels: Mapping[str, str]) -> str:
    """The text of a legend, with labels in place of `{{label}}`."""
    return re.sub(r"\{\{(\w+)\}\}", lambda found: labels.get(found[1], ""), template).strip()


def draw(path: Path, results: Mapping[Panel, Drawn], *, start: float, end: float, title: str) -> None:
    """Draw all panels.

    Args:
        path: SVG file to write.
        results: what Prometheus answered, by panel.
        start: moment that the time axes begin with, in seconds since the epoch.
        end: moment that they end with.
        title: said above it all.
    """
    lines = [(row, line) for row in ROWS for line in _lines(row.panels)]
    height = _TITLE + sum(_HEADING for _ in ROWS) + sum(_height(line) for _, line in lines)
    with mpl.rc_context(dict(_SETTINGS)):
        figure = Figure(figsize=(_WIDTH, height))
        figure.text(_LEFT / _WIDTH, 1 - 0.25 / height, title, fontsize=11)
        top, heading = _TITLE, ""
        for row, line in lines:
            if row.title != heading:
                heading, top = row.title, top + _HEADING
                figure.text(_LEFT / _WIDTH, 1 - (top - 0.1) / height, heading, fontsize=10, weight="bold")
            left, tall = 0.0, _height(line)
            for panel in line:
                width = panel.width * _WIDTH / _COLUMNS
                inner = (left + _LEFT, top + _ABOVE, width - _LEFT - _RIGHT, tall - _ABOVE - _BELOW)
                _draw(_axes(figure, inner), panel, results[panel], start, end)
                left += width
            top += tall
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    path.write_text(_TOO_EXACT.sub(r"\1", drawn.getvalue()), encoding="utf-8")


def _axes(figure: Figure, place: tuple[float, float, float, float]) -> Axes:
    """Axes at a place: left, top, width and height in inches, counted from the upper left corner."""
    left, top, width, height = place
    across, down = figure.get_size_inches()
    return figure.add_axes((left / across, 1 - (top + height) / down, width / across, height / down))


def _lines(panels: Sequence[Panel]) -> list[list[Panel]]:
    """The panels of a row as they lie side by side."""
    lines: list[list[Panel]] = [[]]
    for panel in panels:
        if sum(other.width for other in lines[-1]) + panel.width > _COLUMNS:
            lines.append([])
        lines[-1].append(panel)
    return lines


def _height(line: Sequence[Panel]) -> float:
    return max(_STAT if panel.kind is Kind.STAT else _CHART for panel in line)


def _draw(axes: Axes, panel: Panel, drawn: Drawn, start: float, end: float) -> None:
    axes.set_title(panel.title)
    axes.set_xlim(0, end - start)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda seconds, _: f"{seconds:.0f} s"))
    match panel.kind:
        case Kind.STAT:
            _stat(axes, panel, drawn)
        case Kind.STATES:
            _states(axes, panel, drawn, start)
        case Kind.LINES:
            _chart(axes, panel, drawn, start)


def _stat(axes: Axes, panel: Panel, drawn: Drawn) -> None:
    """The highest value there was: the last one of a run that ended well would be 0 everywhere."""
    value = max((max(series.values) for _, series in drawn), default=0.0)
    alarmed = panel.alarming is not None and value >= panel.alarming
    axes.axis("off")
    text = f"{value:.0f}{' s' if panel.unit == 's' else ''}"
    axes.text(0, 0.25, text, fontsize=20, color="tab:red" if alarmed else "tab:green")
    axes.text(0, -0.05, "highest", fontsize=6, color="gray")


def _states(axes: Axes, panel: Panel, drawn: Drawn, start: float) -> None:
    otherwise = "tab:blue" if panel.harmless else "tab:red"
    for place, (text, series) in enumerate(drawn):
        for begin, end, holds in _stretches(series):
            colour = "tab:green" if holds else otherwise
            axes.broken_barh([(begin - start, end - begin)], (place - 0.35, 0.7), facecolors=colour)
        axes.text(0.01, place, text, transform=axes.get_yaxis_transform(), va="center")
    axes.set_yticks([])


def _stretches(series: Series) -> Iterator[tuple[float, float, bool]]:
    """Begin, end and state of each stretch without a change; a gap in the samples ends one as well."""
    points, step = _points(series), _step([series])
    begin, last, value = points[0][0], *points[0]
    for moment, now in points[1:]:
        if now != value or moment - last > _GAP * step:
            yield begin, last + step, value == 1.0
            begin = moment
        last, value = moment, now
    yield begin, last + step, value == 1.0


def _points(series: Series) -> list[tuple[float, float]]:
    return list(zip(series.times, series.values, strict=True))


def _step(drawn: Sequence[Series]) -> float:
    """Seconds between two samples that follow each other."""
    return min((later - earlier for series in drawn for earlier, later in pairwise(series.times)), default=1.0)


def _with_gaps(moments: Sequence[float], step: float) -> list[float]:
    """The moments, and one more in each gap between them."""
    found = list(moments[:1])
    for earlier, later in pairwise(moments):
        if later - earlier > _GAP * step:
            found.append(earlier + step)
        found.append(later)
    return found


def _chart(axes: Axes, panel: Panel, drawn: Drawn, start: float) -> None:
    step = _step([series for _, series in drawn])
    if panel.stacked and drawn:
        moments = _with_gaps(sorted({moment for _, series in drawn for moment in series.times}), step)
        known = [dict(_points(series)) for _, series in drawn]
        # Between two stretches of samples nothing is known, not even zero.
        told = [any(moment in values for values in known) for moment in moments]
        rows = [
            [values.get(moment, 0.0) if any_ else math.nan for moment, any_ in zip(moments, told, strict=True)]
            for values in known
        ]
        names = [text for text, _ in drawn]
        axes.stackplot([moment - start for moment in moments], rows, labels=names, alpha=0.6)
    else:
        for text, series in drawn:
            values = dict(_points(series))
            moments = _with_gaps(series.times, step)
            heights = [values.get(moment, math.nan) for moment in moments]
            axes.plot([moment - start for moment in moments], heights, label=text, linewidth=1)
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    unit = {"s": "s", "bytes": "B", "reqps": "req/s", "ops": "/s"}.get(panel.unit, "")
    axes.yaxis.set_major_formatter(EngFormatter(unit=unit))
    handles, names = axes.get_legend_handles_labels()
    shown = slice(0, _LINES_IN_LEGEND)
    if handles:
        axes.legend(handles[shown], names[shown], loc="upper left")
