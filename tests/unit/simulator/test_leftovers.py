"""Every row of the failure table can be built and is what the product would have left."""

import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Row, func, select, text
from sqlalchemy.exc import IntegrityError

from appliance_simulator import LEFTOVERS, Built, SimulatedAppliance, schema, simulator
from appliance_simulator.product_flows import cloudstack_name
from development.mariadb import MariaDB, private_mariadb

# Where the three volumes of each row are: on the OMA, on the test VM, or nowhere; and what they hold.
EXPECTED = {
    "F01": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F06": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F02b": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F03-hang": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F05-stored": "OMA OMA OMA replica:2 replica:2 replica:2",
    "F06-hang": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F07": "OMA OMA OMA replica:1 replica:1 replica:1",
    "F08-os": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F08-started": "TVM TVM TVM dirty:started dirty:started dirty:started",
    "F11": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F16": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F15-hang": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F17-orphan": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F18-late": "- OMA OMA dirty:injection replica:1 replica:1",
    "F19": "- OMA OMA dirty:injection replica:1 replica:1",
    "F20": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "F21": "- OMA OMA dirty:injection replica:1 replica:1",
    "F22": "TVM OMA OMA dirty:injection replica:1 replica:1",
    "F24": "TVM TVM OMA dirty:injection replica:1 replica:1",
    "F26": "TVM TVM TVM dirty:injection replica:1 replica:1",
    "F27": "TVM TVM TVM dirty:started dirty:started dirty:started",
    "F28": "TVM TVM TVM dirty:started dirty:started dirty:started",
    "F30": "TVM TVM TVM dirty:started dirty:started dirty:started",
    "R02": "OMA OMA OMA dirty:injection replica:1 replica:1",
    "R05-revert-failed": "TVM TVM TVM dirty:started replica:1 replica:1",
    "R04": "- - TVM dirty:started dirty:started dirty:started",
    "R06": "OMA OMA OMA dirty:started replica:1 replica:1",
    "R07": "- - - replica:1 replica:1 replica:1",
    "R08": "- OMA OMA replica:1 replica:1 replica:1",
    "R09": "OMA OMA OMA replica:1 replica:1 replica:1",
    "R10": "- - - dirty:started dirty:started dirty:started",
    "R10b": "- - - dirty:started dirty:started dirty:started",
    "C01": "- - - dirty:injection replica:1 replica:1",
    "C02": "- - - replica:1 replica:1 replica:1",
    "C03": "- - - replica:1 replica:1 replica:1",
    "C04-rows": "OMA OMA OMA replica:1 replica:1 replica:1",
    "C04-error": "- OMA OMA dirty:injection replica:1 replica:1",
    "C06": "OMA OMA OMA replica:1 replica:1 replica:1",
    "D01": "- OMA OMA dirty:injection replica:1 replica:1",
    "D04": "OMA OMA OMA replica:1 replica:1 replica:1",
}

# failover_jobs.status, current_status, status of the failover's tracking row.
STATUSES = {
    "F05-failed": ("pending", "failed", "failed"),
    "F05-stored": ("pending", "ready_for_failover", "failed"),
    "F06-hang": ("pending", "failed_over_test", "running"),
    "F06": ("pending", "failed_over_test", "failed"),
    "F07": ("pending", "failed_over_test", "running"),
    "F11": ("pending", "failed_over_test", "running"),
    "F12": ("pending", "failed_over_test", "failed"),
    "F12b": ("pending", "failed_over_test", "completed"),
    "F28": ("pending", "failed_over_test", "running"),
    "F30": ("completed", "failed_over_test", "completed"),
    "R02": ("pending", "failed_over_test", "failed"),
    "R06": ("completed", "ready_for_failover", "completed"),
    "C06": ("failed", "ready_for_failover", "failed"),
}


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDB]:
    with private_mariadb("Europe/Berlin") as server:
        yield server


