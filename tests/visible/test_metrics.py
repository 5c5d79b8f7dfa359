"""Every family that is defined is written by a run, or it is said here why not."""

from __future__ import annotations

from typing import Final

import pytest

from failed_execution_cleanup.controller.metrics import CONTROLLER
from tests.visible.conftest import Run

pytestmark = pytest.mark.timeout(400)

UNMOVED: Final = {
    "controller_runtime_reconcile_errors": "nothing raises in a run without trouble of the API",
    "workqueue_retries": "the same",
    "workqueue_depth": "a key waits for microseconds while workers are free",
    "fec_queue_oldest_wait_seconds": "the same",
}


def test_every_family_moved_in_a_run(run: Run) -> None:
    unmoved = {family for family in run.scraper.families if not run.scraper.moved(family)}
    assert unmoved - UNMOVED.keys() == set()
    assert run.scraper.families >= UNMOVED.keys()


def test_the_run_is_counted_as_what_it_was(run: Run) -> None:
    value, appliance = run.scraper.value, run.stand.appliance
    assert value("leader_election_master_status", name="failed-execution-cleanup") == 1
    assert value("controller_runtime_max_concurrent_reconciles", controller=CONTROLLER) == 32
    assert value("fec_cleanups_finished_total", appliance=appliance) == 1
    assert value("fec_cleanups_finished_total", appliance=appliance, reason="Cleaned") == 1
    assert value("fec_claims_total", appliance=appliance) == value("fec_claims_total", how="new") == 1
    completed = [p["name"] for p in run.cleaned["status"]["phases"] if p["state"] == "Completed"]
    assert value("fec_cleanup_phase_duration_seconds_count", appliance=appliance) == len(completed)
    assert {p for p in completed if value("fec_cleanup_phase_duration_seconds_count", phase=p) == 1} == set(completed)
    reverts = [r for r in run.memory["requests"] if r["kind"] == "revert"]
    labels = {"appliance": appliance, "command": "revertSnapshot", "outcome": "200"}
    assert value("fec_appliance_requests_total", **labels) == len(reverts)


def test_the_census_knows_who_waits_and_who_is_done(run: Run) -> None:
    value, namespace = run.scraper.value, run.stand.namespace
    assert value("fec_cleanups", namespace=namespace, state="finished", reason="Cleaned") == 1
    assert value("fec_cleanups", namespace=namespace, state="waiting", reason="ApplianceUnreachable") == 1
    oldest = value("fec_oldest_unfinished_cleanup_timestamp_seconds", appliance=f"{run.stand.appliance}-database")
    assert oldest > 0


def test_parts_that_answer_are_up_and_others_are_not(run: Run) -> None:
    sound, wrong = run.stand.appliance, f"{run.stand.appliance}-database"
    up = {
        system: run.scraper.value("fec_appliance_up", appliance=sound, system=system)
        for system in ("Database", "OSSEA")
    }
    assert up == {"Database": 1, "OSSEA": 1}
    assert f'fec_appliance_up{{appliance="{wrong}",system="Database"}} 0.0' in run.scraper.text
    assert f'fec_appliance_up{{appliance="{wrong}",system="OSSEA"}}' not in run.scraper.text
