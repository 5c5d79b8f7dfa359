"""What commands write: tables for people, JSON and YAML for programs, complaints on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, Final

import typer
import yaml
from rich.console import Console
from rich.table import Table
from rich.text import Text

from failed_execution_cleanup.local.wording import printable

Row = Sequence[str]

_LEAST_ROOM: Final = 12
"""Characters that the last column of a table needs; where there are fewer, every column is folded."""

_STYLES = {
    "clean": "green",
    "working": "cyan",
    "waiting": "yellow",
    "suspended": "yellow",
    "awaiting-approval": "magenta",
    "needs-person": "bold red",
    "yes": "green",
    "no": "red",
    "True": "green",
    "False": "red",
    "Unknown": "yellow",
    "Completed": "green",
    "Running": "cyan",
    "Failed": "red",
    "Skipped": "dim",
    "Pending": "dim",
    "OMA": "green",
}
"""Words in a cell of their own that are easier found in colour."""


def say(*lines: str) -> None:
    """Write lines for people; names in them cannot steer the terminal."""
    for line in lines:
        typer.echo(printable(line))


def complain(message: str, remedy: str = "") -> None:
    """Say what is wrong, on standard error."""
    typer.echo(f"fec: {printable(message)}", err=True)
    if remedy:
        typer.echo(f"     {printable(remedy)}", err=True)


def table(head: Row, rows: Iterable[Row], *, one_line: bool = False) -> None:
    """Write a table: in colour on a terminal, plain and never cut anywhere else.

    Args:
        head: names of the columns.
        rows: the cells; on a terminal the last column takes what room is left.
        one_line: cut the last column on a terminal instead of folding it, or leave it out where there is no room for it.
    """
    every = [tuple(printable(cell) for cell in row) for row in rows]
    widths = [max(len(row[column]) for row in [head, *every]) for column in range(len(head))]
    console = Console()
    if console.is_terminal and not console.is_dumb_terminal:
        room = console.width - sum(width + 2 for width in widths[:-1])
        narrow = room < _LEAST_ROOM
        if narrow and one_line:
            head, every = head[:-1], [row[:-1] for row in every]
        console.print(_drawn(head, every, narrow=narrow, one_line=one_line))
        return
    for row in [tuple(head), *every]:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def data(document: Any, *, as_yaml: bool) -> None:
    """Write a document for programs."""
    if as_yaml:
        yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)
    else:
        typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _drawn(head: Row, rows: Iterable[Row], *, narrow: bool, one_line: bool) -> Table:
    drawn = Table(box=None, pad_edge=False, header_style="bold dim")
    for name in head[:-1]:
        drawn.add_column(name, no_wrap=not narrow, overflow="fold")
    cut = one_line and not narrow
    drawn.add_column(head[-1], no_wrap=cut, overflow="ellipsis" if cut else "fold", ratio=None if narrow else 1)
    for row in rows:
        # Text as it is: what looks like rich's markup in a name is no markup.
        drawn.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    drawn.expand = not narrow
    return drawn
