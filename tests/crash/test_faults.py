"""Every fault of the simulator against every command: a clean end, or a documented stop, and never lost content.

One test per kind of fault; its runs are side by side, each on an appliance of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from appliance_simulator.faults import FaultKind
from failed_execution_cleanup.recovery.decide import Decision, Done, Refuse
from failed_execution_cleanup.recovery.reasons import Reason, needs_person
from tests.unit.run.engine import Engine, engine, reason_of

pytestmark = pytest.mark.timeout(240)

SIDE_BY_SIDE = 8
WAIVED = {"F28": ("RunningTestVM",)}
OSSEA = {
    "revertSnapshot": "F11",
    "deleteSnapshot": "F11",
    "stopVirtualMachine": "F28",
    "destroyVirtualMachine": "F24",
}
"""What the engine asks of OSSEA, with a row in which it has to."""
DAEMON = {"detach": "F11", "attach": "F11"}
JOBS = {**OSSEA, "detachVolume": "F24", "attachVolume": "F24"}
"""Jobs of OSSEA, also those that the daemon asks for."""


@dataclass(frozen=True)
class Case:
    """One run.

    Attributes:
        options: of the fault.
    """

    row: str
    kind: FaultKind
    command: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = "".join(f" {name}={value}" for name, value in self.options)
        return f"{self.kind.value} of {self.command}{options} on {self.row}"


def cases(kind: FaultKind, commands: Iterable[tuple[str, str]], **options: Any) -> list[Case]:
    return [Case(row, kind, command, tuple(options.items())) for command, row in commands]


Surrounding = Callable[[Engine], contextlib.AbstractAsyncContextManager[None]]


@contextlib.asynccontextmanager
async def nothing(_run: Engine) -> AsyncIterator[None]:
    """Nobody helps."""
    yield


async def end_of(case: Case, directory: Path, surrounding: Surrounding) -> tuple[Engine, Decision]:
    async with engine(directory, case.row) as run:
        run.appliance.faults.arm(case.kind, case.command, **dict(case.options))
        async with surrounding(run):
            decision = await run.run(*WAIVED.get(case.row, ()), seconds=90)
        return run, decision


async def findings(
    tried: Iterable[Case], directory: Path, stops: dict[str, Reason] | None = None, surrounding: Surrounding = nothing
) -> list[str]:
    """Run the cases and name every one that does not end as it should.

    Args:
        tried: the cases.
        directory: for their databases.
        stops: reason with which a case has to stop, by its text; the others end clean.
        surrounding: what happens meanwhile.
    """
    gate = asyncio.Semaphore(SIDE_BY_SIDE)
    tried = list(tried)
    directories = [Path(tempfile.mkdtemp(dir=directory)) for _ in tried]

    async def one(number: int, case: Case) -> list[str]:
        async with gate:
            try:
                run, decision = await end_of(case, directories[number], surrounding)
            except TimeoutError:
                return [f"{case}: did not end"]
        problems = run.lost()
        expected = (stops or {}).get(str(case), Reason.CLEANED)
        if reason_of(decision) is not expected:
            said = getattr(decision, "message", decision)
            problems.append(f"{type(decision).__name__} {reason_of(decision)}: {said}")
        elif isinstance(decision, Done):
            problems += run.left_over()
        elif isinstance(decision, Refuse):
            problems += [] if needs_person(decision.reason) else [f"{decision.reason} is no stop"]
        return [f"{case}: {problem}" for problem in problems]

    listed = await asyncio.gather(*(one(number, case) for number, case in enumerate(tried)))
    return [problem for problems in listed for problem in problems]


LOST_REQUESTS = [
    FaultKind.RESPONSE_LOST_BEFORE,
    FaultKind.RESPONSE_LOST_AFTER,
    FaultKind.EMPTY_BODY,
    FaultKind.HTTP_503,
]


@pytest.mark.parametrize("kind", LOST_REQUESTS)
async def test_request_without_a_usable_answer(tmp_path: Path, kind: FaultKind) -> None:
    assert await findings(cases(kind, [*OSSEA.items(), *DAEMON.items()]), tmp_path) == []


@pytest.mark.parametrize("executed", [False, True])
async def test_answer_of_a_proxy(tmp_path: Path, executed: bool) -> None:
    tried = cases(FaultKind.HTML_502, [*OSSEA.items(), *DAEMON.items()], executed=executed)
    assert await findings(tried, tmp_path) == []


async def test_empty_answer_to_a_request_that_was_not_executed(tmp_path: Path) -> None:
    tried = cases(FaultKind.EMPTY_BODY, [*OSSEA.items(), *DAEMON.items()], executed=False)
    assert await findings(tried, tmp_path) == []


async def test_too_many_requests(tmp_path: Path) -> None:
    assert await findings(cases(FaultKind.HTTP_429, OSSEA.items()), tmp_path) == []


async def test_job_that_fails_once(tmp_path: Path) -> None:
    assert await findings(cases(FaultKind.JOB_FAILS, JOBS.items()), tmp_path) == []


@pytest.mark.parametrize("executed", [False, True])
async def test_job_that_ends_without_a_result(tmp_path: Path, executed: bool) -> None:
    tried = cases(FaultKind.JOB_FAILS_WITHOUT_RESULT, JOBS.items(), executed=executed)
    assert await findings(tried, tmp_path) == []


async def test_job_that_hangs_for_a_while(tmp_path: Path) -> None:
    assert await findings(cases(FaultKind.JOB_HANGS, JOBS.items()), tmp_path, surrounding=releasing) == []


@contextlib.asynccontextmanager
async def releasing(run: Engine) -> AsyncIterator[None]:
    """Somebody sees to hanging jobs, sooner or later."""

    async def release() -> None:
        while True:
            await asyncio.sleep(3)
            run.appliance.jobs.release_hanging()

    async with running(release()):
        yield


@contextlib.asynccontextmanager
async def running(work: Any) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@pytest.mark.parametrize("kind", [FaultKind.REVERT_HALF_WAY, FaultKind.REVERT_GOES_ON])
async def test_revert_that_is_no_success(tmp_path: Path, kind: FaultKind) -> None:
    tried = [
        *cases(kind, [("revertSnapshot", "F11"), ("revertSnapshot", "F24")], seconds=1.0),
        *cases(kind, [("revertSnapshot", "F11")], seconds=1.0, times=3),
    ]
    assert await findings(tried, tmp_path) == []


async def test_detach_that_happens_late(tmp_path: Path) -> None:
    tried = [
        *cases(FaultKind.LATE_DETACH, [("detachVolume", "F11"), ("detachVolume", "F24")], seconds=1.0),
        *cases(FaultKind.LATE_DETACH, [("detachVolume", "F11")], seconds=3.0),
    ]
    assert await findings(tried, tmp_path) == []


@pytest.mark.parametrize("kind", [FaultKind.DAEMON_FAILS_AFTER_CLOUD_SUCCESS, FaultKind.OPERATION_ABANDONED])
async def test_daemon_that_fails_after_the_cloud_did_its_work(tmp_path: Path, kind: FaultKind) -> None:
    tried = cases(kind, [("detach", "F11"), ("attach", "F11"), ("detach", "F24"), ("attach", "F24")])
    assert await findings(tried, tmp_path) == []


async def test_device_link_that_comes_too_late(tmp_path: Path) -> None:
    assert await findings(cases(FaultKind.DEVICE_LINK_LATE, [("attach", "F11"), ("attach", "F24")]), tmp_path) == []


@pytest.mark.parametrize("kind", [FaultKind.CLOUD_DOWN, FaultKind.DAEMON_DOWN])
@pytest.mark.parametrize("after", ["detached", "reverted", "snapshot-deleted", "attached"])
async def test_outage_of_some_seconds(tmp_path: Path, kind: FaultKind, after: str) -> None:
    @contextlib.asynccontextmanager
    async def outage(run: Engine) -> AsyncIterator[None]:
        async def fail() -> None:
            while not run.appliance.journal.effects(after):  # noqa: ASYNC110 the simulator tells nobody
                await asyncio.sleep(0.01)
            run.appliance.faults.arm(kind)
            await asyncio.sleep(3)
            run.appliance.faults.disarm(kind)

        async with running(fail()):
            yield

    # A fault of a command that nobody sends: the outage comes from the surrounding.
    tried = [Case(row, FaultKind.HTTP_503, "recoverVolume") for row in ("F11", "F24")]
    assert await findings(tried, tmp_path, surrounding=outage) == []


async def test_command_that_never_works_ends_in_a_documented_stop(tmp_path: Path) -> None:
    tried = cases(FaultKind.JOB_FAILS, JOBS.items(), times=99)
    stops = {
        "detachVolume": Reason.DETACH_FAILING,
        "attachVolume": Reason.ATTACH_FAILING,
        "revertSnapshot": Reason.REVERT_FAILING,
        "stopVirtualMachine": Reason.STOP_FAILING,
        "destroyVirtualMachine": Reason.UNEXPECTED_STATE,
    }
    expected = {str(case): stops[case.command] for case in tried if case.command in stops}
    found = await findings(tried, tmp_path, expected)
    # A snapshot that OSSEA refuses to delete is a leftover (rule 12): the only thing that is left.
    assert {problem.split(": ", 1)[1].split(" ", 1)[0] for problem in found} <= {"snapshot"}
    assert all("deleteSnapshot" in problem for problem in found)
