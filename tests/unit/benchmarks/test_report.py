"""Charts and the page with all figures."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from benchmarks.charts import CHARTS
from benchmarks.report import write_report
from benchmarks.results import Machine, Result, Series, Size

_SHOWN = {
    "critical-path": {"1x4 wall time": "s", "1x4 bound": "s", "1x4 wall time over bound": "ratio"},
    "calls": {f"all phases: calls to {system}": "calls" for system in ("OSSEA", "the Volume Daemon", "Kubernetes")},
    "throughput": {"cleanups a second": "1/s"},
    "scale": {"10 finished: memory at rest": "MiB", "10 finished: memory with 100 active": "MiB"},
    "overload": {"memory": "MiB", "cleanups that ended well": "cleanups"},
    "comparison": {"operator over reference: CPU of the start": "ratio"},
}
"""Series that each chart needs."""


def measured(benchmark: str, size: Size = "full", value: float = 3.5) -> Result:
    return Result(
        benchmark=benchmark,
        size=size,
        method=f"How {benchmark} was measured.",
        machine=Machine(cores=2, memory_gib=8, load_before=0.1),
        series={name: Series(unit=unit, values=(value, value)) for name, unit in _SHOWN[benchmark].items()},
        remarks={"cores used": "1.00 operator, 0.50 etcd"},
    )


@pytest.mark.parametrize("benchmark", CHARTS)
def test_a_chart_is_drawn_the_same_from_the_same_result(benchmark: str, tmp_path: Path) -> None:
    first, again = (
        list(write_report({benchmark: measured(benchmark)}, tmp_path / name)) for name in ("first", "again")
    )
    assert [path.name for path in first] == [f"{benchmark}.svg", "figures.md"]
    assert [path.read_text() for path in first] == [path.read_text() for path in again]
    assert ET.parse(first[0]).getroot().tag.endswith("svg")  # noqa: S314 - written right here


def test_the_page_tells_method_machine_spread_and_remarks(tmp_path: Path) -> None:
    *_, page = write_report({"overload": measured("overload")}, tmp_path)
    text = page.read_text()
    assert "How overload was measured." in text
    assert "2 cores, 8 GiB" in text
    assert "| memory | MiB | 2 | 3.5 | 3.5 | 3.5 |" in text
    assert "cores used: 1.00 operator" in text


@pytest.mark.parametrize(("ratio", "told"), [(1.05, False), (1.7, True)])
def test_the_page_says_what_is_over_its_limit(ratio: float, told: bool, tmp_path: Path) -> None:
    *_, page = write_report({"critical-path": measured("critical-path", value=ratio)}, tmp_path)
    assert ("**Over its limit**: 1x4 wall time over bound" in page.read_text()) is told


def test_the_short_form_is_no_figure(tmp_path: Path) -> None:
    (page,) = write_report({"scale": measured("scale", "short")}, tmp_path)
    assert "##" not in page.read_text()
