"""The two servers every contract test runs on: the emulator and the real kube-apiserver."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from development.control_plane import ControlPlane
from development.processes import Process
from tests.contract.api_server import ROOT, ApiServer, Cleanups, define


def pytest_configure() -> None:
    """Keep looptime's plugin from making, in the first synchronous test, an event loop that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.fixture(scope="session")
def emulator_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """`python -m kubernetes_emulator` and what its ready file says."""
    directory = tmp_path_factory.mktemp("emulator")
    ready = directory / "ready.json"
    process = Process.start(
        "emulator",
        [sys.executable, "-m", "kubernetes_emulator", "--ready-file", ready],
        log=directory / "emulator.log",
        env={**os.environ, "PYTHONPATH": str(ROOT / "simulators")},
    )
    try:
        process.wait_until(ready.exists, seconds=30)
        yield json.loads(ready.read_text())
    finally:
        process.stop()


@pytest.fixture(scope="session", params=["emulator", "kube-apiserver"])
def server(request: pytest.FixtureRequest) -> Iterator[ApiServer]:
    """Each of the two, shared: keep to the namespace of the test."""
    if request.param == "emulator":
        address: dict[str, str] = request.getfixturevalue("emulator_process")
        http = httpx.Client(base_url=address["url"], trust_env=False, timeout=20)
        kubeconfig = Path(address["kubeconfig"])
    else:
        running: ControlPlane = request.getfixturevalue("control_plane")
        kubeconfig = running.admin_kubeconfig
        config = json.loads(kubeconfig.read_text())
        user = config["users"][0]["user"]
        context = ssl.create_default_context(cafile=config["clusters"][0]["cluster"]["certificate-authority"])
        context.load_cert_chain(user["client-certificate"], user["client-key"])
        http = httpx.Client(base_url=running.url, verify=context, trust_env=False, timeout=20)
    with http:
        define(http)
        yield ApiServer(http, kubeconfig)


@pytest.fixture
def namespace(server: ApiServer) -> str:
    """A namespace of the test's own."""
    return server.create_namespace()


@pytest.fixture
def cleanups(server: ApiServer, namespace: str) -> Cleanups:
    """The cleanups of the test's namespace."""
    return Cleanups(server.http, namespace)
