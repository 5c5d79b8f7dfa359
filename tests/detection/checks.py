"""What every leftover state is checked for, whichever database holds it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

import pytest
from sqlalchemy import select

from appliance_simulator import schema
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.observe import observe
from failed_execution_cleanup.appliance.observe_many import observe_many
from failed_execution_cleanup.detection.scan import ScanResult, scan
from failed_execution_cleanup.detection.stuck import StuckFailover
from failed_execution_cleanup.recovery.decide import decide
from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.incident import as_utc
from failed_execution_cleanup.recovery.memory import Memory
from tests.detection.expected import EXPECTED, Reported, Teller, Unreported, Unscannable
from tests.matrix.arrangements import ARRANGEMENTS
from tests.matrix.expected import Case
from tests.matrix.stage import Stage, staged


async def check_report(case: Case, database_url: str) -> None:
    """The scan reports the state as expected, and changes nothing."""
    async with staged(case, database_url) as stage:
        await _arrange(stage, case)
        entries = len(stage.appliance.journal.entries)
        match EXPECTED[case.id]:
            case Unscannable(why=why):
                with pytest.raises(ApplianceError):
                    await _scan(stage)
                assert why
            case Unreported(why=why):
                assert (await _scan(stage)).stuck == (), why
            case Reported() as expected:
                (stuck,) = (await _scan(stage)).stuck
                assert (stuck.vm_name, stuck.vcenter_host) == (case.vm_name, stage.built.vm.vcenter_host)
                assert (stuck.reason, stuck.live) == (expected.reason, expected.live)
                assert stuck.since == await _last_sign_of_life(stage, stuck, expected.since)
                if stage.built.failover_job_id is not None:  # it may have died before it had a row
                    assert stuck.job_id == stage.built.failover_job_id
        assert len(stage.appliance.journal.entries) == entries, "a scan changes nothing"


async def check_worlds(case: Case, database_url: str) -> None:
    """Every context looks the same whether it is observed alone or with all others."""
    async with staged(case, database_url) as stage:
        await _arrange(stage, case)
        database, ossea = stage.doors.database, stage.doors.ossea
        ids = await _context_ids(stage)
        sight = await observe_many(ossea, lambda: database.read_many(ids))
        assert sight.contexts.keys() == set(ids)
        assert sight.unreadable == {}
        for context_id in ids:
            one = await observe(ossea, partial(database.read, context_id))
            many = sight.contexts[context_id].world
            for field in type(one.records).__dataclass_fields__:
                if field != "clock":
                    assert getattr(many.records, field) == getattr(one.records, field), field
            ours = {row.volume_id for row in one.records.volumes}
            assert {i: many.cloud.volumes.get(i) for i in ours} == {i: one.cloud.volumes.get(i) for i in ours}
            assert many.cloud.snapshots == one.cloud.snapshots
            assert many.cloud.vm_snapshots == one.cloud.vm_snapshots
            wish = Wish(settings=stage.settings)
            assert type(decide(many, wish, Memory(""))) is type(decide(one, wish, Memory("")))


async def _arrange(stage: Stage, case: Case) -> None:
    for name in case.arrange:
        await ARRANGEMENTS[name](stage)
    # A loaded machine is not what is tested here.
    stage.doors.ossea._timeout_seconds = stage.doors.database._timeout = 30.0


async def _scan(stage: Stage) -> ScanResult:
    return await scan(stage.doors.database, stage.doors.ossea, stage.settings, ())


async def _context_ids(stage: Stage) -> list[str]:
    async with stage.appliance.engine.connect() as connection:
        return list(await connection.scalars(select(schema.vm_replication_contexts.c.context_id)))


async def _last_sign_of_life(stage: Stage, stuck: StuckFailover, teller: Teller) -> datetime:
    """The newest time in the rows of one job, straight from the tables."""
    records = await stage.doors.database.read(stuck.context_id)
    tracking, steps, log = schema.job_tracking.c, schema.job_steps.c, schema.log_events.c
    whose = {
        "failover": tracking.id == stuck.job_id,
        "rollback": tracking.operation.like("%-rollback") & (tracking.context_id == stuck.context_id),
        "cleanup": (tracking.operation == "failed-execution-cleanup") & tracking.context_id.is_(None),
    }[teller]
    stamps: list[datetime | None] = []
    async with stage.appliance.engine.connect() as connection:
        for row in await connection.execute(
            select(tracking.id, tracking.started_at, tracking.completed_at).where(whose)
        ):
            stamps += [row.started_at, row.completed_at]
            stamps += await connection.scalars(select(log.ts).where(log.job_id == row.id))
            for step in await connection.execute(
                select(steps.started_at, steps.completed_at).where(steps.job_id == row.id)
            ):
                stamps += [step.started_at, step.completed_at]
    return as_utc(max(_known(stamps)), records.clock)


def _known(stamps: list[datetime | None]) -> Iterator[datetime]:
    return (stamp for stamp in stamps if stamp is not None)
