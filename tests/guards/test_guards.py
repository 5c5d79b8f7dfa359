"""Every stop: it blocks, a waiver that names something else does not lift it, what lifts it does, and the cleanup goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from failed_execution_cleanup.recovery.reasons import SUCCESSES as GOOD_ENDS
from failed_execution_cleanup.recovery.reasons import Reason, needs_person
from tests.guards import table, test_in_the_course, test_permissions
from tests.guards.playing import arrange, changes, object_id, order_of, run, stopped, useless_waivers
from tests.guards.table import STOPS, SUCCESSES, Exit, Stop, Success
from tests.matrix.stage import Stage

EXITS = [pytest.param(stop, way, id=f"{stop.id}: {way.what}") for stop in STOPS for way in stop.exits]


def database(directory: Path) -> str:
    return f"sqlite+aiosqlite:///{directory}/oma.db"


@pytest.mark.parametrize(("stop", "way"), EXITS)
async def test_a_stop_holds_whatever_else_is_waived_until_it_is_lifted(stop: Stop, way: Exit, tmp_path: Path) -> None:
    async with stopped(stop, database(tmp_path)) as stage:
        await _blocks(stage, stop)
        if way is stop.exits[0]:
            await _no_other_waiver_helps(stage, stop)
        await arrange(stage, way.arrange)
        ended = await run(stage, order_of(stage, stop, way), owner="operator-3")
        assert ended.reason is way.end, ended.message
        if way.end is Reason.CLEANED:
            assert set(stage.appliance.holders(stage.case.vm_name).values()) == {stage.appliance.oma_vm_id}
            contents = stage.appliance.contents(stage.case.vm_name).values()
            assert all(content.startswith("replica:") for content in contents), contents


async def _blocks(stage: Stage, stop: Stop) -> None:
    answer = await run(stage, order_of(stage, stop))
    assert answer.reason is stop.reason, answer.message
    for name in stop.names:
        assert object_id(stage, name) in answer.message
    if not stop.touches:
        assert answer.sent == ()
        assert changes(stage.found, await stage.look()) == []


async def _no_other_waiver_helps(stage: Stage, stop: Stop) -> None:
    before = await stage.look()
    order = order_of(stage, stop, useless=useless_waivers(stage, stop))
    answer = await run(stage, order, owner="operator-2")
    assert answer.reason is stop.reason, answer.message
    assert {request.command for request in answer.sent} <= ({"attach"} if stop.homeward else set())
    assert stop.touches or changes(before, await stage.look()) == []


@pytest.mark.parametrize("success", SUCCESSES, ids=lambda success: success.reason.value)
async def test_an_end_that_needs_nobody(success: Success, tmp_path: Path) -> None:
    stop = Stop(success.reason, success.row, (), arrange=success.arrange)
    async with stopped(stop, database(tmp_path)) as stage:
        order = order_of(stage, stop)
        if success.own_job:
            order = order_of(stage, table.for_job(stop, stage.built.failover_job_id or ""))
        answer = await run(stage, order)
        assert answer.reason is success.reason, answer.message
        if success.reason is not Reason.CLEANED:
            assert answer.sent == ()
            assert changes(stage.found, await stage.look()) == []


def test_every_reason_has_a_row() -> None:
    rows = {stop.reason for stop in STOPS} | {success.reason for success in SUCCESSES}
    elsewhere = test_in_the_course.SHOWN | test_permissions.SHOWN
    assert set(Reason) == rows | elsewhere


def test_every_stop_has_a_way_out_and_says_which() -> None:
    for stop in STOPS:
        assert stop.exits, stop.id
        assert stop.reason not in GOOD_ENDS
        if not needs_person(stop.reason):
            assert all(way.by_itself for way in stop.exits), f"{stop.id} needs a person, but its reason says it waits"


def test_no_two_rows_have_one_id() -> None:
    assert len({stop.id for stop in STOPS}) == len(STOPS)
