"""The operator as a process, on the emulator and the simulator: what the demo runs, without anything else installed."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from development.processes import Process
from tests.contract.api_server import CRDS, GROUP, ROOT, Cleanups, content, wait_until

OPERATOR_NAMESPACE = "failed-execution-cleanup"
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True, slots=True)
class Installation:
    """Simulator, emulator and operator, one appliance named `default`, cleanups in the namespace `dr`."""

    kubernetes: httpx.Client
    simulator: httpx.Client
    operator: Process
    cleanups: Cleanups


def start(directory: Path, name: str, *arguments: str | Path, **environment: str) -> Process:
    path = os.pathsep.join(str(ROOT / part) for part in ("operator", "simulators"))
    command = [sys.executable, "-m", *arguments]
    env = {**os.environ, "PYTHONPATH": path, **environment}
    return Process.start(name, command, log=directory / f"{name}.log", env=env)


def announced(directory: Path, name: str, process: Process) -> dict[str, Any]:
    ready = directory / f"{name}.json"
    process.wait_until(ready.exists, seconds=30)
    address: dict[str, Any] = json.loads(ready.read_text())
    return address


def install(http: httpx.Client, database_url: str, daemon_url: str) -> None:
    for name in (OPERATOR_NAMESPACE, "dr"):
        content(http.post("/api/v1/namespaces", json={"metadata": {"name": name}}), 201)
    secret = {"metadata": {"name": "oma-database"}, "stringData": {"url": database_url}}
    content(http.post(f"/api/v1/namespaces/{OPERATOR_NAMESPACE}/secrets", json=secret), 201)
    appliance = {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": "default"},
        "spec": {
            "allowedNamespaces": ["dr"],
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": daemon_url},
            "settle": {"quietSeconds": 1, "revertQuietSeconds": 2, "revertSecondsPerGiB": 0},
            "limits": {"requestsPerSecond": 200},
        },
    }
    content(http.post(f"{GROUP}/appliances", json=appliance), 201)


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    processes: list[Process] = []
    try:
        database = f"sqlite+aiosqlite:///{tmp_path / 'oma.db'}"
        for name, options in (
            ("appliance_simulator", ("--database", database)),
            ("kubernetes_emulator", ("--crds", CRDS)),
        ):
            processes.append(start(tmp_path, name, name, *options, "--ready-file", tmp_path / f"{name}.json"))
        appliance, kubernetes = (announced(tmp_path, process.name, process) for process in processes)
        with (
            httpx.Client(base_url=kubernetes["url"], trust_env=False, timeout=20) as http,
            httpx.Client(base_url=appliance["control_url"], trust_env=False, timeout=60) as simulator,
        ):
            install(http, database, appliance["daemon_url"])
            operator = start(
                tmp_path,
                "operator",
                "failed_execution_cleanup",
                "run",
                KUBECONFIG=kubernetes["kubeconfig"],
                FEC_NAMESPACE=OPERATOR_NAMESPACE,
                FEC_HEALTH_PORT="0",
                FEC_LEASE_SECONDS="15",
                FEC_HTTP_TIMEOUT_SECONDS="5",
            )
            processes.append(operator)
            yield Installation(http, simulator, operator, Cleanups(http, "dr"))
    finally:
        for process in reversed(processes):
            process.stop(grace_seconds=30)
            sys.stderr.write(f"--- {process.name}\n{process.log_tail(60)}\n")


def conditions(cleanup: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Status and reason of each condition."""
    found = cleanup["status"].get("conditions", [])
    return {condition["type"]: (condition["status"], condition["reason"]) for condition in found}


def test_the_operator_cleans_up_a_stuck_test_failover(installation: Installation) -> None:
    built = installation.simulator.post("/control/build", json={"row": "F11", "vm_name": "PG Test 1"}).json()
    cleanups = installation.cleanups
    cleanups.create("pg-test-1", spec={"vmName": "PG Test 1"})

    def finished() -> bool:
        installation.operator.ensure_running()
        told = conditions(content(cleanups.get("pg-test-1")))
        return "Stalled" in told or told.get("Ready", ("", ""))[0] == "True"

    wait_until(finished, seconds=120, what="the cleanup is finished")
    cleanup = content(cleanups.get("pg-test-1"))
    assert conditions(cleanup)["Ready"] == ("True", "Cleaned"), cleanup["status"]
    assert cleanup["status"]["phaseSummary"] == "5/5"
    wait_until(
        lambda: "finalizers" not in content(cleanups.get("pg-test-1"))["metadata"], seconds=30, what="it may be deleted"
    )
    state = installation.simulator.get("/control/state").json()
    volumes = [state["volumes"][volume] for volume in built["volume_ids"]]
    assert {volume["virtualmachineid"] for volume in volumes} == {state["oma_vm_id"]}
    assert {volume["content"] for volume in volumes} == {"replica:1"}, volumes
    events = content(installation.kubernetes.get("/apis/events.k8s.io/v1/namespaces/dr/events"))["items"]
    assert "Cleaned" in {event["reason"] for event in events}
    assert installation.operator.stop(grace_seconds=30) == 0
    lease = f"/apis/coordination.k8s.io/v1/namespaces/{OPERATOR_NAMESPACE}/leases/failed-execution-cleanup"
    assert content(installation.kubernetes.get(lease))["spec"].get("holderIdentity", "") == ""
