"""Brings FailedExecutionCleanups of a stand into every state that tools must judge, and takes each as the API server stores it.

`python -m development.cleanup_states` writes them into `gitops/objects/`; the tests of the health checks use the same states live.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import yaml

from development.control_plane import ControlPlane
from development.stand import PRODUCT_NAMESPACE, QUICK, ROOT, Stand

DIRECTORY: Final = ROOT / "gitops/objects"
Body: TypeAlias = dict[str, Any]

_HELD_SECONDS: Final = 40.0
"""A revert takes this long while a state must last; released afterwards."""


def _new(stand: Stand) -> Body:
    """Just created; the operator does not watch this namespace."""
    document = stand.manifest("new", "new")
    document["metadata"]["namespace"] = "default"
    kubectl = stand.control_plane.kubectl
    kubectl("apply", "-f", "-", input=yaml.safe_dump(document))
    body: Body = yaml.safe_load(kubectl("get", "fec", "new", "--namespace=default", "-o", "yaml").stdout)
    kubectl("delete", "fec", "new", "--namespace=default")
    return body


def _at(row: str, reason: str, *, annotations: Mapping[str, str] | None = None, **spec: Any) -> Callable[..., Body]:
    """A VM left as in a row of the catalogue, and a cleanup that says this reason."""
    building = {key: spec.pop(key) for key in ("age_seconds", "disks") if key in spec}

    def reach(stand: Stand, name: str) -> Body:
        stand.build(row, name, **building)
        document = stand.manifest(name, name, **spec)
        if annotations is not None:
            document["metadata"]["annotations"] = {
                f"failover.ossea.io/{key}": text for key, text in annotations.items()
            }
        stand.apply(document)
        return stand.wait_for_reason(name, reason)

    return reach


def _retrying(stand: Stand, name: str) -> Body:
    stand.build("F11", name, disks=1)
    stand.fault(kind="job_fails", command="detachVolume", times=1)
    stand.apply_cleanup(name, name)
    return stand.wait_for_reason(name, "ProgressingWithRetry")


def _unreachable(stand: Stand, name: str) -> Body:
    stand.apply_cleanup(name, name, applianceRef={"name": "not-there"})
    return stand.wait_for_reason(name, "ApplianceUnreachable")


def _superseded(stand: Stand, name: str) -> Body:
    built = stand.build("F11", name)
    stand.act("add_healthy_failover", vm_name=name)
    stand.apply_cleanup(name, name, failoverJobID=built["failover_job_id"])
    return stand.wait_for_reason(name, "Superseded")


def _finished_and_changed(cleaned: Body) -> Body:
    """The moment between a change of the spec and the operator's look at it, which lasts too short to be caught."""
    changed = copy.deepcopy(cleaned)
    changed["metadata"]["generation"] += 1
    changed["spec"]["note"] = "changed a moment ago"
    return changed


STATES: Final[Mapping[str, Callable[[Stand, str], Body]]] = {
    "waiting": _at("F11", "FailoverStillRunning", age_seconds=5),
    "retrying": _retrying,
    "unreachable": _unreachable,
    "stalled": _at("F28", "RunningTestVM"),
    "suspended": _at("F11", "Suspended", suspend=True),
    "suspended-by-annotation": _at("F11", "Suspended", annotations={"suspended": "true"}),
    "planned": _at("F19", "PlanReady", mode="Plan"),
    "planned-but-forbidden": _at("F28", "RunningTestVM", mode="Plan"),
    "awaiting-approval": _at("F11", "AwaitingApproval", annotations={"approvedPlan": "0" * 32}),
    "cleaned": _at("F19", "Cleaned", disks=2),
    "already-clean": _at("R12", "AlreadyClean"),
    "nothing-to-do": _at("F02b", "NothingToDo"),
    "superseded": _superseded,
    "data-suspect": _at("R06", "CleanedDataSuspect"),
}
"""States that last; each is reached by a VM and a cleanup of its name."""


def busy_states(stand: Stand) -> dict[str, Body]:
    """States that pass: at work, waiting for a turn behind that, being deleted in the middle."""
    stand.apply_appliance(stand.appliance, limits={**QUICK["limits"], "cleanups": 1})
    stand.latency(revertSnapshot=_HELD_SECONDS)
    found: dict[str, Body] = {}
    try:
        built = stand.build("F11", "working", disks=1)
        stand.apply_cleanup("working", "working")
        stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
        found["working"] = stand.wait_for_reason("working", "Progressing")
        stand.build("F11", "queued", disks=1)
        stand.apply_cleanup("queued", "queued")
        found["queued"] = stand.wait_for_reason("queued", "Queued")
        stand.kubectl("delete", "fec/working", "--wait=false")
        found["deleting"] = stand.cleanup("working")
    finally:
        stand.latency(revertSnapshot=0.0)
        stand.apply_appliance(stand.appliance)
    return found


def states(stand: Stand) -> dict[str, Body]:
    """Every state, as stored."""
    found = {"new": _new(stand)}
    for name, reach in STATES.items():
        found[name] = reach(stand, name)
    found["changed"] = _finished_and_changed(found["cleaned"])
    return found | busy_states(stand)


def as_in_samples(control_plane: ControlPlane) -> Stand:
    """A stand with the names of the samples, for what is shown to people; at most one in a control plane."""
    stand = Stand(control_plane)
    stand.namespace, stand.operator_namespace, stand.appliance = "dr", PRODUCT_NAMESPACE, "default"
    return stand


def main() -> int:
    """Write every state into `gitops/objects/`."""
    with ControlPlane() as control_plane, as_in_samples(control_plane) as stand:
        stand.start_operator()
        found = states(stand)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for path in DIRECTORY.glob("*.yaml"):
        path.unlink()
    for name, body in found.items():
        text = yaml.safe_dump(_without_writers(body), sort_keys=False, width=140)
        (DIRECTORY / f"{name}.yaml").write_text(text, encoding="utf-8")
    return 0


def _without_writers(body: Body) -> Body:
    """The object without what `kubectl` and the API server keep about writers."""
    metadata = copy.deepcopy({key: value for key, value in body["metadata"].items() if key != "managedFields"})
    metadata.get("annotations", {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    return {**body, "metadata": {key: value for key, value in metadata.items() if value != {}}}


if __name__ == "__main__":
    sys.exit(main())
