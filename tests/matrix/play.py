"""Play a case to its end and say what differs from what was expected."""

from __future__ import annotations

from dataclasses import dataclass, fields

from tests.matrix.arrangements import ARRANGEMENTS
from tests.matrix.expected import Case, End, Outcome, Requests, Way
from tests.matrix.invariants import out_of_order, target, violations
from tests.matrix.stage import Ended, Found, Stage, staged


@dataclass(frozen=True)
class Played:
    """One case, played.

    Attributes:
        ends: of the first run, and of the way out where the case has one.
        differences: what is not as expected; empty when the case is met.
    """

    case: Case
    ends: tuple[Ended, ...]
    differences: tuple[str, ...]


async def play(case: Case, database_url: str) -> Played:
    """Build the case's world, run, take the way out, run once more, and compare everything."""
    async with staged(case, database_url) as stage:
        await _arrange(stage, case.arrange)
        await stage.watch()
        first = await stage.run()
        ends, differences = [first], await _compare(stage, case.end, first, "")
        if case.way is not None:
            before = await stage.look()
            await _arrange(stage, case.way.arrange)
            stage.forgive(before, await stage.look())
            ends.append(await stage.run(case.way))
            differences += await _compare(stage, case.way.end, ends[-1], f"after “{case.way.what}”: ")
        differences += await _once_more(stage, case.way)
    return Played(case, tuple(ends), tuple(differences))


async def _arrange(stage: Stage, names: tuple[str, ...]) -> None:
    for name in names:
        await ARRANGEMENTS[name](stage)


async def _compare(stage: Stage, end: End, ended: Ended, when: str) -> list[str]:
    after = await stage.look()
    different: list[str] = []

    def expect(what: str, actual: object, wanted: object) -> None:
        if actual != wanted:
            different.append(f"{when}{what} is {actual}, not {wanted}")

    expect("outcome", ended.outcome, end.outcome)
    expect("reason", ended.reason, end.reason)
    for part in fields(Requests):
        expect(f"requests: {part.name}", getattr(ended.requests, part.name), getattr(end.requests, part.name))
    for number, volume in enumerate(stage.volume_ids):
        expect(f"content of disk {number}", after.contents[volume], _content(stage, end, number))
        expect(f"holder of disk {number}", after.holders[volume], _holder(stage, end, number))
    expect(
        "context", _context(stage, after), _context(stage, stage.found) if end.context == "as found" else end.context
    )
    expect(
        "failover row",
        _failover(stage, after),
        _failover(stage, stage.found) if end.failover == "as found" else end.failover,
    )
    if end.outcome in (Outcome.RECOVERED, Outcome.STALLED):
        expect("leftovers", ended.leftovers, end.leftovers)
    if end.outcome in (Outcome.WAITING, Outcome.REFUSED, Outcome.NOTHING_TO_DO) and stage.case.way is None:
        expect("rows changed", _changed(stage.found, after), [])
    if end.outcome is Outcome.RECOVERED:
        different += [f"{when}{text}" for text in target(stage, after)]
    if different and ended.outcome is not end.outcome:
        different.append(f"{when}it says: {getattr(ended.decision, 'message', '')}")
    different += [f"{when}{text}" for text in (*out_of_order(stage, ended.sent), *await violations(stage, after))]
    return different


async def _once_more(stage: Stage, way: Way | None) -> list[str]:
    """After the end a second run, by another process, sends nothing and writes nothing."""
    before = await stage.look()
    again = await stage.run(way, owner="operator-2")
    after = await stage.look()
    different = []
    if after.entries != before.entries:
        different.append(f"a second run sent requests: {again.requests}")
    if changed := _changed(before, after):
        different.append(f"a second run changed rows of {', '.join(changed)}")
    return different


def _content(stage: Stage, end: End, number: int) -> str:
    volume = stage.volume_ids[number]
    if end.contents[number] == "as found":
        return stage.found.contents[volume]
    return f"replica:{stage.appliance.cloud.volumes[volume].generation}"


def _holder(stage: Stage, end: End, number: int) -> str | None:
    match end.holders[number]:
        case "OMA":
            return stage.appliance.oma_vm_id
        case "nobody":
            return None
    return stage.found.holders[stage.volume_ids[number]]


def _context(stage: Stage, found: Found) -> str:
    return str(found.rows["vm_replication_contexts"][(stage.built.vm.context_id,)]["current_status"])


def _failover(stage: Stage, found: Found) -> str | None:
    rows = found.rows["failover_jobs"].values()
    return next((str(row["status"]) for row in rows if row["job_id"] == stage.built.failover_job_id), None)


def _changed(before: Found, after: Found) -> list[str]:
    return [table for table, rows in before.rows.items() if rows != after.rows[table]]
