"""The condition Drifted is written when it changes, by one read and one write, and costs nothing otherwise."""

# ruff: noqa: ARG002 (the stand-in has the signatures of the real client)

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final, cast

import pytest

from failed_execution_cleanup.controller.cleanup_index import CleanupIndex, IndexedCleanup
from failed_execution_cleanup.controller.drift_writer import DriftWriter
from failed_execution_cleanup.controller.events import EventRecorder
from failed_execution_cleanup.controller.kubernetes_api import Body, CustomResource, KubernetesApi, NotFound
from failed_execution_cleanup.detection.drift import Drift, FinishedCleanup
from failed_execution_cleanup.run.queue import Lane, WorkQueue

ENDED: Final = "2026-03-01T12:00:00Z"
DETACHED: Final = Drift("VolumesAttached: not on the appliance: volume a (a) (Detached)", None)
MISSING: Final = Drift("VolumesAttached: not on the appliance: volume a (a) (Missing)", "VolumeMissing")


def condition(type_: str, message: str = "", reason: str = "Cleaned", status: str = "True") -> Body:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "observedGeneration": 1,
        "lastTransitionTime": ENDED,
    }


def cleanup(name: str = "pg1", *, policy: str = "Report", drifted: str | None = None, reason: str = "Cleaned") -> Body:
    conditions = [condition("Ready", reason=reason)]
    if drifted is not None:
        conditions.append(condition("Drifted", drifted, "DriftObserved"))
    return {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "FailedExecutionCleanup",
        "metadata": {
            "namespace": "dr",
            "name": name,
            "uid": f"uid-{name}",
            "generation": 1,
            "resourceVersion": "7",
            "creationTimestamp": "2026-03-01T11:00:00Z",
        },
        "spec": {"vmName": name, "applianceRef": {"name": "oma"}, "driftPolicy": policy},
        "status": {
            "observedGeneration": 1,
            "conditions": conditions,
            "completedAt": ENDED,
            "context": {"id": f"ctx-{name}"},
            "failedJob": {"id": f"job-{name}"},
        },
    }


class ApiServer:
    """Keeps cleanups and counts what is asked."""

    def __init__(self, *bodies: Body) -> None:
        self.bodies = {body["metadata"]["name"]: body for body in bodies}
        self.reads = 0
        self.patches: list[Body] = []
        self.events: list[str] = []

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        self.reads += 1
        if name not in self.bodies:
            raise NotFound(name, status=404)
        return copy.deepcopy(self.bodies[name])

    async def patch_status(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        self.patches.append(patch)
        self.bodies[name]["status"] |= patch
        return copy.deepcopy(self.bodies[name])

    async def create_event(self, namespace: str, body: Body) -> None:
        self.events.append(body["note"])


class Told:
    """A writer on an API server, and what it queued."""

    def __init__(self, *bodies: Body) -> None:
        self.api = ApiServer(*bodies)
        self.queue: WorkQueue[tuple[str, str]] = WorkQueue()
        real = cast("KubernetesApi", self.api)
        self.writer = DriftWriter(real, EventRecorder(real, "test"), self.queue)
        self.index = CleanupIndex()
        for body in bodies:
            self.index.see(body)

    async def tell(self, found: Mapping[str, Drift | None] | None = None) -> None:
        entries: dict[FinishedCleanup, IndexedCleanup] = {}
        for entry in self.index.of("oma"):
            if entry.finished is not None:
                entries[entry.finished] = entry
        drift = {finished: (found or {}).get(entry.key[1]) for finished, entry in entries.items()}
        await self.writer.tell(entries, drift)
        for body in self.api.bodies.values():
            self.index.see(body)

    def drifted(self, name: str = "pg1") -> str | None:
        conditions = self.api.bodies[name]["status"]["conditions"]
        return next((c["message"] for c in conditions if c["type"] == "Drifted"), None)


async def test_ten_thousand_cleanups_that_hold_cost_no_request() -> None:
    told = Told(*(cleanup(f"pg{number}") for number in range(10_000)))
    await told.tell()
    assert (len(told.index), told.api.reads, told.api.patches) == (10_000, 0, [])


async def test_drift_is_told_once_with_one_event_and_taken_back_when_it_is_gone() -> None:
    told = Told(cleanup())
    await told.tell({"pg1": DETACHED})
    await told.tell({"pg1": DETACHED})
    assert told.drifted() == f"{DETACHED.message}."
    assert (told.api.reads, len(told.api.patches)) == (1, 1)
    assert told.api.events == [f"{DETACHED.message}."]

    await told.tell({"pg1": MISSING})
    assert told.api.events[1:] == [f"{MISSING.message}."]

    await told.tell()
    assert told.drifted() is None
    assert len(told.api.events) == 2
    assert told.queue.depth[Lane.DRIFT] == 0, "nobody asked to put it right"


@pytest.mark.parametrize(
    ("drift", "queued", "ending"),
    [(DETACHED, 1, "(Detached)."), (MISSING, 0, "Not put right by itself: VolumeMissing.")],
    ids=["possible", "not possible"],
)
async def test_policy_correct_queues_what_can_be_put_right(drift: Drift, queued: int, ending: str) -> None:
    told = Told(cleanup(policy="Correct"))
    for _ in range(2):
        await told.tell({"pg1": drift})
        assert told.queue.depth[Lane.DRIFT] == queued
    assert (told.drifted() or "").endswith(ending)


def _replaced(body: Body) -> None:
    body["metadata"]["uid"] = "another"


def _asked_again(body: Body) -> None:
    body["status"]["conditions"] = [condition("Ready", reason="Progressing", status="Unknown")]


def _ended_again(body: Body) -> None:
    body["status"]["completedAt"] = "2026-03-02T12:00:00Z"


@pytest.mark.parametrize("change", [_replaced, _asked_again, _ended_again], ids=lambda change: change.__name__)
async def test_what_moved_on_since_it_was_judged_is_left_alone(change: Any) -> None:
    told = Told(cleanup())
    change(told.api.bodies["pg1"])
    await told.tell({"pg1": DETACHED})
    assert told.api.patches == []
    assert told.api.events == []


@pytest.mark.parametrize("reason", ["Superseded", "NothingToDo", "RunningTestVM"])
def test_only_what_ended_clean_can_drift(reason: str) -> None:
    index = CleanupIndex()
    index.see(cleanup(reason=reason))
    assert index.of("oma")[0].finished is None


def test_what_is_gone_is_forgotten() -> None:
    index = CleanupIndex()
    index.see(cleanup())
    index.forget(("dr", "pg1"))
    assert (len(index), index.of("oma")) == (0, ())
