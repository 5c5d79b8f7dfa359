"""The pages of the reasons are complete, up to date, and where messages say they are."""

from __future__ import annotations

import re

import pytest

from development.reason_pages import DIRECTORY, pages
from development.reason_texts import EXPLANATIONS
from failed_execution_cleanup.controller.reason_link import DOCS_URL, linked
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind

SHOWN = [reason for reason in Reason if reason.kind is not ReasonKind.OBSERVATION]


def test_every_reason_of_ready_is_explained_and_no_other() -> None:
    assert set(EXPLANATIONS) == set(SHOWN)


def test_the_pages_in_the_repository_are_those_that_would_be_made() -> None:
    present = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.md")}
    assert present == pages(), "run python -m development.reason_pages"


@pytest.mark.parametrize("reason", SHOWN)
def test_a_message_ends_with_the_address_of_a_page_that_exists(reason: Reason) -> None:
    link = re.search(r" See (\S+)$", linked("text", reason, DOCS_URL))
    if reason.kind in {ReasonKind.FINISHED, ReasonKind.WORKING}:
        assert link is None
    else:
        assert link is not None
        assert (DIRECTORY.parent.parent / link[1]).is_file()


@pytest.mark.parametrize("reason", [reason for reason in SHOWN if reason.kind is ReasonKind.STALLED])
def test_a_page_for_a_person_says_what_was_seen_why_it_stops_how_to_get_on_and_what_may_be_waived(
    reason: Reason,
) -> None:
    page = pages()[f"{reason.value}.md"]
    headings = re.findall(r"^## (.+)$", page, flags=re.MULTILINE)
    assert headings == ["What was observed", "Why it stops", "What to do", "Waiver", "Ask again"]
    assert EXPLANATIONS[reason].clear
    if reason.waiver is not None:
        assert f"reason: {reason.waiver.value}," in page
