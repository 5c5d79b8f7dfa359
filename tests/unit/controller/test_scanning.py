"""What becomes of a scan: the Appliance's status, its Events, and the cleanups it creates."""

# ruff: noqa: ARG002 (the stand-in has the signatures of the real client)

from __future__ import annotations

import copy
from collections.abc import AsyncIterator, Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import pytest

from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.errors import Unavailable
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.controller import scanning
from failed_execution_cleanup.controller.cleanup_index import CleanupIndex
from failed_execution_cleanup.controller.drift_writer import DriftWriter
from failed_execution_cleanup.controller.events import EventRecorder
from failed_execution_cleanup.controller.kubernetes_api import (
    Body,
    Conflict,
    CustomResource,
    Forbidden,
    KubernetesApi,
    KubernetesError,
    NotFound,
)
from failed_execution_cleanup.controller.scanning import MAX_REMEMBERED, ApplianceScanner, Scanned
from failed_execution_cleanup.detection.scan import ScanResult
from failed_execution_cleanup.detection.stuck import StuckFailover
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceStatus, StuckJob
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.identifiers import CLEANUPS_CREATED_ANNOTATION
from failed_execution_cleanup.resources.naming import cleanup_name
from failed_execution_cleanup.run.queue import WorkQueue

NOW: Final = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
EXECUTE: Final = {"action": "Execute", "namespace": "dr"}
CLOSED: Final = {"name": "never", "start": "00:00", "end": "00:01", "timeZone": "UTC", "days": ["Mon"]}
CREATED = "2026-01-31T10:00:00Z"


class ApiServer:
    """Cleanups by name and one Appliance, as the API server keeps them; refuses a creation when told to."""

    def __init__(self, *cleanups: Body) -> None:
        self.cleanups: dict[str, Body] = {body["metadata"]["name"]: body for body in cleanups}
        self.annotations: dict[str, str] = {}
        self.events: list[tuple[str, str, str]] = []
        self.reads = 0
        self.refusal: KubernetesError | None = None

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        self.reads += 1
        if name not in self.cleanups:
            raise NotFound(name, status=404)
        return copy.deepcopy(self.cleanups[name])

    async def list(self, resource: CustomResource, namespace: str | None = None) -> AsyncIterator[Body]:
        for body in tuple(self.cleanups.values()):
            yield body

    async def create(self, resource: CustomResource, namespace: str | None, body: Body) -> Body:
        if self.refusal is not None:
            raise self.refusal
        name = body["metadata"]["name"]
        if name in self.cleanups:
            raise Conflict(name, status=409)
        self.cleanups[name] = {**body, "metadata": {**body["metadata"], "uid": f"uid-{name}"}}
        return self.cleanups[name]

    async def set_annotations(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        annotations: Mapping[str, str],
        *,
        resource_version: str,
    ) -> Body:
        self.annotations |= annotations
        return {}

    async def create_event(self, namespace: str, body: Body) -> None:
        self.events.append((body["type"], body["reason"], body["note"]))

    async def patch_event(self, namespace: str, name: str, patch: Body) -> None:
        raise NotFound(name, status=404)


def appliance(detection: Mapping[str, Any] | None = None, *stuck: StuckJob, created: str = "") -> Appliance:
    body = stored(created)
    body["spec"]["detection"] = dict(detection or {})
    found = Appliance.model_validate(body)
    return found.model_copy(update={"status": ApplianceStatus(stuck=stuck)})


def stored(created: str = "") -> Body:
    annotations = {CLEANUPS_CREATED_ANNOTATION: created} if created else {}
    return {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": "oma", "uid": "uid-oma", "resourceVersion": "7", "annotations": annotations},
        "spec": {
            "allowedNamespaces": ["dr"],
            "database": {"urlSecretRef": {"name": "db", "key": "url"}},
            "volumeDaemon": {"url": "http://oma:8090"},
        },
    }


def failover(number: int = 1, *, reason: Reason | None = None) -> StuckFailover:
    since = NOW - timedelta(hours=number)
    return StuckFailover(
        f"job-{number}", f"ctx-{number}", f"vm{number}", "vc01", False, "test failover", since, "x", reason
    )


