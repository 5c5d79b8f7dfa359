"""What else is told of a world before a run: each function changes one thing, and a case names it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final, TypeAlias

from sqlalchemy import insert, select, update

from appliance_simulator import schema
from appliance_simulator.cloud import new_id
from appliance_simulator.product_flows import ProductCleanup
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from tests.matrix.stage import LIMITS, Stage

Arrangement: TypeAlias = Callable[[Stage], Awaitable[None]]
ARRANGEMENTS: Final[dict[str, Arrangement]] = {}


def arrangement(name: str) -> Callable[[Arrangement], Arrangement]:
    """Register what a case calls by this name."""

    def register(change: Arrangement) -> Arrangement:
        ARRANGEMENTS[name] = change
        return change

    return register


# --- the test VM ------------------------------------------------------------------------------------------------


def _vm_becomes(state: str) -> Arrangement:
    async def change(stage: Stage) -> None:
        assert stage.built.destination_vm_id is not None
        stage.appliance.set_state(stage.built.destination_vm_id, state)

    return change


for _name, _state in (
    ("vm-error", "Error"),
    ("vm-starting", "Starting"),
    ("vm-stopped", "Stopped"),
    ("vm-running", "Running"),
    ("vm-destroyed", "Destroyed"),
):
    ARRANGEMENTS[_name] = _vm_becomes(_state)


@arrangement("stop-ignored")
async def _stop_ignored(stage: Stage) -> None:
    _ignore_stops(stage, 3)


@arrangement("stop-ignored-once")
async def _stop_ignored_once(stage: Stage) -> None:
    _ignore_stops(stage, 1)


def _ignore_stops(stage: Stage, times: int) -> None:
    text = "Failed to stop the VM: timed out waiting for the guest."
    stage.appliance.faults.arm("job_fails", "stopVirtualMachine", times=times, errortext=text)


# --- volumes and snapshots --------------------------------------------------------------------------------------


@arrangement("os-disk-busy")
async def _os_disk_busy(stage: Stage) -> None:
    text = "Failed to detach volume: device is busy."
    os_disk = stage.volume_ids[0]
    stage.appliance.faults.arm("job_fails", "detachVolume", object_id=os_disk, times=3, errortext=text)


@arrangement("no-slots")
async def _no_slots(stage: Stage) -> None:
    stage.appliance.faults.arm("job_fails", "attachVolume", times=9, errortext="No more available PCI slots")


@arrangement("link-late")
async def _link_late(stage: Stage) -> None:
    stage.appliance.faults.arm("device_link_late", "attach", object_id=stage.volume_ids[0])


@arrangement("detach-abandoned")
async def _detach_abandoned(stage: Stage) -> None:
    stage.appliance.faults.arm("operation_abandoned", "detach", object_id=stage.volume_ids[0])


@arrangement("volume-deleted")
async def _volume_deleted(stage: Stage) -> None:
    cloud = stage.appliance.cloud
    cloud.discard(cloud.volumes[stage.volume_ids[-1]])


@arrangement("os-snapshot-deleted")
async def _os_snapshot_deleted(stage: Stage) -> None:
    _delete_snapshot(stage, stage.volume_ids[0])


@arrangement("last-snapshot-deleted")
async def _last_snapshot_deleted(stage: Stage) -> None:
    _delete_snapshot(stage, stage.volume_ids[-1])


def _delete_snapshot(stage: Stage, volume_id: str) -> None:
    stage.appliance.set_state(stage.built.snapshot_ids[volume_id], "Destroyed")


# --- replication ------------------------------------------------------------------------------------------------


@arrangement("synced-on-top")
async def _synced_on_top(stage: Stage) -> None:
    await stage.appliance.finish_sync(stage.case.vm_name)


@arrangement("synced-in-full")
async def _synced_in_full(stage: Stage) -> None:
    await stage.appliance.finish_sync(stage.case.vm_name, sync_type="full")


@arrangement("replication-running")
async def _replication_running(stage: Stage) -> None:
    stage.replication_id = await stage.appliance.add_running_replication(stage.case.vm_name)


@arrangement("replication-dead")
async def _replication_dead(stage: Stage) -> None:
    idle = stage.case.age_seconds / 2
    stage.replication_id = await stage.appliance.add_running_replication(stage.case.vm_name, idle_seconds=idle)


# --- the appliance ----------------------------------------------------------------------------------------------


@arrangement("daemon-down")
async def _daemon_down(stage: Stage) -> None:
    stage.appliance.faults.arm("daemon_down")


@arrangement("daemon-up")
async def _daemon_up(stage: Stage) -> None:
    stage.appliance.faults.disarm("daemon_down")


@arrangement("cloud-down")
async def _cloud_down(stage: Stage) -> None:
    stage.appliance.faults.arm("cloud_down")


@arrangement("cloud-up")
async def _cloud_up(stage: Stage) -> None:
    stage.appliance.faults.disarm("cloud_down")


@arrangement("wrong-credentials")
async def _wrong_credentials(stage: Stage) -> None:
    door = OSSEAClient(
        stage.appliance.ossea_url, stage.appliance.api_key, "not-the-secret", timeout_seconds=LIMITS.http_seconds
    )
    await _replace_door(stage, ossea=door)


@arrangement("no-database")
async def _no_database(stage: Stage) -> None:
    await _replace_door(stage, database=OMADatabase.open("sqlite+aiosqlite:////nowhere/oma.db", timeout=1.0))


async def _replace_door(stage: Stage, **doors: Any) -> None:
    old = stage.doors
    stage.doors = replace(old, **doors)
    for name in doors:
        closing = getattr(stage.doors, name)
        stage.stack.push_async_callback(closing.close if name == "database" else closing.aclose)


@arrangement("right-oma")
async def _right_oma(stage: Stage) -> None:
    await _change_config(stage, oma_vm_id=stage.appliance.oma_vm_id)


@arrangement("no-config")
async def _no_config(stage: Stage) -> None:
    await _change_config(stage, is_active=False)


async def _change_config(stage: Stage, **values: Any) -> None:
    table = schema.ossea_configs
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(update(table).where(table.c.is_active).values(**values))


@arrangement("two-configs")
async def _two_configs(stage: Stage) -> None:
    table = schema.ossea_configs
    async with stage.appliance.engine.begin() as connection:
        row = dict((await connection.execute(select(table).where(table.c.is_active))).mappings().one())
        row |= {"id": None, "name": "second", "oma_vm_id": new_id()}
        await connection.execute(insert(table).values({k: v for k, v in row.items() if v is not None}))


# --- others at work ---------------------------------------------------------------------------------------------


@arrangement("same-name-elsewhere")
async def _same_name_elsewhere(stage: Stage) -> None:
    async with stage.appliance.site() as site:
        await site.replicate(
            stage.case.vm_name, disks=2, vcenter_host="vc02.example.com", epoch=time.time() - 2 * stage.case.age_seconds
        )


@arrangement("product-cleanup-running")
async def _product_cleanup_running(stage: Stage) -> None:
    async with stage.appliance.site() as site:
        scene = await stage.appliance._scenes[stage.case.vm_name].resumed(site)
        await ProductCleanup(scene).begin()


@arrangement("lock-held")
async def _lock_held(stage: Stage) -> None:
    other = OMADatabase.open(stage.appliance.database_url, timeout=5.0)
    stage.stack.push_async_callback(other.close)
    await stage.stack.enter_async_context(other.lock(stage.built.vm.context_id))


# --- rows somebody wrote ----------------------------------------------------------------------------------------


@arrangement("snapshot-row-nulls")
async def _snapshot_row_nulls(stage: Stage) -> None:
    table = schema.ossea_volumes
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(
            update(table)
            .where(table.c.volume_id == stage.volume_ids[0])
            .values(snapshot_created_at=None, snapshot_status=None)
        )


@arrangement("disk-elsewhere")
async def _disk_elsewhere(stage: Stage) -> None:
    volumes = schema.ossea_volumes
    foreign = (
        select(volumes.c.id).where(volumes.c.vm_context_id != stage.built.vm.context_id).limit(1).scalar_subquery()
    )
    await _link_last_disk(stage, foreign)


@arrangement("disk-unlinked")
async def _disk_unlinked(stage: Stage) -> None:
    await _link_last_disk(stage, None)


async def _link_last_disk(stage: Stage, volume_row_id: Any) -> None:
    table = schema.vm_disks
    last = stage.built.vm.disks[-1].vm_disk_row_id
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(update(table).where(table.c.id == last).values(ossea_volume_id=volume_row_id))


@arrangement("context-failed")
async def _context_failed(stage: Stage) -> None:
    await _write_context(stage, "failed")


@arrangement("context-replicating")
async def _context_replicating(stage: Stage) -> None:
    await _write_context(stage, "replicating")


async def _write_context(stage: Stage, status: str) -> None:
    table = schema.vm_replication_contexts
    async with stage.appliance.engine.begin() as connection:
        ours = table.c.context_id == stage.built.vm.context_id
        await connection.execute(update(table).where(ours).values(current_status=status))
