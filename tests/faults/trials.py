"""One cleanup with something going wrong in it, and what must hold at its end.

A trial takes a leftover state of the matrix with two disks, arms faults, runs the engine as the queue does, and then asks three
things: is the end the right one, with contents, holders and rows as the product wants them; was any rule broken on the way; and
was anything executed twice.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from sqlalchemy import delete

from appliance_simulator import schema
from appliance_simulator.faults import FaultKind
from appliance_simulator.journal import Effect, Request
from failed_execution_cleanup.recovery.decide import Done, Refuse, Wait
from failed_execution_cleanup.recovery.reasons import needs_person
from failed_execution_cleanup.run.cleanup import Cleanup
from failed_execution_cleanup.run.order import Progress
from tests.crash import rules
from tests.matrix.arrangements import ARRANGEMENTS, arrangement
from tests.matrix.expected import CASES, Case
from tests.matrix.invariants import target, violations
from tests.matrix.stage import LIMITS, Stage, staged
from tests.unit.run.engine import Asker

logger = logging.getLogger(__name__)

DISKS: Final = 2
NO_EFFECT: Final = frozenset({"revert-failed"})
"""What the journal notes although nothing was brought about."""
SIDE_BY_SIDE: Final = 8
"""Trials mostly wait for each other's quiet times: this many keep one core busy."""
PATIENCE_SECONDS: Final = 300.0
LONGEST_PAUSE_SECONDS: Final = 3.2
"""Longer than anything here asks for; what takes minutes in production is not waited for."""


@arrangement("export-missing")
async def _export_missing(stage: Stage) -> None:
    table = schema.nbd_exports
    async with stage.appliance.engine.begin() as connection:
        await connection.execute(delete(table).where(table.c.volume_id == stage.volume_ids[0]))


def _rows() -> dict[str, Case]:
    rows = {case.id: case for case in CASES}
    # No leftover state of the product lacks an export alone; somebody may have removed one.
    rows["R09-export-missing"] = replace(rows["R09"], id="R09-export-missing", arrange=("export-missing",))
    return rows


ROWS: Final[Mapping[str, Case]] = _rows()


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What goes wrong, as the simulator's `Faults.arm` takes it."""

    kind: FaultKind
    command: str
    options: tuple[tuple[str, Any], ...] = ()

    def __str__(self) -> str:
        options = "".join(f" {name}={value}" for name, value in self.options)
        return f"{self.kind.value} of {self.command}{options}"


def fault(kind: FaultKind, command: str, **options: Any) -> Fault:
    """A fault with its options."""
    return Fault(kind=kind, command=command, options=tuple(options.items()))


@dataclass(frozen=True)
class Trial:
    """One run.

    Attributes:
        row: id of the matrix's case; waivers of its way out are given from the start.
        faults: armed before the run; each must strike.
        reason: how it ends.
        repeated: kinds of effects that may come once more per object, because nobody can know that they came.
    """

    row: str
    faults: tuple[Fault, ...]
    reason: str = "Cleaned"
    repeated: frozenset[str] = field(default_factory=frozenset)

    def __str__(self) -> str:
        return f"{self.row}, {', '.join(map(str, self.faults)) or 'no fault'}"


Meanwhile: TypeAlias = Callable[[Stage], contextlib.AbstractAsyncContextManager[None]]
"""What happens beside a run."""


@contextlib.asynccontextmanager
async def nothing(_stage: Stage) -> AsyncIterator[None]:
    """Nobody helps, nobody disturbs."""
    yield


@contextlib.asynccontextmanager
async def beside(work: Awaitable[None]) -> AsyncIterator[None]:
    """Something that goes on until it ends or the block does; its error is the block's."""
    task = asyncio.ensure_future(work)
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(reached: Callable[[], object], *, seconds: float = PATIENCE_SECONDS, what: str) -> None:
    """Wait for something that the simulator tells nobody.

    Raises:
        TimeoutError: it did not come.
    """
    deadline = time.monotonic() + seconds
    while not reached():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {seconds:.0f} s: {what}")
        await asyncio.sleep(0.01)


async def drive(stage: Stage, *, owner: str = "operator-1", patience: float = PATIENCE_SECONDS) -> Progress:
    """Run as the queue does: again after each wait, until there is an end or a person is needed.

    Raises:
        TimeoutError: neither came in time; the message holds the last word of the core.
    """
    asker = Asker(stage.order(stage.case.way))
    deadline = time.monotonic() + patience
    while True:
        said = "nothing"
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                progress = await Cleanup(stage.doors, stage.settings, owner, asker, LIMITS).run()
        except TimeoutError:
            said = str(asker.heard[-1].decision) if asker.heard else said
            raise TimeoutError(f"did not end; the last word was {said}") from None
        if not isinstance(progress.decision, Wait):
            return progress
        pause = min(progress.decision.after.total_seconds(), LONGEST_PAUSE_SECONDS)
        if time.monotonic() + pause > deadline:
            raise TimeoutError(f"did not end; the last word was {progress.decision}")
        await asyncio.sleep(pause)