@pytest.fixture(params=["sqlite", "mariadb"])
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SimulatedAppliance]:
    """An appliance on each database; MariaDB's clock is not on UTC."""
    if request.param == "sqlite":
        url = f"sqlite+aiosqlite:///{tmp_path}/oma.db"
    else:
        url = request.getfixturevalue("mariadb").create_database(f"oma_{time.time_ns()}")
    async with simulator(url) as running:
        yield running


async def rows(appliance: SimulatedAppliance, statement: Any) -> list[Row[Any]]:
    async with appliance.engine.connect() as connection:
        return list((await connection.execute(statement)).all())


async def failover_job(appliance: SimulatedAppliance, built: Built) -> Row[Any]:
    table = schema.failover_jobs
    (row,) = await rows(appliance, select(table).where(table.c.vm_context_id == built.vm.context_id))
    return row


def where_and_what(appliance: SimulatedAppliance, built: Built) -> str:
    names = {appliance.oma_vm_id: "OMA", built.destination_vm_id: "TVM", None: "-"}
    holders = [names[appliance.cloud.volumes[volume].virtualmachineid] for volume in built.volume_ids]
    return " ".join([*holders, *(appliance.cloud.volumes[volume].content for volume in built.volume_ids)])


async def test_every_row_is_consistent_on_each_database(anywhere: SimulatedAppliance) -> None:
    for row in LEFTOVERS:
        built = await anywhere.build(row, vm_name=f"vm-{row.lower()}", disks=3)
        if row in EXPECTED:
            assert where_and_what(anywhere, built) == EXPECTED[row], row
        await check_recorded_snapshots(anywhere, built)
        await check_times(anywhere, built)
        if row in STATUSES:
            await check_statuses(anywhere, built, STATUSES[row])


async def check_recorded_snapshots(appliance: SimulatedAppliance, built: Built) -> None:
    table = schema.ossea_volumes
    recorded = await rows(appliance, select(table).where(table.c.vm_context_id == built.vm.context_id))
    assert {row.volume_id for row in recorded} == set(built.volume_ids)
    for row in recorded:
        if row.snapshot_id:
            assert appliance.cloud.snapshots[row.snapshot_id].volume_id == row.volume_id
            assert row.snapshot_created_at is not None
            assert row.snapshot_status == "ready"


async def check_times(appliance: SimulatedAppliance, built: Built) -> None:
    steps, tracking = schema.job_steps, schema.job_tracking
    statement = select(steps).join(tracking).where(tracking.c.context_id == built.vm.context_id).order_by(steps.c.id)
    begun = [row.started_at for row in await rows(appliance, statement)]
    assert begun == sorted(begun)
    (now,) = await rows(appliance, text("SELECT " + local_now(appliance)))
    assert all(moment.isoformat(sep=" ") < str(now[0]) for moment in begun)


def local_now(appliance: SimulatedAppliance) -> str:
    return "datetime('now', 'localtime')" if appliance.engine.dialect.name == "sqlite" else "NOW()"


async def check_statuses(appliance: SimulatedAppliance, built: Built, expected: tuple[str, str, str]) -> None:
    contexts, tracking = schema.vm_replication_contexts, schema.job_tracking
    (context,) = await rows(appliance, select(contexts).where(contexts.c.context_id == built.vm.context_id))
    (job,) = await rows(appliance, select(tracking).where(tracking.c.id == built.failover_job_id))
    status = (await failover_job(appliance, built)).status
    assert (status, context.current_status, job.status) == expected, built.row


async def test_test_vm_is_named_after_the_jobs_creation(anywhere: SimulatedAppliance) -> None:
    built = await anywhere.build("F16", vm_name="PhilB Test machine", disks=1)
    sqlite = anywhere.engine.dialect.name == "sqlite"
    table = schema.failover_jobs
    epoch = func.strftime("%s", table.c.created_at, "utc") if sqlite else func.unix_timestamp(table.c.created_at)
    ((created,),) = await rows(anywhere, select(epoch))
    assert built.destination_vm_id is not None
    vm = anywhere.cloud.vms[built.destination_vm_id]
    assert vm.displayname == f"PhilB Test machine-test-{created}"
    assert vm.name == f"philb-test-machine-test-{created}"
    assert (await failover_job(anywhere, built)).destination_vm_id == ""


