"""What happens in the world to bring a stop about or to lift it, beside what the matrix knows already."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import func, insert, select, update

from appliance_simulator import schema
from appliance_simulator.cloud import Volume
from appliance_simulator.database import clock_at
from appliance_simulator.product_flows import Rollback
from failed_execution_cleanup.appliance.database import OMADatabase
from tests.matrix.arrangements import arrangement
from tests.matrix.stage import Stage

NEWER_JOB: Final = "99999999-2222-3333-4444-555555555555"
OTHER_JOB: Final = "other-job"


@arrangement("time-passes")
async def _time_passes(stage: Stage) -> None:
    """As if hours had passed: the appliance's patience is over."""
    moment = timedelta(seconds=0.1)
    stage.settings = replace(stage.settings, stuck_after=moment, operation_limit=moment)


# --- rows -------------------------------------------------------------------------------------------------------


async def _change(stage: Stage, statement: Any) -> None:
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(statement)


@arrangement("replication-ends")
async def _replication_ends(stage: Stage) -> None:
    table = schema.replication_jobs
    await _change(stage, update(table).where(table.c.id == stage.replication_id).values(status="failed"))


@arrangement("other-job-running")
async def _other_job_running(stage: Stage) -> None:
    await _other_job(stage, age_seconds=60.0)


@arrangement("other-job-dead")
async def _other_job_dead(stage: Stage) -> None:
    await _other_job(stage, age_seconds=stage.case.age_seconds)


async def _other_job(stage: Stage, *, age_seconds: float) -> None:
    async with stage.appliance.engine.begin() as connection:
        begun = (await clock_at(connection)).local(time.time() - age_seconds)
        row = {
            "id": OTHER_JOB,
            "job_type": "migration",
            "operation": "resize",
            "status": "running",
            "context_id": stage.built.vm.context_id,
            "started_at": begun,
            "created_at": begun,
            "updated_at": begun,
        }
        await connection.execute(insert(schema.job_tracking).values(row))


@arrangement("job-ends")
async def _job_ends(stage: Stage) -> None:
    table = schema.job_tracking
    await _change(stage, update(table).where(table.c.id == OTHER_JOB).values(status="completed"))


@arrangement("failover-closed")
async def _failover_closed(stage: Stage) -> None:
    table = schema.failover_jobs
    await _change(stage, update(table).where(table.c.job_id == stage.built.failover_job_id).values(status="failed"))


@arrangement("newer-failover")
async def newer_failover(stage: Stage) -> None:
    """A test failover after ours that its engine ended before it touched anything."""
    async with stage.appliance.engine.begin() as connection:
        table = schema.failover_jobs
        begun = (await clock_at(connection)).local(time.time() - 60)
        query = select(table).where(table.c.job_id == stage.built.failover_job_id)
        row = dict((await connection.execute(query)).mappings().one())
        newest = await connection.scalar(select(func.max(table.c.id)))
        row |= {"id": (newest or 0) + 1, "job_id": NEWER_JOB, "status": "failed", "destination_vm_id": ""}
        row |= {"created_at": begun, "updated_at": begun}
        await connection.execute(insert(table).values(row))
        tracking = {
            "id": NEWER_JOB,
            "job_type": "failover",
            "operation": "unified-test-failover",
            "status": "failed",
            "context_id": stage.built.vm.context_id,
            "started_at": begun,
            "created_at": begun,
            "updated_at": begun,
        }
        await connection.execute(insert(schema.job_tracking).values(tracking))
        step = {"job_id": NEWER_JOB, "name": "validation", "seq": 1, "status": "failed"}
        await connection.execute(insert(schema.job_steps).values(step | {"started_at": begun, "completed_at": begun}))


@arrangement("claimed-elsewhere")
async def _claimed_elsewhere(stage: Stage) -> None:
    """Another cleanup of this VM, for another job, whose owner showed life a moment ago."""
    other = OMADatabase.open(stage.appliance.database_url, timeout=5.0)
    async with other.lock(stage.built.vm.context_id) as lock:
        await lock.take_claim("another-job", "operator-0", previous=None)
    await other.close()


@arrangement("claim-released")
async def _claim_released(stage: Stage) -> None:
    other = OMADatabase.open(stage.appliance.database_url, timeout=5.0)
    async with other.lock(stage.built.vm.context_id) as lock:
        claim = await lock.take_claim("another-job", "operator-0", previous=await lock.load_claim("another-job"))
        await lock.release_claim(claim, "completed", None, finished=True, memory=None)
    await other.close()


@arrangement("one-config")
async def _one_config(stage: Stage) -> None:
    table = schema.ossea_configs
    await _change(stage, update(table).where(table.c.name == "second").values(is_active=False))


