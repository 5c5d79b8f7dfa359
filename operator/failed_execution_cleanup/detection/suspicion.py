"""Who is worth a close look: everybody that might be stuck, or might have drifted; never less, and of healthy VMs none.

Pure. Nothing is judged here: a context too many costs a few rows, one too few would hide a stuck VM.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from failed_execution_cleanup.appliance.database import NewestFailover, Overview, VolumeOutline
from failed_execution_cleanup.appliance.skyline import Skyline
from failed_execution_cleanup.detection.drift import FinishedCleanup
from failed_execution_cleanup.recovery.guards import GONE_VM
from failed_execution_cleanup.recovery.incident import snapshot_name_parts
from failed_execution_cleanup.recovery.plan import READY
from failed_execution_cleanup.recovery.volumes import BY_ID

_TEST_VM: Final = re.compile(r"^(?P<source>.*)-test-\d{9,11}$", re.DOTALL)
_MOVED: Final = frozenset({"failed_over_test", "failed_over_live", "cleanup_required"})


def maybe_stuck(overview: Overview, skyline: Skyline) -> frozenset[str]:
    """Contexts whose newest failover may have died: by rows left open, a rollback that went wrong, or a VM it left behind."""
    sources = {match["source"] for vm in skyline.vms.values() if (match := _TEST_VM.match(vm.display_name))}
    holders = {volume.vm_id for volume in skyline.volumes.values()}
    left = {
        job.context_id
        for job in overview.newest
        if _leaves_a_trace(job, skyline, sources, holders, rolled_back=job.context_id in overview.undone)
    }
    return overview.open | overview.undone | left


def _leaves_a_trace(
    job: NewestFailover,
    skyline: Skyline,
    sources: Collection[str],
    holders: Collection[str | None],
    *,
    rolled_back: bool,
) -> bool:
    vm = skyline.vms.get(job.destination_vm_id or "")
    if job.status == "completed" and not rolled_back:
        # In use it is healthy (rule 1); moved away without a VM that uses it, nobody has it.
        in_use = vm is not None and (vm.state == "Running" or vm.id in holders)
        return job.context_status in _MOVED and not in_use
    made = vm is not None and vm.state not in GONE_VM
    return made or (job.job_type == "test" and job.source_vm_name in sources)


def maybe_drifted(
    finished: Collection[FinishedCleanup], overview: Overview, skyline: Skyline, suspects: Collection[str]
) -> frozenset[str]:
    """Contexts of finished cleanups that show anything but what was reached.

    Args:
        finished: cleanups that ended clean.
        overview: with volumes.
        skyline: what OSSEA lists.
        suspects: contexts that are looked at anyway.
    """
    oma = overview.oma_vm_ids[0] if len(overview.oma_vm_ids) == 1 else ""
    newest = {job.context_id: job.job_id for job in overview.newest}
    return frozenset(
        cleanup.context_id
        for cleanup in finished
        # A newer job explains everything, so nothing needs to be looked at (rule 2).
        if newest.get(cleanup.context_id, cleanup.job_id) == cleanup.job_id
        and (
            cleanup.context_id in suspects
            or overview.statuses.get(cleanup.context_id, READY) != READY
            or any(_differs(overview.volumes, cleanup.context_id, skyline, oma))
        )
    )


def _differs(
    volumes: Mapping[str, tuple[VolumeOutline, ...]], context_id: str, skyline: Skyline, oma: str
) -> Iterator[bool]:
    for volume in volumes.get(context_id, ()):
        shown = skyline.volumes.get(volume.volume_id)
        yield shown is None or shown.vm_id != oma
        yield volume.mapped_to != oma or BY_ID.match(volume.device_path) is None
        yield volume.operation_mode != "oma" or not volume.exported or volume.recorded_snapshot
        yield any(snapshot_name_parts(s.name) is not None for s in skyline.snapshots.get(volume.volume_id, ()))
