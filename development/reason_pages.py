"""`docs/reasons/`: one page a reason, generated from the one list in the product.

python -m development.reason_pages [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

from development.reason_texts import EXPLANATIONS
from failed_execution_cleanup.resources.identifiers import REQUESTED_AT_ANNOTATION
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind, Waiver

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "docs" / "reasons"

_WHAT_FOLLOWS: Final = {
    ReasonKind.FINISHED: "`Ready` is True. Nothing more is touched, for ever, unless somebody asks again.",
    ReasonKind.WORKING: "`Ready` is Unknown and `Reconciling` True: the cleanup is at work.",
    ReasonKind.WAITING: "`Ready` is False and `Reconciling` True: the cleanup waits and goes on by itself.",
    ReasonKind.HELD: "`Ready` is False: a person asked for the pause.",
    ReasonKind.STALLED: "`Ready` is False and `Stalled` True: only a person can help.",
}
_WHY: Final = {
    ReasonKind.FINISHED: "Why nothing more is done",
    ReasonKind.WORKING: "What happens next",
    ReasonKind.WAITING: "Why it waits",
    ReasonKind.HELD: "Why it is held",
    ReasonKind.STALLED: "Why it stops",
}
_NO_WAIVER: Final = {
    ReasonKind.FINISHED: "None is needed.",
    ReasonKind.WORKING: "None is needed.",
    ReasonKind.WAITING: "It cannot be waived; it ends by itself.",
    ReasonKind.HELD: "None is needed.",
    ReasonKind.STALLED: "It cannot be waived.",
}
_OBJECTS: Final = {
    Waiver.ACCEPT_CONTENT: "<volume id>",
    Waiver.ZOMBIE_JOB: "<row id>",
}


def pages() -> dict[str, str]:
    """File names and contents, the index included."""
    shown = [reason for reason in Reason if reason.kind is not ReasonKind.OBSERVATION]
    found = {f"{reason.value}.md": _page(reason) for reason in shown}
    found["README.md"] = "".join(_index(shown))
    return found


def _page(reason: Reason) -> str:
    told = EXPLANATIONS[reason]
    lines = [
        f"# {reason.value}\n",
        f"\n{reason.meaning}\n",
        f"\n{_WHAT_FOLLOWS[reason.kind]}\n",
        f"\n## What was observed\n\n{told.observed}\n",
        f"\n## {_WHY[reason.kind]}\n\n{told.why}\n",
        f"\n## What to do\n\n{reason.remedy}\n",
        *_steps(told.clear),
        *_waiver(reason),
    ]
    if reason.kind in {ReasonKind.STALLED, ReasonKind.FINISHED}:
        lines += [
            "\n## Ask again\n",
            f'\n```sh\nkubectl annotate --overwrite fec/<name> {REQUESTED_AT_ANNOTATION}="$(date -Is)"\n```\n',
        ]
    return "".join(lines)


def _steps(steps: tuple[str, ...]) -> Iterator[str]:
    """Sentences as a list, commands as blocks between: a block inside of a list is read by few viewers alike."""
    for commands, group in groupby(steps, key=lambda step: step.startswith("$ ")):
        if commands:
            yield "\n```sh\n" + "".join(f"{step.removeprefix('$ ')}\n" for step in group) + "```\n"
        else:
            yield "\n" + "".join(f"- {step.replace('`$ ', '`')}\n" for step in group)


def _waiver(reason: Reason) -> Iterator[str]:
    yield "\n## Waiver\n"
    if reason.waiver is None:
        yield f"\n{_NO_WAIVER[reason.kind]}\n"
        return
    target = _OBJECTS.get(reason.waiver, "job")
    yield "\nIf you take responsibility, and the Appliance lists it in `spec.waivers`. It covers this reason and this object only:\n"
    yield "\n```yaml\nspec:\n  failoverJobID: <status.failedJob.id>\n  waive:\n"
    yield f"    - {{reason: {reason.waiver.value}, object: {target}}}\n```\n"


def _index(shown: list[Reason]) -> Iterator[str]:
    yield "# Reasons\n\nThe reason of the condition `Ready`, and what follows from it.\n"
    for kind, follows in _WHAT_FOLLOWS.items():
        yield f"\n## {kind.value.capitalize()}\n\n{follows}\n\n| reason | meaning |\n|---|---|\n"
        for reason in shown:
            if reason.kind is kind:
                yield f"| [{reason.value}]({reason.value}.md) | {reason.meaning} |\n"


def main() -> int:
    """Write the pages, or with `--check` tell whether they are up to date (exit code 1: not)."""
    wanted = pages()
    present = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.md")}
    if "--check" in sys.argv[1:]:
        if present != wanted:
            sys.stderr.write("docs/reasons is out of date: run make generate\n")
        return int(present != wanted)
    DIRECTORY.mkdir(parents=True, exist_ok=True)
    for name in present.keys() - wanted.keys():
        (DIRECTORY / name).unlink()
    for name, text in wanted.items():
        (DIRECTORY / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
