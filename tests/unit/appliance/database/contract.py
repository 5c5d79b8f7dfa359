"""What the database door promises, run on SQLite by the unit tests and on MariaDB by the cluster tests."""

# ruff: noqa: S608 (statements of tests, made of constants)

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import make_url
from sqlalchemy.pool import QueuePool

from failed_execution_cleanup.appliance.database import (
    ClaimLost,
    ContextLock,
    LockHeld,
    OMADatabase,
    RowsChanged,
    UnexpectedRow,
    claim_id,
)
from failed_execution_cleanup.appliance.database.engine import create_engine
from failed_execution_cleanup.appliance.errors import NotFound
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.run.claim import dump_memory
from tests.unit.appliance.database.oma_rows import (
    CONTEXT,
    DATA_VOLUME,
    JOB,
    OMA_VM,
    OS_VOLUME,
    VMWARE_ID,
    OMARows,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.ext.asyncio import AsyncConnection

    from failed_execution_cleanup.recovery.actions import Closing


class AlwaysHeld:
    """A lock everybody has: what the claim alone must withstand."""

    ends_with_connection = False

    async def acquire(self, connection: AsyncConnection) -> bool:  # noqa: ARG002
        return True

    async def held(self, connection: AsyncConnection) -> bool:  # noqa: ARG002
        return True

    async def release(self, connection: AsyncConnection) -> None:  # noqa: ARG002
        return None


def kept(engine: Engine) -> int:
    """Connections that an engine keeps open for the next who asks."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedin()


class ReadContract:
    """Reading a context."""

    async def test_the_last_who_uses_a_door_closes_its_connections_and_it_may_be_used_again(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        pool = database._pool.sync_engine
        async with database:
            async with database:
                await database.read(CONTEXT)
            assert kept(pool) == 1
        assert kept(pool) == 0
        async with database:
            assert (await database.read(CONTEXT)).context.vm_name == "pgtest1"

    async def test_reads_everything_of_the_context(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        records = await database.read(CONTEXT)
        assert records.oma_vm_ids == (OMA_VM,)
        assert records.context.current_status == "failed_over_test"
        assert records.context.last_successful_job_id == "job-1"
        assert records.context.current_job_id is None
        (failover,) = records.failovers
        assert (failover.job_id, failover.status, failover.created_at) == (JOB, "pending", rows.ago(hours=2))
        assert failover.destination_vm_id is None
        assert failover.legacy_snapshot_id is None
        (tracking,) = records.tracking
        assert [step.name for step in tracking.steps] == ["multi-volume-snapshot-creation", "virtio-driver-injection"]
        assert tracking.step_running
        assert [problem.message for problem in tracking.problems] == ["slow"]
        assert tracking.newest_log_at == rows.ago(hours=1.7)
        assert tracking.newest_activity == rows.ago(hours=1.7)
        assert [replication.id for replication in records.replications] == ["job-1"]
        assert {sync.disk_id for sync in records.syncs} == {"disk-2000", "disk-2001"}
        volumes = {volume.volume_id: volume for volume in records.volumes}
        assert volumes[OS_VOLUME].snapshot_id == "snap-os"
        assert volumes[OS_VOLUME].snapshot_created_at == rows.ago(hours=2)
        assert volumes[OS_VOLUME].device_path is None
        assert {disk.volume_row_id for disk in records.disks} == {volume.row_id for volume in records.volumes}
        assert {mapping.operation_mode for mapping in records.mappings} == {"failover"}
        assert records.exports == {OS_VOLUME}
        assert records.claims == ()
        assert not records.clock.shifted
        assert timedelta(0) <= records.clock.age(rows.ago()) < timedelta(minutes=1)
        assert timedelta(0) <= records.clock.utc_age(rows.utc_ago()) < timedelta(minutes=1)

    async def test_an_unknown_context_is_not_found(self, database: OMADatabase) -> None:
        with pytest.raises(NotFound):
            await database.read("ctx-nobody")

    async def test_rows_of_another_vm_are_left_out(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_context("ctx-2", "pgtest1", "vc02.example.com", "4201bbbb")
        await rows.add_volume("ctx-2", "33333333", None)
        await rows.add_failover("job-of-the-other", vm_context_id="ctx-2", vm_id="4201bbbb")
        await rows.add_tracking("job-of-the-other", context_id="ctx-2")
        records = await database.read(CONTEXT)
        assert {failover.job_id for failover in records.failovers} == {JOB}
        assert {tracking.id for tracking in records.tracking} == {JOB}
        assert {volume.volume_id for volume in records.volumes} == {OS_VOLUME, DATA_VOLUME}

    async def test_a_failover_without_context_is_found_by_vmware_id_and_never_by_name(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        await rows.add_failover("stray", vm_context_id=None, created_at=rows.ago(hours=1))
        await rows.add_failover("namesake", vm_context_id=None, vm_id="4201bbbb")
        records = await database.read(CONTEXT)
        assert [failover.job_id for failover in records.failovers] == ["stray", JOB]

    async def test_a_failover_without_context_of_a_vmware_id_used_twice_is_refused(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        await rows.add_context("ctx-2", "clone", "vc02.example.com", VMWARE_ID)
        await database.read(CONTEXT)
        await rows.add_failover("stray", vm_context_id=None)
        with pytest.raises(UnexpectedRow) as refused:
            await database.read(CONTEXT)
        assert (refused.value.table, refused.value.column, refused.value.value) == (
            "failover_jobs",
            "vm_context_id",
            None,
        )

    async def test_a_product_cleanup_without_context_is_read(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_tracking(
            "product-cleanup", job_type="cleanup", operation="failed-execution-cleanup", context_id=None
        )
        await rows.add_tracking("foreign", job_type="cleanup", operation="something", context_id=None)
        records = await database.read(CONTEXT)
        assert {tracking.id for tracking in records.tracking} == {JOB, "product-cleanup"}

    async def test_states_nobody_has_seen_are_read_as_they_are(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        for table, column in (
            ("failover_jobs", "status"),
            ("job_tracking", "status"),
            ("job_steps", "status"),
            ("device_mappings", "operation_mode"),
            ("vm_replication_contexts", "current_status"),
        ):
            await rows.accept_any_value(table, column)
            await rows.force(f"UPDATE {table} SET {column} = 'levitating'")
        records = await database.read(CONTEXT)
        assert records.context.current_status == "levitating"
        assert records.failovers[0].status == "levitating"
        assert records.tracking[0].status == "levitating"
        assert {step.status for step in records.tracking[0].steps} == {"levitating"}
        assert {mapping.operation_mode for mapping in records.mappings} == {"levitating"}

    async def test_closed_rows_are_bounded_and_open_ones_are_not(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_tracking("old-and-open", job_type="migration", operation="x", started_at=rows.ago(days=900))
        for number in range(120):
            await rows.add_tracking(
                f"old-{number}",
                job_type="migration",
                operation="x",
                status="completed",
                started_at=rows.ago(days=number + 1),
            )
        records = await database.read(CONTEXT)
        assert {JOB, "old-and-open", "old-0"} <= {tracking.id for tracking in records.tracking}
        assert len(records.tracking) == 101
        assert [tracking.id for tracking in records.tracking][:2] == [JOB, "old-0"]

    async def test_the_newest_sync_of_a_disk_that_is_synced_seldom_is_read(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        for number in range(210):
            await rows.insert(
                "cbt_history",
                vm_context_id=CONTEXT,
                disk_id="disk-2001",
                sync_type="incremental",
                sync_success=True,
                created_at=rows.ago(minutes=number),
            )
        records = await database.read(CONTEXT)
        assert {sync.disk_id for sync in records.syncs} == {"disk-2000", "disk-2001"}
        assert [sync.created_at for sync in records.syncs] == sorted(
            (sync.created_at for sync in records.syncs), reverse=True
        )

    async def test_operations_are_read_while_open_or_young(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_operation("open", OS_VOLUME, "executing", rows.utc_ago(days=30))
        await rows.add_operation("young", OS_VOLUME, "completed", rows.utc_ago(hours=1))
        await rows.add_operation("old", OS_VOLUME, "failed", rows.utc_ago(days=2))
        await rows.add_operation("foreign", "44444444", "executing", rows.utc_ago(minutes=1))
        records = await database.read(CONTEXT)
        assert [operation.id for operation in records.operations] == ["young", "open"]

    async def test_an_open_replication_is_read_however_old(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        for number in range(60):
            await rows.insert(
                "replication_jobs",
                id=f"job-r{number}",
                vm_context_id=CONTEXT,
                status="replicating" if number == 59 else "failed",
                created_at=rows.ago(hours=number + 4),
            )
        records = await database.read(CONTEXT)
        ids = [replication.id for replication in records.replications]
        assert ids[0] == "job-1"
        assert ids[-1] == "job-r59"
        assert len(ids) == 51

    async def test_contexts_are_found_by_exact_name(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_context("ctx-1", "pgtest1", "vc01.example.com", "a")
        await rows.add_context("ctx-2", "pgtest1", "vc02.example.com", "b")
        assert [c.context_id for c in await database.find_contexts("pgtest1", None)] == ["ctx-1", "ctx-2"]
        assert [c.context_id for c in await database.find_contexts("pgtest1", "VC02.example.com")] == ["ctx-2"]
        assert await database.find_contexts("PGTEST1", None) == ()
        assert await database.find_contexts("pgtest%", None) == ()

    async def test_only_active_configs_are_read_and_their_keys_do_not_show(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        await rows.insert("ossea_configs", name="old", api_key="x", secret_key="y", is_active=False)
        (config,) = await database.active_configs()
        assert (config.name, config.oma_vm_id, config.zone) == ("production", OMA_VM, "zone1")
        assert config.api_key.get_secret_value() == "plain-api-key"
        assert "plain" not in repr(config)


class LockContract:
    """One owner of a context at a time."""

    async def test_a_second_owner_is_turned_away_at_once(self, database: OMADatabase, url: str, rows: OMARows) -> None:
        await rows.add_hung_failover()
        other = OMADatabase.open(url)
        try:
            async with database.lock(CONTEXT) as lock:
                with pytest.raises(LockHeld):
                    async with other.lock(CONTEXT):
                        pass
                async with other.lock("ctx-of-another-vm"):
                    pass
                assert (await lock.read()).context.context_id == CONTEXT
            async with other.lock(CONTEXT) as lock:
                assert (await lock.read()).context.context_id == CONTEXT
        finally:
            await other.close()

    async def test_of_two_owners_who_ask_together_one_gets_the_lock(self, database: OMADatabase) -> None:
        both_asked = asyncio.Barrier(2)

        async def own() -> bool:
            try:
                async with database.lock(CONTEXT):
                    await both_asked.wait()
            except LockHeld:
                await both_asked.wait()
                return False
            return True

        assert sorted(await asyncio.gather(own(), own())) == [False, True]

    async def test_calls_of_several_tasks_on_one_lock_take_turns(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            records = await asyncio.gather(*(lock.read() for _ in range(5)))
        assert {record.context.context_id for record in records} == {CONTEXT}


class ClaimContract:
    """The claim row, its number and its memory."""

    async def test_a_claim_is_inserted_kept_released_and_taken_again(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            assert await lock.load_claim(JOB) is None
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            assert (claim.id, claim.number, claim.owner, claim.memory) == (
                claim_id(CONTEXT, JOB),
                1,
                "operator-a",
                None,
            )
            claim = await lock.save_claim(claim, '{"requests": [1]}')
            beaten = await lock.heartbeat(replace(claim, memory=None))
            assert json.loads(beaten.memory or "") == {"requests": [1]}
            assert beaten.heartbeat_age is not None
            assert 0 <= beaten.heartbeat_age < 60
            await lock.release_claim(claim, "failed", "blocked", finished=False, memory='{"requests": [2]}')
            released = await lock.load_claim(JOB)
            assert released is not None
            assert (released.owner, released.heartbeat_age, released.status) == (None, None, "failed")
            again = await lock.take_claim(JOB, "operator-b", previous=released)
        assert (again.number, again.owner, again.status) == (2, "operator-b", "running")
        assert json.loads(again.memory or "") == {"requests": [2]}
        row = await rows.scalar("SELECT COUNT(*) FROM job_tracking WHERE job_type='cleanup' AND completed_at IS NULL")
        assert row == 1

    async def test_the_row_looks_as_the_product_expects(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
        row_filter = (
            "SELECT COUNT(*) FROM job_tracking WHERE id = :id AND job_type = 'cleanup' AND status = 'running'"
            " AND operation = 'failed-execution-cleanup' AND owner = 'system' AND job_category = 'system'"
            " AND context_id = :context AND external_job_id IS NULL AND started_at IS NOT NULL"
        )
        assert await rows.scalar(row_filter, id=claim.id, context=CONTEXT) == 1

    async def test_own_claims_are_reported_apart_and_never_as_foreign_jobs(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.start_step(claim, "detach-volumes")
            records = await lock.read()
        assert {tracking.id for tracking in records.tracking} == {JOB}
        (own,) = records.claims
        assert (own.id, own.job_id, own.number, own.owner, own.finished) == (claim.id, JOB, 1, "operator-a", False)
        assert own.heartbeat_age is not None
        assert 0 <= own.heartbeat_age < 60

    async def test_a_late_owner_can_do_nothing_any_more(self, database: OMADatabase, rows: OMARows) -> None:
        closing = await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            late = await lock.take_claim(JOB, "operator-a", previous=None)
            step = await lock.start_step(late, "detach-volumes")
            await lock.take_claim(JOB, "operator-b", previous=late)
            before = await rows.everything()
            for attempt in (
                lock.take_claim(JOB, "operator-a", previous=late),
                lock.take_claim(JOB, "operator-a", previous=None),
                lock.save_claim(late, "{}"),
                lock.heartbeat(late),
                lock.release_claim(late, "failed", None, finished=False, memory=None),
                lock.mark_cleanup_required(late, CONTEXT, "failed_over_test"),
                lock.set_mode_oma(late, OS_VOLUME, "failover", OMA_VM),
                lock.mark_reverted(late, OS_VOLUME, "snap-os"),
                lock.clear_snapshot(late, OS_VOLUME, "snap-os"),
                lock.remove_stale_mapping(late, OS_VOLUME, OMA_VM),
                lock.close_incident(late, closing),
                lock.start_step(late, "late"),
                lock.end_step(late, step, "completed"),
                lock.skip_step(late, "late", "why"),
                lock.log(late, "INFO", "late"),
            ):
                with pytest.raises(ClaimLost):
                    await attempt
        assert await rows.everything() == before

    async def test_a_released_claim_is_nobodys(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.release_claim(claim, "completed", None, finished=True, memory=None)
            with pytest.raises(ClaimLost):
                await lock.heartbeat(claim)
            released = await lock.load_claim(JOB)
        assert released is not None
        assert released.finished

    async def test_what_a_cleanup_said_of_the_content_is_read_by_later_ones(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            assert [row.verdict for row in (await lock.read()).claims] == [None]
            ended = Memory(JOB, number=claim.number).ended(
                reason="CleanedDataSuspect",
                at=datetime(2026, 1, 2, 3, 4, 5),  # noqa: DTZ001 (UTC digits)
                suspects=(OS_VOLUME,),
            )
            await lock.release_claim(claim, "failed", None, finished=True, memory=dump_memory(ended))
            (row,) = (await lock.read()).claims
        assert row.verdict == ended.verdict

    @pytest.mark.parametrize("released", [False, True])
    async def test_of_two_owners_who_take_the_claim_together_one_wins_even_without_the_lock(
        self, url: str, rows: OMARows, released: bool
    ) -> None:
        await rows.add_hung_failover()
        engine = create_engine(make_url(url), connect_timeout=30, dedicated=True)

        async def take(owner: str) -> str | None:
            async with engine.connect() as connection:
                lock = ContextLock(connection, AlwaysHeld(), CONTEXT, timeout=30)
                previous = await lock.load_claim(JOB)
                await both_read.wait()
                try:
                    claim = await lock.take_claim(JOB, owner, previous=previous)
                except ClaimLost:
                    return None
                return claim.owner

        if released:
            async with engine.connect() as connection:
                first = ContextLock(connection, AlwaysHeld(), CONTEXT, timeout=30)
                claim = await first.take_claim(JOB, "operator-0", previous=None)
                await first.release_claim(claim, "failed", None, finished=False, memory=None)
        both_read = asyncio.Barrier(2)
        winners = await asyncio.gather(take("operator-a"), take("operator-b"))
        await engine.dispose()
        assert sum(winner is not None for winner in winners) == 1
        stored = json.loads(await rows.scalar("SELECT metadata FROM job_tracking WHERE job_type = 'cleanup'"))
        assert stored["failover.ossea.io/claim"]["owner"] in winners
        assert stored["failover.ossea.io/claim"]["number"] == (2 if released else 1)

    async def test_a_claim_changed_by_hand_is_reported(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            for broken in ("{}", '{"failover.ossea.io/claim": {"job": "x"}}'):
                await rows.execute("UPDATE job_tracking SET metadata = :m WHERE id = :id", m=broken, id=claim.id)
                with pytest.raises(UnexpectedRow) as reported:
                    await lock.load_claim(JOB)
                assert (reported.value.table, reported.value.column) == ("job_tracking", "metadata")

    async def test_a_memory_that_is_no_object_is_not_stored(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(ValueError, match="object"):
                await lock.save_claim(claim, "[]")
            stored = await lock.load_claim(JOB)
        assert stored is not None
        assert stored.memory is None


class ProductRowsContract:
    """Single-row writes."""

    async def test_the_context_is_marked_once_and_again_without_harm(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.mark_cleanup_required(claim, CONTEXT, "failed_over_test")
            # Nothing differs now, and a matched row still counts.
            await lock.mark_cleanup_required(claim, CONTEXT, "cleanup_required")
            with pytest.raises(RowsChanged) as changed:
                await lock.mark_cleanup_required(claim, CONTEXT, "failed_over_test")
        assert (changed.value.table, changed.value.column, changed.value.value) == (
            "vm_replication_contexts",
            "current_status",
            "cleanup_required",
        )

    async def test_the_mode_is_corrected_for_one_volume_on_the_oma(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.set_mode_oma(claim, OS_VOLUME, "failover", OMA_VM)
            for volume, mode, vm, column in (
                (OS_VOLUME, "failover", OMA_VM, "operation_mode"),
                (DATA_VOLUME, "failover", "test-vm", "vm_id"),
                ("no-such-volume", "failover", OMA_VM, "volume_id"),
            ):
                with pytest.raises(RowsChanged) as changed:
                    await lock.set_mode_oma(claim, volume, mode, vm)
                assert changed.value.column == column
            mappings = {mapping.volume_id: mapping.operation_mode for mapping in (await lock.read()).mappings}
        assert mappings == {OS_VOLUME: "oma", DATA_VOLUME: "failover"}

    async def test_volumes_of_another_vm_are_out_of_reach(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_context("ctx-2", "other", "vc01.example.com", "4201bbbb")
        await rows.add_volume("ctx-2", "33333333", "snap-other")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            before = await rows.everything()
            for attempt in (
                lock.set_mode_oma(claim, "33333333", "failover", OMA_VM),
                lock.mark_reverted(claim, "33333333", "snap-other"),
                lock.clear_snapshot(claim, "33333333", "snap-other"),
                lock.remove_stale_mapping(claim, "33333333", OMA_VM),
            ):
                with pytest.raises(RowsChanged):
                    await attempt
            with pytest.raises(ValueError, match="ctx-2"):
                await lock.mark_cleanup_required(claim, "ctx-2", "ready_for_failover")
        assert await rows.everything() == before

    @pytest.mark.parametrize("empty", [None, ""])
    async def test_a_revert_is_recorded_also_where_no_snapshot_was(
        self, database: OMADatabase, rows: OMARows, empty: str | None
    ) -> None:
        await rows.add_hung_failover()
        await rows.execute("UPDATE ossea_volumes SET snapshot_id = :s WHERE volume_id = :v", s=empty, v=DATA_VOLUME)
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.mark_reverted(claim, OS_VOLUME, "snap-os")
            await lock.mark_reverted(claim, OS_VOLUME, "snap-os")
            await lock.mark_reverted(claim, DATA_VOLUME, None)
            for observed in (None, "SNAP-OS", "snap-data"):
                with pytest.raises(RowsChanged):
                    await lock.mark_reverted(claim, OS_VOLUME, observed)
            with pytest.raises(RowsChanged):
                await lock.mark_reverted(claim, DATA_VOLUME, "snap-data")
            volumes = (await lock.read()).volumes
        assert {volume.snapshot_status for volume in volumes} == {"rollback_complete"}

    async def test_the_snapshot_of_one_volume_is_forgotten_once(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(RowsChanged):
                await lock.clear_snapshot(claim, OS_VOLUME, "snap-newer")
            assert await lock.clear_snapshot(claim, OS_VOLUME, "snap-os")
            assert not await lock.clear_snapshot(claim, OS_VOLUME, "snap-os")
            volumes = {volume.volume_id: volume for volume in (await lock.read()).volumes}
        assert (volumes[OS_VOLUME].snapshot_id, volumes[OS_VOLUME].snapshot_created_at) == (None, None)
        assert volumes[OS_VOLUME].snapshot_status == "none"
        assert volumes[DATA_VOLUME].snapshot_id == "snap-data"

    async def test_what_the_products_cleanup_leaves_of_a_snapshot_is_forgotten_too(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        await rows.add_hung_failover()
        await rows.execute("UPDATE ossea_volumes SET snapshot_id = '' WHERE volume_id = :v", v=OS_VOLUME)
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            assert await lock.clear_snapshot(claim, OS_VOLUME, None)
            assert not await lock.clear_snapshot(claim, OS_VOLUME, None)

    async def test_a_stale_mapping_goes_with_its_export(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        await rows.add_operation("dead", OS_VOLUME, "executing", rows.utc_ago(seconds=600))
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(RowsChanged) as changed:
                await lock.remove_stale_mapping(claim, OS_VOLUME, "another-vm")
            assert (changed.value.column, changed.value.value) == ("vm_id", OMA_VM)
            assert await lock.remove_stale_mapping(claim, OS_VOLUME, OMA_VM)
            assert not await lock.remove_stale_mapping(claim, OS_VOLUME, OMA_VM)
            records = await lock.read()
        assert [mapping.volume_id for mapping in records.mappings] == [DATA_VOLUME]
        assert records.exports == frozenset()

    @pytest.mark.parametrize("status", ["pending", "executing"])
    async def test_a_mapping_stays_while_the_daemon_works_on_the_volume(
        self, database: OMADatabase, rows: OMARows, status: str
    ) -> None:
        await rows.add_hung_failover()
        await rows.add_operation("alive", OS_VOLUME, status, rows.utc_ago(seconds=200))
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(RowsChanged) as changed:
                await lock.remove_stale_mapping(claim, OS_VOLUME, OMA_VM)
            assert (changed.value.table, changed.value.value) == ("volume_operations", status)
            assert len((await lock.read()).mappings) == 2


class ClosingContract:
    """The last transaction."""

    async def test_the_incident_is_closed_and_the_context_handed_back(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        closing = await rows.add_hung_failover()
        await rows.execute("UPDATE device_mappings SET ossea_snapshot_id = 'legacy', snapshot_status = 'ready'")
        await rows.execute("UPDATE vm_replication_contexts SET current_job_id = 'job-1'")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.mark_cleanup_required(claim, CONTEXT, "failed_over_test")
            step = await lock.start_step(claim, "database-cleanup")
            await lock.close_incident(claim, closing)
            await lock.end_step(claim, step, "completed")
            records = await lock.read()
        assert (records.context.current_status, records.context.current_job_id) == ("ready_for_failover", None)
        (failover,) = records.failovers
        assert failover.status == "failed"
        assert failover.completed_at is not None
        (tracking,) = records.tracking
        assert (tracking.status, tracking.error) == ("failed", closing.message)
        assert tracking.completed_at is not None
        assert [(step.status, step.error) for step in tracking.steps] == [
            ("completed", None),
            ("failed", closing.message),
        ]
        assert {mapping.snapshot_id for mapping in records.mappings} == {None}
        summary = await rows.summary()
        assert (summary["operation_type"], summary["status"], summary["job_id"]) == ("rollback", "completed", claim.id)
        assert (summary["steps_completed"], summary["steps_total"]) == (0, 1)

    async def test_a_replica_that_does_not_deserve_it_becomes_failed(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        closing = replace(await rows.add_hung_failover(), context_to="failed")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.close_incident(claim, closing)
            assert (await lock.read()).context.current_status == "failed"
        summary = await rows.summary()
        assert (summary["status"], summary["error_message"]) == ("failed", closing.message)

    async def test_what_the_engine_wrote_about_its_failure_is_kept(self, database: OMADatabase, rows: OMARows) -> None:
        closing = await rows.add_hung_failover()
        await rows.execute("UPDATE job_tracking SET status = NULL, error_message = 'virt-v2v died'")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.close_incident(claim, replace(closing, tracking=((JOB, None),)))
            (tracking,) = (await lock.read()).tracking
        assert (tracking.status, tracking.error) == ("failed", "virt-v2v died")

    async def test_an_incident_without_failover_row_is_closed(self, database: OMADatabase, rows: OMARows) -> None:
        closing = await rows.add_hung_failover()
        await rows.execute("DELETE FROM failover_jobs")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.close_incident(claim, replace(closing, failovers=(), newest_failover=0))
            assert (await lock.read()).tracking[0].status == "failed"

    @pytest.mark.parametrize(
        ("change", "table", "column"),
        [
            (
                "UPDATE vm_replication_contexts SET current_status = 'replicating'",
                "vm_replication_contexts",
                "current_status",
            ),
            ("UPDATE failover_jobs SET status = 'completed'", "failover_jobs", "status"),
            (
                "INSERT INTO failover_jobs (vm_context_id, job_id, vm_id, job_type, source_vm_name)"
                f" VALUES ('{CONTEXT}', 'newer', '{VMWARE_ID}', 'test', 'pgtest1')",
                "failover_jobs",
                "id",
            ),
            (
                "INSERT INTO failover_jobs (vm_context_id, job_id, vm_id, job_type, source_vm_name)"
                f" VALUES (NULL, 'newer', '{VMWARE_ID}', 'live', 'pgtest1')",
                "failover_jobs",
                "id",
            ),
            ("DELETE FROM failover_jobs", "failover_jobs", "id"),
            (f"UPDATE job_tracking SET status = 'completed' WHERE id = '{JOB}'", "job_tracking", "status"),
            (f"UPDATE job_tracking SET status = NULL WHERE id = '{JOB}'", "job_tracking", "status"),
            (f"UPDATE job_tracking SET context_id = 'ctx-2' WHERE id = '{JOB}'", "job_tracking", "context_id"),
            ("UPDATE job_steps SET status = 'completed' WHERE seq = 2", "job_steps", "status"),
            ("UPDATE job_steps SET status = 'running' WHERE seq = 1", "job_steps", "status"),
            ("DELETE FROM job_steps WHERE seq = 2", "job_steps", "id"),
            ("UPDATE replication_jobs SET status = 'replicating'", "replication_jobs", "status"),
            ("UPDATE replication_jobs SET status = 'a new state'", "replication_jobs", "status"),
        ],
    )
    async def test_any_change_since_the_observation_stops_it_and_nothing_is_half_written(
        self, database: OMADatabase, rows: OMARows, change: str, table: str, column: str
    ) -> None:
        closing = await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await rows.execute(change)
            before = await rows.everything()
            with pytest.raises(RowsChanged) as changed:
                await lock.close_incident(claim, closing)
        assert (changed.value.table, changed.value.column) == (table, column)
        assert await rows.everything() == before

    async def test_a_job_that_began_after_the_claim_stops_it(self, database: OMADatabase, rows: OMARows) -> None:
        closing = await rows.add_hung_failover()
        await rows.add_tracking("older", job_type="scheduler", operation="x")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await rows.add_tracking("newer", started_at=rows.ago(seconds=-90))
            before = await rows.everything()
            with pytest.raises(RowsChanged) as changed:
                await lock.close_incident(claim, closing)
            assert (changed.value.table, changed.value.value) == ("job_tracking", "unified-test-failover")
            assert await rows.everything() == before
            await rows.execute("UPDATE job_tracking SET status = 'completed' WHERE id = 'newer'")
            await lock.close_incident(claim, closing)

    async def test_a_replication_known_to_be_dead_does_not_stop_it(self, database: OMADatabase, rows: OMARows) -> None:
        closing = await rows.add_hung_failover()
        await rows.execute("UPDATE replication_jobs SET status = 'replicating'")
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            await lock.close_incident(claim, replace(closing, dead_replications=("job-1",)))
            assert (await lock.read()).context.current_status == "ready_for_failover"

    async def test_a_row_without_context_is_closed_only_if_it_was_proven_to_be_of_this_vm(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        closing = await rows.add_hung_failover()
        await rows.add_tracking(
            "nameless",
            job_type="cleanup",
            operation="failed-execution-cleanup",
            context_id=None,
            started_at=rows.ago(hours=1),
        )
        closing = replace(closing, tracking=(*closing.tracking, ("nameless", "running")))
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            before = await rows.everything()
            with pytest.raises(RowsChanged) as changed:
                await lock.close_incident(claim, closing)
            assert (changed.value.table, changed.value.column) == ("job_tracking", "context_id")
            assert await rows.everything() == before
            await lock.close_incident(claim, replace(closing, nameless=("nameless",)))
            assert {row.id: row.status for row in (await lock.read()).tracking} == {JOB: "failed", "nameless": "failed"}

    async def test_a_row_of_another_context_is_not_closed_whatever_was_proven(
        self, database: OMADatabase, rows: OMARows
    ) -> None:
        closing = await rows.add_hung_failover()
        await rows.add_tracking("foreign", context_id="ctx-2")
        closing = replace(closing, tracking=(*closing.tracking, ("foreign", "running")), nameless=("foreign",))
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(RowsChanged) as changed:
                await lock.close_incident(claim, closing)
        assert (changed.value.column, changed.value.value) == ("context_id", "ctx-2")


class JobLogContract:
    """Our steps and messages."""

    async def test_steps_are_numbered_without_gaps_or_doubles(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            steps = await asyncio.gather(*(lock.start_step(claim, f"step {number}") for number in range(4)))
            await lock.skip_step(claim, "cleanup-test-vm", "there is none")
            await lock.end_step(claim, steps[0], "completed")
            await lock.end_step(claim, steps[1], "failed", "refused")
            with pytest.raises(RowsChanged):
                await lock.end_step(claim, steps[1], "completed")
            await lock.log(claim, "WARN", "slow", {"volume": OS_VOLUME}, steps[2])
        sequence = "SELECT COUNT(*) FROM job_steps WHERE job_id = :job AND seq BETWEEN 1 AND 5"
        assert await rows.scalar(sequence, job=claim.id) == 5
        assert await rows.scalar("SELECT status FROM job_steps WHERE id = :id", id=steps[1]) == "failed"
        event: Any = await rows.scalar("SELECT attrs FROM log_events WHERE step_id = :id", id=steps[2])
        assert json.loads(event) == {"volume": OS_VOLUME}

    async def test_a_step_left_running_is_closed_by_the_next_owner(self, database: OMADatabase, rows: OMARows) -> None:
        await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            dead = await lock.take_claim(JOB, "operator-a", previous=None)
            step = await lock.start_step(dead, "cleanup-snapshots")
            await lock.take_claim(JOB, "operator-b", previous=dead)
        assert await rows.scalar("SELECT status FROM job_steps WHERE id = :id", id=step) == "failed"

    async def test_a_step_of_another_job_cannot_be_ended(self, database: OMADatabase, rows: OMARows) -> None:
        closing: Closing = await rows.add_hung_failover()
        async with database.lock(CONTEXT) as lock:
            claim = await lock.take_claim(JOB, "operator-a", previous=None)
            with pytest.raises(RowsChanged):
                await lock.end_step(claim, closing.steps[0], "completed")


class DatabaseContract(ReadContract, LockContract, ClaimContract, ProductRowsContract, ClosingContract, JobLogContract):
    """All of it. Needs the fixtures `url` (a database with the schema), `database` and `rows`."""
