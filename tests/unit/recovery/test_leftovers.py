"""What is found beside the goal and only reported: rows without a disk, orphan root volumes, a source VM that is off."""

from dataclasses import replace
from datetime import UTC, timedelta

import pytest

from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.leftovers import Leftover
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.plan import assess
from failed_execution_cleanup.recovery.world import CloudVolume, World
from tests.unit.recovery.test_incident import incident_of
from tests.unit.recovery.worlds import DATA, GIB, JOB, JOB_AGE, NOW, QUICK, STRANGER, Scene, leftover, look, work


def leftovers(scene: Scene, world: World | None = None) -> list[Leftover]:
    found = assess(world or scene.world(), incident_of(scene), Wish(JOB, settings=QUICK), Memory(JOB)).leftovers
    return [item for item in found if item.kind != "Snapshot"]


def test_a_volume_no_disk_refers_to_is_brought_home_and_reported() -> None:
    scene = leftover("F12")
    world = scene.world()
    disks = tuple(disk for disk in world.records.disks if disk.disk_id != "disk-2001")
    (found,) = leftovers(scene, replace(world, records=replace(world.records, disks=disks)))
    assert (found.kind, found.id) == ("Row", "ossea_volumes/101")
    assert DATA in found.message
    assert leftovers(scene) == []


def root(scene: Scene, *, name: str = "ROOT-77", minutes: float = 18.0, vm_id: str | None = None) -> None:
    """A root volume that was made so many minutes after the job began; its VM was made in minutes sixteen to twenty."""
    made = (NOW - JOB_AGE + timedelta(minutes=minutes)).replace(tzinfo=UTC)
    scene.other_volumes["root"] = CloudVolume("root", name, "DATADISK", "Ready", GIB, vm_id=vm_id, created=made)


def test_a_root_volume_left_by_the_failover_is_reported_and_never_deleted() -> None:
    scene = leftover("F20")
    root(scene)
    (found,) = leftovers(scene)
    assert (found.kind, found.id) == ("Volume", "root")
    decision, _ = work(scene)
    assert "root" in scene.other_volumes
    assert "root" in {item.id for item in decision.assessment.leftovers}


@pytest.mark.parametrize(
    ("name", "minutes", "vm_id"), [("data-77", 18.0, None), ("ROOT-77", 30, None), ("ROOT-77", 18.0, STRANGER)]
)
def test_other_volumes_are_nobodys_business(name: str, minutes: float, vm_id: str | None) -> None:
    scene = leftover("F20")
    root(scene, name=name, minutes=minutes, vm_id=vm_id)
    assert leftovers(scene) == []


def live(*steps: tuple[str, str], rollback: tuple[tuple[str, str], ...] = ()) -> Scene:
    scene = leftover("F06")
    scene.jobs = [replace(job, job_type="live") for job in scene.jobs]
    scene.tracking.clear()
    scene.tracked(operation="unified-live-failover", status="failed", steps=steps)
    if rollback:
        operation = "enhanced-live-failover-rollback"
        scene.tracked(row_id="r", job_type="cleanup", operation=operation, steps=rollback, age=timedelta(minutes=60))
    return scene


OFF = ("source-vm-power-off", "completed")


@pytest.mark.parametrize(
    ("scene", "word"),
    [
        (live(OFF), "switched off"),
        (live(("source-vm-power-off", "failed")), "asked to shut down"),
        (live(("source-vm-power-off", "skipped")), None),
        (live(("validation", "failed")), None),
        (live(OFF, rollback=(("source-vm-power-on", "completed"),)), None),
        (live(OFF, rollback=(("source-vm-power-on", "failed"),)), "switched off"),
        (live(OFF, rollback=(("source-vm-power-on", "skipped"),)), "switched off"),
    ],
)
def test_a_source_vm_that_a_live_failover_switched_off_is_reported(scene: Scene, word: str | None) -> None:
    found = leftovers(scene)
    assert [item.kind for item in found] == (["VirtualMachine"] if word else [])
    assert all(word is not None and word in item.message and scene.vm_name in item.message for item in found)


def test_the_report_does_not_keep_a_cleanup_from_its_end() -> None:
    scene = live(OFF)
    scene.jobs = [replace(job, status="failed") for job in scene.jobs]
    scene.context_status = "ready_for_failover"
    for disk in scene.disks:
        disk.map_to_oma()
    assert look(scene).assessment.leftovers
    assert look(scene).assessment.steps == ()
