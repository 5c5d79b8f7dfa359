"""The matrix's own checks notice every misdeed they are there for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from sqlalchemy import delete, update

from appliance_simulator import schema
from tests.matrix.expected import CASES
from tests.matrix.invariants import violations
from tests.matrix.stage import Stage, staged


async def _delete_unreverted(stage: Stage) -> None:
    await _job(stage, await stage.doors.ossea.delete_snapshot(_point(stage)))


async def _revert_on_the_stopped_vm(stage: Stage) -> None:
    await _job(stage, await stage.doors.ossea.revert_snapshot(_point(stage)))


async def _revert_to_another_snapshot(stage: Stage) -> None:
    volume = stage.appliance.cloud.volumes[stage.volume_ids[1]]
    other = stage.appliance.cloud.add_snapshot(volume, "another")
    stage.found = await stage.look()
    await _detach(stage)
    await _job(stage, await stage.doors.ossea.revert_snapshot(other.id))


async def _revert_twice_at_once(stage: Stage) -> None:
    await _detach(stage)
    for _ in range(2):
        await stage.doors.ossea.revert_snapshot(_point(stage))
    while stage.appliance.jobs.pending():
        await stage.appliance.jobs.pending()[0].ended.wait()


async def _destroy_with_our_volumes(stage: Stage) -> None:
    await _job(stage, await stage.doors.ossea.destroy_vm(stage.built.destination_vm_id or "", expunge=True))


async def _stop_a_bystander(stage: Stage) -> None:
    bystander = next(vm for vm in stage.appliance.cloud.vms.values() if vm.name == "namesake")
    await _job(stage, await stage.doors.ossea.stop_vm(bystander.id))


async def _touch_a_foreign_row(stage: Stage) -> None:
    table = schema.failover_jobs
    async with stage.appliance.engine.begin() as connection:
        foreign = table.c.vm_context_id != stage.built.vm.context_id
        await connection.execute(update(table).where(foreign).values(error_message="touched"))


async def _delete_a_row(stage: Stage) -> None:
    table = schema.job_steps
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(delete(table).where(table.c.job_id == stage.built.failover_job_id))


async def _tear_a_snapshot_row(stage: Stage) -> None:
    table = schema.ossea_volumes
    async with stage.appliance.engine.begin() as connection:
        ours = table.c.volume_id == stage.volume_ids[0]
        await connection.execute(update(table).where(ours).values(snapshot_created_at=None))
        await connection.execute(update(table).where(ours).values(snapshot_id=None))


def _point(stage: Stage) -> str:
    """Snapshot of a volume that is on the stopped test VM."""
    return stage.built.snapshot_ids[stage.volume_ids[1]]


async def _detach(stage: Stage) -> None:
    await stage.doors.daemon.detach(stage.volume_ids[1])
    await stage.appliance.daemon.idle()


async def _job(stage: Stage, job_id: str) -> None:
    await stage.appliance.jobs.jobs[job_id].ended.wait()


@pytest.mark.parametrize(
    ("misdeed", "noticed"),
    [
        (_delete_unreverted, "was deleted without a revert"),
        (_revert_on_the_stopped_vm, "was reverted while attached"),
        (_revert_to_another_snapshot, "which is not its restore point"),
        (_revert_twice_at_once, "was sent while its revertSnapshot was running"),
        (_destroy_with_our_volumes, "is not on the OMA"),
        (_stop_a_bystander, "foreign object changed"),
        (_touch_a_foreign_row, "of failover_jobs changed"),
        (_delete_a_row, "of job_steps was deleted"),
        (_tear_a_snapshot_row, "a row with snapshot_id and without status or time"),
    ],
)
async def test_misdeed_is_noticed(misdeed: Callable[[Stage], Awaitable[None]], noticed: str, tmp_path: Path) -> None:
    case = next(case for case in CASES if case.id == "F27")
    async with staged(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        await stage.watch()
        await misdeed(stage)
        assert noticed in "\n".join(await violations(stage, await stage.look()))


async def test_nothing_is_noticed_where_nothing_was_done(tmp_path: Path) -> None:
    case = next(case for case in CASES if case.id == "F27")
    async with staged(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        await stage.watch()
        assert await violations(stage, await stage.look()) == []
