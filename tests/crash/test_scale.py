"""Start-up with thousands of finished resources: calls to the API server, and memory. `benchmarks.scale` measures ten thousand."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from benchmarks.cluster import administrator, collection, create_finished
from development.control_plane import ControlPlane
from development.processes import Process
from development.stand import Stand
from tests.crash.conftest import StartStand
from tests.crash.stages import claims

pytestmark = pytest.mark.timeout(1200)

FINISHED = 1_000
PAGE = 500
RESIDENT_LIMIT = 250 * 2**20
_CALL = re.compile(
    r'apiserver_request_total\{(?P<labels>[^}]*resource="failedexecutioncleanups"[^}]*)\} (?P<count>\S+)'
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')

Body = dict[str, Any]


@pytest.fixture
def control_plane() -> Iterator[ControlPlane]:
    """One of its own: so many resources slow down everybody who lists."""
    with ControlPlane() as running:
        yield running


def test_start_up_with_thousands_of_finished_resources(
    control_plane: ControlPlane, start_stand: StartStand, record_property: Callable[[str, object], None]
) -> None:
    stand = start_stand("sqlite")
    template = finished_cleanup(stand)
    names = [f"finished-{number}" for number in range(FINISHED)]
    asyncio.run(create_finished(control_plane, stand.namespace, template, names))
    record_property("figure", f"{FINISHED} finished resources of {len(json.dumps(template))} bytes each")
    stand.build("F11", "unfinished", disks=3)
    stand.apply_cleanup("unfinished", "unfinished")
    versions = asyncio.run(resource_versions(control_plane, stand.namespace))
    before = calls(control_plane)

    stand.preloaded = False
    # A busy machine takes its time for pages of 500; what is counted here is not how often it is asked again.
    operator = stand.start_operator(FEC_HTTP_TIMEOUT_SECONDS="60", FEC_LEASE_SECONDS="300")
    stand.wait_until(
        lambda: [claim.finished for claim in claims(stand)] == [True, True],
        seconds=400,
        what="the unfinished one is cleaned up",
    )
    resident = resident_when_idle(operator)

    made = calls(control_plane) - before
    record_property("figure", f"API calls at start-up, one unfinished cleanup included: {dict(sorted(made.items()))}")
    record_property("figure", f"resident memory of the idle operator: {resident / 2**20:.0f} MiB")
    after = asyncio.run(resource_versions(control_plane, stand.namespace))
    assert {name for name in versions if after.get(name) != versions[name]} == {"unfinished"}
    assert stand.ready("unfinished") == ("True", "Cleaned")
    pages = len(versions) // PAGE + 1
    assert made["LIST"] <= 2 * pages
    assert made["WATCH"] <= 4
    others = made.total() - made["LIST"] - made["WATCH"]
    assert others <= 100, "reads and writes of the one unfinished resource"
    assert resident <= RESIDENT_LIMIT


def finished_cleanup(stand: Stand) -> Body:
    """A real cleanup that ended well, as the API server stores it; its operator is stopped again."""
    stand.build("F11", "pgtest1", disks=3)
    operator = stand.start_operator()
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.wait_for("pgtest1", "Ready")
    stand.wait_until(lambda: "finalizers" not in stand.cleanup("pgtest1")["metadata"], what="the finalizer is gone")
    operator.stop()
    return stand.cleanup("pgtest1")


async def resource_versions(control_plane: ControlPlane, namespace: str) -> dict[str, str]:
    """Resource version of every cleanup, by name."""
    path = collection(namespace)
    versions: dict[str, str] = {}
    parameters = {"limit": str(PAGE)}
    async with administrator(control_plane) as session:
        while True:
            async with session.get(path, params=parameters) as answer:
                page = await answer.json()
            versions |= {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in page["items"]}
            if not page["metadata"].get("continue"):
                return versions
            parameters["continue"] = page["metadata"]["continue"]


def calls(control_plane: ControlPlane) -> Counter[str]:
    """How often the API server was asked for cleanups so far, by verb."""
    found: Counter[str] = Counter()
    for line in _CALL.finditer(control_plane.kubectl("get", "--raw", "/metrics").stdout):
        labels = dict(_LABEL.findall(line["labels"]))
        suffix = f" {labels['subresource']}" if labels["subresource"] else ""
        found[labels["verb"] + suffix] += int(float(line["count"]))
    return found


def resident_when_idle(process: Process) -> int:
    """Resident memory in bytes once the process has next to nothing to compute."""
    watched = psutil.Process(process.pid)
    watched.cpu_percent()
    while watched.cpu_percent(interval=2.0) > 10:
        process.ensure_running()
    return int(watched.memory_info().rss)