async def test_product_writes_local_digits_and_the_daemon_utc(mariadb: MariaDB) -> None:
    async with simulator(mariadb.create_database("oma_digits")) as appliance:
        built = await appliance.build("F19", vm_name="pgtest1", age_seconds=7200)
        operations, tracking = schema.volume_operations, schema.job_tracking
        ((utc,),) = await rows(appliance, select(func.max(operations.c.created_at)))
        ((local,),) = await rows(appliance, select(tracking.c.started_at).where(tracking.c.id == built.failover_job_id))
        assert 3000 < (local - utc).total_seconds() < 7300


async def test_hung_injection_has_two_running_steps_of_one_name(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name="pgtest1")
    table = schema.job_steps
    running = await rows(appliance, select(table.c.name, table.c.seq).where(table.c.status == "running"))
    assert [name for name, _ in running] == ["virtio-driver-injection"] * 2
    assert running[1].seq == running[0].seq + 1
    assert len(built.snapshot_ids) == 3


async def test_snapshots_are_named_after_disk_and_time(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name="pgtest1")
    job = await failover_job(appliance, built)
    for disk in built.vm.disks:
        name = appliance.cloud.snapshots[built.snapshot_ids[disk.volume_id]].name
        prefix, _, moment = name.rpartition("-")
        assert prefix == f"multi-test-failover-{disk.disk_id}"
        assert int(moment) >= job.created_at.timestamp()


