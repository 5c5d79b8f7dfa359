"""The tables enforce what production's do, on MariaDB and on SQLite."""

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine

from appliance_simulator import create_schema, schema
from appliance_simulator.database import open_engine
from development.mariadb import MariaDB, private_mariadb

CONTEXT = {
    "context_id": "ctx",
    "vm_name": "vm",
    "vmware_vm_id": "1",
    "vm_path": "/",
    "vcenter_host": "vc",
    "datacenter": "d",
}
MAPPING = {"vm_context_id": "ctx", "vm_id": "oma", "cloudstack_state": "attached", "linux_state": "detected", "size": 1}


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    with private_mariadb() as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/oma.db"
    else:
        url = request.getfixturevalue("mariadb").create_database(f"oma_{abs(hash(str(tmp_path)))}")
    await create_schema(url)
    opened = open_engine(url)
    async with opened.begin() as connection:
        await connection.execute(insert(schema.vm_replication_contexts).values(CONTEXT))
    yield opened
    await opened.dispose()


async def write(engine: AsyncEngine, statement: Any) -> None:
    async with engine.begin() as connection:
        await connection.execute(statement)


async def read(engine: AsyncEngine, statement: Any) -> list[Any]:
    async with engine.connect() as connection:
        return list((await connection.execute(statement)).all())


async def test_vm_names_are_unique_per_vcenter_only(engine: AsyncEngine) -> None:
    table = schema.vm_replication_contexts
    await write(engine, insert(table).values(CONTEXT | {"context_id": "other", "vcenter_host": "vc2"}))
    with pytest.raises(IntegrityError):
        await write(engine, insert(table).values(CONTEXT | {"context_id": "third", "vmware_vm_id": "2"}))


async def test_device_path_is_unique(engine: AsyncEngine) -> None:
    await write(
        engine, insert(schema.device_mappings).values(MAPPING | {"volume_uuid": "1", "device_path": "remote-vm-x"})
    )
    with pytest.raises(IntegrityError):
        await write(
            engine, insert(schema.device_mappings).values(MAPPING | {"volume_uuid": "2", "device_path": "remote-vm-x"})
        )


async def test_export_goes_with_its_mapping(engine: AsyncEngine) -> None:
    await write(engine, insert(schema.device_mappings).values(MAPPING | {"volume_uuid": "1", "device_path": "p"}))
    export = {"volume_id": "1", "device_mapping_uuid": "1", "export_name": "e", "device_path": "p"}
    await write(engine, insert(schema.nbd_exports).values(export))
    await write(engine, delete(schema.device_mappings))
    assert await read(engine, select(schema.nbd_exports)) == []


async def test_job_rows_need_their_context_and_steps_their_job(engine: AsyncEngine) -> None:
    job = {"job_id": "j", "vm_id": "1", "job_type": "test", "source_vm_name": "vm"}
    with pytest.raises(IntegrityError):
        await write(engine, insert(schema.failover_jobs).values(vm_context_id="nobody", **job))
    await write(engine, insert(schema.failover_jobs).values(vm_context_id="ctx", **job))
    assert (await read(engine, select(schema.failover_jobs.c.status)))[0].status == "pending"


@pytest.mark.parametrize("status", ["running", "executing"])
async def test_illegal_failover_status_is_refused(engine: AsyncEngine, status: str) -> None:
    columns = "job_id, vm_id, job_type, source_vm_name, status"
    job = f"INSERT INTO failover_jobs ({columns}) VALUES ('j', '1', 'test', 'vm', :status)"  # noqa: S608
    with pytest.raises(DBAPIError):
        await write(engine, text(job).bindparams(status=status))


async def test_summary_must_be_json(engine: AsyncEngine) -> None:
    with pytest.raises(DBAPIError):
        await write(engine, update(schema.vm_replication_contexts).values(last_operation_summary="no json"))


async def test_updated_at_follows_an_update_unless_set(engine: AsyncEngine) -> None:
    table = schema.vm_replication_contexts
    old = datetime(2020, 1, 1)  # noqa: DTZ001
    await write(engine, update(table).values(updated_at=old))
    assert (await read(engine, select(table.c.updated_at)))[0].updated_at == old
    await write(engine, update(table).values(total_jobs_run=1))
    assert (await read(engine, select(table.c.updated_at)))[0].updated_at > old


async def test_active_jobs_counts_seconds_by_the_databases_clock(engine: AsyncEngine) -> None:
    await write(engine, insert(schema.job_tracking).values(id="1", operation="x", status="running"))
    await write(engine, insert(schema.job_tracking).values(id="2", operation="x", status="completed"))
    ((job_id, seconds, errors),) = await read(engine, text("SELECT id, running_seconds, error_count FROM active_jobs"))
    assert (job_id, 0 <= seconds < 60, errors) == ("1", True, 0)
