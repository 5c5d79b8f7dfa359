"""Which events become keys, and how what no event told is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi, NotFound, Unreachable
from failed_execution_cleanup.controller.reconcile import Key
from failed_execution_cleanup.controller.watching import Watching
from failed_execution_cleanup.run.queue import WorkQueue

KEY: Key = ("dr", "pgtest1")


def cleanup(ready: tuple[str, str] | None = None, *, generation: int = 1, uid: str = "uid-1") -> dict[str, Any]:
    """A cleanup; `ready` is status and reason of its condition Ready."""
    condition = {
        "type": "Ready",
        "observedGeneration": generation,
        "lastTransitionTime": "2026-11-22T12:00:00Z",
        "message": "told by a test",
    }
    conditions = [] if ready is None else [{**condition, "status": ready[0], "reason": ready[1]}]
    return {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "FailedExecutionCleanup",
        "metadata": {
            "namespace": "dr",
            "name": "pgtest1",
            "uid": uid,
            "generation": generation,
            "resourceVersion": f"{generation} {ready}",
        },
        "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}},
        "status": {"conditions": conditions},
    }


WORKING = cleanup(("Unknown", "CleaningUp"))
CLEANED = cleanup(("True", "Cleaned"))


class Api:
    """Lists what it is given, one list after the other; None is an API that cannot be reached. Tells by name what is stored now."""

    def __init__(self, *lists: list[dict[str, Any]] | None) -> None:
        self.lists = list(lists)
        self.stored: dict[str, dict[str, Any]] | None = None
        self.read: list[str] = []

    async def list(self, *_: object, only_metadata: bool) -> AsyncIterator[dict[str, Any]]:
        assert only_metadata
        found = self.lists.pop(0) if self.lists else []
        if found is None:
            raise Unreachable("no answer")
        self._listed = {body["metadata"]["name"]: body for body in found}
        for body in found:
            yield {"metadata": body["metadata"]}

    async def get(self, _resource: object, _namespace: str, name: str) -> dict[str, Any]:
        self.read.append(name)
        stored = self._listed if self.stored is None else self.stored
        if name not in stored:
            raise NotFound("not found", status=404)
        return stored[name]


@pytest.fixture
def queue() -> WorkQueue[Key]:
    return WorkQueue()


@pytest.fixture
def watching(queue: WorkQueue[Key]) -> Watching:
    return Watching(queue, WorkQueue())


async def taken(queue: WorkQueue[Key]) -> bool:
    """Whether the key was queued; it is taken off."""
    if not sum(queue.depth.values()):
        return False
    queue.done(await queue.get())
    return True


@pytest.mark.asyncio
async def test_own_status_writes_are_not_queued(watching: Watching, queue: WorkQueue[Key]) -> None:
    watching.see("ADDED", cleanup())
    assert await taken(queue)
    for body in (WORKING, CLEANED, CLEANED):
        watching.see("MODIFIED", body)
        assert not await taken(queue)


@pytest.mark.asyncio
@pytest.mark.parametrize(("after", "earlier"), [(CLEANED, WORKING), (CLEANED, cleanup()), (WORKING, cleanup())])
async def test_status_that_says_less_than_before_is_queued(
    watching: Watching, queue: WorkQueue[Key], after: dict[str, Any], earlier: dict[str, Any]
) -> None:
    watching.see("ADDED", cleanup())
    watching.see("MODIFIED", after)
    await taken(queue)
    watching.see("MODIFIED", earlier)
    assert await taken(queue)


@pytest.mark.asyncio
async def test_other_object_of_the_same_name_is_queued(watching: Watching, queue: WorkQueue[Key]) -> None:
    watching.see("ADDED", CLEANED)
    assert not await taken(queue)
    watching.see("MODIFIED", cleanup(("True", "Cleaned"), uid="uid-2"))
    assert await taken(queue)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_list_finds_what_no_event_told(watching: Watching, queue: WorkQueue[Key]) -> None:
    api = Api([cleanup()], [cleanup()], None, [cleanup(generation=2)])
    resync = asyncio.create_task(watching.keep_in_step(cast("KubernetesApi", api), ("dr",), 10))
    found = []
    for _ in range(4):
        await asyncio.sleep(10.1)
        found.append(await taken(queue))
    resync.cancel()
    assert found == [True, False, False, True]


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_object_whose_deletion_no_event_told_is_forgotten(watching: Watching, queue: WorkQueue[Key]) -> None:
    watching.see("ADDED", cleanup())
    await taken(queue)
    resync = asyncio.create_task(watching.keep_in_step(cast("KubernetesApi", Api([])), ("dr",), 10))
    await asyncio.sleep(10.1)
    resync.cancel()
    watching.see("ADDED", cleanup())
    assert await taken(queue)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_what_changed_while_a_list_was_read_is_taken_as_it_is_now(
    watching: Watching, queue: WorkQueue[Key]
) -> None:
    """The list is of the moment it began; a cleanup that ended meanwhile has not begun again."""
    api = Api([cleanup()], [])
    watching.see("ADDED", WORKING)
    await taken(queue)
    watching.see("MODIFIED", CLEANED)
    api.stored = {"pgtest1": CLEANED}
    resync = asyncio.create_task(watching.keep_in_step(cast("KubernetesApi", api), ("dr",), 10))
    for _ in range(2):  # an old version of it, then none
        await asyncio.sleep(10.1)
        assert not await taken(queue)
    resync.cancel()
    assert api.read == ["pgtest1", "pgtest1"]
    watching.see("MODIFIED", CLEANED)
    assert not await taken(queue)


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_what_is_known_is_not_read(watching: Watching, queue: WorkQueue[Key]) -> None:
    watching.see("ADDED", WORKING)
    await taken(queue)
    api = Api([WORKING], [CLEANED])
    resync = asyncio.create_task(watching.keep_in_step(cast("KubernetesApi", api), ("dr",), 10))
    await asyncio.sleep(10.1)
    assert api.read == []
    await asyncio.sleep(10.1)
    resync.cancel()
    assert api.read == ["pgtest1"]


@pytest.mark.asyncio
async def test_list_that_shows_what_is_known_costs_nothing(
    watching: Watching, queue: WorkQueue[Key], monkeypatch: pytest.MonkeyPatch
) -> None:
    watching.see("ADDED", WORKING)
    await taken(queue)

    def judged(_body: object) -> None:
        raise AssertionError("it was judged again")

    monkeypatch.setattr("failed_execution_cleanup.controller.watching._said_in", judged)
    watching.see(None, WORKING)
    assert not await taken(queue)
    with pytest.raises(AssertionError, match="judged again"):
        watching.see(None, CLEANED)
