"""A file that follows from the code: written by `make generate`, compared by `make lint`."""

from __future__ import annotations

import sys
from pathlib import Path

from development.stand import ROOT


def write_or_check(path: Path, wanted: str) -> int:
    """Write a file, or with `--check` among the arguments tell whether it is up to date; gives the exit code, 1 where it is not."""
    if "--check" not in sys.argv[1:]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(wanted, encoding="utf-8")
        return 0
    present = path.read_text(encoding="utf-8") if path.is_file() else None
    if present == wanted:
        return 0
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    sys.stderr.write(f"{shown} is out of date: run make generate\n")
    return 1
