"""How many cleanups a second the operator gets through when nothing it waits for takes time."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final

from benchmarks.cluster import Lived, administrator, collection, live, wall_seconds
from benchmarks.installation import ENDED_JOB, installation, start_ready_operator
from benchmarks.processes import Meter, cpu_seconds, wait_until_idle
from benchmarks.profiling import profiled, told
from benchmarks.results import Recorder
from development.stand import Stand

METHOD: Final = (
    "Many VMs with two volumes each, all of one appliance, whose cleanups are created side by side on a real API "
    "server and MariaDB; OSSEA and the daemon take no time, and the appliance's limits are as wide as the resource "
    "allows (100 cleanups, 64 reverts, 1000 requests a second). The rate is over the time from the first creation to "
    "the last Ready. The simulator, the API server, etcd, MariaDB and the client share the same cores, so the rate is "
    "that of all of them together; the operator's own cost is its CPU time for one cleanup, also told in reads: one "
    "read is what the same machine's Python spends on one GET of a cleanup over TLS in the same run."
)

_WIDE: Final = {"cleanups": 100, "revertsInParallel": 64, "requestsPerSecond": 1000}
_READS: Final = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        cleanups: in each repeat.
        repeats: how often.
        with_profile: whether the operator is profiled in one more repeat, whose figures do not count.
    """

    cleanups: int
    repeats: int
    with_profile: bool


FULL: Final = Plan(cleanups=200, repeats=3, with_profile=True)
SHORT: Final = Plan(cleanups=10, repeats=1, with_profile=False)


def measure(recorder: Recorder, plan: Plan) -> None:
    """Measure all repeats in one installation.

    Raises:
        MissingProgramError: a profile is wanted and py-spy is not there.
    """
    with installation(limits=_WIDE, quiet_seconds=1) as stand:
        pid = start_ready_operator(stand, FEC_WORKERS="100").process.pid
        for repeat in range(plan.repeats):
            names = _stuck(stand, plan, f"vm{repeat}")
            wait_until_idle(pid)
            spent, meter = cpu_seconds(pid), Meter(operator=pid)
            lives = _clean(stand, names)
            cost, used = meter.stop(), cpu_seconds(pid) - spent
            read = asyncio.run(_cost_of_a_read(stand))
            recorder.add("cleanups a second", "1/s", plan.cleanups / wall_seconds(lives))
            recorder.add("operator's CPU for one cleanup", "s", used / plan.cleanups)
            recorder.add("operator's CPU for one cleanup, in reads", "ratio", used / plan.cleanups / read)
            recorder.add("operator's share of one core", "ratio", used / cost.seconds)
            recorder.remarks["bottleneck"] = cost.busiest
            shares = (f"{spent / cost.seconds:.2f} {name}" for name, spent in cost.cpu.items())
            recorder.remarks["cores used"] = ", ".join(shares)
        if plan.with_profile:
            names = _stuck(stand, plan, "profiled")
            with profiled(pid) as profile:
                _clean(stand, names)
            recorder.remarks["operator's time by package"] = told(profile.by_package())
            recorder.remarks["operator's time by its own function, libraries included"] = told(
                profile.by_own_function()
            )


def _stuck(stand: Stand, plan: Plan, prefix: str) -> list[str]:
    names = [f"{prefix}-{number}" for number in range(plan.cleanups)]
    for name in names:
        stand.build(ENDED_JOB, name, disks=2)
    return names


def _clean(stand: Stand, names: list[str]) -> dict[str, Lived]:
    manifests = [stand.manifest(name, name) for name in names]
    return asyncio.run(live(stand.control_plane, manifests, seconds=60 + 10 * len(names)))


async def _cost_of_a_read(stand: Stand) -> float:
    """Seconds of this process's CPU for one GET of a cleanup: the machine's own measure."""
    async with administrator(stand.control_plane) as session:
        path = collection(stand.namespace)
        async with session.get(path, params={"limit": "1"}) as answer:
            name = (await answer.json())["items"][0]["metadata"]["name"]
        before = time.process_time()
        for _ in range(_READS):
            async with session.get(f"{path}/{name}") as answer:
                await answer.json()
        return (time.process_time() - before) / _READS
