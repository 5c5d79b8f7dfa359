"""OSSEA, the daemon or the Kubernetes API gone for a while in the middle of a cleanup: it goes on to the same end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import pytest

from appliance_simulator.faults import FaultKind
from development.control_plane import ControlPlane
from development.processes import Process
from development.stand import Stand
from tests.crash.stages import STAGES, assert_cleaned, hold, release
from tests.faults.trials import Meanwhile, Trial, beside, findings, until
from tests.matrix.stage import Stage

pytestmark = pytest.mark.timeout(400)

AFTER: Final = ("detached", "reverted", "snapshot-deleted", "attached")
GONE_SECONDS: Final = 3.0


def outage(kind: FaultKind, after: str) -> Meanwhile:
    """The server is gone for a while as soon as something has come about."""

    @contextlib.asynccontextmanager
    async def going(stage: Stage) -> AsyncIterator[None]:
        async def go() -> None:
            await until(lambda: stage.appliance.journal.effects(after), seconds=300, what=f"something was {after}")
            stage.appliance.faults.arm(kind)
            await asyncio.sleep(GONE_SECONDS)
            stage.appliance.faults.disarm(kind)

        async with beside(go()):
            yield

    return going


@pytest.mark.parametrize("kind", [FaultKind.CLOUD_DOWN, FaultKind.DAEMON_DOWN])
async def test_server_gone_for_some_seconds(tmp_path: Path, kind: FaultKind) -> None:
    # The daemon's own request to OSSEA fails in an outage; nothing is executed twice all the same.
    rows = ("F11", "F24")
    listed = await asyncio.gather(
        *(findings([Trial(row, ()) for row in rows], tmp_path, outage(kind, after)) for after in AFTER)
    )
    assert [problem for problems in listed for problem in problems] == []


@pytest.mark.parametrize("after", ["detach", "attach"])
async def test_daemon_restarts_with_an_operation_left_executing(tmp_path: Path, after: str) -> None:
    @contextlib.asynccontextmanager
    async def restarting(stage: Stage) -> AsyncIterator[None]:
        stage.appliance.latencies.set(f"{after}Volume", 0.5)

        async def restart() -> None:
            await until(lambda: stage.appliance.journal.requests(after), what=f"{after} was asked for")
            await asyncio.sleep(0.1)
            await stage.appliance.restart_daemon()

        async with beside(restart()):
            yield

    # A volume that came to the OMA without the daemon's knowledge is taken off and put on again for its mapping.
    repeated = frozenset({"attached", "detached"}) if after == "attach" else frozenset[str]()
    trials = [Trial(row, (), repeated=repeated) for row in ("F11", "F24")]
    assert await findings(trials, tmp_path, restarting) == []


@pytest.fixture
def own_control_plane() -> Iterator[ControlPlane]:
    """A control plane of the test's own, whose API server may be killed."""
    with ControlPlane() as running:
        yield running


@contextlib.contextmanager
def without_api_server(control_plane: ControlPlane) -> Iterator[None]:
    """Kill kube-apiserver, and start it again as it was when the block ends."""
    served = control_plane._processes[1]
    command = Path(f"/proc/{served.pid}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
    served.kill()
    try:
        yield
    finally:
        control_plane._processes[1] = Process.start("kube-apiserver", command, log=served.log)


@pytest.mark.parametrize("stage", ["reverting", "attaching"])
def test_cleanup_goes_on_while_the_kubernetes_api_restarts(own_control_plane: ControlPlane, stage: str) -> None:
    with Stand(own_control_plane) as stand:
        built = stand.build("F11", "pgtest1", disks=2)
        stand.latency(**STAGES[stage].latency)
        # Leadership must outlive the restart: what losing it means is shown elsewhere.
        operator = stand.start_operator(FEC_LEASE_SECONDS="60")
        stand.apply_cleanup("pgtest1", "pgtest1")
        hold(stand, stage, "pgtest1")
        done = {"reverting": "snapshot-deleted", "attaching": "attached"}[stage]

        with without_api_server(own_control_plane):
            release(stand, stage)
            stand.wait_until(lambda: len(stand.effects(done)) == 2, seconds=60, what="it went on without the API")

        kubectl = own_control_plane.kubectl
        stand.wait_until(
            lambda: kubectl("get", "--raw", "/readyz", check=False).returncode == 0, seconds=60, what="the API is back"
        )
        claim = assert_cleaned(stand, "pgtest1", built)
        operator.ensure_running()
        assert claim.number == 1
        assert len(stand.effects("reverted")) == len(stand.effects("attached")) == 2
