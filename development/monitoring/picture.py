"""`docs/dashboard.svg`: the dashboard's queries over a real run, asked of a real Prometheus.

python -m development.monitoring.picture

An operator, a pretend appliance and an API server are started; VMs get stuck, are cleaned up, one needs a person, OSSEA is gone for a
while, and an operator is killed in the middle of its work and another takes over.
"""

from __future__ import annotations

import sys
import time
from typing import Final

from development.control_plane import ControlPlane
from development.go_build import BuildError
from development.go_tools import build_tool
from development.monitoring.alerts import ROOT
from development.monitoring.drawing import draw, legend
from development.monitoring.panels import ROWS, Panel, in_prometheus
from development.monitoring.prometheus import Prometheus, Series
from development.processes import MissingProgramError, Process, ProcessError, free_port
from development.stand import Stand

TARGET: Final = ROOT / "docs" / "dashboard.svg"

_STEP_SECONDS: Final = 2.0
_RATE_INTERVAL: Final = "10s"
_LATENCIES: Final = {"detachVolume": 1.0, "revertSnapshot": 5.0, "deleteSnapshot": 1.0, "attachVolume": 1.0}
_STUCK: Final = {"pgtest1": "F11", "pgtest2": "F11", "pgtest3": "F26", "pgtest4": "F11", "pgtest5": "F11"}
"""Rows of the catalogue of leftovers, by VM: hung in driver injection, and one with a test VM that holds the volumes."""
_IN_USE: Final = {"pgtest6": "F28"}
"""A VM whose test VM runs."""
_SETTINGS: Final = {
    "detection": {"action": "Report", "intervalSeconds": 10},
    "limits": {"cleanups": 2, "requestsPerSecond": 50},  # so few that some must wait
}


def play(stand: Stand, prometheus: Prometheus, ports: dict[str, int]) -> None:
    """What the dashboard is to show.

    Args:
        stand: an appliance without an operator.
        prometheus: a server that scrapes the ports.
        ports: ports of the operators, by pod name.
    """
    stand.latency(**_LATENCIES)
    for name, row in {**_STUCK, **_IN_USE}.items():
        stand.build(row, name, disks=2)
    first = _start(stand, ports["operator-a"])
    second = _start(stand, ports["operator-b"])
    stand.wait_until(prometheus.has_scraped, what="both operators are scraped")
    time.sleep(25)  # stuck VMs are seen
    for name in ("pgtest1", "pgtest2", "pgtest3", *_IN_USE):
        stand.apply_cleanup(name, name)
    stand.wait_until(lambda: stand.requests("revertSnapshot"), what="a revert is asked for")
    leader = first if _leads(prometheus, "operator-a") else second
    leader.kill()
    for name in ("pgtest1", "pgtest2", "pgtest3"):
        stand.wait_for(name, "Ready", seconds=180)
    stand.fault(kind="cloud_down")
    for name in ("pgtest4", "pgtest5"):
        stand.apply_cleanup(name, name)
    time.sleep(20)
    stand.fault(disarm="cloud_down")
    for name in ("pgtest4", "pgtest5"):
        stand.wait_for(name, "Ready", seconds=180)
    time.sleep(15)  # the last rates come back to rest


def results(prometheus: Prometheus, *, start: float, end: float) -> dict[Panel, list[tuple[str, Series]]]:
    """What Prometheus answers to each panel's queries, with the text of each series."""
    found: dict[Panel, list[tuple[str, Series]]] = {}
    for panel in (panel for row in ROWS for panel in row.panels):
        found[panel] = [
            (legend(query.legend, series.labels), series)
            for query in panel.queries
            for series in prometheus.query_range(
                in_prometheus(query.expression, rate_interval=_RATE_INTERVAL),
                start=start,
                end=end,
                step_seconds=_STEP_SECONDS,
            )
        ]
    return found


def empty(found: dict[Panel, list[tuple[str, Series]]]) -> list[str]:
    """Titles of panels that show nothing although the run gave them something to show."""
    return [panel.title for panel, drawn in found.items() if not drawn]


def _start(stand: Stand, port: int) -> Process:
    return stand.start_operator(FEC_HEALTH_PORT=str(port))


def _leads(prometheus: Prometheus, pod: str) -> bool:
    now = time.time()
    query = f'leader_election_master_status{{pod="{pod}"}} == 1'
    return bool(prometheus.query_range(query, start=now, end=now, step_seconds=1.0))


def main() -> int:
    """Play and draw; 0 only if every panel had something to show."""
    ports = {"operator-a": free_port(), "operator-b": free_port()}
    try:
        build_tool("prometheus")
        with ControlPlane() as control_plane, Prometheus(ports) as prometheus:
            stand = Stand(control_plane, settings=_SETTINGS)
            stand.appliance = "default"
            start = time.time()
            with stand:
                play(stand, prometheus, ports)
            end = time.time()
            found = results(prometheus, start=start, end=end)
    except (MissingProgramError, BuildError, ProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    nothing = empty(found)
    if nothing:
        sys.stderr.write(f"nothing to show in: {', '.join(nothing)}\n")
        return 1
    title = f"Failed execution cleanup: a run of {end - start:.0f} s with a killed operator and an OSSEA that is gone for a while"
    draw(TARGET, found, start=start, end=end, title=title)
    return 0


if __name__ == "__main__":
    sys.exit(main())
