"""The shortest time in which any operator could do a cleanup: a lower bound from the backend's own latencies.

Each volume goes through a chain of steps, one after the other. Some steps share a server: OSSEA runs attach and detach of one VM one at a
time (OSSEA facts 1.5, 2.14), and at most `revertsInParallel` reverts run at once. For every group of steps on one server no schedule can be
shorter than the earliest start of any of them, plus their work, plus the shortest way from any of them to the end. The greatest of these
sums is the bound (the one-machine relaxation of the job shop). It leaves out waits that safety demands; `after_quiet` puts one in.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Step:
    """One piece of the backend's work.

    Attributes:
        command: such as `detachVolume`.
        seconds: how long the backend takes for it alone.
        server: what works on one step at a time, or on as many as `lower_bound` is told; None: nothing is shared.
    """

    command: str
    seconds: float
    server: str | None = None


Chain: TypeAlias = Sequence[Step]
"""The steps of one volume, in order."""


@dataclass(frozen=True, slots=True)
class _Placed:
    head: float
    seconds: float
    tail: float


def lower_bound(chains: Iterable[Chain], width: Mapping[str, int] | None = None) -> float:
    """Seconds that no schedule can beat.

    Args:
        chains: of all volumes that are worked on side by side.
        width: how many steps a server works on at once, where it is more than one.
    """
    known = [tuple(chain) for chain in chains]
    by_server: defaultdict[str, list[_Placed]] = defaultdict(list)
    for chain in known:
        total, head = sum(step.seconds for step in chain), 0.0
        for step in chain:
            if step.server is not None:
                by_server[step.server].append(_Placed(head, step.seconds, total - head - step.seconds))
            head += step.seconds
    longest = max((sum(step.seconds for step in chain) for chain in known), default=0.0)
    return max([longest, *(_server_bound(placed, (width or {}).get(name, 1)) for name, placed in by_server.items())])


def after_quiet(chains: Iterable[Chain], quiet_seconds: float) -> float:
    """Seconds that no schedule can beat when a delete must wait for a quiet time after the last detach (rule 5).

    Args:
        chains: of one VM whose volumes hang on one server; each is detach, revert, delete, attach.
        quiet_seconds: the quiet time.
    """
    seconds: defaultdict[str, list[float]] = defaultdict(list)
    for step in (step for chain in chains for step in chain):
        seconds[step.command].append(step.seconds)
    pause = max(quiet_seconds, min(seconds["revertSnapshot"]))
    return sum(seconds["detachVolume"]) + pause + min(seconds["deleteSnapshot"]) + sum(seconds["attachVolume"])


def one_after_another(chains: Iterable[Chain]) -> float:
    """Seconds it takes to do every step of every volume one after the other, as the product's own cleanup does."""
    return sum(step.seconds for chain in chains for step in chain)


def _server_bound(placed: Sequence[_Placed], width: int) -> float:
    return max(
        _group_bound([p for p in placed if p.head >= head and p.tail >= tail], width)
        for head in {p.head for p in placed}
        for tail in {p.tail for p in placed}
    )


def _group_bound(group: Sequence[_Placed], width: int) -> float:
    if not group:
        return 0.0
    shared = sum(p.seconds for p in group) / width
    rounds = math.ceil(len(group) / width) * min(p.seconds for p in group)
    return min(p.head for p in group) + max(shared, rounds) + min(p.tail for p in group)