async def test_age_is_that_of_the_request_and_never_in_the_future(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("R12", vm_name="pgtest1", age_seconds=10)
    await check_times(appliance, built)


async def test_orphan_snapshot_is_not_recorded(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F09", vm_name="pgtest1")
    table = schema.ossea_volumes
    assert await rows(appliance, select(table).where(table.c.snapshot_id.is_not(None))) == []
    assert len(appliance.cloud.snapshots_of(built.volume_ids[0])) == 1


async def test_failed_revert_of_a_rollback_is_in_the_log_only(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("R06", vm_name="pgtest1")
    table = schema.log_events
    (event,) = await rows(appliance, select(table).where(table.c.message == "Failed to revert volume snapshot"))
    assert (event.level, event.attrs["volume_id"]) == ("ERROR", built.volume_ids[0])
    tracking = schema.job_tracking
    (rollback,) = await rows(appliance, select(tracking).where(tracking.c.job_type == "cleanup"))
    assert (rollback.status, rollback.operation) == ("completed", "enhanced-test-failover-rollback")


async def test_products_cleanup_names_no_context(appliance: SimulatedAppliance) -> None:
    await appliance.build("C03", vm_name="pgtest1")
    table = schema.job_tracking
    (row,) = await rows(appliance, select(table).where(table.c.operation == "failed-execution-cleanup"))
    assert (row.context_id, row.external_job_id, row.job_category, row.metadata) == (None, None, None, None)


async def test_same_name_in_two_vcenters(appliance: SimulatedAppliance) -> None:
    first = await appliance.build("F11", vm_name="pgtest1")
    second = await appliance.build("F30", vm_name="pgtest1", vcenter_host="vc02.example.com")
    assert first.vm.context_id != second.vm.context_id
    with pytest.raises(IntegrityError):
        await appliance.build("F11", vm_name="pgtest1")


async def test_unknown_row_and_impossible_age_are_refused(appliance: SimulatedAppliance) -> None:
    with pytest.raises(ValueError, match="unknown row F99"):
        await appliance.build("F99", vm_name="pgtest1")
    with pytest.raises(ValueError, match="age_seconds"):
        await appliance.build("F11", vm_name="pgtest1", age_seconds=0)


async def test_newer_healthy_failover_takes_every_volume(appliance: SimulatedAppliance) -> None:
    old = await appliance.build("F11", vm_name="pgtest1", disks=2)
    new = await appliance.add_healthy_failover("pgtest1")
    assert set(appliance.holders("pgtest1").values()) == {new.destination_vm_id}
    table = schema.failover_jobs
    jobs = await rows(appliance, select(table.c.job_id, table.c.status).order_by(table.c.created_at))
    assert [tuple(job) for job in jobs] == [(old.failover_job_id, "pending"), (new.failover_job_id, "completed")]


async def test_final_sync_of_a_live_failover_is_stored_before_its_snapshots(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name="pgtest1", disks=1, kind="live")
    table = schema.cbt_history
    newest = (await rows(appliance, select(func.max(table.c.created_at))))[0][0]
    (snapshot_id,) = built.snapshot_ids.values()
    assert newest.timestamp() < appliance.cloud.snapshots[snapshot_id].created
    assert appliance.cloud.snapshots[snapshot_id].content == "replica:2"


async def test_volume_deleted_with_the_test_vm_is_lost(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("R10b", vm_name="pgtest1", disks=2)
    assert list(appliance.contents("pgtest1").values()) == ["destroyed", "dirty:started"]
    assert built.volume_ids[0] in appliance.cloud.volumes


async def test_woken_engine_writes_a_step_and_its_vm_appears(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name="pgtest1", disks=1)
    vm_id = await appliance.wake_engine("pgtest1", deploys=True)
    table = schema.job_steps
    (last,) = await rows(appliance, select(table).order_by(table.c.id.desc()).limit(1))
    assert (last.job_id, last.name, last.status) == (built.failover_job_id, "vm-creation", "running")
    created = (await failover_job(appliance, built)).created_at
    assert vm_id is not None
    assert appliance.cloud.vms[vm_id].displayname == f"pgtest1-test-{int(created.timestamp())}"


async def test_running_replication_ends_with_the_sync_of_one_disk(appliance: SimulatedAppliance) -> None:
    built = await appliance.build("F11", vm_name="pgtest1", disks=2)
    job_id = await appliance.add_running_replication("pgtest1")
    await appliance.finish_sync("pgtest1", "disk-2001")
    assert list(appliance.contents("pgtest1").values()) == ["dirty:injection", "replica:2"]
    jobs, history, contexts = schema.replication_jobs, schema.cbt_history, schema.vm_replication_contexts
    (job,) = await rows(appliance, select(jobs).where(jobs.c.id == job_id))
    synced = await rows(appliance, select(history.c.disk_id).where(history.c.job_id == job_id))
    (context,) = await rows(appliance, select(contexts).where(contexts.c.context_id == built.vm.context_id))
    assert (job.status, [row.disk_id for row in synced]) == ("completed", ["disk-2001"])
    assert (context.current_job_id, context.last_successful_job_id) == (None, job_id)


async def test_only_a_full_sync_makes_a_dirty_volume_a_replica(appliance: SimulatedAppliance) -> None:
    await appliance.build("F11", vm_name="pgtest1", disks=1)
    await appliance.finish_sync("pgtest1")
    assert list(appliance.contents("pgtest1").values()) == ["dirty:injection"]
    await appliance.finish_sync("pgtest1", sync_type="full")
    assert list(appliance.contents("pgtest1").values()) == ["replica:3"]


@pytest.mark.parametrize(
    ("displayname", "name"),
    [
        ("pgtest1-test-1", "pgtest1-test-1"),
        ("Phil B.", "phil-b"),
        ("1st", "vm-1st"),
        ("--", "test-vm"),
        ("a" * 70, "a" * 63),
    ],
)
def test_cloud_names_are_sanitised_as_the_product_does(displayname: str, name: str) -> None:
    assert cloudstack_name(displayname) == name
