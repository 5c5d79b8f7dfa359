"""`docs/benchmarks/`: the charts, and a page with every figure of the run they were drawn from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from benchmarks.charts import draw
from benchmarks.limits import compare, load_limits
from benchmarks.results import Result

_TITLES: Final[Mapping[str, str]] = {
    "critical-path": "Critical path",
    "calls": "Calls",
    "throughput": "Throughput",
    "scale": "Scale",
    "overload": "Overload",
    "comparison": "Beside controller-runtime",
}
_INTRODUCTION: Final = """# Figures

Each section is one run of its benchmark; its table says how often a figure was measured and how far the measurements lie apart.
[Benchmarks](../../benchmarks/README.md) tells what each limit is for and how to measure again.
"""


def write_report(results: Mapping[str, Result], directory: Path) -> Iterator[Path]:
    """Draw the charts of full runs and write `figures.md` beside them; gives the files.

    Args:
        results: by benchmark.
        directory: for the files; it is made if it is not there.
    """
    whole = {name: result for name, result in results.items() if result.size == "full"}
    charts = {path.stem: path for path in draw(whole, directory)}
    yield from charts.values()
    page = directory / "figures.md"
    parts = [_INTRODUCTION, *(_section(whole[name], charts) for name in _TITLES if name in whole)]
    page.write_text("\n".join(parts), encoding="utf-8")
    yield page


def _section(result: Result, charts: Mapping[str, Path]) -> str:
    machine = result.machine
    lines = [f"## {_TITLES[result.benchmark]}", ""]
    if result.benchmark in charts:
        lines += [f"![{_TITLES[result.benchmark]}]({charts[result.benchmark].name})", ""]
    lines += [result.method, ""]
    lines += [
        f"Machine: {machine.cores} cores, {machine.memory_gib} GiB; load before the run {machine.load_before:g}.",
        "",
    ]
    lines += ["| figure | unit | n | least | median | most |", "|---|---|---:|---:|---:|---:|"]
    for name, series in result.series.items():
        lines.append(
            f"| {name} | {series.unit} | {series.n} | {series.least:g} | {series.median:g} | {series.most:g} |"
        )
    lines.append("")
    lines += [f"- {name}: {remark}" for name, remark in result.remarks.items()]
    over = [v for v in compare(load_limits(), {result.benchmark: result}, "full") if not v.kept]
    missed = [v for v in over if v.limit.benchmark == result.benchmark]
    lines += [f"- **Over its limit**: {v.limit.series}, {v.value} instead of {v.allowed:g} at most." for v in missed]
    return "\n".join(lines).rstrip() + "\n"