@arrangement("disk-linked")
async def _disk_linked(stage: Stage) -> None:
    last = stage.built.vm.disks[-1]
    table = schema.vm_disks
    await _change(
        stage, update(table).where(table.c.id == last.vm_disk_row_id).values(ossea_volume_id=last.volume_row_id)
    )


@arrangement("context-discovered")
async def _context_discovered(stage: Stage) -> None:
    await _context(stage, "discovered")


@arrangement("context-failed-over")
async def _context_failed_over(stage: Stage) -> None:
    await _context(stage, "failed_over_test")


async def _context(stage: Stage, status: str) -> None:
    table = schema.vm_replication_contexts
    ours = table.c.context_id == stage.built.vm.context_id
    await _change(stage, update(table).where(ours).values(current_status=status))


@arrangement("rolled-back")
async def _rolled_back(stage: Stage) -> None:
    async with stage.appliance.site() as site:
        rollback = Rollback(await stage.appliance._scenes[stage.case.vm_name].resumed(site))
        await rollback.until_the_end()
        await rollback.finish()


# --- volumes and snapshots --------------------------------------------------------------------------------------


def _os_volume(stage: Stage) -> Volume:
    return stage.appliance.cloud.volumes[stage.volume_ids[0]]


@arrangement("os-volume-attaching")
async def _os_volume_attaching(stage: Stage) -> None:
    _os_volume(stage).state = "Attaching"


@arrangement("os-volume-ready")
async def _os_volume_ready(stage: Stage) -> None:
    _os_volume(stage).state = "Ready"


@arrangement("os-volume-elsewhere")
async def _os_volume_elsewhere(stage: Stage) -> None:
    cloud = stage.appliance.cloud
    other = next(vm for vm in cloud.vms.values() if vm.name == "other-test")
    cloud.lift(_os_volume(stage))
    cloud.place(_os_volume(stage), other.id)


@arrangement("os-volume-let-go")
async def _os_volume_let_go(stage: Stage) -> None:
    stage.appliance.cloud.lift(_os_volume(stage))


@arrangement("os-snapshot-restored")
async def _os_snapshot_restored(stage: Stage) -> None:
    stage.appliance.set_state(stage.built.snapshot_ids[stage.volume_ids[0]], "BackedUp")


@arrangement("os-snapshot-not-revertable")
async def _os_snapshot_not_revertable(stage: Stage) -> None:
    _set_revertable(stage, revertable=False)


@arrangement("os-snapshot-revertable")
async def _os_snapshot_revertable(stage: Stage) -> None:
    _set_revertable(stage, revertable=True)


def _set_revertable(stage: Stage, *, revertable: bool) -> None:
    snapshot_id = stage.built.snapshot_ids[stage.volume_ids[0]]
    stage.appliance.cloud.snapshots[snapshot_id].revertable = revertable


@arrangement("os-reverts-fail")
async def _os_reverts_fail(stage: Stage) -> None:
    text = "Failed to revert snapshot: the pool is read-only."
    stage.appliance.faults.arm("job_fails", "revertSnapshot", object_id=stage.volume_ids[0], times=3, errortext=text)


@arrangement("slow-reverts")
async def _slow_reverts(stage: Stage) -> None:
    stage.appliance.latencies.set("revertSnapshot", 0.6)


# --- VMs and hosts ----------------------------------------------------------------------------------------------


@arrangement("vm-snapshot-taken")
async def _vm_snapshot_taken(stage: Stage) -> None:
    stage.appliance.cloud.add_vm_snapshot(stage.appliance.oma_vm_id, "nightly")


@arrangement("vm-snapshot-removed")
async def _vm_snapshot_removed(stage: Stage) -> None:
    stage.appliance.cloud.vm_snapshots.clear()


@arrangement("host-down")
async def _host_down(stage: Stage) -> None:
    _set_host(stage, "Down")


@arrangement("host-up")
async def _host_up(stage: Stage) -> None:
    _set_host(stage, "Up")


def _set_host(stage: Stage, state: str) -> None:
    for host in stage.appliance.cloud.hosts.values():
        host.state = state


@arrangement("stop-hangs")
async def _stop_hangs(stage: Stage) -> None:
    stage.appliance.faults.arm("job_hangs", "stopVirtualMachine")


@arrangement("jobs-released")
async def _jobs_released(stage: Stage) -> None:
    await _end_hanging_jobs(stage)


@arrangement("jobs-fail")
async def _jobs_fail(stage: Stage) -> None:
    """The cloud gives its pending jobs up; the guest goes on running."""
    await stage.appliance.restart_management_server()
    assert stage.built.destination_vm_id is not None
    vm = stage.appliance.cloud.vms[stage.built.destination_vm_id]
    vm.state = "Running"


async def _end_hanging_jobs(stage: Stage) -> None:
    pending = stage.appliance.jobs.pending()
    stage.appliance.jobs.release_hanging()
    for job in pending:
        await job.ended.wait()
