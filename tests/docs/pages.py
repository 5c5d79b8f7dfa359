"""The pages of the repository as data: blocks of code, links and headings, read as CommonMark with tables."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT: Final = Path(__file__).resolve().parent.parent.parent
DOCS: Final = ROOT / "docs"
PAGES: Final = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *ROOT.glob("gitops/**/*.md"), *ROOT.glob("helm/**/*.md")]
)
"""Every page that people read."""

READER: Final = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of code.

    Attributes:
        page: where it stands.
        line: its first line, from 1.
        language: the word after the fence.
        text: the code.
    """

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    """All blocks of a language, on all pages."""
    return [
        Block(page, token.map[0] + 1, language, token.content)
        for page in PAGES
        for token in _tokens(page)
        if token.type == "fence" and token.info.strip() == language and token.map is not None
    ]


def links(page: Path) -> Iterator[str]:
    """Targets of all links and pictures of a page."""
    for token in _tokens(page):
        for child in token.children or ():
            target = (
                child.attrGet("href")
                if child.type == "link_open"
                else child.attrGet("src")
                if child.type == "image"
                else None
            )
            if target is not None:
                yield str(target)


def inline(page: Path, pattern: str) -> Iterator[str]:
    """What a group of a pattern matches at the beginning of code within sentences."""
    for token in _tokens(page):
        for child in token.children or ():
            if child.type == "code_inline" and (found := re.match(pattern + r"\b", child.content)):
                yield found[1]


def anchors(page: Path) -> set[str]:
    """The anchors that viewers of repositories give the headings of a page."""
    found: dict[str, int] = {}
    tokens = _tokens(page)
    for opened, inline in pairwise(tokens):
        if opened.type != "heading_open":
            continue
        text = "".join(child.content for child in inline.children or () if child.type in {"text", "code_inline"})
        anchor = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        found[anchor] = found.get(anchor, -1) + 1
    return {f"{anchor}-{number}" if number else anchor for anchor, last in found.items() for number in range(last + 1)}


def name(page: Path) -> str:
    """A page as tests name it."""
    return str(page.relative_to(ROOT))


def _tokens(page: Path) -> list[Token]:
    return READER.parse(page.read_text(encoding="utf-8"))
