"""`fec diagnose`: the first thing a maintainer would ask for is in it, whatever is broken."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from failed_execution_cleanup import __version__
from tests.visible.conftest import Run

pytestmark = pytest.mark.timeout(400)


def bundle(run: Run, file: str) -> dict[str, Any]:
    text = run.outputs[file]
    found: dict[str, Any] = json.loads(text) if file.endswith(".json") else yaml.safe_load(text)
    return found


def test_stuck_vm_shows_what_is_observed_and_what_would_be_done_and_why(run: Run) -> None:
    told = bundle(run, "before.yaml")
    records, cloud = told["observation"]["records"], told["observation"]["cloud"]
    assert records["context"]["vm_name"] == "pgtest1"
    assert len(records["failovers"]) == 1
    assert set(cloud["volumes"]) == {row["volume_id"] for row in records["volumes"]}
    (decision,) = told["decisions"]
    assert (decision["for"], decision["decision"]) == ("a new cleanup", "Act")
    assert {step["action"] for step in decision["plan"]} >= {"revert", "delete-snapshot", "close-incident"}
    assert all(step["why"] for step in decision["plan"])
    assert told["claims"] == []
    assert told["cleanups"] == []


def test_cleaned_vm_shows_claim_memory_and_resource(run: Run) -> None:
    told = bundle(run, "after.json")
    (claim,) = told["claims"]
    assert claim["id"] == run.cleaned["status"]["cleanupJobID"]
    assert claim["memory"] == run.memory
    (cleanup,) = told["cleanups"]
    assert cleanup["status"] == run.cleaned["status"]
    assert "managedFields" not in cleanup["metadata"]
    (decision,) = told["decisions"]
    assert decision["for"] == f"{run.stand.namespace}/pgtest1"
    assert decision["plan"] == []
    assert all(goal["reached"] for goal in decision["goals"].values())


def test_the_running_operator_tells_its_health_and_recent_calls(run: Run) -> None:
    operator = bundle(run, "after.json")["operator"]
    assert operator["leader"]["holder"]
    assert operator["liveness"]["status"] == operator["readiness"]["status"] == "ok"
    commands = {call["command"] for call in operator["calls"][run.stand.appliance]}
    assert {"revertSnapshot", "deleteSnapshot"} <= commands


def test_who_asks_with_what_is_told(run: Run) -> None:
    told = bundle(run, "after.json")
    assert told["versions"]["failed-execution-cleanup"] == __version__
    assert told["versions"]["kubernetesApiServer"].startswith("v")
    assert told["settings"]["namespace"] == run.stand.operator_namespace
    assert told["appliance"]["spec"]["database"]["urlSecretRef"] == {"name": "oma-database", "key": "url"}
    assert told["callsOfThisDiagnosis"] != []


def test_what_the_operators_rights_do_not_show_is_named(run: Run) -> None:
    """The operator may create Events and not read them: a person's kubeconfig shows them."""
    parts = [problem["part"] for problem in bundle(run, "after.json")["problems"]]
    assert parts == [f"Events of cleanup {run.stand.namespace}/pgtest1"]


def test_unreachable_database_is_a_problem_and_hides_nothing_else(run: Run) -> None:
    told = bundle(run, "unreachable.yaml")
    causes = {problem["part"]: problem["cause"] for problem in told["problems"]}
    assert "does not accept the user or the password" in causes["observation"]
    assert told["observation"] is None
    assert told["volumeDaemon"]["status"] == "healthy"
    assert [c["metadata"]["name"] for c in told["cleanups"]] == ["pgtest3"]
    assert told["cleanups"][0]["status"]["conditions"] != []
