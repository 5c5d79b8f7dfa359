"""The same resources under this operator and under a minimal controller-runtime controller, in the same run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from benchmarks.cluster import create_finished, is_judged, label_all, live, wall_seconds
from benchmarks.installation import finished_cleanup, installation, start_operator
from benchmarks.processes import resident_mebibytes, wait_until_idle
from benchmarks.reference.program import build_reference
from benchmarks.results import Recorder
from development.processes import Process
from development.stand import Stand

METHOD: Final = (
    "Both controllers run one after the other on the same API server, each in a namespace of its own with as many "
    "finished resources. Three loads: start beside the finished ones until the process rests; a label, which means "
    "nothing to either, changed on each of them (watch and no-op); and new resources that end with one status patch "
    "and no call to any appliance, because their namespace may not use it (status patch). The cost is the "
    "controller's CPU time. The reference keeps only the fields it looks at, reads from its cache, and makes no "
    "Event; the operator reads the resource and the Appliance from the API server before it judges, and tells an "
    "Event: the ratio holds that against it."
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured.

    Attributes:
        finished: resources that nothing is to be done for.
        judged: resources that get a status.
    """

    finished: int
    judged: int


FULL: Final = Plan(finished=5000, judged=1000)


@dataclass(frozen=True, slots=True)
class Load:
    """What the three loads cost one controller."""

    start_cpu_seconds: float
    memory_mebibytes: float
    no_op_cpu_milliseconds: float
    status_patch_cpu_milliseconds: float
    status_patches_per_second: float


_UNITS: Final = {
    "start_cpu_seconds": ("CPU of the start", "s"),
    "memory_mebibytes": ("memory beside the finished resources", "MiB"),
    "no_op_cpu_milliseconds": ("CPU for one event without meaning", "ms"),
    "status_patch_cpu_milliseconds": ("CPU for one status", "ms"),
    "status_patches_per_second": ("statuses a second", "1/s"),
}


def measure(recorder: Recorder, plan: Plan) -> None:
    """Measure the reference, then the operator.

    Raises:
        MissingProgramError: there is no Go to build the reference with.
        BuildError: it cannot be built.
    """
    program = build_reference()
    with installation(limits={}, quiet_seconds=1) as stand:
        template = finished_cleanup(stand)
        stand.apply_appliance(stand.appliance, allowedNamespaces=["elsewhere"])
        reference = _measure(
            stand, plan, "reference", template, lambda namespace: _start_reference(stand, program, namespace)
        )
        operator = _measure(stand, plan, stand.namespace, template, lambda _: start_operator(stand).process)
    for field in fields(Load):
        what, unit = _UNITS[field.name]
        ours, theirs = getattr(operator, field.name), getattr(reference, field.name)
        recorder.add(f"operator: {what}", unit, ours)
        recorder.add(f"reference: {what}", unit, theirs)
        recorder.add(f"operator over reference: {what}", "ratio", ours / theirs)


def _start_reference(stand: Stand, program: Path, namespace: str) -> Process:
    command: list[str | Path] = [
        program,
        f"--kubeconfig={stand.control_plane.admin_kubeconfig}",
        f"--namespace={namespace}",
    ]
    return Process.start("reference", command, log=stand.directory / "reference.log")


def _measure(
    stand: Stand, plan: Plan, namespace: str, template: dict[str, Any], start: Callable[[str], Process]
) -> Load:
    control_plane = stand.control_plane
    if namespace != stand.namespace:
        control_plane.create_namespace(namespace)
    names = [f"finished-{number}" for number in range(plan.finished)]
    asyncio.run(create_finished(control_plane, namespace, template, names))
    process = start(namespace)
    try:
        time.sleep(5)  # the lease, the first list
        started = wait_until_idle(process.pid)
        memory = resident_mebibytes(process.pid)
        asyncio.run(label_all(control_plane, namespace, names, "changed"))
        labelled = wait_until_idle(process.pid)
        manifests = [stand.manifest(f"judged-{number}", "unknown") for number in range(plan.judged)]
        for manifest in manifests:
            manifest["metadata"]["namespace"] = namespace
        lives = asyncio.run(live(control_plane, manifests, seconds=300, ended=is_judged))
        judged = wait_until_idle(process.pid)
    finally:
        process.stop()
    return Load(
        start_cpu_seconds=started,
        memory_mebibytes=memory,
        no_op_cpu_milliseconds=1000 * (labelled - started) / plan.finished,
        status_patch_cpu_milliseconds=1000 * (judged - labelled) / plan.judged,
        status_patches_per_second=plan.judged / wall_seconds(lives),
    )
