"""Wall time of cleanups over the shortest time the backend's own latencies allow."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.bound import after_quiet, lower_bound, one_after_another
from benchmarks.calls_made import appliance_calls, listed, throttled_seconds
from benchmarks.cluster import live, wall_seconds
from benchmarks.installation import ENDED_JOB, HUNG_JOB, SHIPPED_LIMITS, Operator, installation, start_ready_operator
from benchmarks.journal import REVERTS, chains, span
from benchmarks.results import Recorder
from development.stand import Stand

METHOD: Final = (
    "VMs whose failover died in driver injection are cleaned up on a real API server and MariaDB, under the limits an "
    "Appliance has when its administrator said nothing (10 cleanups, 4 reverts, 10 requests a second to OSSEA and as "
    "many to the daemon). OSSEA takes 2 s for a detach, 8 s for a revert, 1 s for a delete, 2 s for an attach, the "
    "product's own measured latencies, times the scale of the case. Wall time is from the API server's answer to the "
    "creation of the first cleanup until a watch shows the last one Ready. The bound is computed from the simulator's "
    "journal and latencies: each volume's steps in order, attach and detach of one VM one at a time, at most four "
    "reverts at once. The hung case adds the quiet time that safety demands (rule 5) to the bound; the others have "
    "none, as their engine ended the job."
)

_OSSEA: Final = "OSSEA"

LATENCIES: Final[Mapping[str, float]] = {
    "detachVolume": 2.0,
    "revertSnapshot": 8.0,
    "deleteSnapshot": 1.0,
    "attachVolume": 2.0,
}
"""Seconds the product's own cleanup was measured with: 80 s for four volumes, one volume and one step after the other."""


@dataclass(frozen=True, slots=True)
class Case:
    """So many VMs at once.

    Attributes:
        name: prefix of its series.
        disks: volumes of each VM.
        scale: of the latencies: 1 is the product's.
        repeats: how often it is measured.
        row: leftover the VMs are in.
        quiet_seconds: quiet time of the Appliance; matters where the engine may wake.
    """

    name: str
    vms: int
    disks: int
    scale: float
    repeats: int
    row: str = ENDED_JOB
    quiet_seconds: int = 60

    @property
    def latencies(self) -> dict[str, float]:
        """Seconds by command."""
        return {command: seconds * self.scale for command, seconds in LATENCIES.items()}


FULL: Final = (
    Case("1x4", vms=1, disks=4, scale=1.0, repeats=5),
    Case("5x3", vms=5, disks=3, scale=1.0, repeats=3),
    Case("100x3", vms=100, disks=3, scale=0.5, repeats=1),
    Case("1x4 hung", vms=1, disks=4, scale=1.0, repeats=2, row=HUNG_JOB),
)
SHORT: Final = (Case("1x4", vms=1, disks=4, scale=0.5, repeats=1),)


def measure(recorder: Recorder, cases: tuple[Case, ...]) -> None:
    """Measure each case in an installation of its own."""
    for case in cases:
        with installation(limits=SHIPPED_LIMITS, quiet_seconds=case.quiet_seconds) as stand:
            operator = start_ready_operator(stand)
            for repeat in range(case.repeats):
                _measure_once(recorder, case, stand, operator, repeat)


def _measure_once(recorder: Recorder, case: Case, stand: Stand, operator: Operator, repeat: int) -> None:
    stand.latency(**case.latencies)
    names = [f"vm{repeat}-{number}" for number in range(case.vms)]
    for name in names:
        stand.build(case.row, name, disks=case.disks)
    stand.act("clear_journal")
    before, waited = appliance_calls(operator.port), throttled_seconds(operator.port, _OSSEA)
    manifests = [stand.manifest(name, name) for name in names]
    lives = asyncio.run(live(stand.control_plane, manifests, seconds=_patience(case)))
    calls = appliance_calls(operator.port) - before
    waited = throttled_seconds(operator.port, _OSSEA) - waited
    entries = stand.journal()
    volumes = chains(entries, case.latencies)
    if len(volumes) != case.vms * case.disks:
        raise AssertionError(f"{case.name}: {len(volumes)} volumes were worked on, not {case.vms * case.disks}")
    shared = lower_bound(volumes, {REVERTS: SHIPPED_LIMITS["revertsInParallel"]})
    bound = max(shared, after_quiet(volumes, case.quiet_seconds)) if case.row == HUNG_JOB else shared
    wall, worked = wall_seconds(lives), span(entries)
    recorder.add(f"{case.name} wall time", "s", wall)
    recorder.add(f"{case.name} bound", "s", bound)
    recorder.add(f"{case.name} wall time over bound", "ratio", wall / bound)
    recorder.add(
        f"{case.name} first request after acceptance", "s", worked.begun - min(one.accepted for one in lives.values())
    )
    recorder.add(f"{case.name} first request to last effect", "s", worked.ended - worked.begun)
    recorder.add(f"{case.name} lead over one after another", "ratio", one_after_another(volumes) / wall)
    recorder.add(f"{case.name} appliance calls per volume", "calls", calls.total() / len(volumes))
    recorder.add(f"{case.name} wait of a call to OSSEA for its turn", "s", waited / _calls_to(_OSSEA, calls))
    recorder.remarks[f"{case.name}: calls of the last run"] = listed(calls)


def _calls_to(system: str, calls: Counter[str]) -> int:
    return sum(count for name, count in calls.items() if name.startswith(f"{system} "))


def _patience(case: Case) -> float:
    return 60.0 + 3 * case.quiet_seconds + 3 * case.vms * case.disks * case.scale * sum(LATENCIES.values())
