"""What the product does by itself now: an engine that wakes in its injection, jobs that begin and end, keys that change."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Row, select

from appliance_simulator import SimulatedAppliance, schema
from appliance_simulator.product_flows import INJECTION
from tests.unit.simulator.clients import DaemonClient, OsseaClient

VM = "pgtest1"
STEPS = schema.job_steps


async def rows(appliance: SimulatedAppliance, selection: Any) -> list[Row[Any]]:
    async with appliance.engine.connect() as connection:
        return list(await connection.execute(selection))


async def steps(appliance: SimulatedAppliance, job_id: str | None) -> list[tuple[str, str]]:
    chosen = select(STEPS.c.name, STEPS.c.status).where(STEPS.c.job_id == job_id).order_by(STEPS.c.seq)
    return [(row.name, row.status) for row in await rows(appliance, chosen)]


async def job_status(appliance: SimulatedAppliance, job_id: str | None) -> str:
    table = schema.job_tracking
    (row,) = await rows(appliance, select(table.c.status).where(table.c.id == job_id))
    return str(row.status)


@pytest.mark.parametrize(
    ("until", "last", "held_by_oma"),
    [
        (INJECTION, (INJECTION, "completed"), True),
        ("vm-creation", ("vm-creation", "completed"), True),
        ("volume-attachment", ("volume-attachment", "completed"), False),
        ("status-update", ("status-update", "completed"), False),
    ],
)
async def test_a_woken_engine_goes_on_as_far_as_it_is_told(
    appliance: SimulatedAppliance, until: str, last: tuple[str, str], held_by_oma: bool
) -> None:
    built = await appliance.build("F11", vm_name=VM, disks=2)
    vm_id = await appliance.product.wake_in_injection(VM, until)
    told = await steps(appliance, built.failover_job_id)
    assert told[-1] == last
    assert {status for _, status in told} == {"completed"}
    assert set(appliance.holders(VM).values()) == ({appliance.oma_vm_id} if held_by_oma else {vm_id})
    finished = until == "status-update"
    assert await job_status(appliance, built.failover_job_id) == ("completed" if finished else "running")
    assert (vm_id is not None and appliance.cloud.vms[vm_id].state == "Running") == finished


async def test_a_woken_engine_gives_up_where_a_volume_is_gone(
    appliance: SimulatedAppliance, daemon: DaemonClient
) -> None:
    built = await appliance.build("F11", vm_name=VM, disks=2)
    assert (await daemon.run("detach", built.volume_ids[0]))["status"] == "completed"
    await appliance.product.wake_in_injection(VM, "status-update")
    assert (await steps(appliance, built.failover_job_id))[-1] == ("volume-attachment", "failed")
    assert await job_status(appliance, built.failover_job_id) == "failed"


async def test_only_a_running_injection_can_wake(appliance: SimulatedAppliance) -> None:
    await appliance.build("F12", vm_name=VM, disks=1)
    with pytest.raises(ValueError, match="running"):
        await appliance.product.wake_in_injection(VM)
    with pytest.raises(ValueError, match="unknown step"):
        await appliance.product.wake_in_injection(VM, "coffee")


@pytest.mark.parametrize("begin", ["begin_rollback", "begin_product_cleanup"])
async def test_a_job_begins_and_ends(appliance: SimulatedAppliance, begin: str) -> None:
    await appliance.build("F11", vm_name=VM, disks=1)
    job_id = await getattr(appliance.product, begin)(VM)
    assert await job_status(appliance, job_id) == "running"
    await appliance.product.end_job(job_id, "it did not work")
    assert await job_status(appliance, job_id) == "failed"


async def test_a_newer_failover_has_rows_of_its_own(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name=VM, disks=1)
    newer = await appliance.product.begin_failover(VM)
    assert newer not in (None, built.failover_job_id)
    assert await job_status(appliance, newer) == "running"


async def test_rotated_keys_are_in_the_table_and_the_old_ones_are_refused(
    appliance: SimulatedAppliance, ossea: OsseaClient
) -> None:
    old = ossea.signed("listVirtualMachines")
    await appliance.rotate_keys()
    assert (await ossea.send(old)).status_code == 401
    assert (await ossea.request("listVirtualMachines")).status_code == 200
    table = schema.ossea_configs
    (row,) = await rows(appliance, select(table.c.api_key, table.c.secret_key).where(table.c.is_active))
    assert (row.api_key, row.secret_key) == (appliance.api_key, appliance.secret_key)
