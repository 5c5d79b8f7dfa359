"""A hook of mkdocs: the repository's own pages outside of `docs/` become pages of the site, and links lead there.

A link in Markdown is relative to its place in the repository, so that it works in every viewer of the repository. In the site pages have
other places; a file of the repository that a page links to, such as a manifest, becomes part of the site.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT: Final = Path(__file__).resolve().parent.parent
OUTSIDE: Final = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "gitops/README.md": "gitops.md",
    "benchmarks/README.md": "benchmarks.md",
}
"""Pages that are not in `docs/`, by their path in the repository, with their place in the site."""

FILES: Final = "files"
"""Folder of the site with files of the repository that are no pages."""

_INSIDE: Final = {place: path for path, place in OUTSIDE.items()}
_FENCED: Final = re.compile(r"(^[ \t-]*(?P<fence>```+|~~~+).*?^[ \t]*(?P=fence)[ \t]*$)", re.DOTALL | re.MULTILINE)
_LINK: Final = re.compile(r"(?<=\]\()(?![a-z]+:|#)(?P<path>[^)\s#]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages that are not in `docs/`, and every file a page links to.

    Raises:
        PluginError: a link leads to nothing, or to a folder without a README.
    """
    for path, place in OUTSIDE.items():
        if (ROOT / path).is_file():
            files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
    for file in list(files.documentation_pages()):
        for target in _linked(file):
            if _place(target) is None:
                place = f"{FILES}/{target}"
                if files.get_file_from_path(place) is None:
                    files.append(File.generated(config, place, abs_src_path=str(ROOT / target)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links relative to the repository into links relative to the site."""
    del config, files
    here = page.file.src_uri
    origin = _origin(here)

    def moved(found: re.Match[str]) -> str:
        target = _target(origin, found["path"])
        place = _place(target) or f"{FILES}/{target}"
        return posixpath.relpath(place, posixpath.dirname(here) or ".") + (found["anchor"] or "")

    parts = _FENCED.split(markdown)
    # Every third part is a block of code, followed by the name of its fence.
    return "".join(_LINK.sub(moved, part) if number % 3 == 0 else part for number, part in _without_names(parts))


def _without_names(parts: list[str]) -> Iterator[tuple[int, str]]:
    return ((number, part) for number, part in enumerate(parts) if number % 3 != 2)


def _linked(file: File) -> Iterator[str]:
    origin = _origin(file.src_uri)
    for part in _FENCED.split(file.content_string)[::3]:
        yield from (_target(origin, found["path"]) for found in _LINK.finditer(part))


def _origin(place: str) -> str:
    """Path in the repository of a page of the site."""
    return _INSIDE.get(place, f"docs/{place}")


def _place(path: str) -> str | None:
    """Place in the site of a file of the repository; None for one that is no page and not in `docs/`."""
    return OUTSIDE.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)


def _target(origin: str, link: str) -> str:
    """Path in the repository of what a link in `origin` leads to."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), link))
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    if not (ROOT / path).is_file():
        raise PluginError(f"{origin}: the link {link} leads to {path}, which does not exist")
    return path
