"""The range file: what each ratio may be, and the comparison of results with it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from benchmarks.results import Result

FILE: Final = Path(__file__).with_name("limits.toml")


class Limit(BaseModel):
    """What one series may be.

    Attributes:
        benchmark: name of the benchmark.
        series: name of the series; a ratio or a count, never a time, so that the machine matters little.
        of: which of its values is held to the limit.
        at_most: the greatest value allowed in a full run on a quiet machine.
        short_at_most: the same for the short form; absent: the short form does not check it.
        why: where the limit comes from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    benchmark: str
    series: str
    of: Literal["median", "most"] = "median"
    at_most: float
    short_at_most: float | None = None
    why: str

    @model_validator(mode="after")
    def _generous_when_short(self) -> Self:
        if self.short_at_most is not None and self.short_at_most < self.at_most:
            raise ValueError(f"{self.benchmark}: {self.series} may not be held tighter by the short form")
        return self

    def allowed(self, size: str) -> float | None:
        """The greatest value allowed in a run of this size; None: it is not checked."""
        return self.at_most if size == "full" else self.short_at_most


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    limit: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One comparison.

    Attributes:
        value: what was measured; None: nothing was.
        allowed: the greatest value allowed.
    """

    limit: Limit
    value: float | None
    allowed: float

    @property
    def kept(self) -> bool:
        """Whether something was measured and it is within the limit."""
        return self.value is not None and self.value <= self.allowed

    def __str__(self) -> str:
        measured = "not measured" if self.value is None else f"{self.value:.3f}"
        place = f"{self.limit.benchmark}: {self.limit.series}"
        return (
            f"{'ok  ' if self.kept else 'OVER'} {place:<60} {measured:>12}  at most {self.allowed:g} ({self.limit.of})"
        )


def load_limits(file: Path = FILE) -> tuple[Limit, ...]:
    """The limits of a range file.

    Raises:
        pydantic.ValidationError: it is not as it should be.
    """
    return _File.model_validate(tomllib.loads(file.read_text(encoding="utf-8"))).limit


def compare(limits: tuple[Limit, ...], results: Mapping[str, Result], size: str) -> Iterator[Verdict]:
    """Hold results of runs of one size against the limits; what was not measured is not kept."""
    for limit in limits:
        allowed = limit.allowed(size)
        if allowed is None:
            continue
        result = results.get(limit.benchmark)
        series = result.series.get(limit.series) if result is not None and result.size == size else None
        yield Verdict(limit, None if series is None else float(getattr(series, limit.of)), allowed)
