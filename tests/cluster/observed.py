"""What the cluster tests look at: conditions of a cleanup, and where and what a VM's volumes are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from development.stand import Stand

Built: TypeAlias = Mapping[str, Any]
"""What the simulator says of a VM it built."""


def condition(cleanup: Mapping[str, Any], type_: str) -> tuple[str, str]:
    """Status and reason of a condition; those that are abnormal when true are absent otherwise."""
    conditions = cleanup["status"]["conditions"]
    return next(((c["status"], c["reason"]) for c in conditions if c["type"] == type_), ("absent", ""))


def message(cleanup: Mapping[str, Any]) -> str:
    """What Ready says."""
    return str(next(c["message"] for c in cleanup["status"]["conditions"] if c["type"] == "Ready"))


def assert_replica(stand: Stand, built: Built) -> None:
    """Every volume is on the appliance, holds what the last replication wrote, and has no snapshot left."""
    assert stand.holders(built) == {stand.oma_vm_id}
    assert set(stand.contents(built).values()) == {"replica:1"}
    assert stand.snapshots(built) == []
