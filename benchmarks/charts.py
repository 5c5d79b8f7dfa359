"""Results as SVG, for the docs."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.results import Result

_OURS, _OTHER, _LIMIT = "#1565c0", "#b0bec5", "#c62828"
_TOO_EXACT: Final = re.compile(r"(\d\.\d\d)\d+")
"""Digits of coordinates that nobody can see."""
_SETTINGS: Final[Mapping[Any, Any]] = {
    "svg.fonttype": "none",  # text stays text: small, searchable
    "svg.hashsalt": "benchmarks",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
    "legend.fontsize": 8,
}


def draw(results: Mapping[str, Result], directory: Path) -> Iterator[Path]:
    """Draw each chart whose benchmark was measured in full; gives the files.

    Args:
        results: by benchmark.
        directory: of the charts, named after the benchmarks.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name, chart in CHARTS.items():
        result = results.get(name)
        if result is not None and result.size == "full":
            path = directory / f"{name}.svg"
            path.write_text(_svg(result, chart), encoding="utf-8")
            yield path


def _svg(result: Result, chart: Callable[[Axes, Result], None]) -> str:
    with mpl.rc_context(dict(_SETTINGS)):
        figure = Figure(figsize=(7.2, 3.4), layout="constrained")
        axes = figure.add_subplot()
        chart(axes, result)
        figure.text(0.995, 0.005, f"{result.machine.cores} cores", ha="right", va="bottom", fontsize=6, color="#78909c")
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": result.benchmark})
    return _TOO_EXACT.sub(r"\1", text.getvalue())


def _critical_path(axes: Axes, result: Result) -> None:
    suffix = " wall time over bound"
    cases = [name.removesuffix(suffix) for name in result.series if name.endswith(suffix)]
    ratios = [result.series[case + suffix] for case in cases]
    medians = [one.median for one in ratios]
    spread = [[one.median - one.least for one in ratios], [one.most - one.median for one in ratios]]
    axes.bar(cases, medians, yerr=spread, capsize=4, color=_OURS, label="wall time")
    axes.axhline(1, color=_LIMIT, linewidth=1, label="no operator can be faster")
    for place, (case, ratio) in enumerate(zip(cases, ratios, strict=True)):
        wall, bound = result.series[f"{case} wall time"].median, result.series[f"{case} bound"].median
        axes.annotate(f"{wall:.0f} s of {bound:.0f} s", (place, ratio.most), ha="center", va="bottom")
    axes.margins(y=0.2)
    axes.set_title("Cleanups over the backend's own latencies (VMs x volumes)")
    axes.set_ylabel("times the shortest possible")
    axes.legend(loc="lower right", frameon=True)


def _calls(axes: Axes, result: Result) -> None:
    kinds = [name.removesuffix(": calls to OSSEA") for name in result.series if name.endswith(": calls to OSSEA")]
    below = [0.0] * len(kinds)
    for system, colour in (("OSSEA", _OURS), ("the Volume Daemon", "#64b5f6"), ("Kubernetes", _OTHER)):
        heights = [result.series[f"{kind}: calls to {system}"].median for kind in kinds]
        axes.bar(kinds, heights, bottom=below, color=colour, label=system)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_title("Calls of one cleanup of a VM with three volumes")
    axes.set_ylabel("calls")
    axes.legend()


def _throughput(axes: Axes, result: Result) -> None:
    shares = [part.split(" ", 1) for part in result.remarks["cores used"].split(", ")]
    names = [name for _, name in shares]
    axes.barh(names[::-1], [float(share) for share, _ in shares][::-1], color=_OURS)
    rate = result.series["cleanups a second"]
    axes.set_title(f"{rate.median:.1f} cleanups a second, no backend latency: who uses the cores")
    axes.set_xlabel("cores")


def _scale(axes: Axes, result: Result) -> None:
    pattern = re.compile(r"(\d+) finished: memory at rest")
    numbers = [int(found[1]) for name in result.series if (found := pattern.fullmatch(name))]
    for what, style in (("memory at rest", "o-"), ("memory with 100 active", "s--")):
        values = [result.series[f"{number} finished: {what}"].median for number in numbers]
        axes.plot(numbers, values, style, color=_OURS, label=what)
    axes.axhline(250, color=_LIMIT, linewidth=1, label="limit")
    axes.set_ylim(bottom=0)
    axes.set_title("Memory of the operator beside finished cleanups")
    axes.set_xlabel("finished cleanups")
    axes.set_ylabel("MiB")
    axes.legend()


def _overload(axes: Axes, result: Result) -> None:
    memory = result.series["memory"].values
    axes.plot([index / max(1, len(memory) - 1) * 100 for index in range(len(memory))], memory, color=_OURS)
    axes.set_ylim(0, max(memory) * 1.2)
    axes.set_title(
        f"Memory while {result.series['cleanups that ended well'].median:.0f} VMs of one appliance are cleaned up"
    )
    axes.set_xlabel("% of the run")
    axes.set_ylabel("MiB")


def _comparison(axes: Axes, result: Result) -> None:
    prefix = "operator over reference: "
    names = [name.removeprefix(prefix) for name in result.series if name.startswith(prefix)]
    values = [result.series[prefix + name].median for name in names]
    bars = axes.barh(names[::-1], values[::-1], color=_OURS)
    axes.bar_label(bars, fmt=" %.2g x")
    axes.axvline(1, color=_LIMIT, linewidth=1)
    axes.set_title("This operator over a minimal controller-runtime controller")
    axes.set_xscale("log")


CHARTS: Final[Mapping[str, Callable[[Axes, Result], None]]] = {
    "critical-path": _critical_path,
    "calls": _calls,
    "throughput": _throughput,
    "scale": _scale,
    "overload": _overload,
    "comparison": _comparison,
}
"""What is drawn, by benchmark."""
