"""Kill the operator at every mutating call, and the one that takes over too; write `docs/crash-record.md`.

    python -m tests.crash.full                                               # or `make crash-full`: hours
    python -m tests.crash.full --scenario F11 --call 17 --when after         # replay one point
    python -m tests.crash.full --scenario F11 --call "daemon attach#2" --when before --then-call 9 --then-when after
    python -m tests.crash.full --kinds                                       # what the tests run: the first call of each kind

A call is named by its kind and its place among its kind, because numbers shift a little from run to run: leases are renewed and
heartbeats sent by the clock. Numbers given to `--call` are those of a reference run made first.

Ends with 1 when a point came to another end than without a crash, or a rule was broken on the way.
"""

from __future__ import annotations

import argparse
import json
import random
import secrets
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tests.crash.campaign import Campaign, Choice, Verdict, pairs, real_servers
from tests.crash.mutating_calls import Kill, When
from tests.crash.point import SCENARIOS, Played, Point
from tests.crash.record import Tally, replay, told, write_record

PAGE: Final = Path(__file__).parents[2] / "docs" / "crash-record.md"


def options(arguments: list[str]) -> argparse.Namespace:
    """Command line options."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.full", description="Kill the operator at every call.")
    parser.add_argument("--scenario", action="append", choices=SCENARIOS, help="may be repeated; default: all")
    parser.add_argument("--jobs", type=int, default=8, help="points at once; most of a point is waiting for a lease")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of kills per scenario")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of what is drawn by lot")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no point after so many")
    parser.add_argument("--kinds", action="store_true", help="only the first call of each kind, and no record")
    parser.add_argument("--results", type=Path, help="where to write what became of each point, as JSON")
    parser.add_argument("--call", help="replay one point: number in a reference run, or name such as “daemon attach#2”")
    parser.add_argument("--when", type=When, choices=list(When), help="moment of that call")
    parser.add_argument("--then-call", type=int, help="call of the operator that takes over, by its number")
    parser.add_argument("--then-when", type=When, choices=list(When), help="moment of that call")
    chosen = parser.parse_args(arguments)
    if chosen.call is not None and (chosen.when is None or len(chosen.scenario or ()) != 1):
        parser.error("--call needs --when and one --scenario")
    if (chosen.then_call is None) != (chosen.then_when is None):
        parser.error("--then-call and --then-when belong together")
    return chosen


def main(arguments: list[str]) -> int:
    """Play what is asked for."""
    chosen = options(arguments)
    started = time.monotonic()
    with real_servers() as servers:
        campaign = Campaign(servers, chosen.jobs)
        campaign.measure(chosen.scenario or SCENARIOS)
        tally = Tally(campaign.references, chosen.seed)
        for points in _rounds(chosen, campaign, tally):
            tally.planned += len(points)
            for verdict in campaign.judge(points, until=started + chosen.minutes * 60):
                tally.add(verdict)
                sys.stdout.write(f"{_line(tally, verdict)}\n")
                sys.stdout.flush()
    tally.seconds = time.monotonic() - started
    sys.stdout.write(f"{tally.summary()}\n")
    if chosen.results is not None:
        chosen.results.write_text(json.dumps([_plain(verdict) for verdict in tally.verdicts], indent=2))
    if chosen.call is None and not chosen.kinds:
        write_record(PAGE, tally)
    return 1 if tally.failed else 0


def _rounds(chosen: argparse.Namespace, campaign: Campaign, tally: Tally) -> Iterator[list[Point]]:
    """Points to play, round by round: the last ones are those that the ones before did not show as well."""
    references = list(campaign.references.values())
    if chosen.call is not None:
        yield [_chosen_point(chosen, references[0])]
        return
    chance = random.Random(chosen.seed)  # noqa: S311 - a lot that can be drawn again
    choices = [(reference, _choice(chosen, number)) for number, reference in enumerate(references)]
    drawn = [] if chosen.kinds else [p for reference in references for p in pairs(reference, chosen.pairs, chance)]
    yield _shuffled((*drawn, *(p for reference, choice in choices for p in choice.before(reference))), chance)
    yield _shuffled((p for reference, choice in choices for p in choice.after(reference, tally.verdicts)), chance)


def _choice(chosen: argparse.Namespace, number: int) -> Choice:
    return Choice(first_of_kind=True, with_life=number == 0) if chosen.kinds else Choice()


def _shuffled(points: Iterable[Point], chance: random.Random) -> list[Point]:
    """In an order in which servers are used evenly, and all sorts of points were played if the time is over before the end."""
    mixed = list(points)
    chance.shuffle(mixed)
    return mixed


def _chosen_point(chosen: argparse.Namespace, reference: Played) -> Point:
    name: str = chosen.call
    if name.isdecimal():
        number = int(name)
        calls = reference.calls[0]
        if not 1 <= number <= len(calls):
            sys.exit(f"the reference run made {len(calls)} mutating calls; there is no call {number}")
        name = calls[number - 1].name
    kills = [Kill(name, chosen.when)]
    if chosen.then_call is not None:
        kills.append(Kill(chosen.then_call, chosen.then_when))
    return Point(reference.point.scenario, tuple(kills))


def _line(tally: Tally, verdict: Verdict) -> str:
    point = verdict.played.point
    line = f"{len(tally.verdicts)}/{tally.planned} {told(verdict):8} {verdict.played.seconds:5.1f} s  {point}"
    if not verdict.problems:
        return line
    logs = (f"--- operator {number}\n{log}" for number, log in enumerate(verdict.played.logs, 1))
    return "\n".join((line, *verdict.problems, f"replay: {replay(point)}", *logs))


def _plain(verdict: Verdict) -> dict[str, object]:
    point = verdict.played.point
    return {
        "scenario": point.scenario,
        "kills": [str(kill) for kill in point.kills],
        "reached": list(verdict.played.reached),
        "problems": list(verdict.problems),
        "replay": replay(point),
        "seconds": round(verdict.played.seconds, 1),
    }


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
