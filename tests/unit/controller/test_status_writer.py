"""The writer of one cleanup object, on an API that keeps it in memory; what transitions say in Events."""

import asyncio
import copy
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    Conflict,
    CustomResource,
    Forbidden,
    Invalid,
    KubernetesError,
    NotFound,
    Unreachable,
)
from failed_execution_cleanup.controller.status_writer import EventNote, StatusWriter, transitions
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.identifiers import FINALIZER


class ApiServer:
    """One cleanup as the API server keeps it: resourceVersion, Conflict, status isolation, merge patch."""

    def __init__(self) -> None:
        self.body: Body | None = {
            "apiVersion": CLEANUPS.api_version,
            "kind": CLEANUPS.kind,
            "metadata": {
                "name": "pgtest1",
                "namespace": "dr",
                "uid": "uid-1",
                "generation": 1,
                "resourceVersion": "1",
            },
            "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}},
            "status": {"observedGeneration": -1},
        }
        self.patches: list[Body] = []
        self.refusals: list[KubernetesError] = []
        self.before_patch: Callable[[], None] = lambda: None
        self.answers_lost = 0

    def change(self, **metadata: Any) -> None:
        """Somebody else writes the object."""
        assert self.body is not None
        version = int(self.body["metadata"]["resourceVersion"]) + 1
        self.body["metadata"] |= {**metadata, "resourceVersion": str(version)}

    @property
    def finalizers(self) -> list[str]:
        assert self.body is not None
        found: list[str] = self.body["metadata"].get("finalizers", [])
        return found

    def read(self) -> Body:
        return copy.deepcopy(self._current())

    def _current(self) -> Body:
        if self.body is None:
            raise NotFound("not found", status=404)
        return self.body

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        await asyncio.sleep(0)
        assert (resource, namespace, name) == (CLEANUPS, "dr", "pgtest1")
        return self.read()

    async def patch_status(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        body = await self._accept(resource, namespace, name, resource_version)
        self.patches.append(patch)
        body["status"] = merged(body.get("status", {}), patch)
        self.change()
        if self.answers_lost:
            self.answers_lost -= 1
            raise Unreachable("no answer")
        return self.read()

    async def set_finalizers(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        finalizers: Sequence[str],
        *,
        resource_version: str,
    ) -> Body:
        await self._accept(resource, namespace, name, resource_version)
        self.change(finalizers=[*finalizers])
        return self.read()

    async def _accept(self, resource: CustomResource, namespace: str | None, name: str, resource_version: str) -> Body:
        await asyncio.sleep(0)
        assert (resource, namespace, name) == (CLEANUPS, "dr", "pgtest1")
        self.before_patch()
        if self.refusals:
            raise self.refusals.pop(0)
        body = self._current()
        if body["metadata"]["resourceVersion"] != resource_version:
            raise Conflict("conflict", status=409)
        return body


def merged(before: Any, patch: Body) -> Body:
    """RFC 7386."""
    result = dict(before) if isinstance(before, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value) if isinstance(value, dict) else value
    return result


def told(summary: str, **more: Any) -> Callable[[FailedExecutionCleanup], CleanupStatus]:
    """A status that says so, whatever it was before."""
    return lambda latest: latest.status.model_copy(
        update={"observed_generation": latest.metadata.generation, "phase_summary": summary, **more}
    )


@pytest.fixture
def api() -> ApiServer:
    return ApiServer()


@pytest.fixture
def writer(api: ApiServer) -> StatusWriter:
    return StatusWriter(api, api.read())


@pytest.mark.looptime
class TestWriting:
    async def test_the_stored_status_is_the_made_one(self, api: ApiServer, writer: StatusWriter) -> None:
        await writer.write(told("1/5"))
        assert writer.cleanup.status.phase_summary == "1/5"
        assert api.read()["status"]["phaseSummary"] == "1/5"
        assert api.read()["status"]["observedGeneration"] == 1

    async def test_only_differences_are_sent_and_removed_keys_are_nulled(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        await writer.write(told("1/5", plan_hash="abc"))
        await writer.write(told("1/5", plan_hash=None), force=True)
        assert api.patches[-1] == {"planHash": None}

    async def test_empty_lists_are_left_out(self, api: ApiServer, writer: StatusWriter) -> None:
        volumes = ({"id": "vol-1", "holder": "OMA"},)
        await writer.write(lambda latest: CleanupStatus.model_validate({**dict(latest.status), "volumes": volumes}))
        assert api.read()["status"]["volumes"] == [*volumes]
        await writer.write(told("1/5", volumes=()), force=True)
        assert api.patches[-1]["volumes"] is None
        assert not writer.cleanup.status.volumes

    async def test_nothing_is_sent_when_nothing_changed(self, api: ApiServer, writer: StatusWriter) -> None:
        await writer.write(told("1/5"))
        await writer.write(told("1/5"), force=True)
        assert await writer.flush()
        assert len(api.patches) == 1

    async def test_within_a_second_only_the_newest_status_is_kept(self, api: ApiServer, writer: StatusWriter) -> None:
        await writer.write(told("1/5"))
        await writer.write(told("2/5"))
        await writer.write(told("3/5"))
        assert [patch["phaseSummary"] for patch in api.patches] == ["1/5"]
        assert await writer.flush()
        assert [patch["phaseSummary"] for patch in api.patches] == ["1/5", "3/5"]

    async def test_what_was_kept_is_written_when_the_second_is_over_though_nothing_more_happens(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        await writer.write(told("1/5"))
        await writer.write(told("2/5"))
        began = asyncio.get_running_loop().time()
        await writer.settle()
        assert api.read()["status"]["phaseSummary"] == "2/5"
        assert asyncio.get_running_loop().time() - began == pytest.approx(1.0, abs=0.01)
        await writer.settle()
        assert len(api.patches) == 2

    async def test_what_could_not_be_written_is_tried_until_it_is_stored(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        api.refusals = [Unreachable("down"), Unreachable("down")]
        await writer.write(told("1/5"))
        await writer.settle()
        assert api.read()["status"]["phaseSummary"] == "1/5"

    async def test_after_a_second_the_next_status_is_written(self, api: ApiServer, writer: StatusWriter) -> None:
        for summary in ("1/5", "2/5", "3/5", "4/5", "5/5"):
            await writer.write(told(summary))
            await asyncio.sleep(0.5)
        assert [patch["phaseSummary"] for patch in api.patches] == ["1/5", "3/5", "5/5"]

    async def test_a_write_that_changes_nothing_does_not_hold_up_the_next(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        await writer.write(lambda latest: latest.status)
        assert not api.patches
        await writer.write(told("1/5"))
        assert api.read()["status"]["phaseSummary"] == "1/5"

    async def test_force_does_not_wait(self, api: ApiServer, writer: StatusWriter) -> None:
        await writer.write(told("1/5"))
        await writer.write(told("2/5"), force=True)
        assert api.read()["status"]["phaseSummary"] == "2/5"

    async def test_after_a_conflict_the_status_is_made_from_the_object_as_it_is_then(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        api.change(generation=2)
        await writer.write(told("1/5"))
        assert api.read()["status"]["observedGeneration"] == 2

    async def test_an_object_that_keeps_changing_is_left_alone_for_now(
        self, api: ApiServer, writer: StatusWriter, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.before_patch = api.change
        await writer.write(told("1/5"))
        assert not api.patches
        assert "keeps changing" in caplog.text
        assert not await writer.flush()
        api.before_patch = lambda: None
        assert await writer.flush()
        assert api.read()["status"]["phaseSummary"] == "1/5"

    async def test_a_condition_is_logged_once_although_the_answer_of_its_write_was_lost(
        self, api: ApiServer, writer: StatusWriter, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.answers_lost = 1
        caplog.set_level(logging.INFO)
        attached = status(("VolumesAttached", "True", "GoalReached")).conditions
        await writer.write(told("1/5", conditions=attached))
        assert "Condition changed" not in caplog.text, "nobody knows that it is stored"
        await writer.refresh()
        await writer.write(told("2/5", conditions=attached), force=True)
        await writer.write(told("3/5", conditions=attached), force=True)
        logged = [vars(record) for record in caplog.records if record.msg == "Condition changed"]
        assert [record["condition"] for record in logged] == ["VolumesAttached"]

    async def test_an_object_that_is_gone_ends_it_quietly(self, api: ApiServer, writer: StatusWriter) -> None:
        api.body = None
        await writer.write(told("1/5"))
        assert writer.gone
        assert await writer.flush()
        await writer.drop_finalizer()

    async def test_another_object_of_the_same_name_is_not_written(self, api: ApiServer, writer: StatusWriter) -> None:
        api.change(uid="uid-2")
        await writer.write(told("1/5"))
        assert writer.gone
        assert not api.patches

    @pytest.mark.parametrize("refusal", [Forbidden("no role"), Invalid("old schema"), KubernetesError("odd")])
    async def test_a_refused_status_is_kept_for_the_next_try(
        self, api: ApiServer, writer: StatusWriter, refusal: KubernetesError, caplog: pytest.LogCaptureFixture
    ) -> None:
        api.refusals.append(refusal)
        await writer.write(told("1/5"))
        assert not api.patches
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert await writer.flush()
        assert api.read()["status"]["phaseSummary"] == "1/5"

    async def test_a_write_that_cannot_be_made_is_reported_by_flush(self, api: ApiServer, writer: StatusWriter) -> None:
        api.refusals += [Unreachable("no answer"), Unreachable("no answer")]
        await writer.write(told("1/5"))
        assert not await writer.flush()
        assert await writer.flush()

    async def test_the_pause_the_api_server_asks_for_is_kept(self, api: ApiServer, writer: StatusWriter) -> None:
        api.refusals.append(Unreachable("too many requests", status=429, retry_after_seconds=30))
        await writer.write(told("1/5"))
        await asyncio.sleep(29)
        await writer.write(told("2/5"))
        assert not api.patches
        await asyncio.sleep(1)
        await writer.write(told("3/5"))
        assert api.read()["status"]["phaseSummary"] == "3/5"

    async def test_a_lost_answer_is_not_written_twice(self, api: ApiServer, writer: StatusWriter) -> None:
        stale = StatusWriter(api, api.read())
        await writer.write(told("1/5"))
        await stale.write(told("1/5"))
        assert len(api.patches) == 1
        assert stale.cleanup == writer.cleanup

    async def test_calls_at_once_write_one_after_the_other(self, api: ApiServer, writer: StatusWriter) -> None:
        await asyncio.gather(
            writer.write(told("1/5"), force=True),
            writer.ensure_finalizer(),
            writer.write(told("2/5"), force=True),
        )
        assert (api.finalizers, api.read()["status"]["phaseSummary"]) == ([FINALIZER], "2/5")

    async def test_a_clock_of_ones_own_paces_the_writes(self, api: ApiServer) -> None:
        now = 100.0
        writer = StatusWriter(api, api.read(), clock=lambda: now)
        await writer.write(told("1/5"))
        await writer.write(told("2/5"))
        assert len(api.patches) == 1
        now = 101.0
        await writer.write(told("3/5"))
        assert len(api.patches) == 2


@pytest.mark.looptime
class TestFinalizer:
    async def test_it_comes_and_goes_beside_those_of_others(self, api: ApiServer) -> None:
        api.change(finalizers=["example.com/other"])
        writer = StatusWriter(api, api.read())
        await writer.ensure_finalizer()
        assert api.finalizers == ["example.com/other", FINALIZER]
        await writer.drop_finalizer()
        assert api.finalizers == ["example.com/other"]

    async def test_nothing_is_sent_when_it_is_as_wanted(self, api: ApiServer, writer: StatusWriter) -> None:
        await writer.drop_finalizer()
        await writer.ensure_finalizer()
        version = api.read()["metadata"]["resourceVersion"]
        await writer.ensure_finalizer()
        assert api.read()["metadata"]["resourceVersion"] == version

    async def test_a_finalizer_added_meanwhile_is_kept(self, api: ApiServer, writer: StatusWriter) -> None:
        api.change(finalizers=["example.com/other"])
        await writer.ensure_finalizer()
        assert api.finalizers == ["example.com/other", FINALIZER]

    async def test_a_change_that_always_conflicts_fails(self, api: ApiServer, writer: StatusWriter) -> None:
        api.before_patch = api.change
        with pytest.raises(Conflict):
            await writer.ensure_finalizer()

    async def test_no_claim_can_be_guarded_on_an_object_that_is_gone(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        api.body = None
        with pytest.raises(NotFound):
            await writer.ensure_finalizer()
        assert writer.gone

    async def test_no_claim_is_guarded_on_another_object_of_the_name(
        self, api: ApiServer, writer: StatusWriter
    ) -> None:
        api.change(uid="uid-2")
        with pytest.raises(NotFound):
            await writer.ensure_finalizer()
        assert not api.finalizers

    async def test_trouble_is_raised(self, api: ApiServer, writer: StatusWriter) -> None:
        api.refusals.append(Forbidden("no role"))
        with pytest.raises(Forbidden):
            await writer.ensure_finalizer()
        await writer.ensure_finalizer()
        api.refusals.append(Unreachable("no answer"))
        with pytest.raises(Unreachable):
            await writer.drop_finalizer()
        assert api.finalizers == [FINALIZER]


@pytest.mark.looptime
async def test_refresh_shows_what_others_wrote(api: ApiServer, writer: StatusWriter) -> None:
    api.change(annotations={"failover.ossea.io/suspended": "true"})
    assert not writer.cleanup.suspended
    assert (await writer.refresh()).suspended
    api.body = None
    assert (await writer.refresh()).suspended
    assert writer.gone


# -- transitions -------------------------------------------------------------------------------------------------------


def status(*conditions: tuple[str, str, str], **more: Any) -> CleanupStatus:
    return CleanupStatus.model_validate(
        {
            "conditions": [
                {
                    "type": type_,
                    "status": state,
                    "reason": reason,
                    "message": f"{reason} it is.",
                    "lastTransitionTime": "2026-03-01T12:00:00Z",
                }
                for type_, state, reason in conditions
            ],
            **more,
        }
    )


WORKING = (("Ready", "Unknown", "Progressing"), ("Reconciling", "True", "Progressing"))
WAITING = (("Ready", "False", "QuietTime"), ("Reconciling", "True", "QuietTime"))
STALLED = (("Ready", "False", "RunningTestVM"), ("Stalled", "True", "RunningTestVM"))
CLEANED = (("Ready", "True", "Cleaned"),)
SUSPENDED = (("Ready", "False", "Suspended"), ("Suspended", "True", "Suspended"))


@pytest.mark.parametrize(
    ("before", "after", "type_", "reason", "action"),
    [
        ((), WORKING, "Normal", "Progressing", "CleanUp"),
        (WORKING, WAITING, "Normal", "QuietTime", "Wait"),
        (WAITING, STALLED, "Warning", "RunningTestVM", "Stop"),
        (WORKING, SUSPENDED, "Normal", "Suspended", "Hold"),
        (WORKING, CLEANED, "Normal", "Cleaned", "Finish"),
    ],
)
def test_a_new_reason_of_ready_is_an_event(
    before: tuple[tuple[str, str, str], ...],
    after: tuple[tuple[str, str, str], ...],
    type_: str,
    reason: str,
    action: str,
) -> None:
    (note,) = transitions(status(*before), status(*after))
    assert (note.type, note.reason, note.action, note.note) == (type_, reason, action, f"{reason} it is.")


def test_the_same_reason_is_no_event() -> None:
    assert transitions(status(*WORKING), status(*WORKING)) == []
    assert transitions(status(), status()) == []


def test_a_completed_phase_is_an_event_once() -> None:
    pending = status(phases=[{"name": "detach-volumes", "state": "Running"}])
    done = status(
        phases=[
            {"name": "detach-volumes", "state": "Completed", "done": 2, "total": 2},
            {"name": "cleanup-test-vm", "state": "Skipped"},
        ]
    )
    assert transitions(pending, done) == [
        EventNote("Normal", "PhaseCompleted", "DetachVolumes", "Phase detach-volumes is completed (2 of 2).")
    ]
    assert transitions(done, done) == []


def test_a_waiver_is_an_event_when_it_is_used_first() -> None:
    used = status(waiversUsed=[{"reason": "RunningTestVM", "object": "job"}])
    (note,) = transitions(status(), used)
    assert (note.type, note.reason) == ("Warning", "WaiverUsed")
    assert "RunningTestVM for job" in note.note
    assert transitions(used, used) == []


def test_drift_is_an_event_when_it_appears() -> None:
    drifted = status(*CLEANED, ("Drifted", "True", "DriftObserved"))
    (note,) = transitions(status(*CLEANED), drifted)
    assert (note.type, note.reason) == ("Warning", "DriftObserved")
    assert transitions(drifted, drifted) == []
