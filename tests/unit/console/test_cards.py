"""From surveys and cleanups to cards: state, incident in words, and which cleanup belongs to which VM."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest

from failed_execution_cleanup.appliance.database import ContextOutline
from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.cards import Card, CardState, cards, matching
from failed_execution_cleanup.console.outlines import Outline, outline
from failed_execution_cleanup.console.survey import FailoverSeen, Survey
from failed_execution_cleanup.recovery.reasons import Reason
from tests.unit.client.cluster import cleanup_body, ready

AT: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)
VM: Final = ContextOutline("ctx-1", "pgtest1", "vc01", "failed_over_test")
STUCK: Final = FailoverSeen(
    "job-1", "test failover", False, True, AT, "virtio-driver-injection", Reason.RUNNING_TEST_VM
)
RUNNING: Final = replace(STUCK, stuck=False, blocked_by=None)


def survey(failover: FailoverSeen | None = None, **fields: Any) -> Survey:
    seen = {"ctx-1": failover} if failover is not None else {}
    return Survey("default", AT, **{"contexts": (VM,), "failovers": seen, **fields})


def cleaning(reason: str = "", *, job: str | None = "job-1", created: str = "10:00", **fields: Any) -> Outline:
    annotations = {"failover.ossea.io/suspended": "true"} if reason == "Suspended" else {}
    name = f"pgtest1-{created.replace(':', '')}"
    body = cleanup_body(name, status=ready(reason) if reason else None, annotations=annotations)
    body["metadata"]["creationTimestamp"] = f"2026-01-31T{created}:00Z"
    body["metadata"]["generation"] = 1
    return replace(outline(body), job_id=job, **fields)


def the_card(seen: Survey, *cleanups: Outline) -> Card:
    (card,) = cards([seen], cleanups)
    return card


@pytest.mark.parametrize(
    ("failover", "cleanup", "state"),
    [
        (None, None, CardState.CLEAN),
        (STUCK, None, CardState.STUCK),
        (RUNNING, None, CardState.RUNNING),
        (STUCK, cleaning(), CardState.RUNNING),
        (STUCK, cleaning("Progressing"), CardState.RUNNING),
        (STUCK, cleaning("QuietTime"), CardState.RUNNING),
        (STUCK, cleaning("RunningTestVM"), CardState.STUCK),
        (STUCK, cleaning("Suspended"), CardState.STUCK),
        (STUCK, cleaning("PlanReady"), CardState.STUCK),
        (None, cleaning("Cleaned"), CardState.CLEAN),
    ],
)
def test_state_of_a_vm(failover: FailoverSeen | None, cleanup: Outline | None, state: CardState) -> None:
    assert the_card(survey(failover), *([cleanup] if cleanup is not None else [])).state is state


def test_a_stuck_vm_tells_its_incident_in_words_for_people() -> None:
    card = the_card(survey(STUCK))
    assert card.incident is not None
    assert (card.incident.job_id, card.incident.operation) == ("job-1", "test failover")
    assert card.incident.last_step == "Preparing Drivers for Compatibility"
    assert card.incident.blocked_by is Reason.RUNNING_TEST_VM
    assert card.stuck_since == AT


def test_a_failover_that_runs_is_not_stuck_since_any_time() -> None:
    assert the_card(survey(RUNNING)).stuck_since is None


def test_rows_that_cannot_be_understood_are_unknown_and_say_why() -> None:
    card = the_card(survey(unreadable={"ctx-1": "job_tracking 7: metadata is torn"}))
    assert (card.state, card.problem) == (CardState.UNKNOWN, "job_tracking 7: metadata is torn")


@pytest.mark.parametrize(
    ("cleanup", "shown"),
    [
        (cleaning(), True),
        (cleaning(job=None), True),
        (cleaning(job="job-0"), False),
        (cleaning(vm_name="pgtest2"), False),
        (cleaning(vcenter_host="vc02"), False),
        (cleaning(vcenter_host="vc01"), True),
        (cleaning(appliance="other"), False),
    ],
)
def test_the_cleanup_of_a_stuck_job_is_that_of_this_very_job(cleanup: Outline, shown: bool) -> None:
    assert (the_card(survey(STUCK), cleanup).cleanup is not None) is shown


def test_of_several_cleanups_the_newest_is_shown() -> None:
    older, newer = cleaning(job="job-0", created="09:00"), cleaning(created="11:00")
    card = the_card(survey(), newer, older)
    assert card.cleanup == newer


def test_what_needs_somebody_comes_first_and_then_the_name() -> None:
    contexts = tuple(ContextOutline(f"ctx-{name}", name, "vc01", "x") for name in ("b", "A", "d", "c"))
    seen = survey(contexts=contexts, failovers={"ctx-c": STUCK, "ctx-d": RUNNING})
    found = cards([seen], ())
    assert [card.vm_name for card in found] == ["c", "d", "A", "b"]
    assert len({card.place for card in found}) == 4


def test_filters_by_state_and_by_a_part_of_the_name() -> None:
    contexts = tuple(ContextOutline(f"ctx-{name}", name, "vc01", "x") for name in ("Web-1", "web-2", "db"))
    found = cards([survey(contexts=contexts, failovers={"ctx-Web-1": STUCK})], ())
    assert [card.vm_name for card in matching(found, state=None, text="WEB")] == ["Web-1", "web-2"]
    assert [card.vm_name for card in matching(found, state=CardState.CLEAN, text="web")] == ["web-2"]


def test_an_outline_says_what_a_person_does_next() -> None:
    seen = cleaning("RunningTestVM")
    assert seen.state is EndingState.NEEDS_PERSON
    assert "Waive RunningTestVM" in seen.remedy
