"""Links of the pages, as they are read in the repository."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from failed_execution_cleanup.controller.reason_link import DOCS_URL
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind
from tests.docs.pages import PAGES, ROOT, anchors, links, name


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            assert link.startswith("https://"), link
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        target = target / "README.md" if target.is_dir() else target
        assert target.is_relative_to(ROOT), link
        assert target.is_file(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("reason", [reason for reason in Reason if reason.kind is not ReasonKind.OBSERVATION])
def test_messages_end_with_links_to_pages_that_exist(reason: Reason) -> None:
    assert (ROOT / DOCS_URL / f"{reason.value}.md").is_file()
