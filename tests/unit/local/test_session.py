"""One command on an appliance: plans that touch nothing, waits with an end, orders of their own, and the hand-over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import pytest
import yaml

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import ApplianceError, DatabaseUnavailable
from failed_execution_cleanup.local.appliance_file import ApplianceFile, read_appliance_file
from failed_execution_cleanup.local.secrets import LocalSecrets
from failed_execution_cleanup.local.session import Session
from failed_execution_cleanup.recovery.decide import Act, Done, Wait
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run import worker
from failed_execution_cleanup.run.order import Order, Progress
from tests.unit.run.engine import LIMITS, VM, Engine, engine, reason_of
from tests.unit.run.test_handover import NEVER_EXPIRES, asked, executed, run_until

QUICK_SPEC = {
    "settle": {"quietSeconds": 1, "revertQuietSeconds": 2, "revertSecondsPerGiB": 0},
    "limits": {"requestsPerSecond": 500},
}


@dataclass
class Told:
    """Everything a session told, in order."""

    heard: list[Progress] = field(default_factory=list)

    def __call__(self, progress: Progress) -> None:
        self.heard.append(progress)


def file_of(run: Engine, directory: Path) -> ApplianceFile:
    path = directory / "appliance.yaml"
    spec = {
        "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
        "volumeDaemon": {"url": run.appliance.daemon_url},
        **QUICK_SPEC,
    }
    resource = {
        "apiVersion": "failover.ossea.io/v1alpha1",
        "kind": "Appliance",
        "metadata": {"name": "oma"},
        "spec": spec,
    }
    secret = {
        "kind": "Secret",
        "metadata": {"name": "oma-database"},
        "stringData": {"url": run.appliance.database_url},
    }
    path.write_text(yaml.safe_dump_all([resource, secret]))
    return read_appliance_file(path)


def session(run: Engine, directory: Path, owner: str = "local/alice@oma1/1", told: Told | None = None) -> Session:
    file = file_of(run, directory)
    opener = DoorOpener(LocalSecrets(file, None, {}), 5.0)
    order = Order(VM, asker=owner, requested_at=owner)
    return Session(opener, file.appliance, order, owner, run.limits, told or Told())


async def test_a_plan_over_what_a_dead_owner_left_claims_nothing_and_follows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HAND_OVER_SECONDS", 0.1)
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("detachVolume", 1.0)
        await run_until(run, asked(run, "detach"))
        before = await run.doors.database.read(run.built.vm.context_id)

        planned = await session(run, tmp_path).plan()

        after = await run.doors.database.read(run.built.vm.context_id)
        assert (after.claims, len(run.appliance.journal.requests())) == (before.claims, 1)
        assert isinstance(planned.decision, Act | Wait)
        assert planned.decision.assessment.steps, "what is left is shown"


async def test_a_wait_ends_when_its_cause_is_gone(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        told = Told()
        async with run.doors.database.lock(run.built.vm.context_id):
            assert reason_of((await session(run, tmp_path).cleanup(patience=0)).decision) is Reason.CLAIMED_ELSEWHERE
            waiting = asyncio.create_task(session(run, tmp_path, told=told).cleanup(patience=60))
            while not told.heard:  # noqa: ASYNC110 the session tells by a call
                await asyncio.sleep(0.01)
        assert reason_of((await waiting).decision) is Reason.CLEANED
        assert run.left_over() == []


async def test_each_command_is_an_order_of_its_own(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        first = await session(run, tmp_path, "local/alice@oma1/1").cleanup(patience=0)
        await run.appliance.build("F11", vm_name="another")
        again = await session(run, tmp_path, "local/alice@oma1/2").cleanup(patience=0)
        assert isinstance(again.decision, Done)
        assert (reason_of(first.decision), again.decision.reason) == (Reason.CLEANED, Reason.ALREADY_CLEAN)


async def test_leaving_hands_over_and_says_what_is_still_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "HAND_OVER_SECONDS", 0.1)
    async with engine(tmp_path, "F11", disks=1, limits=NEVER_EXPIRES) as run:
        run.appliance.latencies.set("detachVolume", 1.0)
        first = session(run, tmp_path)
        working = asyncio.create_task(first.cleanup(patience=60))
        while not asked(run, "detach")():  # noqa: ASYNC110 the simulator tells nobody
            await asyncio.sleep(0.01)

        first.leave()
        left = await working

        assert isinstance(left.decision, Wait)
        assert "handed over" in left.decision.message
        assert "1 request(s)" in left.decision.message
        second = await session(run, tmp_path, "local/bob@oma2/2").cleanup(patience=0)
        assert reason_of(second.decision) is Reason.CLEANED
        assert set(executed(run).values()) == {1}


class Shut(DoorOpener):
    """Doors that do not open; counts how often that was tried."""

    def __init__(self, error: ApplianceError) -> None:
        super().__init__(cast("LocalSecrets", None), 1.0)
        self.error = error
        self.tried = 0

    @contextlib.asynccontextmanager
    async def doors(self, appliance: Appliance) -> AsyncIterator[Doors]:
        del appliance
        self.tried += 1
        raise self.error
        yield cast("Doors", None)


async def test_an_appliance_that_was_never_reached_is_not_waited_for(tmp_path: Path) -> None:
    error = DatabaseUnavailable("the server does not answer.", system="OMA database", remedy="Start it.")
    opener, told = Shut(error), Told()
    appliance = Appliance.model_validate(
        {
            "metadata": {"name": "oma"},
            "spec": {
                "database": {"urlSecretRef": {"name": "n", "key": "k"}},
                "volumeDaemon": {"url": "http://127.0.0.1:9"},
            },
        }
    )
    ended = await Session(opener, appliance, Order(VM), "owner", LIMITS, told).cleanup(patience=600)
    assert reason_of(ended.decision) is Reason.APPLIANCE_UNREACHABLE
    assert opener.tried == len(told.heard) == 1
