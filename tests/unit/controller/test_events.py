"""The Event recorder: one Event per happening, series for repeats, never an error for the caller."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import Forbidden, KubernetesError, NotFound

CLEANUP = ObjectReference("failover.ossea.io/v1alpha1", "FailedExecutionCleanup", "dr", "pgtest1-6f0c9a12", "uid-1")
APPLIANCE = ObjectReference("failover.ossea.io/v1alpha1", "Appliance", None, "default", "uid-2")


class Clock:
    """A wall clock that stands still until told."""

    def __init__(self) -> None:
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **duration: float) -> None:
        self.now += timedelta(**duration)


class EventLog:
    """Events as the API server keeps them."""

    def __init__(self) -> None:
        self.events: dict[tuple[str, str], dict[str, Any]] = {}
        self.refusal: KubernetesError | None = None

    async def create_event(self, namespace: str, body: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        assert (namespace, body["metadata"]["name"]) not in self.events
        self.events[namespace, body["metadata"]["name"]] = body

    async def patch_event(self, namespace: str, name: str, patch: dict[str, Any]) -> None:
        await asyncio.sleep(0)
        if self.refusal is not None:
            raise self.refusal
        if (namespace, name) not in self.events:
            raise NotFound("Event not found")
        self.events[namespace, name].update(patch)

    @property
    def counts(self) -> list[int]:
        return [event.get("series", {}).get("count", 1) for event in self.events.values()]


@pytest.fixture
def log() -> EventLog:
    return EventLog()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(log: EventLog, clock: Clock) -> EventRecorder:
    return EventRecorder(log, "fec-7d9f", clock=clock)


async def test_an_event_has_every_field_the_api_requires(log: EventLog, recorder: EventRecorder) -> None:
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "3 volumes detached")
    ((namespace, name), event) = next(iter(log.events.items()))
    assert namespace == "dr"
    assert name.startswith("pgtest1-6f0c9a12.")
    assert event == {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": "dr"},
        "eventTime": "2026-03-01T12:00:00.000000Z",
        "reportingController": "failover.ossea.io/failed-execution-cleanup",
        "reportingInstance": "fec-7d9f",
        "regarding": {
            "apiVersion": "failover.ossea.io/v1alpha1",
            "kind": "FailedExecutionCleanup",
            "namespace": "dr",
            "name": "pgtest1-6f0c9a12",
            "uid": "uid-1",
        },
        "type": "Normal",
        "reason": "Detached",
        "action": "DetachVolumes",
        "note": "3 volumes detached",
    }


async def test_an_event_about_a_cluster_scoped_object_lives_in_default(log: EventLog, recorder: EventRecorder) -> None:
    await recorder.record(APPLIANCE, "Warning", "DatabaseUnreachable", "Observe", "timeout")
    ((namespace, _), event) = next(iter(log.events.items()))
    assert namespace == "default"
    assert "namespace" not in event["regarding"]


async def test_repeats_become_a_series_of_one_event(log: EventLog, clock: Clock, recorder: EventRecorder) -> None:
    for _ in range(5):
        await recorder.record(CLEANUP, "Warning", "QuietTime", "Wait", "engine may wake")
        clock.advance(minutes=10)
    (event,) = log.events.values()
    assert event["series"] == {"count": 5, "lastObservedTime": "2026-03-01T12:40:00.000000Z"}


async def test_a_repeat_after_ten_minutes_is_a_new_event(log: EventLog, clock: Clock, recorder: EventRecorder) -> None:
    await recorder.record(CLEANUP, "Warning", "QuietTime", "Wait", "engine may wake")
    clock.advance(minutes=10, seconds=1)
    await recorder.record(CLEANUP, "Warning", "QuietTime", "Wait", "engine may wake")
    assert log.counts == [1, 1]


@pytest.mark.parametrize(
    ("regarding", "kind", "reason", "action", "note"),
    [
        (APPLIANCE, "Normal", "Detached", "DetachVolumes", "done"),
        (CLEANUP, "Warning", "Detached", "DetachVolumes", "done"),
        (CLEANUP, "Normal", "Attached", "DetachVolumes", "done"),
        (CLEANUP, "Normal", "Detached", "AttachVolumes", "done"),
        (CLEANUP, "Normal", "Detached", "DetachVolumes", "done again"),
    ],
)
async def test_any_difference_makes_another_event(
    log: EventLog, recorder: EventRecorder, regarding: ObjectReference, kind: Any, reason: str, action: str, note: str
) -> None:
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    await recorder.record(regarding, kind, reason, action, note)
    assert log.counts == [1, 1]


async def test_two_occurrences_at_once_make_one_event(log: EventLog, recorder: EventRecorder) -> None:
    await asyncio.gather(*(recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done") for _ in range(3)))
    assert log.counts == [3]


async def test_a_series_whose_event_expired_begins_again(log: EventLog, recorder: EventRecorder) -> None:
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    log.events.clear()
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    assert log.counts == [2]


async def test_an_api_error_is_logged_and_goes_no_further(
    log: EventLog, recorder: EventRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    log.refusal = Forbidden("Event dr/x: not allowed")
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    assert [record.getMessage() for record in caplog.records] == ["Event not recorded"]
    log.refusal = None
    await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", "done")
    assert log.counts == [1]


@pytest.mark.parametrize(("notes", "counts"), [("abcca", [1, 1, 2, 1]), ("abaca", [3, 1, 1])])
async def test_memory_is_bounded_and_keeps_what_was_seen_last(
    log: EventLog, clock: Clock, notes: str, counts: list[int]
) -> None:
    recorder = EventRecorder(log, "fec-7d9f", clock=clock, remembered=2)
    for note in notes:
        await recorder.record(CLEANUP, "Normal", "Detached", "DetachVolumes", note)
    assert log.counts == counts


@settings(deadline=None)
@given(note=st.text(alphabet="aé漢😀", max_size=1500))
async def test_a_note_fits_the_api_and_is_cut_between_characters(note: str) -> None:
    log = EventLog()
    await EventRecorder(log, "fec-7d9f").record(CLEANUP, "Normal", "Detached", "DetachVolumes", note)
    (event,) = log.events.values()
    written: str = event["note"]
    if len(note.encode()) <= 1024:
        assert written == note
    else:
        assert 1018 <= len(written.encode()) <= 1024
        assert written.endswith("…")
        assert note.startswith(written[:-1])


async def test_long_names_still_fit(log: EventLog, clock: Clock) -> None:
    recorder = EventRecorder(log, "i" * 300, clock=clock)
    regarding = ObjectReference("v1", "Appliance", None, "n" * 253, "uid")
    await recorder.record(regarding, "Normal", "Detached", "DetachVolumes", "done")
    (((_, name), event),) = log.events.items()
    assert (len(name), len(event["reportingInstance"])) == (253, 128)


def test_a_reference_is_taken_from_an_object() -> None:
    metadata = {"namespace": "dr", "name": "pgtest1-6f0c9a12", "uid": "uid-1", "labels": {}}
    body = {"apiVersion": "failover.ossea.io/v1alpha1", "kind": "FailedExecutionCleanup", "metadata": metadata}
    assert ObjectReference.of(body) == CLEANUP
    del metadata["namespace"]
    assert ObjectReference.of(body).namespace is None