def name_of(job: StuckFailover) -> str:
    return cleanup_name(job.vm_name, job.job_id)


def scanner_on(api: ApiServer) -> ApplianceScanner:
    real = cast("KubernetesApi", api)
    index = CleanupIndex()
    for body in api.cleanups.values():
        index.see(body)
    events = EventRecorder(real, "test")
    return ApplianceScanner(
        real, index, events, DriftWriter(real, events, WorkQueue()), "operators-own", now=lambda: NOW
    )


async def looked(
    monkeypatch: pytest.MonkeyPatch, api: ApiServer, at: Appliance, result: ScanResult | Exception
) -> Scanned:
    async def scan(*_: object) -> ScanResult:
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(scanning, "scan", scan)
    return await scanner_on(api).look(at, cast("OMADatabase", None), cast("OSSEAClient", None))


async def acted(api: ApiServer, at: Appliance, *stuck: StuckFailover, created: str = "") -> None:
    scanned = Scanned(ScanResult(stuck=stuck), creating=True)
    await scanner_on(api).follow_up(at, stored(created), scanned)


async def test_one_cleanup_is_created_for_each_failed_job_and_remembered() -> None:
    api = ApiServer()
    await acted(api, appliance(EXECUTE), failover(1), failover(2))
    assert api.cleanups.keys() == {name_of(failover(1)), name_of(failover(2))}
    body = api.cleanups[name_of(failover(1))]
    assert body["metadata"]["labels"] == {"failover.ossea.io/appliance": "oma"}
    assert body["spec"]["failoverJobID"] == "job-1"
    assert body["spec"]["mode"] == "Execute"
    assert api.annotations[CLEANUPS_CREATED_ANNOTATION] == f"{name_of(failover(1))},{name_of(failover(2))}"


async def test_what_was_created_before_and_is_gone_was_dismissed() -> None:
    api = ApiServer()
    await acted(api, appliance(EXECUTE), failover(1), created=name_of(failover(1)))
    assert api.cleanups == {}


async def test_one_that_a_person_made_is_enough() -> None:
    by_hand = {
        "metadata": {"namespace": "elsewhere", "name": "by-hand", "uid": "u", "creationTimestamp": CREATED},
        "spec": {"vmName": "vm1", "applianceRef": {"name": "oma"}},
    }
    api = ApiServer(by_hand)
    await acted(api, appliance(EXECUTE), failover(1))
    assert api.cleanups.keys() == {"by-hand"}


async def test_one_that_the_watch_has_not_shown_yet_is_found_before_another_is_made() -> None:
    api = ApiServer()
    scanner = scanner_on(api)
    api.cleanups["late"] = {
        "metadata": {"namespace": "dr", "name": "late", "uid": "u", "creationTimestamp": CREATED},
        "spec": {"vmName": "other", "failoverJobID": "job-1", "applianceRef": {"name": "oma"}},
    }
    await scanner.follow_up(appliance(EXECUTE), stored(), Scanned(ScanResult(stuck=(failover(1),)), creating=True))
    assert api.cleanups.keys() == {"late"}


async def test_one_that_was_created_and_not_remembered_is_remembered_now() -> None:
    api = ApiServer()
    await acted(api, appliance(EXECUTE), failover(1))
    api.annotations.clear()
    scanner = scanner_on(ApiServer())  # nothing seen yet
    scanner._api = cast("KubernetesApi", api)
    scanner._refresh = _nothing  # type: ignore[method-assign]
    await scanner.follow_up(appliance(EXECUTE), stored(), Scanned(ScanResult(stuck=(failover(1),)), creating=True))
    assert api.annotations == {CLEANUPS_CREATED_ANNOTATION: name_of(failover(1))}


async def _nothing() -> None:
    return None


