"""What OSSEA and the daemon start does not end as it should: followed, judged by what is there, never taken for done."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from appliance_simulator.faults import FaultKind
from tests.faults.trials import DISKS, ROWS, Trial, beside, drive, executed_twice, fault, findings, lost, until
from tests.matrix.stage import Stage, staged

pytestmark = pytest.mark.timeout(400)

JOBS: Final[Mapping[str, str]] = {
    "revertSnapshot": "F11",
    "deleteSnapshot": "C03",
    "stopVirtualMachine": "F28",
    "destroyVirtualMachine": "R04",
    "expungeVirtualMachine": "R09-vm-destroyed",
    "detachVolume": "F24",
    "attachVolume": "C01",
}
"""Jobs of OSSEA, also those that the daemon asks for, with a leftover state in which they are needed."""
REPEATED: Final[Mapping[str, frozenset[str]]] = {
    "revertSnapshot": frozenset({"reverted"}),
    "attachVolume": frozenset({"attached", "detached"}),
}
"""Effects that may come again: nobody can see that a revert came (rule 11), and a volume that came to the OMA without the
daemon's knowledge is taken off and put on again for its mapping. All others can be seen."""

FAULTS: Final[tuple[tuple[FaultKind, dict[str, Any]], ...]] = (
    (FaultKind.JOB_FAILS, {}),
    (FaultKind.JOB_FAILS_WITHOUT_RESULT, {"executed": False}),
    (FaultKind.JOB_FAILS_WITHOUT_RESULT, {"executed": True}),
    (FaultKind.JOB_FAILS_WITHOUT_RESULT, {"executed": False, "code": 0}),
    (FaultKind.JOB_FAILS_WITHOUT_RESULT, {"executed": True, "code": 0}),
    (FaultKind.JOB_PURGED, {}),
)


def trial(command: str, kind: FaultKind, **options: Any) -> Trial:
    repeated = REPEATED.get(command, frozenset()) if options.get("executed", True) else frozenset[str]()
    return Trial(JOBS[command], (fault(kind, command, **options),), repeated=repeated)


@pytest.mark.parametrize(
    ("kind", "options"),
    FAULTS,
    ids=["-".join([kind.value, *(f"{name}={value}" for name, value in options.items())]) for kind, options in FAULTS],
)
async def test_job_that_does_not_say_what_it_did(tmp_path: Path, kind: FaultKind, options: dict[str, Any]) -> None:
    assert await findings([trial(command, kind, **options) for command in JOBS], tmp_path) == []


@pytest.mark.parametrize("executed", [True, False], ids=["work-continues", "work-is-cut-off"])
async def test_restart_of_the_management_server(tmp_path: Path, executed: bool) -> None:
    commands = [command for command in JOBS if command != "revertSnapshot"]
    trials = [trial(command, FaultKind.SERVER_RESTARTS, executed=executed) for command in commands]
    assert await findings(trials, tmp_path) == []


@pytest.mark.parametrize("executed", [True, False], ids=["copy-continues", "copy-is-cut-off"])
async def test_volume_stuck_in_reverting_waits_for_an_administrator_and_is_reverted_again(
    tmp_path: Path, executed: bool
) -> None:
    async with staged(ROWS["F11"], f"sqlite+aiosqlite:///{tmp_path}/oma.db", disks=DISKS) as stage:
        await stage.watch()
        stage.appliance.latencies.set("revertSnapshot", 0.3)
        stuck = stage.volume_ids[0]
        snapshot = stage.built.snapshot_ids[stuck]
        stage.appliance.faults.arm(FaultKind.SERVER_RESTARTS, "revertSnapshot", object_id=snapshot, executed=executed)

        stopped = await drive(stage)

        assert getattr(stopped.decision, "reason", None) == "UnexpectedState"
        assert "RevertSnapshotting" in getattr(stopped.decision, "message", "")
        assert stage.appliance.cloud.snapshots[snapshot].state == "BackedUp", "the only way back is kept"
        assert stage.appliance.cloud.volumes[stuck].virtualmachineid is None
        assert lost(stage) == []

        # The restart struck whatever else was being reverted as well.
        for volume in stage.volume_ids:
            if stage.appliance.cloud.volumes[volume].state == "RevertSnapshotting":
                stage.appliance.set_state(volume, "Ready")
        again = await drive(stage, owner="operator-2")

        assert getattr(again.decision, "reason", None) == "Cleaned"
        assert set(stage.appliance.contents(stage.case.vm_name).values()) == {"replica:1"}
        assert executed_twice(stage, frozenset({"reverted"})) == []


