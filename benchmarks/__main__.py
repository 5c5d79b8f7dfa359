"""`python -m benchmarks run | check | report`: measure, hold the results against the limits, draw and tell them."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks import calls, comparison, critical_path, overload, scale, throughput
from benchmarks.limits import compare, load_limits
from benchmarks.report import write_report
from benchmarks.results import Machine, Recorder, Result, Size, load_results
from development.cache import cache_directory
from development.go_build import BuildError
from development.processes import MissingProgramError
from development.stand import ROOT


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark.

    Attributes:
        method: one paragraph.
        full: measures everything.
        short: measures a little of it, for CI; None: it has no short form.
    """

    method: str
    full: Callable[[Recorder], None]
    short: Callable[[Recorder], None] | None


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "critical-path": Benchmark(
        critical_path.METHOD,
        partial(critical_path.measure, cases=critical_path.FULL),
        partial(critical_path.measure, cases=critical_path.SHORT),
    ),
    "calls": Benchmark(calls.METHOD, partial(calls.measure, plan=calls.FULL), partial(calls.measure, plan=calls.SHORT)),
    "throughput": Benchmark(
        throughput.METHOD,
        partial(throughput.measure, plan=throughput.FULL),
        partial(throughput.measure, plan=throughput.SHORT),
    ),
    "scale": Benchmark(scale.METHOD, partial(scale.measure, plan=scale.FULL), partial(scale.measure, plan=scale.SHORT)),
    "overload": Benchmark(
        overload.METHOD, partial(overload.measure, plan=overload.FULL), partial(overload.measure, plan=overload.SHORT)
    ),
    "comparison": Benchmark(comparison.METHOD, partial(comparison.measure, plan=comparison.FULL), None),
}


def run(directory: Path, size: Size, names: list[str]) -> None:
    """Measure and save; one benchmark after the other, so that none disturbs another."""
    for name in names:
        benchmark = BENCHMARKS[name]
        measure = benchmark.full if size == "full" else benchmark.short
        if measure is None:
            continue
        machine, recorder, begun = Machine.here(), Recorder(), time.monotonic()
        print(f"{name} …", flush=True)
        measure(recorder)
        result = Result(
            benchmark=name,
            size=size,
            method=benchmark.method,
            machine=machine,
            series=recorder.series,
            remarks=recorder.remarks,
        )
        print(f"{name} took {time.monotonic() - begun:.0f} s: {result.save(directory)}", flush=True)
        for title, series in result.series.items():
            print(f"  {title}: {series.median:g} {series.unit} ({series.least:g} … {series.most:g}, n={series.n})")
        for title, remark in result.remarks.items():
            print(f"  {title}: {remark}")


def check(directory: Path, size: Size) -> int:
    """Print every comparison; 1 when a limit is not kept."""
    verdicts = list(compare(load_limits(), load_results(directory), size))
    for verdict in verdicts:
        print(verdict)
    return 0 if all(verdict.kept for verdict in verdicts) else 1


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for command, explanation in (
        ("run", "measure and save the results"),
        ("check", "hold saved results against limits.toml"),
        ("report", "draw saved results of a full run, and write a page with all figures"),
    ):
        part = commands.add_parser(command, help=explanation)
        part.add_argument("--results", type=Path, help="directory of the results; default: one in the user's cache")
        if command != "report":
            part.add_argument("--short", action="store_true", help="the short form, for CI")
        if command == "run":
            part.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; default: all")
        if command == "report":
            part.add_argument(
                "--into", type=Path, default=ROOT / "docs" / "benchmarks", help="directory of charts and page"
            )
    options = parser.parse_args(arguments)
    size: Size = "short" if getattr(options, "short", False) else "full"
    directory: Path = options.results or cache_directory() / "benchmarks" / "results" / size
    if options.command == "report":
        for path in write_report(load_results(directory), options.into):
            print(path)
        return 0
    if options.command == "check":
        return check(directory, size)
    unknown = set(options.names) - BENCHMARKS.keys()
    if unknown:
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}")
    try:
        run(directory, size, options.names or list(BENCHMARKS))
    except (MissingProgramError, BuildError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


if __name__ == "__main__":
    sys.exit(main())
