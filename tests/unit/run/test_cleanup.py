"""The engine on a simulated appliance: what it does, what it never repeats, and what it leaves alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from appliance_simulator import schema
from failed_execution_cleanup.appliance.database import ContextLock
from failed_execution_cleanup.appliance.errors import DatabaseUnavailable
from failed_execution_cleanup.recovery.actions import Kind, Phase
from failed_execution_cleanup.recovery.decide import Done, Refuse
from failed_execution_cleanup.recovery.goals import Goal
from failed_execution_cleanup.recovery.memory import Outcome
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.cleanup import Limits
from tests.unit.run.engine import Engine, engine, reason_of

EFFECTS_OF_F11 = {"detached": 3, "reverted": 3, "snapshot-deleted": 3, "attached": 3}
EFFECTS_OF_F28 = {"vm-stopped": 1, "detached": 3, "reverted": 3, "snapshot-deleted": 3, "attached": 3}


def effects(run: Engine) -> Counter[str]:
    return Counter(effect.kind for effect in run.appliance.journal.effects())


@pytest.fixture(scope="module")
def hung_injection(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """What is left of one cleanup of row F11 that ended well; its appliance is closed."""

    async def clean_up() -> Engine:
        async with engine(tmp_path_factory.mktemp("f11"), "F11") as run:
            assert isinstance(await run.run(), Done)
            return run

    return asyncio.run(clean_up())


def test_hung_injection_is_cleaned_up(hung_injection: Engine) -> None:
    assert hung_injection.left_over() == []
    assert effects(hung_injection) == EFFECTS_OF_F11


def test_each_volume_is_detached_reverted_freed_of_its_snapshot_and_attached(hung_injection: Engine) -> None:
    for volume_id, snapshot_id in hung_injection.built.snapshot_ids.items():
        about = [e.kind for e in hung_injection.appliance.journal.effects() if e.object_id in (volume_id, snapshot_id)]
        assert about == ["detached", "reverted", "snapshot-deleted", "attached"]


def test_every_request_is_written_ahead_and_settled(hung_injection: Engine) -> None:
    requests = hung_injection.memory.requests
    assert Counter(request.kind for request in requests) == {
        Kind.DETACH: 3,
        Kind.REVERT: 3,
        Kind.DELETE_SNAPSHOT: 3,
        Kind.ATTACH: 3,
    }
    assert {request.outcome for request in requests} == {Outcome.EFFECT}
    assert len(hung_injection.appliance.journal.requests()) == len(requests)


def test_what_was_found_and_what_was_sent_is_remembered(hung_injection: Engine) -> None:
    memory = hung_injection.memory
    assert {goal: state.reached for goal, state in memory.found.items()} == {
        Goal.VOLUMES_ATTACHED: False,
        Goal.SNAPSHOTS_REMOVED: False,
        Goal.TEST_VM_REMOVED: True,
        Goal.CONTEXT_READY: False,
    }
    assert [memory.sent(phase) for phase in Phase] == [3, 6, 3, 0, 0]


async def test_finished_cleanup_makes_no_further_call(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11") as run:
        await run.run()
        sent = len(run.appliance.journal.requests())

        decision = await run.run(owner="engine-2")

        assert reason_of(decision) is Reason.CLEANED
        assert len(run.appliance.journal.requests()) == sent


async def test_end_that_could_not_be_stored_is_stored_by_the_next_owner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, failed = ContextLock.release_claim, False

    async def fail_once(*args: Any, **options: Any) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise DatabaseUnavailable("no answer.", system="OMA database", remedy="It is asked again.")
        await release(*args, **options)

    monkeypatch.setattr(ContextLock, "release_claim", fail_once)
    async with engine(tmp_path, "F11", disks=1, limits=Limits(http_seconds=1.0, expiry_seconds=1.0)) as run:
        await run.run()

        tracking = schema.job_tracking.c
        async with run.appliance.engine.connect() as connection:
            ours = select(tracking.status).where(tracking.operation == "failed-execution-cleanup")
            assert list((await connection.execute(ours)).scalars()) == ["completed"]


async def test_running_test_vm_is_touched_only_with_a_waiver(tmp_path: Path) -> None:
    async with engine(tmp_path, "F28") as run:
        refused = await run.run()
        assert isinstance(refused, Refuse)
        assert refused.reason is Reason.RUNNING_TEST_VM
        assert run.appliance.journal.requests() == []

        decision = await run.run("RunningTestVM")

        assert reason_of(decision) is Reason.CLEANED
        assert run.left_over() == []
        assert run.memory.waivers_used == (("RunningTestVM", "job"),)


@pytest.mark.parametrize("command", ["detach", "revertSnapshot", "deleteSnapshot", "attach"])
async def test_lost_answer_of_an_executed_request_repeats_nothing(tmp_path: Path, command: str) -> None:
    async with engine(tmp_path, "F11") as run:
        run.appliance.faults.arm("response_lost_after", command, times=3)

        decision = await run.run()

        assert reason_of(decision) is Reason.CLEANED
        assert run.left_over() == []
        assert effects(run) == EFFECTS_OF_F11
        assert run.appliance.faults.armed() == ()


@pytest.mark.parametrize("command", ["stopVirtualMachine", "destroyVirtualMachine"])
async def test_lost_answer_of_a_request_to_the_test_vm_repeats_nothing(tmp_path: Path, command: str) -> None:
    async with engine(tmp_path, "F28") as run:
        run.appliance.faults.arm("response_lost_after", command)

        decision = await run.run("RunningTestVM")

        assert reason_of(decision) is Reason.CLEANED
        assert run.left_over() == []
        done = effects(run)
        assert {kind: done[kind] for kind in EFFECTS_OF_F28} == EFFECTS_OF_F28
        assert done["vm-expunged"] == 1
        assert len(run.appliance.journal.requests(command)) == 1
