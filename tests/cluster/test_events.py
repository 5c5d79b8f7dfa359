"""Events as the real API server stores them and kubectl shows them."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from development.control_plane import ControlPlane
from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi

API_VERSION = "failover.ossea.io/v1alpha1"


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    async with await KubernetesApi.connect(control_plane.admin_kubeconfig) as api:
        yield api


@pytest.fixture
def recorder(api: KubernetesApi) -> EventRecorder:
    return EventRecorder(api, "fec-7d9f")


def cleanup(namespace: str) -> ObjectReference:
    return ObjectReference(API_VERSION, "FailedExecutionCleanup", namespace, "pgtest1", f"uid-{namespace}")


def events(control_plane: ControlPlane, namespace: str, uid: str) -> list[dict[str, Any]]:
    output = control_plane.kubectl("get", "events.events.k8s.io", f"--namespace={namespace}", "--output=json").stdout
    return [event for event in json.loads(output)["items"] if event["regarding"]["uid"] == uid]


async def test_an_event_is_stored_and_kubectl_shows_it(
    control_plane: ControlPlane, recorder: EventRecorder, namespace: str
) -> None:
    await recorder.record(cleanup(namespace), "Warning", "RevertFailing", "CleanupSnapshots", "3 tries failed")
    (event,) = events(control_plane, namespace, f"uid-{namespace}")
    assert event["reportingController"] == "failover.ossea.io/failed-execution-cleanup"
    assert event["eventTime"] <= datetime.now(UTC).isoformat()
    shown = control_plane.kubectl(
        "events", "--for=failedexecutioncleanup.failover.ossea.io/pgtest1", f"--namespace={namespace}", check=False
    )
    listed = control_plane.kubectl("get", "events", f"--namespace={namespace}").stdout
    assert "RevertFailing" in listed
    assert "3 tries failed" in listed, shown.stderr


async def test_repeats_are_a_series_of_one_event(
    control_plane: ControlPlane, recorder: EventRecorder, namespace: str
) -> None:
    for _ in range(3):
        await recorder.record(cleanup(namespace), "Normal", "QuietTime", "Wait", "engine may wake")
    (event,) = events(control_plane, namespace, f"uid-{namespace}")
    assert event["series"]["count"] == 3


async def test_a_removed_event_is_written_anew(
    control_plane: ControlPlane, recorder: EventRecorder, namespace: str
) -> None:
    await recorder.record(cleanup(namespace), "Normal", "QuietTime", "Wait", "engine may wake")
    control_plane.kubectl("delete", "events", "--all", f"--namespace={namespace}")
    await recorder.record(cleanup(namespace), "Normal", "QuietTime", "Wait", "engine may wake")
    (event,) = events(control_plane, namespace, f"uid-{namespace}")
    assert "series" not in event


async def test_the_longest_values_are_accepted(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    recorder = EventRecorder(api, "i" * 300)
    regarding = ObjectReference(API_VERSION, "FailedExecutionCleanup", namespace, "n" * 253, f"uid-{namespace}")
    await recorder.record(regarding, "Normal", "R" * 128, "A" * 128, "漢" * 1000)
    (event,) = events(control_plane, namespace, f"uid-{namespace}")
    assert 1020 < len(event["note"].encode()) <= 1024


async def test_an_event_about_an_appliance_lives_in_the_default_namespace(
    control_plane: ControlPlane, recorder: EventRecorder, namespace: str
) -> None:
    regarding = ObjectReference(API_VERSION, "Appliance", None, "default", f"appliance-{namespace}")
    await recorder.record(regarding, "Warning", "DatabaseUnreachable", "Observe", "timeout")
    (event,) = events(control_plane, "default", f"appliance-{namespace}")
    assert "namespace" not in event["regarding"]


async def test_an_event_that_is_refused_stops_nothing(
    control_plane: ControlPlane, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    async with await KubernetesApi.connect(kubeconfig) as api:
        await EventRecorder(api, "fec").record(cleanup(namespace), "Normal", "QuietTime", "Wait", "engine may wake")
    assert [record.getMessage() for record in caplog.records] == ["Event not recorded"]
    assert events(control_plane, namespace, f"uid-{namespace}") == []
