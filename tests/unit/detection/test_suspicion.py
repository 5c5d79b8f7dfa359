"""Who gets a close look: everybody who might need one, and no healthy VM."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import pytest

from failed_execution_cleanup.appliance.database import NewestFailover, Overview, VolumeOutline
from failed_execution_cleanup.appliance.skyline import Skyline
from failed_execution_cleanup.detection.drift import FinishedCleanup
from failed_execution_cleanup.detection.suspicion import maybe_drifted, maybe_stuck
from failed_execution_cleanup.recovery.world import CloudSnapshot, CloudVM, CloudVolume

OMA: Final = "vm-oma"
TVM: Final = "vm-test"
BY_ID: Final = "/dev/disk/by-id/virtio-b3bb93101b594f6297e8"
ENDED: Final = FinishedCleanup("ctx", "job", datetime(2026, 3, 1, tzinfo=UTC))
JOB: Final = NewestFailover("ctx", "ready_for_failover", "job", "test", "failed", "pg1", None)
VOLUME: Final = VolumeOutline("vol", False, OMA, BY_ID, "oma", True)
SHOWN: Final = CloudVolume("vol", "pg1-disk-0", "DATADISK", "Ready", 1, OMA)
NOTHING: Final = Overview((OMA,), (JOB,), frozenset(), frozenset(), {"ctx": "ready_for_failover"}, {"ctx": (VOLUME,)})
CALM: Final = Skyline({OMA: CloudVM(OMA, "oma", "oma", "Running")}, {"vol": SHOWN}, {})


def vm(display_name: str, state: str = "Running") -> CloudVM:
    return CloudVM(TVM, display_name, display_name, state)


def failover(**changes: str) -> Overview:
    return replace(NOTHING, newest=(replace(JOB, **changes),))


def with_vm(made: CloudVM) -> Skyline:
    return replace(CALM, vms={**CALM.vms, TVM: made})


HEALTHY: Final = failover(status="completed", context_status="failed_over_test", destination_vm_id=TVM)


@pytest.mark.parametrize(
    ("overview", "skyline", "suspected"),
    [
        pytest.param(NOTHING, CALM, False, id="all is closed and nothing is left"),
        pytest.param(replace(NOTHING, open=frozenset({"ctx"})), CALM, True, id="a row is open"),
        pytest.param(replace(NOTHING, undone=frozenset({"ctx"})), CALM, True, id="a rollback went wrong"),
        pytest.param(NOTHING, with_vm(vm("pg1-test-1760000000", "Stopped")), True, id="a VM by name"),
        pytest.param(NOTHING, with_vm(vm("pg10-test-1760000000")), False, id="a VM of a longer name"),
        pytest.param(failover(destination_vm_id=TVM), with_vm(vm("pg1")), True, id="a VM by id"),
        pytest.param(failover(destination_vm_id=TVM), with_vm(vm("pg1", "Expunging")), False, id="a VM that goes"),
        pytest.param(HEALTHY, with_vm(vm("pg1-test-1760000000")), False, id="completed and running"),
        pytest.param(HEALTHY, with_vm(vm("pg1-test-1760000000", "Stopped")), True, id="completed, stopped, empty"),
        pytest.param(
            HEALTHY,
            replace(with_vm(vm("pg1", "Stopped")), volumes={"vol": replace(SHOWN, vm_id=TVM)}),
            False,
            id="completed, stopped, with its volumes",
        ),
        pytest.param(HEALTHY, CALM, True, id="completed, and its VM is gone"),
        pytest.param(failover(status="completed", destination_vm_id=TVM), CALM, False, id="rolled back"),
        pytest.param(failover(job_type="live"), with_vm(vm("pg1-test-1760000000")), False, id="live, never by name"),
    ],
)
def test_suspects_are_those_that_may_be_stuck(overview: Overview, skyline: Skyline, *, suspected: bool) -> None:
    assert (maybe_stuck(overview, skyline) == {"ctx"}) is suspected


def volume(**changes: object) -> Overview:
    return replace(NOTHING, volumes={"ctx": (replace(VOLUME, **changes),)})  # type: ignore[arg-type]


SNAPSHOT: Final = CloudSnapshot("snap", "multi-test-failover-disk-2000-1760000000", "vol", "BackedUp")


@pytest.mark.parametrize(
    ("overview", "skyline", "looked_at"),
    [
        pytest.param(NOTHING, CALM, False, id="as it was left"),
        pytest.param(NOTHING, replace(CALM, volumes={}), True, id="the volume is gone"),
        pytest.param(NOTHING, replace(CALM, volumes={"vol": replace(SHOWN, vm_id=None)}), True, id="detached"),
        pytest.param(volume(mapped_to=None, operation_mode=None), CALM, True, id="no mapping"),
        pytest.param(volume(device_path="remote-vm-1"), CALM, True, id="an unusable mapping"),
        pytest.param(volume(operation_mode="failover"), CALM, True, id="another mode"),
        pytest.param(volume(exported=False), CALM, True, id="no export"),
        pytest.param(volume(recorded_snapshot=True), CALM, True, id="a recorded snapshot"),
        pytest.param(NOTHING, replace(CALM, snapshots={"vol": (SNAPSHOT,)}), True, id="a snapshot by name"),
        pytest.param(
            NOTHING,
            replace(CALM, snapshots={"vol": (replace(SNAPSHOT, name="mine"),)}),
            False,
            id="a person's snapshot",
        ),
        pytest.param(replace(NOTHING, statuses={"ctx": "failed"}), CALM, True, id="another status"),
        pytest.param(
            replace(failover(job_id="newer"), statuses={"ctx": "failed_over_test"}), CALM, False, id="a newer failover"
        ),
    ],
)
def test_finished_cleanups_are_looked_at_where_anything_differs(
    overview: Overview, skyline: Skyline, *, looked_at: bool
) -> None:
    assert (maybe_drifted([ENDED], overview, skyline, ()) == {"ctx"}) is looked_at


def test_ten_thousand_healthy_vms_raise_no_suspicion() -> None:
    numbers = range(10_000)
    jobs = tuple(replace(JOB, context_id=f"ctx-{n}", source_vm_name=f"vm{n}") for n in numbers)
    volumes = {f"ctx-{n}": (replace(VOLUME, volume_id=f"vol-{n}"),) for n in numbers}
    shown = {f"vol-{n}": replace(SHOWN, id=f"vol-{n}") for n in numbers}
    statuses = dict.fromkeys(volumes, "ready_for_failover")
    overview = Overview((OMA,), jobs, frozenset(), frozenset(), statuses, volumes)
    skyline = replace(CALM, volumes=shown)
    finished = [replace(ENDED, context_id=f"ctx-{n}") for n in numbers]
    assert maybe_stuck(overview, skyline) == frozenset()
    assert maybe_drifted(finished, overview, skyline, ()) == frozenset()
