"""Stops that come only in the middle of a run: the quiet time, a newer failover that gets in between, drift that needs a revert."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from appliance_simulator.journal import Request
from failed_execution_cleanup.recovery.decide import Act, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.goals import Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from failed_execution_cleanup.run.cleanup import Cleanup
from failed_execution_cleanup.run.order import Order, Progress
from tests.guards.acts import NEWER_JOB, newer_failover
from tests.guards.playing import order_of, run, stopped
from tests.guards.table import Stop
from tests.matrix.stage import LIMITS, Stage
from tests.unit.recovery.worlds import JOB, OS, leftover, look
from tests.unit.run.engine import Asker

SHOWN = frozenset({Reason.QUIET_TIME, Reason.SUPERSEDED_IN_RUN, Reason.DRIFT_NEEDS_REVERT})


def commands(stage: Stage) -> list[str]:
    """The mutating requests so far."""
    entries = stage.appliance.journal.entries[stage.found.entries :]
    return [entry.command for entry in entries if isinstance(entry, Request) and entry.caller == "client"]


@dataclass
class Listener(Asker):
    """Stops asking once it hears that the quiet time is waited out."""

    heard_quiet: bool = False

    async def order(self) -> Order:
        return replace(self.wanted, stopping=self.heard_quiet)

    async def progress(self, progress: Progress) -> None:
        decision = progress.decision
        self.heard_quiet = self.heard_quiet or (isinstance(decision, Wait) and decision.reason is Reason.QUIET_TIME)

    async def pause(self, seconds: float) -> None:
        await super().pause(min(seconds, 0.05))  # it changed its mind


@dataclass
class Meddler(Asker):
    """Begins a newer failover once the first revert was sent, and notes what was sent by then or had been allowed (rule 7)."""

    stage: Stage | None = None
    sent: list[str] | None = None

    async def progress(self, progress: Progress) -> None:
        await super().progress(progress)
        if self.stage is not None and self.sent is None and "revertSnapshot" in commands(self.stage):
            await newer_failover(self.stage)
            while self.sent != (sent := commands(self.stage)):
                self.sent = sent
                await asyncio.sleep(0.3)


async def test_nothing_is_deleted_before_the_quiet_time_is_over_and_then_it_goes_on(tmp_path: Path) -> None:
    stop = Stop(Reason.QUIET_TIME, "F11", ())
    async with stopped(stop, f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        quick = stage.settings
        stage.settings = replace(quick, quiet=timedelta(hours=1))
        listener = Listener(order_of(stage, stop))
        progress = await Cleanup(stage.doors, stage.settings, "operator-1", listener, LIMITS).run()
        assert isinstance(progress.decision, Stopped)
        assert set(commands(stage)) == {"detach", "revertSnapshot", "attach"}
        stage.settings = quick
        answer = await run(stage, order_of(stage, stop), owner="operator-2")
        assert answer.reason is Reason.CLEANED, answer.message
        assert "deleteSnapshot" in commands(stage)


async def test_a_newer_failover_in_the_middle_ends_the_run_and_a_cleanup_for_it_goes_on(tmp_path: Path) -> None:
    stop = Stop(Reason.SUPERSEDED_IN_RUN, "F12", (), arrange=("slow-reverts",))
    async with stopped(stop, f"sqlite+aiosqlite:///{tmp_path}/oma.db") as stage:
        meddler = Meddler(order_of(stage, stop), stage=stage)
        progress = await Cleanup(stage.doors, stage.settings, "operator-1", meddler, LIMITS).run()
        decision = progress.decision
        assert isinstance(decision, Refuse)
        assert decision.reason is Reason.SUPERSEDED_IN_RUN, decision.message
        assert NEWER_JOB in decision.message
        for volume_id in stage.volume_ids:
            assert volume_id in decision.message
        assert meddler.sent is not None
        assert commands(stage) == meddler.sent

        order = replace(order_of(stage, stop), job_id=NEWER_JOB, asker="a new resource")
        ended = await run(stage, order, owner="operator-2")
        assert ended.reason is Reason.CLEANED, ended.message
        assert set(stage.appliance.holders(stage.case.vm_name).values()) == {stage.appliance.oma_vm_id}


def test_a_run_that_corrects_drift_stops_before_a_revert_until_a_person_asks() -> None:
    scene = leftover("F12")
    correcting = Memory(JOB, correcting=True)
    decision = look(scene, memory=correcting)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.DRIFT_NEEDS_REVERT
    assert OS in decision.message
    waivers = frozenset(Waiver(reason.value, "job") for reason in WaiverReason)
    assert getattr(look(scene, Wish(JOB, waivers), correcting), "reason", None) is Reason.DRIFT_NEEDS_REVERT
    assert isinstance(look(scene, memory=correcting.again(scene.now, "a person")), Act)
