"""What a campaign came to, in figures and as the page `docs/crash-record.md`."""

from __future__ import annotations

import os
import shlex
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.crash.campaign import Verdict
from tests.crash.mutating_calls import Kill, When
from tests.crash.point import Played, Point, case_of

SAME: Final = "same end"
MISSED: Final = "missed"
FAILED: Final = "failed"

HEAD: Final = """# Crash record

The operator killed with SIGKILL before and after every mutating call it makes, and what became of the cleanup under the operator that
took over. Written by `make crash-full`; the tests run the first call of each kind.

A reference run of each scenario numbers the calls over all systems: requests that change something in Kubernetes (status, finalizer,
Event, Lease), at the Volume Daemon and in OSSEA, and each transaction committed in the OMA database. *Before* a call nothing of it was
sent; *after* it the answer was there and the product had not seen it. *Pairs* kill the operator that takes over as well, at a call drawn
by lot. Points at Kubernetes calls run on a real kube-apiserver and points at commits on MariaDB; the other systems of a point are the
emulator, SQLite and the pretend appliance.

Each point must come to the end of the reference run: conditions, phases, holders and contents of the disks, snapshots, test VM, every row
of the VM; with no request or effect twice (a revert once per claim), no bystander or foreign row touched, and the rules of order and of
claim held on the way. A call is named by its kind and its place among its kind. *Missed* means that the cleanup was over before that
call: how often leases are renewed, heartbeats sent and status written depends on the clock. *As before …* is a moment that is collapsed:
that kill came right after the answer with nothing else in flight, so no system can tell the two apart (a transaction that is not
committed is one that never was).
"""


@dataclass(slots=True)
class Tally:
    """A campaign as it goes on.

    Attributes:
        references: runs without a crash, by scenario.
        seed: of what was drawn by lot.
        planned: points there were; some are not played when the time is over.
        seconds: how long it took.
    """

    references: Mapping[str, Played]
    seed: int
    planned: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, verdict: Verdict) -> None:
        """Take in a point."""
        self.verdicts.append(verdict)

    @property
    def failed(self) -> list[Verdict]:
        """Points with problems."""
        return [verdict for verdict in self.verdicts if verdict.problems]

    def of(self, scenario: str, *, pair: bool) -> list[Verdict]:
        """Points of a scenario: pairs, or kills of one operator."""
        return [
            verdict
            for verdict in self.verdicts
            if verdict.played.point.scenario == scenario and (len(verdict.played.point.kills) > 1) is pair
        ]

    def summary(self) -> str:
        """One line of figures."""
        counts = Counter(told(verdict) for verdict in self.verdicts)
        moments = {
            (scenario, Kill(call.name, when))
            for scenario, reference in self.references.items()
            for call in reference.calls[0]
            for when in When
        }
        alone = [v.played for v in self.verdicts if len(v.played.point.kills) == 1]
        played = moments & {(one.point.scenario, one.point.kills[0]) for one in alone}
        # Later runs make calls that no reference run made: heartbeats, renewals of leases.
        also = {(one.point.scenario, Kill(one.also.name, When.AFTER)) for one in alone if one.also}
        collapsed = (moments & also) - played
        return (
            f"{len(self.verdicts)} of {self.planned} points played: {counts[SAME]} same end, {counts[MISSED]} missed, "
            f"{counts[FAILED]} failed; of {len(moments)} moments of {len(moments) // len(When)} calls {len(played)} played, "
            f"{len(collapsed)} collapsed, {len(moments - played - collapsed)} skipped; "
            f"{self.seconds / 60:.0f} min on {os.cpu_count()} cores, seed {self.seed}"
        )


def told(verdict: Verdict) -> str:
    """What became of a point, in two words at most."""
    return FAILED if verdict.problems else MISSED if verdict.missed else SAME


def replay(point: Point) -> str:
    """The command that plays a point again."""
    first, *later = point.kills
    words = ["--scenario", point.scenario, "--call", str(first.call), "--when", first.when]
    for kill in later:
        words += ["--then-call", str(kill.call), "--then-when", kill.when]
    return f"python -m tests.crash.full {shlex.join(words)}"


def write_record(page: Path, tally: Tally) -> None:
    """Write the page."""
    page.write_text("".join(_page(tally)))


def _page(tally: Tally) -> Iterator[str]:
    yield HEAD
    yield f"\n**{tally.summary()}** ({datetime.now(UTC):%Y-%m-%d}).\n"
    yield (
        "\nTo replay a point: `python -m tests.crash.full --scenario F11 --call 17 --when after`, or with a name: "
        '`--call "daemon attach#2"`.\n'
    )
    yield "\n| scenario | calls | points | same end | missed | failed | pairs | same end | missed | failed |\n"
    yield "|---|---|---|---|---|---|---|---|---|---|\n"
    for scenario, reference in tally.references.items():
        single, pair = (tally.of(scenario, pair=kind) for kind in (False, True))
        cells = [scenario, str(len(reference.calls[0])), *_counted(single), *_counted(pair)]
        yield f"| {' | '.join(cells)} |\n"
    if tally.failed:
        yield "\n## Failed\n\n"
        yield from (
            f"- {verdict.played.point}: {verdict.problems[0]} (`{replay(verdict.played.point)}`)\n"
            for verdict in tally.failed
        )
    for scenario, reference in tally.references.items():
        yield from _section(tally, scenario, reference)


def _counted(verdicts: list[Verdict]) -> list[str]:
    counts = Counter(told(verdict) for verdict in verdicts)
    return [str(len(verdicts)), *(str(counts[word]) for word in (SAME, MISSED, FAILED))]


def _section(tally: Tally, scenario: str, reference: Played) -> Iterator[str]:
    yield f"\n## {scenario}\n\n{case_of(scenario).why}\n"
    yield "\n| call | name | killed before | killed after |\n|---|---|---|---|\n"
    single = tally.of(scenario, pair=False)
    found = {verdict.played.point.kills[0]: told(verdict) for verdict in single}
    also = {v.played.also.name: f"as {v.played.point.kills[0]}" for v in single if v.played.also and not v.problems}
    for call in reference.calls[0]:
        before, after = (found.get(Kill(call.name, when)) for when in When)
        yield f"| {call.number} | {call.name} | {before or 'not played'} | {after or also.get(call.name, 'not played')} |\n"
    drawn = tally.of(scenario, pair=True)
    if drawn:
        yield "\n| first kill | second kill | outcome |\n|---|---|---|\n"
    for verdict in drawn:
        first, second = verdict.played.point.kills
        yield f"| {first} | {second} | {told(verdict)} |\n"