async def test_the_newest_thousand_are_remembered() -> None:
    api = ApiServer()
    before = ",".join(f"vm-{n}" for n in range(MAX_REMEMBERED))
    await acted(api, appliance(EXECUTE), failover(1), created=before)
    names = api.annotations[CLEANUPS_CREATED_ANNOTATION].split(",")
    assert (len(names), names[0], names[-1]) == (MAX_REMEMBERED, "vm-1", name_of(failover(1)))


async def test_a_creation_that_is_refused_is_told_and_does_not_end_the_scan() -> None:
    api = ApiServer()
    api.refusal = Forbidden("no right to create", status=403)
    await acted(api, appliance(EXECUTE), failover(1))
    assert [reason for type_, reason, _ in api.events if type_ == "Warning"] == ["CleanupNotCreated"]
    assert api.annotations == {}


@pytest.mark.parametrize(
    ("detection", "creating", "reason", "problem"),
    [
        ({}, False, None, None),
        (EXECUTE, True, None, None),
        ({**EXECUTE, "windows": [CLOSED]}, False, "OutsideWindow", None),
        ({**EXECUTE, "namespace": "foreign"}, False, None, "allowedNamespaces"),
        ({**EXECUTE, "windows": [{**CLOSED, "timeZone": "Europe/Atlantis"}]}, False, None, "Europe/Atlantis"),
    ],
    ids=["report", "execute", "window", "namespace", "time zone"],
)
async def test_cleanups_are_created_only_where_and_when_the_appliance_says(
    monkeypatch: pytest.MonkeyPatch,
    detection: Mapping[str, Any],
    creating: bool,
    reason: str | None,
    problem: str | None,
) -> None:
    found = await looked(monkeypatch, ApiServer(), appliance(detection), ScanResult(stuck=(failover(1),)))
    assert found.creating is creating
    assert found.stuck[0].reason == reason
    assert [problem] if problem is not None else list(found.problems) == []
    assert problem is None or problem in found.problems[0]


async def test_a_scan_that_fails_keeps_what_was_found_before(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (await looked(monkeypatch, ApiServer(), appliance(), ScanResult(stuck=(failover(1),)))).stuck
    at = appliance({}, *before)
    down = Unavailable("no answer", system="OSSEA", remedy="Wait.")
    found = await looked(monkeypatch, ApiServer(), at, down)
    status = found.told(at.status, 1, NOW)
    assert status.stuck == before
    assert status.last_scan_time is None
    scan = get_condition(status.conditions, "Scanned")
    assert scan is not None
    assert (scan.status, scan.reason) == ("False", "ScanIncomplete")
    assert "no answer" in scan.message


async def test_what_has_no_verdict_this_time_stays_as_it_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    before = (await looked(monkeypatch, ApiServer(), appliance(), ScanResult(stuck=(failover(1), failover(2))))).stuck
    at = appliance({}, *before)
    found = await looked(monkeypatch, ApiServer(), at, ScanResult(unsettled=frozenset({"ctx-1"})))
    assert [job.job_id for job in found.stuck] == ["job-1"]


async def test_the_list_is_bounded_and_the_count_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    result = ScanResult(stuck=tuple(failover(n) for n in range(150)))
    status = (await looked(monkeypatch, ApiServer(), appliance(), result)).told(ApplianceStatus(), 1, NOW)
    assert (len(status.stuck), status.stuck_vms) == (100, 150)


async def test_events_tell_changes_once_and_many_together() -> None:
    api = ApiServer()
    scanner = scanner_on(api)
    told = tuple(_told(failover(n)) for n in range(15))

    await scanner.follow_up(appliance(), stored(), Scanned(ScanResult(), told))
    assert [reason for _, reason, _ in api.events] == ["StuckFailover"] * 11
    assert "5 more" in api.events[-1][2]

    api.events.clear()
    await scanner.follow_up(appliance({}, *told), stored(), Scanned(ScanResult(), told[1:]))
    assert [(type_, reason) for type_, reason, _ in api.events] == [("Normal", "StuckFailoverGone")]


def _told(job: StuckFailover, entries: Collection[Any] = ()) -> StuckJob:
    return scanning._stuck_job(job, entries, None)
