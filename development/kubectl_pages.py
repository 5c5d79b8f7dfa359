"""`docs/kubectl.md`: what `kubectl` prints for cleanups, taken from a real API server and real cleanups.

python -m development.kubectl_pages
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from development.cleanup_states import STATES, as_in_samples
from development.control_plane import ControlPlane
from development.stand import ROOT, Stand

TARGET: Final[Path] = ROOT / "docs/kubectl.md"
SHOWN: Final = ("cleaned", "planned", "stalled", "suspended", "waiting")
"""States of `development.cleanup_states` that the lists show."""

_PLAN: Final = r'{range .status.plan[*]}{.step}{"\t"}{.action}{"\t"}{.why}{"\n"}{end}'
_INTRODUCTION: Final = """# What kubectl prints

Printed by a real API server for real cleanups; `python -m development.kubectl_pages` writes this page anew. How tools judge these states is
told in [gitops/](../gitops/README.md), every reason in [reasons/](reasons/README.md).
"""


def pages(stand: Stand) -> Iterator[tuple[str, str, str]]:
    """Heading, command and what it prints; builds what is shown on the stand first."""
    for name in SHOWN:
        STATES[name](stand, name)
    stand.latency(revertSnapshot=20.0)
    try:
        built = stand.build("F11", "working", disks=2)
        stand.apply_cleanup("working", "working")
        stand.wait_until(lambda: stand.requests("revertSnapshot", about=built), what="a revert is in flight")
        yield "A glance", "kubectl get fec", stand.kubectl("get", "fec")
        yield "With more columns", "kubectl get fec -o wide", stand.kubectl("get", "fec", "-o", "wide")
        yield (
            "Everything of disaster recovery",
            "kubectl get dr",
            stand.kubectl("get", "dr"),
        )
    finally:
        stand.latency(revertSnapshot=0.0)
    yield "One that was cleaned", "kubectl describe fec cleaned", stand.kubectl("describe", "fec", "cleaned")
    yield "One that needs a person", "kubectl describe fec stalled", stand.kubectl("describe", "fec", "stalled")
    yield (
        "A plan",
        f"kubectl get fec planned -o jsonpath='{_PLAN}'",
        stand.kubectl("get", "fec", "planned", f"-o=jsonpath={_PLAN}"),
    )
    for path in ("fec.spec", "fec.status"):
        yield f"What the fields of {path} mean", f"kubectl explain {path}", stand.kubectl("explain", path)


def page(sections: Iterable[tuple[str, str, str]]) -> str:
    """The whole page."""
    parts = [_INTRODUCTION]
    for heading, command, printed in sections:
        shown = "\n".join(line.rstrip() for line in printed.strip().splitlines())
        parts.append(f"\n## {heading}\n\n```console\n$ {command}\n{shown}\n```\n")
    return "".join(parts)


def columns_of(text: str, command: str) -> list[str]:
    """Headings of the table that a command is shown to print."""
    found = re.search(rf"^\$ {re.escape(command)}\n(.*)$", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"the page does not show {command!r}")
    return found[1].split()


def main() -> int:
    """Write the page."""
    with ControlPlane() as control_plane, as_in_samples(control_plane) as stand:
        stand.start_operator()
        TARGET.write_text(page(pages(stand)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
