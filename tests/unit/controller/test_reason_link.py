"""The address at the end of a message."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.controller.reason_link import DOCS_URL, linked
from failed_execution_cleanup.resources.kubernetes_model import MESSAGE_LENGTH
from failed_execution_cleanup.resources.reasons import Reason

WEB = "https://docs.example.com/fec/reasons"


@pytest.mark.parametrize(
    ("docs_url", "expected"),
    [
        (DOCS_URL, "Stop it. See docs/reasons/RunningTestVM.md"),
        (WEB, f"Stop it. See {WEB}/RunningTestVM.md"),
        (f"{WEB}/", f"Stop it. See {WEB}/RunningTestVM.md"),
        ("", "Stop it."),
    ],
)
def test_a_message_that_asks_for_somebody_ends_with_the_page(docs_url: str, expected: str) -> None:
    assert linked("Stop it.", Reason.RUNNING_TEST_VM, docs_url) == expected


@pytest.mark.parametrize("reason", [Reason.CLEANED, Reason.PROGRESSING])
def test_success_and_progress_need_no_page(reason: Reason) -> None:
    assert linked("All is well.", reason, WEB) == "All is well."


def test_a_message_told_again_has_one_address_and_the_present_one() -> None:
    told = linked("Stop it.", Reason.RUNNING_TEST_VM, DOCS_URL)
    assert linked(told, Reason.RUNNING_TEST_VM, DOCS_URL) == told
    assert linked(told, Reason.RUNNING_TEST_VM, WEB) == f"Stop it. See {WEB}/RunningTestVM.md"


def test_a_long_text_is_cut_and_the_address_is_not() -> None:
    told = linked("x" * 5000, Reason.RUNNING_TEST_VM, WEB)
    assert len(told) == MESSAGE_LENGTH
    assert told.endswith(f"… See {WEB}/RunningTestVM.md")
    assert linked(told, Reason.RUNNING_TEST_VM, WEB) == told
