"""Several operators on one appliance: replicas that share a Lease, and rivals of which each believes that it leads."""

from __future__ import annotations

import copy
import json
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from development.processes import Process
from development.stand import Stand
from tests.crash import rules

HTTP_SECONDS: Final = 3
EXPIRY_SECONDS: Final = 3
LEASE_SECONDS: Final = 20
"""Long enough for a busy machine to renew in time."""

QUICK: Final = {
    "FEC_CLAIM_EXPIRY_SECONDS": str(EXPIRY_SECONDS),
    "FEC_HTTP_TIMEOUT_SECONDS": str(HTTP_SECONDS),
    "FEC_LEASE_SECONDS": str(LEASE_SECONDS),
}
"""Environment of operators that take over soon after another one fell silent."""

NEVER: Final = {**QUICK, "FEC_CLAIM_EXPIRY_SECONDS": "300"}
"""Environment of operators that get a claim within the time of a test only if it is handed over."""


def start_replica(stand: Stand, identity: str, **environment: str) -> Process:
    """Start an operator that shares the stand's Lease with all other replicas, and wait until it is a candidate."""
    process = stand.start_operator(FEC_IDENTITY=identity, **environment)
    process.wait_until(lambda: "Health server listens" in process.log.read_text(), seconds=90)
    return process


def start_rival(stand: Stand, identity: str, **environment: str) -> Stand:
    """Start an operator with a namespace, a Lease and Secrets of its own: it leads whoever else does.

    Returns:
        The stand as this operator sees it; the process is the stand's to stop.
    """
    rival = copy.copy(stand)
    rival.operator_namespace = f"{stand.operator_namespace}-{identity}"
    rival.control_plane.create_namespace(rival.operator_namespace)
    rival.apply(*rival._base())
    rival.apply_secret("oma-database", url=rival.database_url)
    start_replica(rival, identity, **environment)
    return rival


def freeze(process: Process) -> None:
    """SIGSTOP: it does nothing any more, and nobody is told; its connections stay open."""
    os.kill(process.pid, signal.SIGSTOP)


def thaw(process: Process) -> None:
    """SIGCONT: it goes on where it was."""
    os.kill(process.pid, signal.SIGCONT)


def wait_for_leader(stand: Stand, identity: str) -> None:
    """Wait until an operator leads.

    Raises:
        TimeoutError: it did not come to that.
    """
    stand.wait_until(lambda: leader(stand) == identity, seconds=60, what=f"{identity} leads")


def leader(stand: Stand) -> str:
    """Identity in the stand's Lease; empty for nobody."""
    return str(lease(stand).get("holderIdentity", ""))


def lease(stand: Stand) -> Mapping[str, Any]:
    """Spec of the stand's Lease; empty when there is none yet."""
    found = stand.control_plane.kubectl(
        f"--namespace={stand.operator_namespace}", "get", "lease", "failed-execution-cleanup", "-o=json", check=False
    )
    spec: Mapping[str, Any] = json.loads(found.stdout)["spec"] if found.returncode == 0 else {}
    return spec


def wait_until_lease_expired(stand: Stand) -> None:
    """Wait until the stand's Lease, whose holder is frozen, is nobody's any more.

    Raises:
        TimeoutError: somebody renews it.
    """

    def expired() -> bool:
        held = lease(stand)
        renewed = datetime.fromisoformat(held["renewTime"])
        return datetime.now(UTC) > renewed + timedelta(seconds=held["leaseDurationSeconds"])

    stand.wait_until(expired, seconds=3 * LEASE_SECONDS, what="the frozen operator's Lease is expired")


@dataclass(frozen=True)
class ClaimTimes:
    """What the database recorded of a claim, by its own clock.

    Attributes:
        taken: when it was last taken.
        released: when it was last let go; None while it is held.
        heartbeat: the owner's last; None when nobody holds it.
        now: of this reading.
    """

    number: int
    owner: str | None
    taken: datetime
    released: datetime | None
    heartbeat: datetime | None
    now: datetime

    @property
    def silence(self) -> timedelta:
        """Age of the last heartbeat of a claim that is held."""
        assert self.heartbeat is not None, f"nobody holds {self}"
        return self.now - self.heartbeat


def claim_times(stand: Stand) -> ClaimTimes:
    """Times of the stand's only claim, on MariaDB."""
    (row,) = stand.rows(
        "SELECT metadata, completed_at, started_at + INTERVAL TIMESTAMPDIFF(SECOND, NOW(), UTC_TIMESTAMP()) SECOND AS taken,"
        " UTC_TIMESTAMP(6) AS now FROM job_tracking WHERE operation = 'failed-execution-cleanup'"
    )
    held = json.loads(row["metadata"])["failover.ossea.io/claim"]
    beat = datetime.fromisoformat(held["heartbeat"]) if held["heartbeat"] else None
    return ClaimTimes(held["number"], held["owner"], row["taken"], row["completed_at"], beat, row["now"])


def sent_by_operators(stand: Stand) -> list[dict[str, Any]]:
    """Mutating requests that reached OSSEA or the daemon, in order."""
    return stand.requests()


def assert_no_call_twice(requests: Sequence[Mapping[str, Any]]) -> None:
    """Each request has an id of its own, and what goes by volume was asked of the daemon once for each volume."""
    executed = [request for request in requests if request["executed"]]
    ids = Counter(r["parameters"]["customjobid"] for r in executed if "customjobid" in r["parameters"])
    assert {job: count for job, count in ids.items() if count > 1} == {}
    for command in ("detach", "attach"):
        per_volume = Counter(r["object_ids"][0] for r in executed if r["command"] == command)
        assert set(per_volume.values()) <= {1}, f"{command}: {per_volume}"


def assert_no_overlap(entries: Sequence[rules.Entry], volume_of: Mapping[str, str]) -> None:
    """While a revert of a volume is running nobody asks for anything on that volume.

    Args:
        entries: the simulator's journal.
        volume_of: volume by snapshot.
    """
    running: set[str] = set()
    for entry in entries:
        if entry["entry"] == "request" and entry["caller"] == "client" and entry["executed"]:
            volume = volume_of.get(entry["object_ids"][0], entry["object_ids"][0])
            assert volume not in running, f"{entry['command']} of {volume} while it was being reverted"
            if entry["command"] == "revertSnapshot":
                running.add(volume)
        elif entry["entry"] == "effect" and entry["kind"] == "reverted":
            running.discard(entry["object_id"])