async def judged(stage: Stage, trial: Trial, progress: Progress) -> list[str]:
    """What is wrong at the end of a trial; empty when all is well."""
    decision = progress.decision
    reason = getattr(decision, "reason", None)
    said = None if reason is None else str(reason.value)
    found = []
    if said != trial.reason:
        found.append(f"{type(decision).__name__} {said}, not {trial.reason}: {getattr(decision, 'message', '')}")
    elif isinstance(decision, Refuse) and not needs_person(decision.reason):
        found.append(f"{said} is no stop that a person has to end")
    found += [f"{armed.kind.value} of {armed.command} never struck" for armed in stage.appliance.faults.armed()]
    found += [f"{text}" for text in stage.appliance.journal.hasty]
    return found + await broken(stage, trial.repeated, clean=isinstance(decision, Done) and trial.reason == "Cleaned")


async def broken(stage: Stage, repeated: frozenset[str] = frozenset(), *, clean: bool) -> list[str]:
    """Every promise that does not hold now.

    Args:
        stage: where.
        repeated: kinds of effects that may have come once more.
        clean: whether the goal is said to be reached.
    """
    after = await stage.look()
    claims = [rules.claim_row(row["metadata"]) for row in after.rows["job_tracking"].values() if _is_claim(row)]
    taken = max((claim.number for claim in claims), default=1)
    found = [*lost(stage), *executed_twice(stage, repeated, taken=taken), *await violations(stage, after)]
    if clean:
        for volume, content in after.contents.items():
            wanted = f"replica:{stage.appliance.cloud.volumes[volume].generation}"
            found += [] if content == wanted else [f"{volume} holds {content}, not {wanted}"]
        found += target(stage, after)
        left = [
            s
            for s in stage.appliance.cloud.snapshots.values()
            if s.id in stage.built.snapshot_ids.values() and s.state != "Destroyed"
        ]
        found += [f"snapshot {s.id} is {s.state}" for s in left]
        vm = stage.appliance.cloud.vms.get(stage.built.destination_vm_id or "")
        found += [f"VM {vm.id} is {vm.state}"] if vm is not None and not vm.removed else []
        status = after.rows["vm_replication_contexts"][(stage.built.vm.context_id,)]["current_status"]
        found += [] if status == "ready_for_failover" else [f"the context is {status}"]
    return found


def _is_claim(row: Mapping[str, Any]) -> bool:
    return row["operation"] == "failed-execution-cleanup" and row["metadata"] is not None


def lost(stage: Stage) -> list[str]:
    """Volumes that are no replica any more, though they were or could have been again."""
    found = []
    for volume, content in stage.appliance.contents(stage.case.vm_name).items():
        point = stage.appliance.cloud.snapshots.get(stage.built.snapshot_ids.get(volume, ""))
        restorable = point is not None and point.state == "BackedUp"
        if not content.startswith("replica") and not restorable and content != stage.found.contents[volume]:
            found.append(f"{volume} is lost: it holds {content} and has no restore point")
    return found


def executed_twice(stage: Stage, repeated: frozenset[str] = frozenset(), *, taken: int = 1) -> list[str]:
    """Effects that came more than once on one object.

    Args:
        stage: where.
        repeated: kinds that may come once more.
        taken: how often the claim was taken: each time a volume that still has its snapshot is reverted anew (rule 12).
    """
    entries = stage.appliance.journal.entries[stage.found.entries :]
    effects = [entry for entry in entries if isinstance(entry, Effect) and entry.kind not in NO_EFFECT]
    times = Counter((effect.kind, effect.object_id) for effect in effects)
    return [
        f"{object_id} was {kind} {count} times"
        for (kind, object_id), count in times.items()
        if count > (taken if kind == "reverted" else 1) + (kind in repeated)
    ]


def story(stage: Stage) -> str:
    """The journal since the run began, for the message of a failure."""
    lines = []
    for entry in stage.appliance.journal.entries[stage.found.entries :]:
        if isinstance(entry, Request):
            how = f"{'executed' if entry.executed else 'not executed'}, {entry.fault or entry.status}"
            lines.append(f"{entry.caller} {entry.command} {entry.object_ids[0][:8]}: {how}")
        else:
            lines.append(f"    {entry.kind} {entry.object_id[:8]}")
    return "\n".join(lines)


async def tried(trial: Trial, directory: Path, meanwhile: Meanwhile = nothing) -> list[str]:
    """Run one trial; gives what is wrong, each line with the trial's name."""
    async with staged(ROWS[trial.row], f"sqlite+aiosqlite:///{directory}/oma.db", disks=DISKS) as stage:
        for name in stage.case.arrange:
            await ARRANGEMENTS[name](stage)
        await stage.watch()
        for armed in trial.faults:
            stage.appliance.faults.arm(armed.kind, armed.command, **dict(armed.options))
        try:
            async with meanwhile(stage):
                progress = await drive(stage)
        except TimeoutError as error:
            found = [str(error), *lost(stage)]
        else:
            found = await judged(stage, trial, progress)
        if found:
            logger.error("%s\n%s", trial, story(stage))
    return [f"{trial}: {problem}" for problem in found]


async def findings(trials: Iterable[Trial], directory: Path, meanwhile: Meanwhile = nothing) -> list[str]:
    """Run trials side by side and name everything that is wrong; empty when all is well."""
    gate = asyncio.Semaphore(SIDE_BY_SIDE)

    async def one(trial: Trial) -> list[str]:
        async with gate:
            return await tried(trial, Path(tempfile.mkdtemp(dir=directory)), meanwhile)

    listed = await asyncio.gather(*map(partial(one), trials))
    return [problem for problems in listed for problem in problems]
