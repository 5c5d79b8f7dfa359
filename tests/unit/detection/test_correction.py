"""The engine puts right what drifted, on a simulated appliance: only what differs, never by a revert (rule 18)."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from failed_execution_cleanup.recovery.decide import Decision, Done
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.cleanup import Cleanup
from tests.unit.run.engine import Asker, Engine, engine


async def corrected(run: Engine) -> Decision:
    """One run that nobody asked for, as the drift lane begins it."""
    asker = Asker(replace(run.order(), correcting=True))
    progress = await Cleanup(run.doors, run.settings, "engine-2", asker, run.limits).run()
    run.memory = progress.memory
    return progress.decision


async def detach(run: Engine, volume_id: str) -> None:
    operation = await run.doors.daemon.detach(volume_id)
    await run.doors.daemon.wait_operation(operation.id, deadline_seconds=10)


def sent(run: Engine) -> list[str]:
    return [request.command for request in run.appliance.journal.requests() if request.caller == "client"]


async def test_volume_that_was_taken_off_comes_home_and_nothing_else_is_sent(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=2) as run:
        assert isinstance(await run.run(), Done)
        await detach(run, run.built.volume_ids[0])
        before = len(sent(run))

        decision = await corrected(run)
        assert isinstance(decision, Done)
        assert decision.reason is Reason.CLEANED
        assert sent(run)[before:] == ["attach"]
        assert run.left_over() == []
        assert run.memory.correcting


async def test_drift_that_needs_a_revert_leaves_everything_as_it_ended(tmp_path: Path) -> None:
    async with engine(tmp_path, "R12", disks=2) as run:
        assert isinstance(await run.run(), Done)
        volume = run.appliance.cloud.volumes[run.built.volume_ids[0]]
        run.appliance.cloud.add_snapshot(volume, f"multi-test-failover-disk-2000-{int(time.time())}")
        await detach(run, volume.id)
        before = len(sent(run))

        decision = await corrected(run)
        assert isinstance(decision, Done)
        assert decision.reason is Reason.ALREADY_CLEAN
        assert sent(run)[before:] == []


async def test_clean_end_where_nothing_drifted_stays_as_it_is(tmp_path: Path) -> None:
    async with engine(tmp_path, "F12", disks=1) as run:
        assert isinstance(await run.run(), Done)
        before = len(sent(run))
        assert isinstance(await corrected(run), Done)
        assert sent(run)[before:] == []
