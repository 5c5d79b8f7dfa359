"""A cleanup resource as the engine's asker."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from failed_execution_cleanup.controller.claimed_appliances import ApplianceGone
from failed_execution_cleanup.controller.kubernetes_api import NotFound
from failed_execution_cleanup.controller.reporter import ResourceReporter, order_of
from failed_execution_cleanup.controller.status_writer import StatusWriter
from failed_execution_cleanup.recovery.decide import Wait
from failed_execution_cleanup.recovery.plan import Assessment
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.identifiers import FINALIZER
from failed_execution_cleanup.run.order import Progress
from tests.unit.controller.test_status_writer import ApiServer


def waiting(reason: Reason) -> Progress:
    return Progress(Wait(reason, "", timedelta(minutes=1), Assessment()))


@pytest.mark.looptime
async def test_what_could_not_be_written_at_once_is_written_and_told_while_the_engine_waits() -> None:
    api = ApiServer()
    told: list[str] = []

    def tell(_before: CleanupStatus, after: CleanupStatus) -> None:
        ready = get_condition(after.conditions, "Ready")
        assert ready is not None
        told.append(ready.reason)

    reporter = ResourceReporter(StatusWriter(api, api.read()), asyncio.Event(), tell)
    await reporter.progress(waiting(Reason.QUIET_TIME))
    await reporter.progress(waiting(Reason.REPLICATION_ACTIVE))
    assert told[-1] == "QuietTime"
    await reporter.pause(30)
    assert told[-1] == "ReplicationActive"
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.looptime
async def test_a_change_ends_the_pause() -> None:
    api, changed = ApiServer(), asyncio.Event()
    reporter = ResourceReporter(StatusWriter(api, api.read()), changed, lambda _before, _after: None)
    asyncio.get_running_loop().call_later(3, changed.set)
    await reporter.pause(30)
    assert asyncio.get_running_loop().time() == pytest.approx(3, abs=0.1)


async def test_appliance_and_resource_are_held_side_by_side() -> None:
    api, together = ApiServer(), asyncio.Event()
    reporter = ResourceReporter(StatusWriter(api, api.read()), asyncio.Event(), lambda _before, _after: None)

    async def hold(resuming: bool) -> None:
        assert not resuming
        async with asyncio.timeout(5):
            await together.wait()

    reporter.hold_appliance = hold
    api.before_patch = together.set
    await reporter.claiming()
    assert api.finalizers == [FINALIZER]


@pytest.mark.parametrize("present", [[], [FINALIZER]], ids=["new", "resuming"])
async def test_where_the_appliance_is_gone_a_resource_without_claim_is_not_held_back(present: list[str]) -> None:
    api = ApiServer()
    api.change(finalizers=[*present, "example.com/other"])
    reporter = ResourceReporter(StatusWriter(api, api.read()), asyncio.Event(), lambda _before, _after: None)

    async def hold(resuming: bool) -> None:
        assert resuming is bool(present)
        raise ApplianceGone("there is no Appliance 'default'.")

    reporter.hold_appliance = hold
    with pytest.raises(ApplianceGone):
        await reporter.claiming()
    assert api.finalizers == [*present, "example.com/other"]


async def test_a_resource_that_cannot_be_held_is_not_claimed() -> None:
    api = ApiServer()
    reporter = ResourceReporter(StatusWriter(api, api.read()), asyncio.Event(), lambda _before, _after: None)
    api.body = None
    with pytest.raises(NotFound):
        await reporter.claiming()


@pytest.mark.parametrize(
    ("mode", "annotation", "expected"),
    [
        ("Execute", None, (True, None)),
        ("Execute", "abc", (True, "abc")),
        ("Plan", None, (False, None)),
        ("Plan", "abc", (False, "abc")),
        ("Plan", "", (False, None)),
    ],
)
def test_an_order_tells_mode_and_approval(mode: str, annotation: str | None, expected: tuple[bool, str | None]) -> None:
    annotations = {} if annotation is None else {"failover.ossea.io/approvedPlan": annotation}
    cleanup = FailedExecutionCleanup.model_validate(
        {
            "metadata": {"name": "a", "annotations": annotations},
            "spec": {"vmName": "a", "applianceRef": {"name": "default"}, "mode": mode},
        }
    )
    order = order_of(cleanup, frozenset())
    assert (order.execute, order.approved_plan) == expected
