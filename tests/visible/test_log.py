"""The log of a real run: a schema for each kind of record, and each transition exactly once."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from itertools import pairwise
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter

from tests.visible.conftest import Run

pytestmark = pytest.mark.timeout(400)


class Record(BaseModel):
    """What every line has."""

    model_config = ConfigDict(extra="allow")

    time: datetime
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"]
    logger: str
    message: str


class About(Record):
    """What every line of a run has."""

    resource: str
    appliance: str
    vm: str


class ConditionChanged(About):
    transition: Literal["condition"]
    condition: str
    status: Literal["True", "False", "Unknown", "Absent"]
    reason: str
    was: Literal["True", "False", "Unknown", "Absent"]


class OfClaim(About):
    job: str
    claim: str


class PhaseChanged(OfClaim):
    transition: Literal["phase"]
    phase: str
    state: Literal["began", "resumed", "completed", "skipped"]


class ClaimChanged(OfClaim):
    transition: Literal["claim"]
    state: Literal["taken", "released", "lost"]


class RequestChanged(OfClaim):
    transition: Literal["request"]
    state: Literal["sent", "followed", "settled"]
    request: str
    phase: str
    action: str
    object: str


class RowsWritten(OfClaim):
    transition: Literal["write"]
    phase: str
    action: str
    object: str


Transition = TypeAdapter(ConditionChanged | PhaseChanged | ClaimChanged | RequestChanged | RowsWritten)


def records(run: Run, transition: str) -> list[dict[str, Any]]:
    """Records of the cleanup that came to its end."""
    resource = f"{run.stand.namespace}/pgtest1"
    return [r for r in run.log if r.get("transition") == transition and r["resource"] == resource]


def test_every_line_fits_its_schema(run: Run) -> None:
    for record in run.log:
        Record.model_validate(record)
        if "transition" in record:
            Transition.validate_python(record)
        if "resource" in record:
            About.model_validate(record)


def test_each_request_is_sent_once_and_settled_once_with_its_id(run: Run) -> None:
    told = Counter((r["request"], r["state"]) for r in records(run, "request"))
    keys = [f"{r['kind']}/{r['object']}/{r['attempt']}" for r in run.memory["requests"]]
    assert told == Counter((key, state) for key in keys for state in ("sent", "settled"))
    ids = {f"{r['kind']}/{r['object']}/{r['attempt']}": r.get("external_id") for r in run.memory["requests"]}
    assert {r["request"]: r.get("external_id") for r in records(run, "request")} == ids


def test_each_phase_begins_and_ends_once_or_is_skipped(run: Run) -> None:
    told = Counter((r["phase"], r["state"]) for r in records(run, "phase"))
    wanted: Counter[tuple[str, str]] = Counter()
    for phase in run.cleaned["status"]["phases"]:
        states = ("began", "completed") if phase["state"] == "Completed" else ("skipped",)
        wanted.update((phase["name"], state) for state in states)
    assert told == wanted


def test_the_claim_is_taken_and_released_once(run: Run) -> None:
    told = [(r["state"], r.get("how"), r.get("outcome")) for r in records(run, "claim")]
    assert told == [("taken", "new", None), ("released", None, "completed")]
    assert {r["claim"] for r in records(run, "claim")} == {run.cleaned["status"]["cleanupJobID"]}


def test_conditions_are_told_when_they_change_and_end_as_stored(run: Run) -> None:
    last: dict[str, tuple[str, str]] = {}
    for record in records(run, "condition"):
        state = (record["status"], record["reason"])
        assert last.get(record["condition"]) != state
        assert record["was"] == last.get(record["condition"], ("Absent", ""))[0]
        last[record["condition"]] = state
    stored = {c["type"]: (c["status"], c["reason"]) for c in run.cleaned["status"]["conditions"]}
    assert {type_: state for type_, state in last.items() if state[0] != "Absent"} == stored


def test_nothing_but_transitions_is_said_of_a_run_without_trouble(run: Run) -> None:
    resource = f"{run.stand.namespace}/pgtest1"
    said = [r["message"] for r in run.log if r.get("resource") == resource and "transition" not in r]
    assert said == []


def test_no_line_follows_itself(run: Run) -> None:
    def content(record: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in record.items() if name != "time"}

    assert [a for a, b in pairwise(run.log) if content(a) == content(b)] == []
