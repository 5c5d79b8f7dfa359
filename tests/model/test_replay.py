"""The model tells the truth about the real engine: ways through it end alike on the simulated appliance, over HTTP and with its tables."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from failed_execution_cleanup.appliance.errors import NotExecuted
from failed_execution_cleanup.appliance.perform import Performer, Subject
from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.memory import Request
from tests.matrix.invariants import violations
from tests.matrix.stage import Ended, Stage, staged
from tests.model import replay
from tests.model.node import SETTINGS
from tests.model.replay import Outcome, Script

SEED: Final = int(os.environ.get("FEC_REPLAY_SEED", "20251006"))
SAMPLE: Final = 16
SIDE_BY_SIDE: Final = 2


async def on_the_simulator(script: Script, directory: Path) -> tuple[Outcome, list[str]]:
    """Take a way on the simulator; how it ended, and the rules broken on it."""
    async with staged(replay.case_of(script), f"sqlite+aiosqlite:///{directory}/oma.db", disks=2) as stage:
        stage.settings = replace(stage.settings, tries=SETTINGS.tries)
        await replay.opening_on(stage, script)
        await stage.watch()
        assert replay.pictured(stage, stage.found) == replay.picture(replay.opened(script).scene), f"start of {script}"
        replay.arm(stage, script)
        end = await stage.run()
        while end.reason == "ApplianceUnreachable":  # an answer came late: the queue comes back to it
            end = await stage.run()
        found = await stage.look()
        return Outcome(end.reason, replay.pictured(stage, found)), await violations(stage, found)


@pytest.mark.exhaustive
@pytest.mark.timeout(600)
async def test_ways_through_the_model_end_alike_on_the_simulator(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """`FEC_REPLAY_SEED` draws another sample."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def differences(number: int, script: Script) -> list[str]:
        directory = tmp_path / str(number)
        directory.mkdir()
        async with gate:
            got, broken = await on_the_simulator(script, directory)
        wanted = replay.in_the_model(script)
        return [f"{script}: {got}, the model says {wanted}"] * (got != wanted) + [f"{script}: {b}" for b in broken]

    sample = replay.scripts(SEED, SAMPLE)
    found = await asyncio.gather(*(differences(number, script) for number, script in enumerate(sample)))
    different = [text for texts in found for text in texts]
    assert not different, "\n".join(different)
    ends = {str(replay.in_the_model(script).reason) for script in sample}
    record_property("figure", f"model, {SAMPLE} ways replayed (seed {SEED}), ends: {', '.join(sorted(ends))}")


async def _run(stage: Stage) -> Ended:
    await stage.watch()
    return await stage.run()


async def test_nothing_is_sent_once_the_engine_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check, moved, case = Performer.check, asyncio.Event(), replay.case_of(Script("F11", None, ()))
    async with staged(case, f"sqlite+aiosqlite:///{tmp_path}/oma.db", disks=1) as stage:

        async def engine_moves(self: Performer, action: Action) -> str | None:
            if action.kind is Kind.DETACH and not moved.is_set():
                moved.set()
                await stage.appliance.wake_engine(stage.case.vm_name)
            return await check(self, action)

        monkeypatch.setattr(Performer, "check", engine_moves)
        end = await _run(stage)
    assert end.reason == "FailoverStillRunning"
    assert end.sent == ()


async def test_drift_after_the_end_is_left_alone(tmp_path: Path) -> None:
    async with staged(replay.case_of(Script("F12", None, ())), f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        assert (await _run(stage)).reason == "Cleaned"
        await stage.doors.daemon.detach(stage.volume_ids[1])
        await stage.appliance.daemon.idle()
        again = await stage.run()
    assert again.reason == "Cleaned"
    assert again.sent == ()


async def test_a_list_of_vms_without_the_witness_proves_nothing(tmp_path: Path) -> None:
    async with staged(replay.case_of(Script("F27", None, ())), f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        appliance = stage.appliance
        performer = Performer(
            stage.doors,
            Subject(
                stage.built.failover_job_id or "", stage.case.vm_name, appliance.oma_vm_id, frozenset(stage.volume_ids)
            ),
            lambda: datetime.now(UTC).replace(tzinfo=None),
        )
        vm_id = stage.built.destination_vm_id or ""
        sent = Request(Kind.DESTROY_VM, vm_id, 1, 1, datetime(2025, 10, 6), external_id="unknown")  # noqa: DTZ001
        appliance.cloud.vms.clear()
        with pytest.raises(NotExecuted, match="proves nothing"):
            await performer.settle(sent)


async def test_a_snapshot_is_kept_when_its_volume_left_the_appliance_before_the_request(tmp_path: Path) -> None:
    async with staged(replay.case_of(Script("F11", None, ())), f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        volume_id = stage.volume_ids[1]
        performer = Performer(
            stage.doors,
            Subject("job", stage.case.vm_name, stage.appliance.oma_vm_id, frozenset(stage.volume_ids)),
            lambda: datetime.now(UTC).replace(tzinfo=None),
        )
        delete = Action(Kind.DELETE_SNAPSHOT, stage.built.snapshot_ids[volume_id], "", volume_id=volume_id)
        assert await performer.check(delete) is None
        stage.appliance.cloud.volumes[volume_id].virtualmachineid = stage.built.destination_vm_id or next(
            vm for vm in stage.appliance.cloud.vms if vm != stage.appliance.oma_vm_id
        )
        assert "may be needed" in (await performer.check(delete) or "")
