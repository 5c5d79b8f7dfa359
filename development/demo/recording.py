"""A performance as a picture: a moment of the live table, and the verdict."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console, RenderableType
from rich.terminal_theme import SVG_EXPORT_THEME

from development.demo.scene import ProtectedVM
from development.demo.screen import Frame, table

_COLUMNS: Final = 114
_WEB_FONT: Final = re.compile(r"@font-face \{[^}]*\}\s*")


def record(path: Path, vms: Sequence[ProtectedVM], frames: Sequence[Frame], verdict: RenderableType) -> None:
    """Draw a performance.

    Args:
        path: SVG file to write.
        vms: the rows of the tables.
        frames: what was shown; the one with most to see is drawn.
        verdict: how it ended.
    """
    console = Console(record=True, width=_COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(table(vms, max(frames, key=lambda frame: frame.variety)))
    console.print(verdict)
    # A fixed id keeps two pictures comparable; fonts from the network would not be loaded inside of a page anyway.
    drawn = console.export_svg(title="make demo", theme=SVG_EXPORT_THEME, unique_id="demo")
    path.write_text(_WEB_FONT.sub("", drawn), encoding="utf-8")
