"""What a benchmark found: series of values with their unit, written as JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict, Field, computed_field

Size = Literal["full", "short"]


class Machine(BaseModel):
    """Where it was measured, as a class of machine and not as one that can be recognised.

    Attributes:
        cores: logical processors.
        memory_gib: main memory, rounded.
        load_before: processes that wanted a core in the minute before, on all cores; above 0.5 somebody else was at work.
    """

    model_config = ConfigDict(frozen=True)

    cores: int
    memory_gib: int
    load_before: float

    @classmethod
    def here(cls) -> Machine:
        """This machine, now."""
        load, _, _ = psutil.getloadavg()
        return cls(
            cores=psutil.cpu_count() or 1,
            memory_gib=round(psutil.virtual_memory().total / 2**30),
            load_before=round(load, 2),
        )


class Series(BaseModel):
    """Repeated measurements of one thing.

    Attributes:
        unit: such as `s`, `MiB`, `calls` or `ratio`.
        values: in the order measured.
    """

    model_config = ConfigDict(frozen=True)

    unit: str
    values: tuple[float, ...] = Field(min_length=1)

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated property
    @property
    def n(self) -> int:
        """How many."""
        return len(self.values)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def least(self) -> float:
        """The smallest."""
        return min(self.values)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.values)

    @computed_field  # type: ignore[prop-decorator]
    @property
    def most(self) -> float:
        """The greatest."""
        return max(self.values)


class Result(BaseModel):
    """All that one benchmark found in one run.

    Attributes:
        benchmark: its name, as on the command line.
        size: full, or the short form.
        method: one paragraph.
        machine: where.
        series: by name.
        remarks: what is no number, such as the top of a profile; by name.
    """

    model_config = ConfigDict(frozen=True)

    benchmark: str
    size: Size
    method: str
    machine: Machine
    series: dict[str, Series]
    remarks: dict[str, str] = {}

    def save(self, directory: Path) -> Path:
        """Write `<benchmark>.json` and return its path."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / f"{self.benchmark}.json"
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
        return path


def load_results(directory: Path) -> dict[str, Result]:
    """Every result in a directory, by benchmark.

    Raises:
        pydantic.ValidationError: a file is no result.
    """
    found = [Result.model_validate_json(path.read_text(encoding="utf-8")) for path in sorted(directory.glob("*.json"))]
    return {result.benchmark: result for result in found}


class Recorder:
    """Collects values while a benchmark runs."""

    def __init__(self) -> None:
        self._units: dict[str, str] = {}
        self._values: dict[str, list[float]] = {}
        self.remarks: dict[str, str] = {}

    def add(self, name: str, unit: str, *values: float) -> None:
        """Add values to a series.

        Raises:
            ValueError: the series has another unit.
        """
        if self._units.setdefault(name, unit) != unit:
            raise ValueError(f"{name} is measured in {self._units[name]}, not in {unit}")
        self._values.setdefault(name, []).extend(round(value, 4) for value in values)

    @property
    def series(self) -> dict[str, Series]:
        """What was added so far."""
        return {name: Series(unit=unit, values=tuple(self._values[name])) for name, unit in self._units.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed (nearest rank).

    Args:
        values: at least one.
        share: above 0, at most 1.
    """
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * round(share * 10_000) // 10_000))
    return ordered[rank - 1]
