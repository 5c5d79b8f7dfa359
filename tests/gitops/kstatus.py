"""The rules by which kstatus, and with it Flux and `kubectl-apply-like tools, judge a custom resource (peers and conventions 2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def kstatus(body: Mapping[str, Any]) -> str:
    """`Terminating`, `InProgress`, `Failed` or `Current`, in the order in which kstatus looks."""
    metadata, status = body["metadata"], body.get("status", {})
    if "deletionTimestamp" in metadata:
        return "Terminating"
    if "observedGeneration" in status and status["observedGeneration"] != metadata.get("generation"):
        return "InProgress"
    conditions: list[Mapping[str, Any]] = status.get("conditions", [])
    for condition in conditions:
        if condition["type"] == "Reconciling" and condition["status"] == "True":
            return "InProgress"
        if condition["type"] == "Stalled" and condition["status"] == "True":
            return "Failed"
    ready = next((c for c in conditions if c["type"] == "Ready"), None)
    if ready is not None and ready["status"] != "True":
        return "InProgress"
    return "Current"


def met(body: Mapping[str, Any], type_: str) -> bool:
    """Whether `kubectl wait --for=condition=…` ends at this object (peers and conventions 2.3)."""
    status = body.get("status", {})
    found = next((c for c in status.get("conditions", []) if c["type"].lower() == type_.lower()), None)
    if found is None:
        return False
    observed = found.get("observedGeneration", status.get("observedGeneration"))
    if observed is not None and observed < body["metadata"].get("generation", 0):
        return False
    return str(found["status"]).lower() == "true"
