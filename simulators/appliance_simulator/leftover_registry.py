"""Rows of the table of leftovers, by id."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from appliance_simulator.scene import Scene

Teller: TypeAlias = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Leftover:
    """A row of the table: its id, what failed, and the kind of failover when only one makes sense."""

    row: str
    summary: str
    tell: Teller
    kind: str | None = None


LEFTOVERS: Final[dict[str, Leftover]] = {}


def leftover(row: str, *, kind: str | None = None) -> Callable[[Teller], Teller]:
    """Register the teller of a row; its docstring is the summary."""

    def register(tell: Teller) -> Teller:
        LEFTOVERS[row] = Leftover(row, (tell.__doc__ or "").strip(), tell, kind)
        return tell

    return register