async def test_job_that_hangs_for_a_while(tmp_path: Path) -> None:
    trials = [trial(command, FaultKind.JOB_HANGS) for command in JOBS]
    assert await findings(trials, tmp_path, released) == []


@contextlib.asynccontextmanager
async def released(stage: Stage) -> AsyncIterator[None]:
    """Somebody sees to a hanging job after a while."""

    async def release() -> None:
        jobs = stage.appliance.jobs
        await until(lambda: jobs.hanging, what="a job hangs")
        await asyncio.sleep(2)
        jobs.release_hanging()

    async with beside(release()):
        yield


@pytest.mark.parametrize("times", [1, 3])
async def test_revert_that_fails_half_way(tmp_path: Path, times: int) -> None:
    trials = [Trial(row, (fault(FaultKind.REVERT_HALF_WAY, "revertSnapshot", times=times),)) for row in ("F11", "F24")]
    assert await findings(trials, tmp_path) == []


async def test_revert_that_still_copies_after_its_timeout(tmp_path: Path) -> None:
    # Shorter than the quiet time of rule 11, longer than any pause before a usual second try.
    trials = [
        Trial(
            row,
            (fault(FaultKind.REVERT_GOES_ON, "revertSnapshot", seconds=0.7, times=times),),
            repeated=frozenset({"reverted"}),
        )
        for row in ("F11", "F24")
        for times in (1, 2)
    ]
    assert await findings(trials, tmp_path) == []


@pytest.mark.parametrize("seconds", [0.2, 1.0, 3.0])
async def test_detach_that_happens_late_against_a_new_holder(tmp_path: Path, seconds: float) -> None:
    repeated = frozenset({"detached", "attached"})
    trials = [
        Trial(row, (fault(FaultKind.LATE_DETACH, "detachVolume", seconds=seconds),), repeated=repeated)
        for row in ("F11", "F24")
    ]
    assert await findings(trials, tmp_path) == []


DAEMON: Final = (
    (FaultKind.DAEMON_FAILS_AFTER_CLOUD_SUCCESS, ("detach", "attach")),
    (FaultKind.OPERATION_ABANDONED, ("detach", "attach")),
    (FaultKind.DEVICE_LINK_LATE, ("attach",)),
)


@pytest.mark.parametrize(("kind", "commands"), DAEMON, ids=[kind.value for kind, _ in DAEMON])
async def test_daemon_that_fails_after_the_cloud_did_its_work(
    tmp_path: Path, kind: FaultKind, commands: tuple[str, ...]
) -> None:
    # A volume on the OMA without a mapping is taken off and put on again, which makes the mapping.
    trials = [
        Trial(row, (fault(kind, command),), repeated=frozenset({"detached", "attached"} if command == "attach" else ()))
        for command in commands
        for row in ("F11", "F24")
    ]
    assert await findings(trials, tmp_path) == []


STOPS: Final = {
    "detachVolume": "DetachFailing",
    "attachVolume": "AttachFailing",
    "revertSnapshot": "RevertFailing",
    "stopVirtualMachine": "StopFailing",
    "destroyVirtualMachine": "UnexpectedState",
    "expungeVirtualMachine": "UnexpectedState",
}


async def test_command_that_never_works_ends_in_a_documented_stop(tmp_path: Path) -> None:
    trials = [
        Trial(JOBS[command], (fault(FaultKind.JOB_FAILS, command, times=99),), reason=reason)
        for command, reason in STOPS.items()
    ]
    assert [found for found in await findings(trials, tmp_path) if "never struck" not in found] == []


async def test_snapshot_that_cannot_be_deleted_is_a_leftover_and_keeps_nothing_from_coming_home(tmp_path: Path) -> None:
    async with staged(ROWS["F11"], f"sqlite+aiosqlite:///{tmp_path}/oma.db", disks=DISKS) as stage:
        await stage.watch()
        stage.appliance.faults.arm(FaultKind.JOB_FAILS, "deleteSnapshot", times=99)

        progress = await drive(stage)

        assert getattr(progress.decision, "reason", None) == "Cleaned"
        assert len(stage.appliance.journal.requests("deleteSnapshot")) == 3 * DISKS, (
            "three tries each, then never again"
        )
        assert set(stage.appliance.holders(stage.case.vm_name).values()) == {stage.appliance.oma_vm_id}
        assert {stage.appliance.cloud.snapshots[s].state for s in stage.built.snapshot_ids.values()} == {"BackedUp"}
