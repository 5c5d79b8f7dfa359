"""Waiting cleanups are told their place, with few writes and never against a worker's."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    Conflict,
    CustomResource,
    NotFound,
    Unreachable,
)
from failed_execution_cleanup.controller.queue_positions import SHOWN, QueuePositions
from failed_execution_cleanup.run.queue import Lane, WorkQueue

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
Key = tuple[str, str]


class ApiServer:
    """Cleanups without a status; keeps the patches of their status."""

    def __init__(self) -> None:
        self.patches: list[tuple[str, Body]] = []
        self.statuses: dict[str, Body] = {}
        self.failure: Exception | None = None

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        assert resource is CLEANUPS
        return {
            "metadata": {"namespace": namespace, "name": name, "uid": name, "generation": 1, "resourceVersion": "1"},
            "spec": {"vmName": name, "applianceRef": {"name": "oma"}},
            "status": self.statuses.get(name, {"observedGeneration": -1}),
        }

    async def patch_status(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        assert (resource, namespace, resource_version) == (CLEANUPS, "dr", "1")
        if self.failure is not None:
            raise self.failure
        self.patches.append((name, patch))
        self.statuses[name] = {**self.statuses.get(name, {}), **patch}
        return {}


def places(api: ApiServer) -> dict[str, int | None]:
    return {name: patch.get("queuePosition") for name, patch in api.patches}


def queued(names: list[str]) -> WorkQueue[Key]:
    queue: WorkQueue[Key] = WorkQueue()
    for name in names:
        queue.add(("dr", name), Lane.CHANGE, group="oma")
    return queue


async def looked(api: ApiServer, queue: WorkQueue[Key], times: int = 2) -> QueuePositions:
    positions = QueuePositions(api, queue, now=lambda: NOW)
    for _ in range(times):
        await positions.look()
    return positions


async def test_who_waits_longer_than_an_interval_is_told_his_place() -> None:
    api, queue = ApiServer(), queued(["a", "b"])
    await looked(api, queue, times=1)
    assert api.patches == []
    await looked(api, queue)
    assert places(api) == {"a": 1, "b": 2}
    conditions = {c["type"]: (c["status"], c["reason"]) for c in api.patches[0][1]["conditions"]}
    assert conditions["Ready"] == ("Unknown", "Queued")
    assert conditions["Reconciling"] == ("True", "Queued")


async def test_a_place_that_did_not_change_is_not_written_again() -> None:
    api, queue = ApiServer(), queued(["a", "b"])
    positions = await looked(api, queue, times=5)
    assert len(api.patches) == 2
    await queue.get()
    await positions.look()
    assert api.patches[2:] != []
    assert [(name, patch["queuePosition"]) for name, patch in api.patches[2:]] == [("b", 1)]


async def test_only_the_first_of_a_long_line_are_told() -> None:
    api, queue = ApiServer(), queued([f"vm-{n:04}" for n in range(1000)])
    await looked(api, queue, times=3)
    assert places(api) == {f"vm-{n:04}": n + 1 for n in range(SHOWN)}


async def test_each_appliance_has_a_line_of_its_own() -> None:
    api, queue = ApiServer(), queued(["a"])
    queue.add(("dr", "other"), Lane.CHANGE, group="another-oma")
    await looked(api, queue)
    assert places(api) == {"a": 1, "other": 1}


async def test_who_is_pushed_back_beyond_the_shown_ones_loses_his_place() -> None:
    api, queue = ApiServer(), queued([f"vm-{n:04}" for n in range(SHOWN)])
    positions = await looked(api, queue)
    last = f"vm-{SHOWN - 1:04}"
    assert places(api)[last] == SHOWN
    queue.add(("dr", "urgent"), Lane.DELETION, group="oma")
    await positions.look()
    assert api.patches[-1][0] == last
    assert api.patches[-1][1]["queuePosition"] is None


@pytest.mark.parametrize(
    "failure", [Conflict("a worker wrote", status=409), NotFound("gone", status=404), Unreachable("down")]
)
async def test_a_write_that_fails_is_left_to_the_next_look(failure: Exception) -> None:
    api, queue = ApiServer(), queued(["a"])
    api.failure = failure
    positions = await looked(api, queue)
    assert api.patches == []
    api.failure = None
    await positions.look()
    assert places(api) == {"a": 1}


async def test_who_got_his_turn_meanwhile_is_not_written_to() -> None:
    class TakenMeanwhile(ApiServer):
        async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
            await queue.get()
            return await super().get(resource, namespace, name)

    api, queue = TakenMeanwhile(), queued(["a"])
    await looked(api, queue)
    assert api.patches == []
