"""A scan of many VMs: a constant number of queries and list calls, and one damaged VM hides no other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, update

from appliance_simulator import schema
from failed_execution_cleanup.detection.scan import ScanResult, scan
from tests.unit.run.engine import Engine, engine


class Calls:
    """Counts what a scan asks."""

    def __init__(self, run: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ossea: Counter[str] = Counter()
        self.statements = 0
        client: Any = run.doors.ossea
        real: Callable[..., Any] = client._request

        async def request(command: str, *arguments: Any, **named: Any) -> Any:
            self.ossea[command] += 1
            return await real(command, *arguments, **named)

        monkeypatch.setattr(client, "_request", request)
        event.listen(run.doors.database._pool.sync_engine, "before_cursor_execute", self._count)

    def _count(self, *_: object) -> None:
        self.statements += 1

    def taken(self) -> tuple[Counter[str], int]:
        """What was counted since the last time."""
        counted = (self.ossea.copy(), self.statements)
        self.ossea.clear()
        self.statements = 0
        return counted


async def scanned(run: Engine) -> ScanResult:
    return await scan(run.doors.database, run.doors.ossea, run.settings, ())


async def test_number_of_calls_does_not_grow_with_the_number_of_vms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(tmp_path, "F11", disks=2) as run:
        calls = Calls(run, monkeypatch)
        assert len((await scanned(run)).stuck) == 1
        for number in range(5):
            await run.appliance.build("F12", vm_name=f"more{number}", disks=3)
            await run.appliance.build("F30", vm_name=f"healthy{number}", disks=1)

        of_one = calls.taken()
        result = await scanned(run)
        assert len(result.stuck) == 6
        assert (result.contexts, result.observed) == (11, 6)
        assert calls.taken() == of_one


async def test_longest_stuck_comes_first(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        await run.appliance.build("F11", vm_name="older", disks=1, age_seconds=90_000)
        assert [job.vm_name for job in (await scanned(run)).stuck] == ["older", "pgtest1"]


async def test_vm_whose_rows_cannot_be_understood_is_named_and_hides_no_other(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        damaged = await run.appliance.build("F11", vm_name="damaged", disks=1)
        table = schema.job_tracking
        async with run.appliance.engine.begin() as connection:
            await connection.execute(
                update(table)
                .where(table.c.id == damaged.failover_job_id)
                .values(operation="failed-execution-cleanup", metadata={"failover.ossea.io/claim": "torn"})
            )
        result = await scanned(run)
        assert [job.vm_name for job in result.stuck] == ["pgtest1"]
        assert result.unreadable.keys() == {damaged.vm.context_id}
