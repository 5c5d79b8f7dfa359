"""Pages that stay current: a browser asks for the parts that changed, and gets nothing else.

A part is an element of the page whose content may change; the element itself stays, so that nothing else moves. The page's element `live`
asks again and again, naming the parts it shows with a digest of each. The answer holds the parts that differ, or is 204. Nothing is
kept here between two questions, so it does not matter which replica is asked, or whether it was started a second ago.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from failed_execution_cleanup.console.pages.addresses import DIGITS, address, digest

__all__ = ["Live", "Part", "changed", "seen_parts"]

_SEEN: Final = re.compile(rf"(?P<id>[a-z][-a-z0-9]{{0,40}})\.(?P<digest>[0-9a-f]{{{DIGITS}}})")


@dataclass(frozen=True, slots=True)
class Part:
    """The content of one element.

    Attributes:
        id: of the element.
    """

    id: str
    html: Markup

    @property
    def digest(self) -> str:
        """Tells this content from any other."""
        return digest(self.html)


@dataclass(frozen=True, slots=True)
class Live:
    """What a page asks again and again.

    Attributes:
        path: where to.
        query: what the page shows.
        seconds: pause between two questions.
        parts: as the page shows them.
    """

    path: str
    query: Mapping[str, str]
    seconds: int
    parts: tuple[Part, ...]

    @property
    def address(self) -> str:
        """Path and query of the next question."""
        return address(self.path, {**self.query, "seen": ",".join(f"{part.id}.{part.digest}" for part in self.parts)})


def seen_parts(text: str) -> dict[str, str]:
    """Digests of the parts that a page shows, by id and in the page's order; what is none is left out."""
    return {match["id"]: match["digest"] for match in map(_SEEN.fullmatch, text.split(",")) if match is not None}


def changed(parts: Iterable[Part], seen: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts that a page shows otherwise."""
    return tuple(part for part in parts if part.id in seen and seen[part.id] != part.digest)
