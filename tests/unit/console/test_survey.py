"""A survey: a constant number of calls, shared by all who ask, and an appliance that cannot be reached hides no other."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.appliance.errors import Unavailable
from failed_execution_cleanup.console.survey import Survey, Surveys, survey
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run.cleanup import Limits
from tests.unit.client.cluster import appliance_body
from tests.unit.detection.test_scan import Calls
from tests.unit.run.engine import Engine, engine


async def surveyed(run: Engine) -> Survey:
    return await survey("default", run.doors.database, run.doors.ossea, run.settings)


async def test_number_of_calls_does_not_grow_with_the_number_of_vms(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine(tmp_path, "F11", disks=2) as run:
        calls = Calls(run, monkeypatch)
        await surveyed(run)
        of_one = calls.taken()
        for number in range(5):
            await run.appliance.build("F12", vm_name=f"more{number}", disks=3)
            await run.appliance.build("F30", vm_name=f"healthy{number}", disks=1)
        seen = await surveyed(run)
        assert calls.taken() == of_one
    assert len(seen.contexts) == 11
    assert sum(failover.stuck for failover in seen.failovers.values()) == 6


async def test_a_stuck_failover_is_told_as_the_scan_tells_it(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        seen = await surveyed(run)
    (failover,) = seen.failovers.values()
    assert (failover.stuck, failover.job_id) == (True, run.built.failover_job_id)
    assert failover.last_step == "virtio-driver-injection"
    assert {context.vm_name for context in seen.contexts} == {"pgtest1"}


async def test_a_failover_that_may_still_run_is_not_stuck(tmp_path: Path) -> None:
    async with engine(tmp_path, "F30", disks=1) as run:
        await run.appliance.build("F11", vm_name="young", disks=1, age_seconds=5)
        (failover,) = (await surveyed(run)).failovers.values()
    assert not failover.stuck


class Opener:
    """Opens nothing; counts how often it was asked to."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    @asynccontextmanager
    async def database(self, appliance: Appliance) -> Any:
        self.asked.append(appliance.metadata.name)
        await asyncio.sleep(1)
        raise Unavailable("no route to host.", system="OMA database", remedy="Check the network.")
        yield


@pytest.mark.looptime
async def test_an_appliance_that_cannot_be_reached_is_told_and_not_tried_again_at_once() -> None:
    opener = Opener()
    surveys = Surveys(cast(DoorOpener, opener), Limits(), seconds=5)
    appliance = Appliance.model_validate(appliance_body())
    seen = await asyncio.gather(*(surveys.of(appliance) for _ in range(10)))
    assert {each.problem for each in seen} == {"OMA database: no route to host. Check the network."}
    assert opener.asked == ["default"]
    await asyncio.sleep(6)
    await surveys.of(appliance)
    assert opener.asked == ["default", "default"]
