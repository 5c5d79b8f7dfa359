"""The console as a process on the appliance itself: no Kubernetes, a token file, and a claim that is handed over at its end."""

from __future__ import annotations

import hashlib
import os
import uuid
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import yaml

from development.preloaded import start_program
from development.processes import Process, free_port
from development.stand import ROOT, Stand

pytestmark = pytest.mark.timeout(400)

TOKEN: Final = "token-of-the-appliance-4711"


def start(stand: Stand, directory: Path, *, mode: int = 0o600) -> tuple[Process, str]:
    """Start a console without a cluster; returns it and where it listens."""
    secret = {
        "kind": "Secret",
        "metadata": {"name": "oma-database"},
        "stringData": {"url": stand.database_url},
    }
    (directory / "appliance.yaml").write_text(yaml.safe_dump_all([stand.appliance_manifest("default"), secret]))
    tokens = directory / "tokens"
    tokens.write_text(f"night shift:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    tokens.chmod(mode)
    port = free_port()
    hidden = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST")
    process = start_program(
        f"alone-{uuid.uuid4().hex[:6]}",
        "failed_execution_cleanup",
        *("serve", "--appliance-file", directory / "appliance.yaml", "--token-file", tokens),
        log=directory / "console.log",
        env={
            **{name: value for name, value in os.environ.items() if name not in hidden},
            "PYTHONPATH": str(ROOT / "operator"),
            "HOME": str(directory),
            "FEC_CONSOLE_PORT": str(port),
            "FEC_CONSOLE_HEALTH_PORT": "0",
            "FEC_HTTP_TIMEOUT_SECONDS": "5",
        },
    )
    return process, f"http://127.0.0.1:{port}/api/v1"


def post(url: str, vm_name: str, **headers: str) -> tuple[int, Any]:
    authorization = {"Authorization": f"Bearer {TOKEN}"}
    with httpx.Client(headers={**authorization, **headers}, timeout=120, trust_env=False) as client:
        answer = client.post(f"{url}/failover/{vm_name}/cleanup-failed")
    return answer.status_code, answer.json()


def test_a_vm_is_cleaned_up_without_a_cluster_and_across_the_end_of_the_process(stand: Stand, tmp_path: Path) -> None:
    vm_name = f"alone-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name)
    process, url = start(stand, tmp_path)
    try:
        process.wait_until(lambda: "Console listens" in process.log.read_text(), seconds=90)
        assert post(url, vm_name, Prefer="wait=0")[0] == 504
        stand.wait_until(lambda: stand.requests(about=built), what="the cleanup has begun")
        process.terminate()
        assert process.wait(seconds=60) == 0, process.log_tail()
    finally:
        process.stop(grace_seconds=15)
    process, url = start(stand, tmp_path)
    try:
        process.wait_until(lambda: process.log.read_text().count("Console listens") == 2, seconds=90)
        status, body = post(url, vm_name)
        assert (status, body["success"]) == (200, True), body
    finally:
        process.stop(grace_seconds=15)
    assert stand.holders(built) == {stand.oma_vm_id}
    assert stand.snapshots(built) == []
    log = process.log.read_text()
    assert [secret for secret in (TOKEN, stand.database_url, stand.address["secret_key"]) if secret in log] == []


def test_a_token_file_that_others_may_read_is_refused(stand: Stand, tmp_path: Path) -> None:
    process, _ = start(stand, tmp_path, mode=0o644)
    assert process.wait(seconds=90) == 2
    assert "chmod 600" in process.log.read_text()
