"""From creation to deletion: TTL, deadline, history, deletion at any moment, and which namespaces are watched."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest
import yaml

from development.control_plane import ControlPlane
from development.stand import Stand
from tests.cluster.observed import assert_replica, condition
from tests.crash.stages import STAGES, hold, release
from tests.gitops.conftest import StartStand

pytestmark = pytest.mark.timeout(240)


# --- time to live -------------------------------------------------------------------------------------------------------


def test_a_finished_cleanup_is_deleted_after_its_time_and_one_that_needs_a_person_is_kept(stand: Stand) -> None:
    stand.build("F11", "ttl-cleaned", disks=1)
    stand.build("F28", "ttl-stalled", disks=1)
    stand.build("R06", "ttl-suspect")
    for name in ("ttl-cleaned", "ttl-stalled", "ttl-suspect"):
        stand.apply_cleanup(name, name, ttlSecondsAfterFinished=2)
    stand.wait_for("ttl-stalled", "Stalled")
    stand.wait_for("ttl-suspect", "Stalled")
    stand.wait_until_gone("ttl-cleaned")
    assert condition(stand.cleanup("ttl-stalled"), "Ready") == ("False", "RunningTestVM")
    assert condition(stand.cleanup("ttl-suspect"), "Ready") == ("False", "CleanedDataSuspect")


@pytest.mark.parametrize(("row", "name"), [("R12", "ttl-already-clean"), ("F02b", "ttl-nothing-to-do")])
def test_a_cleanup_that_had_nothing_to_do_goes_as_well(stand: Stand, row: str, name: str) -> None:
    stand.build(row, name)
    stand.apply_cleanup(name, name, ttlSecondsAfterFinished=0)
    stand.wait_until_gone(name)


def test_the_time_goes_on_while_no_operator_runs(start_stand: StartStand) -> None:
    stand = start_stand()
    first = stand.start_operator()
    stand.build("R12", "ttl1")
    stand.apply_cleanup("ttl1", "ttl1", ttlSecondsAfterFinished=3600)
    ended = stand.wait_for("ttl1", "Ready")["status"]["completedAt"]
    first.stop(grace_seconds=10)
    assert datetime.fromisoformat(ended).tzinfo is not None
    # A time that is over by the time the next operator looks, told while nobody watched.
    stand.kubectl("patch", "fec/ttl1", "--type=merge", "-p", '{"spec": {"ttlSecondsAfterFinished": 0}}')
    stand.start_operator()
    stand.wait_until_gone("ttl1")


# --- deadline and history -----------------------------------------------------------------------------------------------


def test_the_last_five_runs_are_kept_newest_first(stand: Stand) -> None:
    built = stand.build("F11", "history1", disks=1)
    stand.apply_cleanup("history1", "history1")
    stand.wait_for("history1", "Ready")
    for number in range(2, 8):
        stand.rows(
            "UPDATE vm_replication_contexts SET current_status = 'failed_over_test' WHERE context_id = :context",
            context=built["vm"]["context_id"],
        )
        stand.annotate("history1", requestedAt=f"run-{number}")
        stand.wait_until_handled("history1", f"run-{number}")
        stand.wait_for("history1", "Ready")
    history = stand.cleanup("history1")["status"]["history"]
    assert [run["run"] for run in history] == [7, 6, 5, 4, 3]
    assert [run["requestedAt"] for run in history] == [f"run-{n}" for n in (7, 6, 5, 4, 3)]
    assert {run["result"] for run in history} == {"Cleaned"}
    assert all(run["startedAt"] <= run["completedAt"] for run in history)


def test_a_cleanup_that_takes_longer_than_its_deadline_stops_with_every_volume_named(start_stand: StartStand) -> None:
    stand = start_stand()
    stand.start_operator()
    built = stand.build("F11", "deadline1", disks=1)
    stand.fault(kind="job_hangs", command="revertSnapshot", times=1)
    stand.apply_cleanup("deadline1", "deadline1", deadlineSeconds=60)
    stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert hangs")
    # A minute is the shortest deadline: let the run have begun long ago instead of waiting.
    stand.wait_until(lambda: seconds_of(stand) > 60, seconds=90, what="the deadline is over")
    stand.act("release_hanging_jobs")
    cleanup = stand.wait_for_reason("deadline1", "DeadlineExceeded")
    assert condition(cleanup, "Stalled") == ("True", "DeadlineExceeded")
    stand.wait_until(lambda: not stand.cleanup("deadline1")["metadata"].get("finalizers"), what="no finalizer")
    assert stand.holders(built) == {stand.oma_vm_id}

    stand.annotate("deadline1", requestedAt="again")
    assert condition(stand.wait_for("deadline1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


def seconds_of(stand: Stand) -> float:
    """How long ago the run began."""
    status = stand.cleanup("deadline1")["status"]
    began = datetime.fromisoformat(status["startedAt"])
    return (datetime.now(began.tzinfo) - began).total_seconds()


# --- deletion -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", STAGES)
def test_a_cleanup_deleted_at_any_moment_goes_in_order_and_a_new_one_finishes(
    start_stand: StartStand, stage: str
) -> None:
    stand = start_stand(**STAGES[stage].settings)
    stand.start_operator()
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES[stage].latency)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")
    stand.kubectl("delete", "fec/pgtest1", "--wait=false")
    release(stand, stage)
    stand.wait_until_gone("pgtest1")
    assert stand.state()["pending_jobs"] == []
    (claim,) = stand.rows("SELECT status, owner FROM job_tracking WHERE operation = 'failed-execution-cleanup'")
    assert claim["status"] in {"cancelled", "completed"}
    reverted = {effect["object_id"] for effect in stand.effects("reverted")}
    pristine = {snapshot["volume_id"] for snapshot in stand.snapshots(built)}
    assert set(built["volume_ids"]) <= reverted | pristine

    stand.apply_cleanup("pgtest1", "pgtest1")
    assert condition(stand.wait_for("pgtest1", "Ready"), "Ready")[0] == "True"
    assert_replica(stand, built)


LASTING: dict[str, tuple[str, str, dict[str, Any], dict[str, Any]]] = {
    "waiting": ("F11", "FailoverStillRunning", {"age_seconds": 5}, {}),
    "stalled": ("F28", "RunningTestVM", {}, {}),
    "suspended": ("F11", "Suspended", {}, {"suspend": True}),
    "planned": ("F11", "PlanReady", {}, {"mode": "Plan"}),
    "finished": ("R12", "AlreadyClean", {}, {}),
}


@pytest.mark.parametrize("state", LASTING)
def test_a_cleanup_that_holds_nothing_is_gone_at_once(stand: Stand, state: str) -> None:
    row, reason, building, spec = LASTING[state]
    name = f"gone-{state}"
    built = stand.build(row, name, **building)
    stand.apply_cleanup(name, name, **spec)
    stand.wait_for_reason(name, reason)
    stand.kubectl("delete", f"fec/{name}", "--timeout=5s")
    assert stand.requests(about=built) == []


# --- namespaces ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def namespace_plane() -> Iterator[ControlPlane]:
    """A control plane without other stands: an operator that watches all namespaces works on their cleanups, too."""
    with ControlPlane() as running:
        yield running


@pytest.mark.parametrize(
    ("watched", "expected"),
    [(["one"], {"one"}), (["one", "two"], {"one", "two"}), ([], {"one", "two", "three"})],
    ids=["one", "several", "all"],
)
def test_only_cleanups_in_watched_namespaces_are_worked_on(
    namespace_plane: ControlPlane, watched: list[str], expected: set[str]
) -> None:
    with Stand(namespace_plane) as stand:
        assert_watches(stand, watched, expected)


def assert_watches(stand: Stand, watched: list[str], expected: set[str]) -> None:
    names = {short: f"{stand.namespace}-{short}" for short in ("one", "two", "three")}
    for namespace in names.values():
        stand.control_plane.create_namespace(namespace)
    stand.apply_appliance(stand.appliance, allowedNamespaces=list(names.values()))
    stand.start_operator(FEC_WATCH_NAMESPACES=json.dumps([names[short] for short in watched]))
    for short, namespace in names.items():
        stand.build("R12", f"vm-{short}")
        document = stand.manifest("same-name", f"vm-{short}")
        document["metadata"]["namespace"] = namespace
        stand.apply(yaml.safe_load(yaml.safe_dump(document)))
    for short in expected:
        wait = ("wait", "--for=condition=Ready", "--timeout=25s", "fec/same-name", f"--namespace={names[short]}")
        stand.control_plane.kubectl(*wait)
    for short in names.keys() - expected:
        shown = stand.control_plane.kubectl("get", "fec", "same-name", f"--namespace={names[short]}", "-o", "json")
        assert json.loads(shown.stdout)["status"] == {"observedGeneration": -1}
