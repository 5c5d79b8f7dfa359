"""A whole installation to measure: real API server and MariaDB, the pretend appliance, and an operator that runs from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from development.control_plane import ControlPlane
from development.mariadb import private_mariadb
from development.processes import Process, free_port
from development.stand import Stand

SHIPPED_LIMITS: Final = {"cleanups": 10, "revertsInParallel": 4, "requestsPerSecond": 10}
"""`limits` of an Appliance whose administrator said nothing."""

ENDED_JOB: Final = "F12"
"""A failover that its engine ended after an error in driver injection: every volume is reverted, and no quiet time is due."""

HUNG_JOB: Final = "F11"
"""The same with a hung injection: the engine may wake, so deletes wait for a quiet time (rule 5)."""


@dataclass(frozen=True, slots=True)
class Operator:
    """A running operator.

    Attributes:
        process: itself.
        port: of its `/metrics`.
    """

    process: Process
    port: int


@contextmanager
def installation(*, limits: Mapping[str, int], quiet_seconds: int = 60, **settings: Any) -> Iterator[Stand]:
    """An appliance without operator, in a control plane of its own.

    Args:
        limits: of the Appliance.
        quiet_seconds: quiet time of the Appliance.
        settings: other fields of the Appliance's spec.
    """
    settle = {"quietSeconds": quiet_seconds}
    with ControlPlane(alone=True) as control_plane, private_mariadb() as mariadb:
        url = mariadb.create_database(f"oma_{uuid4().hex[:8]}")
        with Stand(control_plane, url, settings={"limits": dict(limits), "settle": settle, **settings}) as stand:
            stand.preloaded = False
            yield stand


def start_operator(stand: Stand, **environment: str) -> Operator:
    """Start an operator and return at once."""
    port = free_port()
    return Operator(stand.start_operator(FEC_HEALTH_PORT=str(port), **environment), port)


def start_ready_operator(stand: Stand, **environment: str) -> Operator:
    """Start an operator and wait until it has judged the appliance."""
    operator = start_operator(stand, **environment)

    def judged() -> bool:
        path = f"apis/failover.ossea.io/v1alpha1/appliances/{stand.appliance}"
        body = stand.control_plane.administrator.get(path).raise_for_status().json()
        conditions = body.get("status", {}).get("conditions", [])
        return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)

    stand.wait_until(judged, seconds=60, what="the appliance is Ready")
    return operator


def finished_cleanup(stand: Stand) -> dict[str, Any]:
    """A real cleanup that ended well, as the API server stores it; its operator is stopped again."""
    stand.build(ENDED_JOB, "pgtest1", disks=3)
    operator = start_operator(stand)
    stand.apply_cleanup("pgtest1", "pgtest1")
    stand.wait_for("pgtest1", "Ready")
    stand.wait_until(lambda: "finalizers" not in stand.cleanup("pgtest1")["metadata"], what="the finalizer is gone")
    operator.process.stop()
    return stand.cleanup("pgtest1")


def objects_by_vm(built: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """VM name by the ids of its volumes and snapshots."""
    return {
        object_id: name for name, vm in built.items() for object_id in (*vm["volume_ids"], *vm["snapshot_ids"].values())
    }
