"""Write `docs/recovery-matrix.md`: every leftover state, what became of it, why, with which requests, and how long it took.

    python -m tests.matrix.report            # or `make matrix`

Ends with 1 when a case did not end as expected; the page then says which.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from appliance_simulator import LEFTOVERS
from tests.matrix.company import played
from tests.matrix.expected import (
    CASES,
    FAILOVER,
    INFRASTRUCTURE,
    PRODUCT_CLEANUP,
    ROLLBACK,
    SCENARIOS,
    Case,
    Disks,
    Requests,
    Way,
)
from tests.matrix.play import Played
from tests.matrix.stage import Ended

PAGE: Final = Path(__file__).parents[2] / "docs" / "recovery-matrix.md"
SECTIONS: Final = (
    ("F: a failover died", FAILOVER),
    ("R: its rollback failed", ROLLBACK),
    ("C: the product's own cleanup failed", PRODUCT_CLEANUP),
    ("D: daemon, database, cloud, configuration", INFRASTRUCTURE),
    ("S: scenarios", SCENARIOS),
)
HEAD: Final = """# Recovery matrix

Every state the product can leave a VM in, and what the operator makes of it. Written by `make matrix`; what is *expected* is in
`tests/matrix/expected.py`, by hand and from the rules, and a case that ends otherwise fails the tests.

Each case is a VM with three disks (0 holds the operating system) on an appliance with bystanders: a healthy VM whose name begins alike,
VMs named like its test VM, and a person's snapshot of the OS disk. Every run is checked for the rules as well: reverts only while
detached, deletes only after a revert, one request on a volume at a time, a VM destroyed only when all volumes are home, no foreign row or
object changed by a byte, and no request and no write of a second run.

Requests are listed with their disks. Numbers in parentheses are [rules](rules.md). Seconds are those of a simulated cloud that works in
a moment, with quiet times of a fraction of a second; they tell what a case costs beside another, not what it costs in production.
"""
TABLE: Final = """
| case | left behind | outcome | reason | requests | seconds | why |
|---|---|---|---|---|---|---|
"""


def main() -> int:
    """Play every case and write the page."""
    with played(CASES) as futures:
        results = {case_id: future.result() for case_id, future in futures.items()}
    PAGE.write_text("".join(_page(results)))
    failed = [result for result in results.values() if result.differences]
    for result in failed:
        sys.stderr.write("\n".join((f"{result.case.id} is not as expected:", *result.differences, "")))
    sys.stdout.write(f"{len(results) - len(failed)} of {len(results)} cases as expected: {PAGE}\n")
    return 1 if failed else 0


def _page(results: dict[str, Played]) -> Iterator[str]:
    yield HEAD
    outcomes = Counter(case.end.outcome.value for case in CASES)
    met = sum(not result.differences for result in results.values())
    yield f"\n**{met} of {len(results)} cases end as expected**: "
    yield (
        ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        + "; a stop goes on by the way out below it.\n"
    )
    for title, cases in SECTIONS:
        yield f"\n## {title}\n{TABLE}"
        for case in cases:
            yield from _lines(case, results[case.id])
    yield f"\n## Where each scenario is shown\n\n| scenario | cases |\n|---|---|\n{_scenarios()}"


def _lines(case: Case, result: Played) -> Iterator[str]:
    first, *later = result.ends
    wrong = " **not as expected**" if result.differences else ""
    yield _line(f"{case.id}{wrong}", _left_behind(case), first, case.why)
    for ended in later:
        yield _line("", f"↳ {case.way.what if isinstance(case.way, Way) else ''}", ended, "")


def _line(name: str, found: str, ended: Ended, why: str) -> str:
    outcome = ended.outcome.value if ended.outcome is not None else "none"
    cells = (name, found, outcome, ended.reason, _requests(ended.requests), f"{ended.seconds:.1f}", why)
    return "| " + " | ".join(cells) + " |\n"


def _left_behind(case: Case) -> str:
    words = [LEFTOVERS[case.row].summary.rstrip(".")]
    words += [name.replace("-", " ") for name in case.arrange]
    if case.kind is not None:
        words.append(f"{case.kind} failover")
    words += [f"{reason} waived" for reason, _ in case.waive]
    return "; ".join(words)


def _requests(requests: Requests) -> str:
    by_disk: tuple[tuple[str, Disks], ...] = (
        ("detach", requests.detach),
        ("revert", requests.revert),
        ("delete", requests.delete),
        ("attach", requests.attach),
    )
    counted = (("stop", requests.stop), ("destroy", requests.destroy), ("expunge", requests.expunge))
    parts = [f"{name} {' '.join(map(str, disks))}" for name, disks in by_disk if disks]
    parts += [name if count == 1 else f"{name} {count} times" for name, count in counted if count]
    return ", ".join(parts) or "none"


def _scenarios() -> str:
    numbers = [f"S{number:02}" for number in range(1, 41)]
    shown = {n: [c.id for c in CASES if n in c.scenarios or c.id == n] for n in numbers}
    return "".join(f"| {number} | {', '.join(cases)} |\n" for number, cases in shown.items())


if __name__ == "__main__":
    sys.exit(main())
