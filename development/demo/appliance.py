"""The pretend appliance of the demo, as a process, with a look into its cloud and its database."""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx

from development.demo.scene import REQUESTED_AT, ProtectedVM
from development.processes import Process
from development.stand import ROOT

_READY_SECONDS: Final = 30.0
_REQUEST_SECONDS: Final = 30.0


@dataclass(frozen=True, slots=True)
class Built:
    """A VM of the scene in the simulator.

    Attributes:
        context_id: its replication context.
        volume_ids: its volumes, the OS disk first.
        snapshot_ids: snapshots its failover took.
        destination_vm_id: the VM its failover created.
    """

    vm: ProtectedVM
    context_id: str
    volume_ids: tuple[str, ...]
    snapshot_ids: tuple[str, ...]
    destination_vm_id: str | None

    @property
    def objects(self) -> frozenset[str]:
        """Everything a request about this VM could name."""
        return frozenset({*self.volume_ids, *self.snapshot_ids, *filter(None, [self.destination_vm_id])})


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the database says of a VM.

    Attributes:
        context_status: `vm_replication_contexts.current_status`.
        job_status: `failover_jobs.status` of its newest job.
        mapped: volumes with a row in `device_mappings`, by id.
        snapshots: volumes with a `snapshot_id` in `ossea_volumes`, by id.
    """

    context_status: str
    job_status: str
    mapped: frozenset[str]
    snapshots: frozenset[str]


class Appliance:
    """A running simulator.

    Attributes:
        process: the simulator.
        database_url: SQLAlchemy URL of its OMA database.
        address: what its ready file says; holds the account's secret.
    """

    def __init__(self, process: Process, database: Path, address: dict[str, Any], control: httpx.Client) -> None:
        self.process = process
        self.database_url = f"sqlite+aiosqlite:///{database}"
        self.address = address
        self._database = database
        self._control = control

    def build(self, vm: ProtectedVM) -> Built:
        """Put a VM into the state its failover left it in."""
        age = time.time() - REQUESTED_AT.timestamp()
        arguments = {"row": vm.leftover, "vm_name": vm.vm_name, "disks": vm.disks, "age_seconds": age}
        answer = self._post("build", arguments)
        return Built(
            vm,
            answer["vm"]["context_id"],
            tuple(answer["volume_ids"]),
            tuple(answer["snapshot_ids"].values()),
            answer["destination_vm_id"],
        )

    def set_latencies(self, seconds: Mapping[str, float]) -> None:
        """Let commands of OSSEA take so long."""
        self._post("latency", dict(seconds))

    def cloud(self) -> dict[str, Any]:
        """Volumes, VMs and snapshots by id, as they really are."""
        return self._get("state")

    def requests(self) -> list[dict[str, Any]]:
        """Every mutating call that reached OSSEA or the daemon, in order, but for what the daemon asks of OSSEA."""
        entries = self._get("journal")["entries"]
        return [entry for entry in entries if entry["entry"] == "request" and entry["caller"] == "client"]

    def recorded(self, built: Built) -> Recorded:
        """Read the rows of a VM."""
        with closing(sqlite3.connect(f"file:{self._database}?mode=ro", uri=True)) as connection:

            def column(statement: str) -> list[str]:
                return [str(row[0]) for row in connection.execute(statement, (built.context_id,))]

            (context_status,) = column("SELECT current_status FROM vm_replication_contexts WHERE context_id = ?")
            newest_job = "SELECT status FROM failover_jobs WHERE vm_context_id = ? ORDER BY created_at DESC LIMIT 1"
            (job_status,) = column(newest_job)
            mapped = column("SELECT volume_uuid FROM device_mappings WHERE vm_context_id = ?")
            recorded = "SELECT volume_id FROM ossea_volumes WHERE vm_context_id = ? AND snapshot_id <> ''"
            return Recorded(context_status, job_status, frozenset(mapped), frozenset(column(recorded)))

    def _post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        response = self._control.post(f"/control/{path}", json=body)
        if response.is_error:
            raise RuntimeError(f"simulator: {response.text}")
        answer: dict[str, Any] = response.json()
        return answer

    def _get(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self._control.get(f"/control/{path}").raise_for_status().json()
        return answer


@contextmanager
def running_appliance(directory: Path) -> Iterator[Appliance]:
    """Run a simulator on a new SQLite database.

    Args:
        directory: for the database, the log and the addresses.

    Raises:
        ProcessError: it did not start.
    """
    database, ready = directory / "oma.db", directory / "appliance.json"
    process = Process.start(
        "simulator",
        [
            *(sys.executable, "-m", "appliance_simulator"),
            *("--database", f"sqlite+aiosqlite:///{database}", "--ready-file", ready),
        ],
        log=directory / "appliance.log",
        env={**os.environ, "PYTHONPATH": str(ROOT / "simulators")},
    )
    try:
        process.wait_until(ready.exists, seconds=_READY_SECONDS)
        address = json.loads(ready.read_text(encoding="utf-8"))
        with httpx.Client(base_url=address["control_url"], trust_env=False, timeout=_REQUEST_SECONDS) as control:
            yield Appliance(process, database, address, control)
    finally:
        process.kill()
