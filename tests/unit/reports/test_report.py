"""What a report says of a cleanup, and that names in it are text wherever it is shown."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from html.parser import HTMLParser

import pytest

from failed_execution_cleanup.reports import as_document, as_html, as_json, as_markdown, report_of
from failed_execution_cleanup.reports.layout import lasted
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from tests.unit.reports.cleaned import body, cleaned, hostile


def test_before_and_after_stand_side_by_side() -> None:
    goals = {goal.name: (goal.before, goal.after) for goal in report_of(cleaned()).goals}
    assert goals == {
        "VolumesAttached": (False, True),
        "SnapshotsRemoved": (False, True),
        "TestVMRemoved": (True, True),
        "ContextReady": (False, True),
    }


def test_phases_tell_how_long_they_took_and_what_they_sent() -> None:
    report = report_of(cleaned())
    assert [(phase.duration, phase.requests) for phase in report.phases[:3]] == [
        (timedelta(seconds=3725), 4),
        (None, 2),
        (None, None),
    ]
    assert (report.requests, report.duration) == (6, timedelta(minutes=11, seconds=55))


@pytest.mark.parametrize(
    ("verdict", "outcome", "begins", "remedy"),
    [
        (("True", "Cleaned", "all well."), "clean", "pgtest1 is clean (Cleaned): all well.", ""),
        (
            ("False", "RunningTestVM", "it runs."),
            "needs a person",
            "pgtest1 is not clean, and a person is needed (RunningTestVM): it runs.",
            "Waive RunningTestVM",
        ),
        (("False", "QuietTime", "soon."), "unfinished", "pgtest1 is not clean yet (QuietTime): soon.", ""),
        (("False", "OfTheFuture", "odd."), "unfinished", "pgtest1 is not clean yet (OfTheFuture): odd.", ""),
    ],
)
def test_the_verdict_is_one_sentence(verdict: tuple[str, ...], outcome: str, begins: str, remedy: str) -> None:
    found = report_of(cleaned(*verdict)).verdict
    assert (found.outcome.value, found.sentence) == (outcome, begins)
    assert found.remedy.startswith(remedy)


def test_a_cleanup_that_nobody_looked_at_has_a_report() -> None:
    document = body() | {"status": {}}
    report = report_of(FailedExecutionCleanup.model_validate(document))
    assert report.verdict.sentence == "The operator has not looked at it yet."
    assert [goal.after for goal in report.goals] == [None] * 4
    assert "None." in as_markdown(report)
    assert as_html(report).count("None.") == 5
    assert as_document(report)["failedJob"]["id"] == "6f0c9a12"


def test_the_data_has_stable_keys_and_plain_values() -> None:
    document = json.loads(as_json(report_of(cleaned())))
    assert list(document) == [
        "name",
        "namespace",
        "vmName",
        "vcenterHost",
        "appliance",
        "requestedBy",
        "note",
        "askedAt",
        "verdict",
        "failedJob",
        "cleanupJobID",
        "startedAt",
        "completedAt",
        "durationSeconds",
        "requests",
        "goals",
        "phases",
        "waiversUsed",
        "volumes",
        "leftovers",
        "history",
    ]
    assert document["phases"][0] == {
        "name": "detach-volumes",
        "state": "Completed",
        "startedAt": "2026-01-31T10:00:10Z",
        "completedAt": "2026-01-31T11:02:15Z",
        "durationSeconds": 3725,
        "requests": 4,
        "done": 3,
        "total": 3,
        "message": None,
    }
    assert document["goals"][0]["before"] == {"met": False, "message": "2 of 3 volumes"}


@pytest.mark.parametrize(
    "told",
    [
        "alice",
        "ticket 4711",
        "pgtest1 (vCenter vc01)",
        "6f0c9a12 (test, recorded as failed)",
        "2026-01-31 05:10:00 UTC",
        "Preparing Drivers for Compatibility",
        "1 h 02 min 05 s",
        "RunningTestVM",
        "older than the last sync",
        "context is failed_over_test",
        "11 min 55 s",
    ],
)
def test_people_find_everything_in_both_forms(told: str) -> None:
    report = report_of(cleaned())
    assert told in as_markdown(report).replace("\\", "")
    assert told in _Text.of(as_html(report))


class _Text(HTMLParser):
    """Text and tags of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data

    @classmethod
    def of(cls, page: str) -> str:
        parsed = cls()
        parsed.feed(page)
        return parsed.text


def test_html_shows_hostile_names_as_text_and_runs_nothing() -> None:
    plain, attacked = _Text(), _Text()
    plain.feed(as_html(report_of(cleaned())))
    page = as_html(report_of(hostile()))
    attacked.feed(page)
    assert attacked.tags == plain.tags
    assert attacked.attributes <= {"charset", "class", "content", "http-equiv", "lang", "name"}
    assert "script" not in attacked.tags
    assert "<script>alert(1)</script>" in attacked.text
    assert "url(" not in page


def test_markdown_takes_no_name_for_markup() -> None:
    plain, attacked = as_markdown(report_of(cleaned())), as_markdown(report_of(hostile()))
    assert len(attacked.splitlines()) == len(plain.splitlines())
    for calm, line in zip(plain.splitlines(), attacked.splitlines(), strict=True):
        assert len(re.findall(r"(?<!\\)\|", line)) == len(re.findall(r"(?<!\\)\|", calm))
        assert not re.search(r"(?<!\\)[`<>\[\]@&]", line)
        assert not re.search(r"https?:|www\.", line)
        assert "\x1b" not in line
        assert line.startswith("#") == calm.startswith("#")


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 s"), (59, "59 s"), (60, "1 min 00 s"), (3600, "1 h 00 min 00 s"), (90061, "25 h 01 min 01 s")],
)
def test_durations_in_words(seconds: int, words: str) -> None:
    assert lasted(timedelta(seconds=seconds)) == words
