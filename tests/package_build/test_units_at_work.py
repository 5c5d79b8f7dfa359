"""The commands of the units for systemd, started as it starts them: an environment of their own, and secrets in its folder."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
import yaml

from development.control_plane import ControlPlane
from development.processes import Process, free_port
from development.stand import PRODUCT_NAMESPACE, Stand
from tests.package_build.containerfile import ROOT

pytestmark = pytest.mark.timeout(300)

TOKEN: Final = "token-of-the-appliance-4711"
PROGRAM: Final = "/opt/failed-execution-cleanup/bin/fec"


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane) -> Iterator[Stand]:
    with Stand(control_plane) as running:
        yield running


@pytest.fixture
def credentials(tmp_path: Path) -> Path:
    """The folder of the service, with the mode that an ACL gives its files."""
    directory = tmp_path / "credentials"
    directory.mkdir()
    return directory


def start(unit: str, credentials: Path, **settings: str) -> Process:
    """Start what `ExecStart` says; the environment holds what systemd sets, and these settings as lines of the file."""
    (line,) = re.findall(r"^ExecStart=(.*)$", (ROOT / "systemd" / unit).read_text(encoding="utf-8"), re.MULTILINE)
    for file in credentials.iterdir():
        file.chmod(0o440)
    command = f"exec {line}".replace(PROGRAM, f"{sys.executable} -m failed_execution_cleanup")
    environment = {"CREDENTIALS_DIRECTORY": str(credentials), "HOME": "/", "PATH": "/usr/bin:/bin", **settings}
    shell = shutil.which("bash")
    assert shell is not None
    environment["PYTHONPATH"] = str(ROOT / "operator")
    return Process.start(unit, [shell, "-c", command], log=credentials.parent / "log", env=environment, cwd=Path("/"))


def test_the_operator_cleans_up_with_the_kubeconfig_it_was_handed(stand: Stand, credentials: Path) -> None:
    kubeconfig = stand.control_plane.service_account_kubeconfig(stand.operator_namespace, PRODUCT_NAMESPACE)
    shutil.copyfile(kubeconfig, credentials / "kubeconfig")
    vm_name = f"unit-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name, disks=2)
    operator = start(
        "fec.service",
        credentials,
        FEC_NAMESPACE=stand.operator_namespace,
        FEC_WATCH_NAMESPACES=json.dumps([stand.namespace]),
        FEC_APPLIANCES=json.dumps([stand.appliance]),
        FEC_HEALTH_PORT="0",
        FEC_HTTP_TIMEOUT_SECONDS="5",
    )
    try:
        stand.apply_cleanup(vm_name, vm_name)
        stand.wait_for_reason(vm_name, "Cleaned", seconds=150)
        operator.terminate()
        assert operator.wait(seconds=60) == 0, operator.log_tail()
    finally:
        operator.stop()
    assert stand.holders(built) == {stand.oma_vm_id}


def test_the_console_cleans_up_with_the_appliance_and_the_tokens_it_was_handed(stand: Stand, credentials: Path) -> None:
    secret = {"kind": "Secret", "metadata": {"name": "oma-database"}, "stringData": {"url": stand.database_url}}
    appliance = stand.appliance_manifest("default")
    (credentials / "appliance.yaml").write_text(yaml.safe_dump_all([appliance, secret]))
    (credentials / "tokens").write_text(f"night shift:{hashlib.sha256(TOKEN.encode()).hexdigest()}\n")
    vm_name = f"unit-{uuid.uuid4().hex[:6]}"
    built = stand.build("F11", vm_name, disks=2)
    port = str(free_port())
    settings = {"FEC_CONSOLE_PORT": port, "FEC_CONSOLE_HEALTH_PORT": "0", "FEC_HTTP_TIMEOUT_SECONDS": "5"}
    console = start("fec-console.service", credentials, **settings)
    try:
        console.wait_until(lambda: "Console listens" in console.log.read_text(), seconds=90)
        authorization = {"Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(headers=authorization, timeout=150, trust_env=False) as client:
            answer = client.post(f"http://127.0.0.1:{port}/api/v1/failover/{vm_name}/cleanup-failed")
        assert answer.status_code == 200, answer.text
        console.terminate()
        assert console.wait(seconds=60) == 0, console.log_tail()
    finally:
        console.stop()
    assert stand.holders(built) == {stand.oma_vm_id}
