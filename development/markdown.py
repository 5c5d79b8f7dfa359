"""Texts of the code as parts of generated pages."""

from __future__ import annotations


def cell(text: str) -> str:
    """A text as a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


def paragraphs(text: str | None) -> str:
    """A docstring as paragraphs without its line breaks."""
    return "\n\n".join(" ".join(part.split()) for part in (text or "").split("\n\n"))
