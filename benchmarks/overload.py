"""A thousand stuck VMs of one appliance at once, with storms of 429: limits, order, places in the line, memory."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from benchmarks.cluster import Lived, live
from benchmarks.installation import ENDED_JOB, installation, start_ready_operator
from benchmarks.journal import most_at_once, most_in_a_second, requests, spans
from benchmarks.processes import resident_mebibytes, sampled_memory
from benchmarks.results import Recorder

METHOD: Final = (
    "All VMs get stuck, then a cleanup for each is created in a known order, each accepted before the next is sent, "
    "while the operator is idle. Reverts take half a second, so that lines form at every limit; the limits are 10 "
    "cleanups, 4 reverts and 100 requests a second. Up to three times in between OSSEA answers 429 to requests of "
    "three kinds. From the simulator's journal: reverts in flight at once, and mutating requests within any second. "
    "From the watch: the order in which cleanups took their claims, and the places in the line that they showed. "
    "Memory is sampled from start to end; its growth compares the median of the last fifth with the median of the "
    "second fifth, when everything has been loaded."
)

_LIMITS: Final = {"cleanups": 10, "revertsInParallel": 4, "requestsPerSecond": 100}
_REVERT_SECONDS: Final = 0.5
_STORM_COMMANDS: Final = ("listVolumes", "revertSnapshot", "queryAsyncJobResult")


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        vms: stuck ones.
        storms: of 429, spread over the run.
        storm: requests of each kind that are refused with 429 in one storm.
        pause_seconds: pause that a 429 asks for.
    """

    vms: int
    storms: int
    storm: int
    pause_seconds: float


FULL: Final = Plan(vms=1000, storms=3, storm=20, pause_seconds=1.0)
SHORT: Final = Plan(vms=20, storms=1, storm=3, pause_seconds=0.5)


def measure(recorder: Recorder, plan: Plan) -> None:
    """Measure one flood."""
    with installation(limits=_LIMITS, quiet_seconds=1) as stand:
        stand.latency(revertSnapshot=_REVERT_SECONDS)
        names = [f"stuck-{number:04}" for number in range(plan.vms)]
        for name in names:
            stand.build(ENDED_JOB, name, disks=1)
        stand.act("clear_journal")
        operator = start_ready_operator(stand, FEC_WORKERS="100")
        before = resident_mebibytes(operator.process.pid)
        for storm in range(plan.storms):
            for command in _STORM_COMMANDS:
                skip = (storm + 1) * plan.vms // (plan.storms + 1)
                stand.fault(kind="http_429", command=command, times=plan.storm, skip=skip, seconds=plan.pause_seconds)
        with sampled_memory(operator.process.pid, every_seconds=0.5) as memory:
            manifests = [stand.manifest(name, name) for name in names]
            lives = asyncio.run(live(stand.control_plane, manifests, seconds=120 + 5 * plan.vms, one_by_one=True))
        entries = stand.journal()
        lost = places_lost(lives.values())
        refused = sum(entry["status"] == 429 for entry in requests(entries))
        reverts = most_at_once(spans(entries, "revertSnapshot", "reverted"))
        per_second = max(
            most_in_a_second(entry["time"] for entry in requests(entries) if entry["door"] == door)
            for door in ("ossea", "daemon")
        )
        recorder.add("cleanups that ended well", "cleanups", len(lives))
        recorder.add("reverts at once over the limit", "ratio", reverts / _LIMITS["revertsInParallel"])
        # A bucket that was full lets a second's worth through at once, and a second's worth in the second that follows.
        recorder.add(
            "requests within a second over the limit", "ratio", per_second / (2 * _LIMITS["requestsPerSecond"])
        )
        recorder.add("places lost in the line", "places", *lost)
        overtaken = sum(places > _LIMITS["cleanups"] for places in lost) / len(lost)
        recorder.add("share of cleanups that lost more places than run at once", "ratio", overtaken)
        recorder.add(
            "cleanups that showed a place in the line", "cleanups", sum(bool(one.positions) for one in lives.values())
        )
        recorder.add(
            "places shown that were no progress", "places", sum(steps_back(one.positions) for one in lives.values())
        )
        recorder.add("mutating requests refused with 429", "requests", refused)
        recorder.add("memory", "MiB", before, *memory)
        recorder.add("growth of memory", "ratio", growth(memory))


def places_lost(lives: Iterable[Lived]) -> list[int]:
    """For each cleanup, in the order they were created, how many that were created after it took their claim before it.

    Raises:
        ValueError: one never took a claim.
    """
    claimed = [one.claimed for one in sorted(lives, key=lambda one: one.accepted)]
    known = [moment for moment in claimed if moment is not None]
    if len(known) < len(claimed):
        raise ValueError(f"{len(claimed) - len(known)} cleanups never took a claim")
    return [sum(later < moment for later in known[place + 1 :]) for place, moment in enumerate(known)]


def steps_back(positions: Sequence[int]) -> int:
    """How often a place in the line was followed by one farther behind."""
    return sum(after > before for before, after in pairwise(positions))


def growth(samples: Sequence[float]) -> float:
    """The median of the last fifth of the samples over the median of the second fifth.

    Raises:
        ValueError: there are fewer than five.
    """
    fifth = len(samples) // 5
    if fifth == 0:
        raise ValueError(f"five samples are needed, there are {len(samples)}")
    return statistics.median(samples[-fifth:]) / statistics.median(samples[fifth : 2 * fifth])
