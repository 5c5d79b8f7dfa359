"""The list of reasons is complete and fit for the API server."""

import re

import pytest

from failed_execution_cleanup.resources.reasons import GOALS, PRESENT_ONLY_WHILE_TRUE, Reason, ReasonKind, Waiver


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_is_one_word_with_a_sentence_for_meaning_and_remedy(reason: Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]+", reason.value)
    assert reason.meaning.endswith(".")
    assert reason.remedy.endswith(".")


def test_reasons_are_plain_strings() -> None:
    assert Reason("RunningTestVM") is Reason.RUNNING_TEST_VM
    assert f"{Reason.RUNNING_TEST_VM}" == "RunningTestVM"


def test_every_waiver_opens_at_least_one_stop_and_only_stops_have_one() -> None:
    assert {reason.waiver for reason in Reason if reason.waiver} == set(Waiver)
    assert all(reason.kind is ReasonKind.STALLED for reason in Reason if reason.waiver)


def test_goals_are_always_shown() -> None:
    assert not PRESENT_ONLY_WHILE_TRUE & set(GOALS)
