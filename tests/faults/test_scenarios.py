"""Whole scenarios, made up by chance: failures, faults, crashes, restarts and other actors in any order, with contents checked.

`SCENARIOS` in the environment says how many, `SCENARIO_SEED` which; a failure prints the steps, and the seed is in the output.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from appliance_simulator.faults import FaultKind
from failed_execution_cleanup.recovery.decide import Decision, Done
from tests.faults.trials import DISKS, ROWS, drive, lost, until
from tests.matrix.arrangements import ARRANGEMENTS
from tests.matrix.invariants import target, violations
from tests.matrix.stage import Stage, staged

T = TypeVar("T")

EXAMPLES: Final = int(os.environ.get("SCENARIOS", "8"))
SEED: Final = int(os.environ.get("SCENARIO_SEED", str(int.from_bytes(os.urandom(4)))))
STEPS: Final = 6

LEFTOVERS: Final = ("F11", "F12", "F22", "F24", "F26", "F28", "R04", "R09-vm-destroyed", "C01", "C03")
REQUESTS: Final = (
    "revertSnapshot",
    "deleteSnapshot",
    "stopVirtualMachine",
    "destroyVirtualMachine",
    "detach",
    "attach",
    "listVolumes",
    "listSnapshots",
    "listVirtualMachines",
    "queryAsyncJobResult",
    "operations",
    "device",
)
JOBS: Final = ("revertSnapshot", "deleteSnapshot", "detachVolume", "attachVolume", "stopVirtualMachine")
HTTP_KINDS: Final = (
    FaultKind.RESPONSE_LOST_BEFORE,
    FaultKind.RESPONSE_LOST_AFTER,
    FaultKind.EMPTY_BODY,
    FaultKind.HTTP_503,
    FaultKind.HTTP_530,
)
JOB_KINDS: Final = (
    FaultKind.JOB_FAILS,
    FaultKind.JOB_FAILS_WITHOUT_RESULT,
    FaultKind.JOB_PURGED,
    FaultKind.SERVER_RESTARTS,
)
EFFECTS: Final = ("detached", "reverted", "snapshot-deleted", "attached")


class Scenario(RuleBasedStateMachine):
    """One VM, one failover that died, and everything that may happen to its cleanup."""

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._stack = contextlib.AsyncExitStack()
        self._stage: Stage | None = None
        self._owners = 0
        self._ended: str | None = None

    @property
    def stage(self) -> Stage:
        """Where it plays."""
        assert self._stage is not None
        return self._stage

    def play(self, work: Coroutine[Any, Any, T]) -> T:
        """Let time go on for as long as this takes."""
        return self._runner.run(work)

    # --- how it begins ------------------------------------------------------------------------------------------

    @initialize(row=st.sampled_from(LEFTOVERS))
    def a_failover_dies(self, row: str) -> None:
        self.play(self._begin(row))

    async def _begin(self, row: str) -> None:
        directory = self._stack.enter_context(tempfile.TemporaryDirectory())
        url = f"sqlite+aiosqlite:///{directory}/oma.db"
        self._stage = await self._stack.enter_async_context(staged(ROWS[row], url, disks=DISKS))
        for name in self.stage.case.arrange:
            await ARRANGEMENTS[name](self.stage)
        await self.stage.watch()

    # --- what happens -------------------------------------------------------------------------------------------

    @rule(kind=st.sampled_from(HTTP_KINDS), command=st.sampled_from(REQUESTS), skip=st.integers(0, 3))
    def a_request_goes_wrong(self, kind: FaultKind, command: str, skip: int) -> None:
        self.stage.appliance.faults.arm(kind, command, skip=skip)

    @rule(kind=st.sampled_from(JOB_KINDS), command=st.sampled_from(JOBS), executed=st.booleans())
    def a_job_goes_wrong(self, kind: FaultKind, command: str, executed: bool) -> None:
        self.stage.appliance.faults.arm(kind, command, executed=executed)

    @rule(after=st.sampled_from(EFFECTS), count=st.integers(1, DISKS))
    def the_operator_crashes(self, after: str, count: int) -> None:
        self.play(self._crash(after, count))

    async def _crash(self, after: str, count: int) -> None:
        journal = self.stage.appliance.journal
        goal = len(journal.effects(after)) + count
        running = asyncio.create_task(self._run())
        reached = asyncio.create_task(until(lambda: len(journal.effects(after)) >= goal, seconds=5, what=after))
        await asyncio.wait([running, reached], return_when=asyncio.FIRST_COMPLETED)
        running.cancel()
        reached.cancel()
        await asyncio.gather(running, reached, return_exceptions=True)

    @rule()
    def the_operator_runs(self) -> None:
        self._ended = self.play(self._run())

    async def _decision(self) -> Decision:
        """The last word of one more operator."""
        self._owners += 1
        return (await drive(self.stage, owner=f"operator-{self._owners}")).decision

    async def _run(self) -> str:
        decision = await self._decision()
        return str(getattr(decision, "reason", type(decision).__name__))

    @rule(continues=st.booleans())
    def the_management_server_restarts(self, continues: bool) -> None:
        self.play(self.stage.appliance.restart_management_server(work_continues=continues))

    @rule()
    def the_daemon_restarts(self) -> None:
        self.play(self.stage.appliance.restart_daemon())

    @rule()
    def time_goes_by(self) -> None:
        self.play(asyncio.sleep(0.4))

    @precondition(lambda self: self._ended == "Cleaned")
    @rule()
    def it_is_looked_at_again(self) -> None:
        before = len(self.stage.appliance.journal.entries)
        assert self.play(self._run()) == "Cleaned"
        assert len(self.stage.appliance.journal.entries) == before, "what is clean is left alone"

    # --- what always holds --------------------------------------------------------------------------------------

    @invariant()
    def nothing_is_lost_and_no_rule_is_broken(self) -> None:
        if self._stage is not None:
            assert lost(self.stage) == []
            assert self.play(self._violations()) == []

    async def _violations(self) -> list[str]:
        return await violations(self.stage, await self.stage.look())

    # --- how it ends --------------------------------------------------------------------------------------------

    def teardown(self) -> None:
        try:
            if self._stage is not None:
                self.play(self._comes_to_its_end())
        finally:
            self.play(self._stack.aclose())
            self._runner.close()

    async def _comes_to_its_end(self) -> None:
        """Once nothing goes wrong any more, the goal is reached or a person is told why not; then the goal."""
        appliance = self.stage.appliance
        appliance.faults.disarm()
        decision = await self._decision()
        for _ in range(2):
            if isinstance(decision, Done):
                break
            assert getattr(decision, "message", ""), "a stop is explained"
            # A person does what only a person can do: state of the volume, then ask again.
            for volume in self.stage.volume_ids:
                if appliance.cloud.volumes[volume].state == "RevertSnapshotting":
                    appliance.set_state(volume, "Ready")
            await asyncio.sleep(self.stage.settings.revert_quiet.total_seconds())
            decision = await self._decision()
        after = await self.stage.look()
        assert await violations(self.stage, after) == []
        assert isinstance(decision, Done), getattr(decision, "message", "")
        assert decision.reason == "Cleaned"
        assert set(after.contents.values()) == {"replica:1"}
        assert target(self.stage, after) == []


@pytest.mark.timeout(3600)
def test_every_scenario_ends_well(record_property: Any) -> None:
    print(f"SCENARIO_SEED={SEED} SCENARIOS={EXAMPLES}")  # noqa: T201 - shown by pytest when the test fails
    machine = seed(SEED)(Scenario)
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        print_blob=True,
        phases=[Phase.generate] if EXAMPLES <= 50 else [Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=chosen)
    record_property("figure", f"scenarios: {EXAMPLES} of up to {STEPS} steps, seed {SEED}")
