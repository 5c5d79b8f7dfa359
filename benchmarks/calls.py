"""How many calls a cleanup costs, by system and command, and how many an operator makes that has nothing to do."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from benchmarks.calls_made import LEASES, KubernetesCalls, appliance_calls, listed
from benchmarks.cluster import create_finished, live
from benchmarks.installation import ENDED_JOB, Operator, installation, start_ready_operator
from benchmarks.journal import requests
from benchmarks.processes import wait_until_idle
from benchmarks.results import Recorder
from development.stand import Stand

METHOD: Final = (
    "One VM at a time is cleaned up with backends that answer at once. Calls to OSSEA and the Volume Daemon are those "
    "in the operator's own metrics, calls to Kubernetes those that the API server's audit log has of its service "
    "account, without the Lease; a look at the appliance that happens to fall into a cleanup counts with it. A "
    "request is foreign if the leftover does not need it. Idle is a window in which no cleanup is unfinished, beside "
    "a few finished resources and beside many; its calls are told for each look at the appliance that it holds."
)

_ONE_A_LOOK: Final = "Volume Daemon GET /health"
"""Every look at an appliance makes this call exactly once."""

_LIMITS: Final = {"cleanups": 10, "revertsInParallel": 4, "requestsPerSecond": 1000}


@dataclass(frozen=True, slots=True)
class Difference:
    """What is left to do for a VM with three volumes.

    Attributes:
        row: leftover it is in.
        needed: mutating requests it takes, by command.
    """

    row: str
    needed: Mapping[str, int]


DIFFERENCES: Final[Mapping[str, Difference]] = {
    "all phases": Difference(ENDED_JOB, {"detach": 3, "revertSnapshot": 3, "deleteSnapshot": 3, "attach": 3}),
    "attach and test VM": Difference("R07", {"attach": 3, "destroyVirtualMachine": 1}),
    "test VM only": Difference("R09", {"destroyVirtualMachine": 1}),
    "database only": Difference("F06", {}),
}


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        repeats: cleanups of each kind.
        finished: resources that are added for the second idle window.
        idle_seconds: length of an idle window.
        scan_seconds: pause between two looks at the appliance.
    """

    repeats: int
    finished: int
    idle_seconds: float
    scan_seconds: int


# Five minutes hold one list of all cleanups, the operator's own safeguard against events it missed.
FULL: Final = Plan(repeats=5, finished=2000, idle_seconds=310.0, scan_seconds=60)
SHORT: Final = Plan(repeats=1, finished=100, idle_seconds=11.0, scan_seconds=10)


def measure(recorder: Recorder, plan: Plan) -> None:
    """Measure each kind of cleanup, then idle beside these few finished ones, then beside many."""
    scans = {"intervalSeconds": plan.scan_seconds}
    with installation(limits=_LIMITS, quiet_seconds=1, detection=scans) as stand:
        operator = start_ready_operator(stand)
        kubernetes = KubernetesCalls(stand.control_plane, stand.operator_namespace)
        for repeat in range(plan.repeats):
            for kind, difference in DIFFERENCES.items():
                name = f"vm{repeat}-{difference.row.lower()}"
                _clean(recorder, stand, operator, kubernetes, kind, difference, name)
        few = _idle(recorder, plan, operator, kubernetes, "a few finished resources")
        template = stand.cleanup(f"vm0-{DIFFERENCES['all phases'].row.lower()}")
        names = [f"finished-{number}" for number in range(plan.finished)]
        asyncio.run(create_finished(stand.control_plane, stand.namespace, template, names))
        many = _idle(recorder, plan, operator, kubernetes, f"{plan.finished} more")
        recorder.add("idle calls with many finished resources over few", "ratio", many / few)


def _clean(
    recorder: Recorder,
    stand: Stand,
    operator: Operator,
    kubernetes: KubernetesCalls,
    kind: str,
    difference: Difference,
    name: str,
) -> None:
    stand.build(difference.row, name, disks=3)
    stand.act("clear_journal")
    before = appliance_calls(operator.port)
    kubernetes.since()
    asyncio.run(live(stand.control_plane, [stand.manifest(name, name)], seconds=60))
    stand.wait_until(lambda: "finalizers" not in stand.cleanup(name)["metadata"], what="the finalizer is gone")
    to_appliance = appliance_calls(operator.port) - before
    to_kubernetes = _without_lease(kubernetes.since())
    sent = Counter(entry["command"] for entry in requests(stand.journal()))
    recorder.add(f"{kind}: requests that change something", "calls", sent.total())
    recorder.add(f"{kind}: foreign requests", "calls", (sent - Counter(difference.needed)).total())
    recorder.add(f"{kind}: calls to OSSEA", "calls", _of(to_appliance, "OSSEA"))
    recorder.add(f"{kind}: calls to the Volume Daemon", "calls", _of(to_appliance, "Volume Daemon"))
    recorder.add(f"{kind}: calls to Kubernetes", "calls", to_kubernetes.total())
    recorder.remarks[f"{kind}: calls of the last cleanup"] = (
        f"{listed(to_appliance)}; Kubernetes: {listed(to_kubernetes)}"
    )


def _idle(recorder: Recorder, plan: Plan, operator: Operator, kubernetes: KubernetesCalls, beside: str) -> float:
    """Calls of an operator that has nothing to do, for each of its looks at the appliance."""
    wait_until_idle(operator.process.pid)
    before = appliance_calls(operator.port)
    kubernetes.since()
    time.sleep(plan.idle_seconds)
    to_kubernetes, to_appliance = _without_lease(kubernetes.since()), appliance_calls(operator.port) - before
    looks = max(1, to_appliance[_ONE_A_LOOK])
    recorder.add(f"idle beside {beside}: calls to the appliance, a look", "calls", to_appliance.total() / looks)
    recorder.add(f"idle beside {beside}: calls to Kubernetes, a look", "calls", to_kubernetes.total() / looks)
    recorder.remarks[f"idle beside {beside}"] = (
        f"{looks} looks: {listed(to_appliance)}; Kubernetes: {listed(to_kubernetes)}"
    )
    return (to_appliance.total() + to_kubernetes.total()) / looks


def _of(calls: Counter[str], system: str) -> int:
    return sum(count for name, count in calls.items() if name.startswith(f"{system} "))


def _without_lease(calls: Counter[str]) -> Counter[str]:
    return Counter({name: count for name, count in calls.items() if not name.endswith(f" {LEASES}")})
