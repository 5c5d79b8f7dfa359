"""The range file and what is said of results."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from benchmarks import calls, critical_path
from benchmarks.__main__ import BENCHMARKS, check
from benchmarks.limits import Limit, compare, load_limits
from benchmarks.results import Machine, Recorder, Result, Series, Size, load_results, percentile

LIMIT = Limit(benchmark="calls", series="idle", at_most=1.1, short_at_most=2.0, why="a test")


def result(*values: float, size: Size = "full", benchmark: str = "calls", series: str = "idle") -> Result:
    return Result(
        benchmark=benchmark,
        size=size,
        method="counted",
        machine=Machine(cores=2, memory_gib=8, load_before=0.0),
        series={series: Series(unit="ratio", values=values)},
    )


@pytest.mark.parametrize(
    ("found", "size", "kept"),
    [
        (result(1.0, 1.1, 5.0), "full", [True]),  # the median counts
        (result(1.0, 1.2, 1.3), "full", [False]),
        (result(1.9, size="short"), "short", [True]),
        (result(2.1, size="short"), "short", [False]),
        (result(1.0, size="short"), "full", [False]),  # the short form says nothing about the full one
        (result(1.0, series="another"), "full", [False]),
    ],
)
def test_results_are_held_to_the_limit_of_their_size(found: Result, size: Size, kept: list[bool]) -> None:
    assert [verdict.kept for verdict in compare((LIMIT,), {"calls": found}, size)] == kept


def test_the_greatest_value_counts_where_the_limit_says_so() -> None:
    strict = LIMIT.model_copy(update={"of": "most"})
    assert [verdict.kept for verdict in compare((strict,), {"calls": result(1.0, 1.0, 5.0)}, "full")] == [False]


def test_what_has_no_short_limit_is_not_checked_by_the_short_form() -> None:
    assert list(compare((LIMIT.model_copy(update={"short_at_most": None}),), {}, "short")) == []


def test_the_short_form_may_not_be_stricter() -> None:
    with pytest.raises(ValidationError, match="tighter"):
        Limit(benchmark="calls", series="idle", at_most=1.1, short_at_most=1.0, why="a mistake")


def test_every_limit_is_of_a_benchmark_that_has_the_form_it_is_checked_in() -> None:
    for limit in load_limits():
        assert limit.benchmark in BENCHMARKS, limit.series
        assert limit.short_at_most is None or BENCHMARKS[limit.benchmark].short is not None, limit.series


def test_limits_name_series_that_are_measured() -> None:
    cases = {f"{case.name} wall time over bound" for case in critical_path.FULL}
    kinds = {f"{kind}: foreign requests" for kind in calls.DIFFERENCES}
    limits = load_limits()
    assert {limit.series for limit in limits if limit.benchmark == "critical-path"} == cases
    assert {limit.series for limit in limits if limit.benchmark == "calls" and "foreign" in limit.series} == kinds


def test_missing_results_fail_the_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert check(tmp_path, "short") == 1
    assert "not measured" in capsys.readouterr().out


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = result(3.0, 1.0, 2.0)
    path = written.save(tmp_path)
    assert load_results(tmp_path) == {"calls": written}
    assert '"median": 2.0' in path.read_text()


def test_a_series_has_one_unit() -> None:
    recorder = Recorder()
    recorder.add("memory", "MiB", 1.0)
    with pytest.raises(ValueError, match="MiB"):
        recorder.add("memory", "s", 1.0)


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [([3.0], 0.99, 3.0), ([1.0, 2.0, 3.0, 4.0], 0.5, 2.0), (list(map(float, range(1, 101))), 0.99, 99.0)],
)
def test_percentile_is_a_value_that_was_measured(values: list[float], share: float, expected: float) -> None:
    assert percentile(values, share) == expected
