"""The documentation as a site: built strictly, whole, and without another host."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest
from mkdocs.exceptions import PluginError

from development import site_pages
from development.site_pages import OUTSIDE
from tests.docs.pages import DOCS, PAGES, READER, ROOT, name

pytestmark = pytest.mark.timeout(150)

STRUCTURE: Final = frozenset({"blockquote", "h1", "h2", "h3", "h4", "img", "li", "ol", "pre", "table", "tr", "ul"})
LOADED: Final = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""What a browser loads by itself."""


class Reading(HTMLParser):
    """What a page is made of.

    Attributes:
        links: targets of links.
        loaded: what the browser loads.
        anchors: ids that links may lead to.
        structure: how often each element of `STRUCTURE` is in the text.
    """

    def __init__(self, html: str, *, whole: bool = False) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.structure: Counter[str] = Counter()
        self._in_text = whole
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self._in_text |= tag == "article"
        if self._in_text and tag in STRUCTURE:
            self.structure[tag] += 1
        if anchor := given.get("id"):
            self.anchors.add(anchor)
        if tag == "a" and (target := given.get("href")):
            self.links.append(target)
        if (source := given.get(LOADED.get(tag, ""))) and given.get("rel") != "canonical":
            self.loaded.append(source)

    def handle_endtag(self, tag: str) -> None:
        self._in_text &= tag != "article"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built once."""
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    built = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stderr
    return directory


@pytest.fixture(scope="module")
def read(site: Path) -> dict[Path, Reading]:
    """Every page of the site; that of a server for what it does not have has the server's addresses, and is left out."""
    pages = (page for page in site.rglob("*.html") if page.name != "404.html")
    return {page: Reading(page.read_text(encoding="utf-8")) for page in pages}


def place(site: Path, page: Path) -> Path:
    """Where a page of the repository is in the site."""
    path = Path(OUTSIDE.get(name(page)) or page.relative_to(DOCS))
    return site / (path.with_name("index.html") if path.name == "README.md" else path.with_suffix(".html"))


def shown() -> list[Path]:
    """Pages of the repository that are in the site."""
    return [page for page in PAGES if page.is_relative_to(DOCS) or name(page) in OUTSIDE]


def test_every_page_is_in_the_site_and_says_what_viewers_of_the_repository_show(
    site: Path, read: dict[Path, Reading]
) -> None:
    differing = {}
    for page in shown():
        wanted = Reading(READER.render(page.read_text(encoding="utf-8")), whole=True).structure
        if (found := read[place(site, page)].structure) != wanted:
            differing[name(page)] = {tag: (wanted[tag], found[tag]) for tag in STRUCTURE if wanted[tag] != found[tag]}
    assert not differing


def test_every_link_of_the_site_leads_somewhere(read: dict[Path, Reading]) -> None:
    broken = []
    for page, content in read.items():
        for link in content.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            target = target / "index.html" if target.is_dir() else target
            lost = parts.fragment and target in read and unquote(parts.fragment) not in read[target].anchors
            if not target.is_file() or lost:
                broken.append(f"{page.name}: {link}")
    assert not broken


def test_nothing_is_loaded_from_another_host(site: Path, read: dict[Path, Reading]) -> None:
    foreign = {
        source
        for content in read.values()
        for source in content.loaded
        if urlsplit(source).scheme or urlsplit(source).netloc
    }
    assert not foreign
    for sheet in site.rglob("*.css"):
        text = sheet.read_text(encoding="utf-8")
        assert "url(http" not in text, sheet.name
        assert "@import" not in text, sheet.name


def test_files_that_pages_link_to_are_part_of_the_site(site: Path) -> None:
    assert (site / "files/gitops/argocd/argocd-cm.yaml").read_bytes() == (
        ROOT / "gitops/argocd/argocd-cm.yaml"
    ).read_bytes()


@pytest.mark.parametrize(
    "link", ["nothing.md", "../systemd"], ids=["a page that is not there", "a folder without README"]
)
def test_a_link_to_nothing_stops_the_build_and_is_named(link: str) -> None:
    with pytest.raises(PluginError, match=re.escape(f"docs/faq.md: the link {link} leads to")):
        site_pages._target("docs/faq.md", link)


def test_links_within_code_are_left_alone() -> None:
    text = "[a](../README.md)\n\n```\n[b](../README.md)\n```\n\n[c](../README.md#install)\n"
    page = SimpleNamespace(file=SimpleNamespace(src_uri="reference/cli.md"))
    moved = site_pages.on_page_markdown(text.replace("../", "../../"), page=page, config=None, files=None)  # type: ignore[arg-type]
    assert moved.splitlines()[0] == "[a](../index.md)"
    assert moved.splitlines()[3] == "[b](../../README.md)"
    assert moved.splitlines()[6] == "[c](../index.md#install)"
