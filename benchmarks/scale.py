"""Ten thousand finished cleanups and a hundred active ones: memory, CPU at rest, start-up, and how soon a new one is acted on."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.cluster import create_finished, live
from benchmarks.installation import ENDED_JOB, Operator, finished_cleanup, installation, objects_by_vm, start_operator
from benchmarks.journal import first_requests
from benchmarks.processes import cpu_seconds, resident_mebibytes, wait_until_idle
from benchmarks.results import Recorder, percentile
from development.stand import Stand

METHOD: Final = (
    "Finished resources are copies of a real one. The operator is started from disk beside them and beside unfinished "
    "ones whose reverts take long; start-up is the time from the start of the process until OSSEA or the daemon has "
    "the first request for an unfinished one (and for the last of those that the appliance's limit lets run). Memory "
    "is resident memory with all of them active, and again at rest. CPU at rest is that of a window in which nothing "
    "is unfinished. Then cleanups are created one at a time; the first action is the first mutating request that "
    "OSSEA or the daemon has, by the same machine's clock. Growth compares the same figures of the smallest and the "
    "greatest number of resources: 1 is linear, less is better than linear."
)

_KIBIBYTES: Final = 1024
_ALLOWED_MEBIBYTES: Final = 250.0
_ALLOWED_IDLE_CORE: Final = 0.02
_ALLOWED_START_SECONDS: Final = 20.0
_ALLOWED_ACTION_SECONDS: Final = 0.25
_WIDE: Final = {"cleanups": 100, "revertsInParallel": 64, "requestsPerSecond": 1000}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        finished: numbers of finished resources, ascending; each in an installation of its own.
        active: unfinished cleanups at the start of the operator.
        created: cleanups created one at a time.
        idle_seconds: length of the window at rest.
        held_seconds: how long a revert of an active cleanup takes, so that all are active at once.
    """

    finished: tuple[int, ...]
    active: int
    created: int
    idle_seconds: float
    held_seconds: float


FULL: Final = Plan(finished=(1000, 3000, 10_000), active=100, created=100, idle_seconds=120.0, held_seconds=45.0)
SHORT: Final = Plan(finished=(200,), active=5, created=5, idle_seconds=5.0, held_seconds=5.0)


@dataclass(frozen=True, slots=True)
class Figures:
    """What one number of finished resources costs."""

    start_seconds: float
    start_cpu_seconds: float
    active_mebibytes: float
    idle_mebibytes: float
    idle_core: float
    claim_seconds: tuple[float, ...]
    action_seconds: tuple[float, ...]


def measure(recorder: Recorder, plan: Plan) -> None:
    """Measure each number of resources, then the growth from the least to the most."""
    measured = {number: _measure(plan, number) for number in plan.finished}
    for number, found in measured.items():
        when = f"{number} finished"
        recorder.add(f"{when}: start-up until the first is acted on", "s", found.start_seconds)
        recorder.add(f"{when}: CPU of the start-up", "s", found.start_cpu_seconds)
        recorder.add(f"{when}: memory with {plan.active} active", "MiB", found.active_mebibytes)
        recorder.add(f"{when}: memory at rest", "MiB", found.idle_mebibytes)
        recorder.add(f"{when}: share of a core at rest", "ratio", found.idle_core)
        recorder.add(f"{when}: acceptance to claim", "s", *found.claim_seconds)
        recorder.add(f"{when}: acceptance to first action", "s", *found.action_seconds)
        recorder.add(
            f"{when}: acceptance to first action, 99th percentile", "s", percentile(found.action_seconds, 0.99)
        )
    least, most = plan.finished[0], plan.finished[-1]
    few, many = measured[least], measured[most]
    recorder.add("memory over 250 MB", "ratio", max(many.active_mebibytes, many.idle_mebibytes) / _ALLOWED_MEBIBYTES)
    recorder.add("CPU at rest over 2 % of a core", "ratio", many.idle_core / _ALLOWED_IDLE_CORE)
    recorder.add("start-up over 20 s", "ratio", many.start_seconds / _ALLOWED_START_SECONDS)
    recorder.add(
        "acceptance to first action, 99th percentile, over 250 ms",
        "ratio",
        percentile(many.action_seconds, 0.99) / _ALLOWED_ACTION_SECONDS,
    )
    if most == least:
        return
    times = most / least
    each = (many.idle_mebibytes - few.idle_mebibytes) / (most - least) * _KIBIBYTES
    recorder.add("memory for one more finished cleanup", "KiB", each)
    recorder.add("growth of memory", "ratio", many.idle_mebibytes / few.idle_mebibytes / times)
    recorder.add("growth of the start-up's CPU", "ratio", many.start_cpu_seconds / few.start_cpu_seconds / times)
    recorder.add("growth of the start-up", "ratio", many.start_seconds / few.start_seconds / times)


def _measure(plan: Plan, finished: int) -> Figures:
    with installation(limits=_WIDE, quiet_seconds=1) as stand:
        template = finished_cleanup(stand)
        names = [f"finished-{number}" for number in range(finished)]
        asyncio.run(create_finished(stand.control_plane, stand.namespace, template, names))
        built = {
            f"active-{number}": stand.build(ENDED_JOB, f"active-{number}", disks=1) for number in range(plan.active)
        }
        stand.apply(*(stand.manifest(name, name) for name in built))
        stand.latency(revertSnapshot=plan.held_seconds)
        stand.act("clear_journal")

        started = time.time()
        operator = start_operator(stand, FEC_WORKERS="100")
        first = _wait_for_first_requests(stand, built, 1)
        start_cpu = cpu_seconds(operator.process.pid)
        _wait_for_first_requests(stand, built, plan.active)
        active = resident_mebibytes(operator.process.pid)
        stand.latency(revertSnapshot=0.0)
        for name in built:
            stand.wait_for(name, "Ready", seconds=300)
        idle_core = _at_rest(operator, plan.idle_seconds)
        idle = resident_mebibytes(operator.process.pid)
        created = [_create(stand, f"created-{number}") for number in range(plan.created)]
        return Figures(
            start_seconds=min(first.values()) - started,
            start_cpu_seconds=start_cpu,
            active_mebibytes=active,
            idle_mebibytes=idle,
            idle_core=idle_core,
            claim_seconds=tuple(claim for claim, _ in created),
            action_seconds=tuple(action for _, action in created),
        )


def _wait_for_first_requests(stand: Stand, built: dict[str, Any], count: int) -> dict[str, float]:
    owners = objects_by_vm(built)
    found: dict[str, float] = {}

    def reached() -> bool:
        found.update(first_requests(stand.journal(), owners))
        return len(found) >= count

    stand.wait_until(reached, seconds=300, what=f"{count} unfinished cleanups are acted on")
    return found


def _at_rest(operator: Operator, seconds: float) -> float:
    """Share of a core that is used while nothing is unfinished."""
    wait_until_idle(operator.process.pid)
    before, begun = cpu_seconds(operator.process.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(operator.process.pid) - before) / (time.monotonic() - begun)


def _create(stand: Stand, name: str) -> tuple[float, float]:
    """Seconds from the acceptance of a cleanup to its claim and to its first mutating request."""
    owners = objects_by_vm({name: stand.build(ENDED_JOB, name, disks=1)})
    stand.act("clear_journal")
    (one,) = asyncio.run(live(stand.control_plane, [stand.manifest(name, name)], seconds=60)).values()
    if one.claimed is None:
        raise AssertionError(f"{name} is Ready and never took a claim")
    return one.claimed - one.accepted, first_requests(stand.journal(), owners)[name] - one.accepted
