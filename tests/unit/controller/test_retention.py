"""Finished cleanups are deleted when their time is over, and nothing else is."""

from __future__ import annotations

import asyncio
import copy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    Conflict,
    CustomResource,
    NotFound,
    Unreachable,
)
from failed_execution_cleanup.controller.retention import Retention, expires_at
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import FINALIZER

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ENDED = "2026-03-01T12:00:00Z"


def condition(type_: str, status: str, reason: str, generation: int = 1) -> Body:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": "",
        "observedGeneration": generation,
        "lastTransitionTime": ENDED,
    }


def finished(name: str = "pgtest1", *, ttl: int | None = 60, reason: str = "Cleaned", **changes: Any) -> Body:
    """A cleanup that ended at `START`; `changes` go into metadata, spec or status."""
    body: Body = {
        "metadata": {"namespace": "dr", "name": name, "uid": f"uid-{name}", "generation": 1, "resourceVersion": "7"},
        "spec": {"vmName": name, "applianceRef": {"name": "default"}},
        "status": {
            "observedGeneration": 1,
            "completedAt": ENDED,
            "conditions": [condition("Ready", "True", reason)],
        },
    }
    if ttl is not None:
        body["spec"]["ttlSecondsAfterFinished"] = ttl
    for part, change in changes.items():
        body[part] |= change
    return body


class ApiServer:
    """Cleanups by name; deletes them like the API server, and fails when told to."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = {body["metadata"]["name"]: body for body in bodies}
        self.deleted: list[tuple[str, float]] = []
        self.failures: list[Exception] = []

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        assert (resource, namespace) == (CLEANUPS, "dr")
        if name not in self.bodies:
            raise NotFound(name, status=404)
        return copy.deepcopy(self.bodies[name])

    async def delete(
        self, resource: CustomResource, namespace: str | None, name: str, *, uid: str, resource_version: str
    ) -> None:
        assert (resource, namespace) == (CLEANUPS, "dr")
        if self.failures:
            raise self.failures.pop(0)
        metadata = self.bodies[name]["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (uid, resource_version):
            raise Conflict(name, status=409)
        del self.bodies[name]
        self.deleted.append((name, asyncio.get_running_loop().time()))


class Kept:
    """A retention on an API, with a wall clock that goes with the loop's."""

    def __init__(self, api: ApiServer) -> None:
        self._loop = asyncio.get_running_loop()
        self.began = self._loop.time()
        self.retention = Retention(api, now=lambda: START + timedelta(seconds=self._loop.time() - self.began))
        self._task = asyncio.create_task(self.retention.run())

    async def after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


KEPT = {
    "no time is named": finished(ttl=None),
    "never ended": finished(status={"completedAt": None}),
    "a person is needed": finished(status={"conditions": [condition("Ready", "False", "RunningTestVM")]}),
    "ended suspect": finished(status={"conditions": [condition("Ready", "False", "CleanedDataSuspect")]}),
    "at work": finished(status={"conditions": [condition("Ready", "Unknown", "Progressing")]}),
    "its spec changed since": finished(metadata={"generation": 2}),
    "another run is asked for": finished(metadata={"annotations": {"failover.ossea.io/requestedAt": "again"}}),
    "a claim is held": finished(metadata={"finalizers": [FINALIZER]}),
    "it is being deleted": finished(metadata={"deletionTimestamp": ENDED}),
    "drift waits for a person": finished(
        status={"conditions": [condition("Ready", "True", "Cleaned"), condition("Drifted", "True", "DriftObserved")]}
    ),
}


@pytest.mark.parametrize("reason", ["Cleaned", "AlreadyClean", "NothingToDo", "Superseded"])
def test_a_good_end_is_kept_for_its_time(reason: str) -> None:
    cleanup = FailedExecutionCleanup.model_validate(finished(reason=reason))
    assert expires_at(cleanup) == START + timedelta(seconds=60)


@pytest.mark.parametrize("why", KEPT)
def test_everything_else_is_kept(why: str) -> None:
    assert expires_at(FailedExecutionCleanup.model_validate(KEPT[why])) is None


@pytest.mark.looptime
async def test_each_is_deleted_when_its_own_time_is_over() -> None:
    api = ApiServer(finished("late", ttl=300), finished("soon", ttl=5), finished("at-once", ttl=0))
    kept = Kept(api)
    for body in list(api.bodies.values()):
        kept.retention.see(body)
    await kept.after(400)
    assert [name for name, _ in api.deleted] == ["at-once", "soon", "late"]
    assert [round(at - kept.began) for _, at in api.deleted] == [0, 5, 300]
    await kept.end()


@pytest.mark.looptime
async def test_a_new_leader_goes_on_from_the_end_of_the_cleanup_and_not_from_its_own_start() -> None:
    api = ApiServer(finished(ttl=30))
    first = Kept(api)
    first.retention.see(api.bodies["pgtest1"])
    await first.after(20)
    await first.end()
    second = Kept(api)
    second.began = first.began
    second.retention.see(api.bodies["pgtest1"])
    await second.after(15)
    assert [round(at - first.began) for _, at in api.deleted] == [30]
    await second.end()


@pytest.mark.looptime
async def test_what_changed_since_it_was_seen_is_looked_at_afresh() -> None:
    api = ApiServer(finished("asked-again"), finished("longer"))
    kept = Kept(api)
    for body in list(api.bodies.values()):
        kept.retention.see(copy.deepcopy(body))
    api.bodies["asked-again"]["metadata"]["annotations"] = {"failover.ossea.io/requestedAt": "again"}
    api.bodies["longer"]["spec"]["ttlSecondsAfterFinished"] = 90
    await kept.after(70)
    assert api.deleted == []
    await kept.after(30)
    assert [name for name, _ in api.deleted] == ["longer"]
    await kept.end()


@pytest.mark.looptime
@pytest.mark.parametrize(
    "failure", [Unreachable("down"), Conflict("changed", status=409)], ids=["unreachable", "conflict"]
)
async def test_a_deletion_that_failed_is_tried_again(failure: Exception) -> None:
    api = ApiServer(finished())
    api.failures.append(failure)
    kept = Kept(api)
    kept.retention.see(api.bodies["pgtest1"])
    await kept.after(120)
    assert [name for name, _ in api.deleted] == ["pgtest1"]
    await kept.end()


@pytest.mark.looptime
async def test_one_that_is_gone_or_is_to_be_kept_again_is_forgotten() -> None:
    api = ApiServer(finished("gone"), finished("kept"))
    kept = Kept(api)
    for body in list(api.bodies.values()):
        kept.retention.see(body)
    kept.retention.forget(("dr", "gone"))
    kept.retention.see(finished("kept", ttl=None))
    assert len(kept.retention) == 0
    await kept.after(100)
    assert api.deleted == []
    await kept.end()


@pytest.mark.looptime
async def test_ten_thousand_have_one_task_and_no_timer_each() -> None:
    api = ApiServer(*[finished(f"vm-{n}", ttl=1000 + n) for n in range(10_000)])
    kept = Kept(api)
    tasks = len(asyncio.all_tasks())
    for body in list(api.bodies.values()):
        kept.retention.see(body)
    await kept.after(1)
    assert len(asyncio.all_tasks()) == tasks
    assert len(kept.retention) == 10_000
    await kept.after(1500)
    assert [name for name, _ in api.deleted] == [f"vm-{n}" for n in range(len(api.deleted))]
    assert len(kept.retention) == 10_000 - len(api.deleted)
    assert api.deleted
    await kept.end()
