"""The report as Markdown, as tickets and wikis take it (CommonMark with tables)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from failed_execution_cleanup.reports.layout import Section, facts, remarks, sections
from failed_execution_cleanup.reports.report import Report

_MARKUP: Final = re.compile(r"([\\`*_\[\]<>#!|~&@$])")
"""ASCII punctuation that begins something in CommonMark, its usual extensions, or a ticket system, wherever it stands."""

_ADDRESS: Final = re.compile(r"(?i)\b(https?|ftp|mailto):|\bwww\.")
"""What viewers turn into a link by itself."""


def as_markdown(report: Report) -> str:
    """The report as one Markdown document, ending in a newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Cleanup of {_text(report.vm_name)}"
    yield ""
    yield f"**{_text(report.verdict.sentence)}**"
    for label, told in remarks(report):
        yield ""
        yield f"{label}: {_text(told)}"
    yield from _table(Section("", ("", ""), facts(report)))
    for section in sections(report):
        yield ""
        yield f"## {section.title}"
        yield from _table(section)


def _table(section: Section) -> Iterator[str]:
    yield ""
    if not section.rows:
        yield "None."
        return
    yield f"| {' | '.join(section.head)} |"
    yield f"|{'---|' * len(section.head)}"
    for row in section.rows:
        yield f"| {' | '.join(map(_text, row))} |"


def _text(text: str) -> str:
    """Text that means nothing but itself, on one line."""
    one_line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    escaped = _MARKUP.sub(r"\\\1", one_line)
    return _ADDRESS.sub(lambda found: f"{found[0][:-1]}\\{found[0][-1]}", escaped)
