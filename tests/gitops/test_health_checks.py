"""kstatus, Flux and Argo CD judge real statuses right: the shipped checks on the shipped objects, and the rules themselves."""

from __future__ import annotations

from typing import Any

import pytest

from development import argocd_settings
from failed_execution_cleanup.resources.reasons import Reason, ReasonKind
from tests.gitops import argocd
from tests.gitops.flux import flux_health
from tests.gitops.kstatus import kstatus, met
from tests.gitops.shipped import (
    ARGOCD_ACTIONS,
    ARGOCD_HEALTH,
    ARGOCD_OFFERED,
    FLUX,
    KSTATUS,
    OBJECTS,
    ready_of,
)

HEALTH_OF = {"Current": "Healthy", "Failed": "Degraded", "InProgress": "Progressing", "Terminating": "Progressing"}


def condition(type_: str, status: str, generation: int = 1) -> dict[str, Any]:
    return {"type": type_, "status": status, "observedGeneration": generation}


def body(*conditions: dict[str, Any], observed: int | None = 1, **metadata: Any) -> dict[str, Any]:
    status: dict[str, Any] = {"conditions": list(conditions)} if conditions else {}
    if observed is not None:
        status["observedGeneration"] = observed
    return {"metadata": {"generation": 1, **metadata}, "status": status}


READY, NOT_READY, UNKNOWN = condition("Ready", "True"), condition("Ready", "False"), condition("Ready", "Unknown")
RECONCILING, STALLED = condition("Reconciling", "True"), condition("Stalled", "True")

RULES = {
    "a deletion comes first": (body(READY, STALLED, deletionTimestamp="2026-01-01T00:00:00Z"), "Terminating"),
    "an old status says nothing": (body(STALLED, observed=0), "InProgress"),
    "never looked at": (body(observed=-1), "InProgress"),
    "no observedGeneration is no old status": (body(STALLED, observed=None), "Failed"),
    "at work": (body(NOT_READY, RECONCILING), "InProgress"),
    "stalled": (body(NOT_READY, STALLED), "Failed"),
    "the first of both in the list counts": (body(STALLED, RECONCILING), "Failed"),
    "and the other way round": (body(RECONCILING, STALLED), "InProgress"),
    "abnormal conditions that are not true say nothing": (body(READY, condition("Stalled", "False")), "Current"),
    "ready": (body(READY), "Current"),
    "not ready alone is no failure": (body(NOT_READY), "InProgress"),
    "unknown is in progress": (body(UNKNOWN), "InProgress"),
    "without any condition it is current": (body(), "Current"),
}


@pytest.mark.parametrize("rule", RULES)
def test_kstatus_follows_its_rules(rule: str) -> None:
    judged, expected = RULES[rule]
    assert kstatus(judged) == expected


WAITS = {
    "met": (body(READY), "Ready", True),
    "case does not count": (body(READY), "ready", True),
    "not met": (body(NOT_READY), "Ready", False),
    "absent": (body(READY), "Planned", False),
    "the condition's own generation is old": (body(condition("Ready", "True", 0)), "Ready", False),
    "no status": ({"metadata": {"generation": 1}}, "Ready", False),
}


@pytest.mark.parametrize("rule", WAITS)
def test_a_wait_ends_only_at_a_condition_for_this_generation(rule: str) -> None:
    judged, type_, expected = WAITS[rule]
    assert met(judged, type_) is expected


@pytest.mark.parametrize("rows", [KSTATUS, FLUX, ARGOCD_HEALTH, ARGOCD_OFFERED])
def test_every_object_is_in_every_table(rows: dict[str, Any]) -> None:
    assert rows.keys() == OBJECTS.keys()


def test_every_kind_of_reason_has_an_object() -> None:
    shown = {Reason(ready_of(each)["reason"]).kind for each in OBJECTS.values() if ready_of(each)}
    assert shown == set(ReasonKind) - {ReasonKind.OBSERVATION}


@pytest.mark.parametrize("name", OBJECTS)
def test_kstatus_and_a_wait_judge_as_the_table_says(name: str) -> None:
    assert kstatus(OBJECTS[name]) == KSTATUS[name]["status"]
    assert met(OBJECTS[name], "Ready") is KSTATUS[name]["wait"]


@pytest.mark.parametrize("name", OBJECTS)
def test_flux_judges_as_the_table_says(name: str) -> None:
    assert flux_health(OBJECTS[name]) == FLUX[name]["status"]


@pytest.mark.parametrize("name", OBJECTS)
def test_argo_cd_shows_health_and_message_as_the_table_says(name: str) -> None:
    expected = ARGOCD_HEALTH[name]
    message = expected.get("message") or ready_of(OBJECTS[name])["message"]
    assert argocd.health(OBJECTS[name]) == (expected["status"], message)


@pytest.mark.parametrize("name", OBJECTS)
def test_the_three_never_contradict_each_other(name: str) -> None:
    judged = kstatus(OBJECTS[name])
    assert flux_health(OBJECTS[name]) == ("InProgress" if judged == "Terminating" else judged)
    health, _ = argocd.health(OBJECTS[name])
    assert health in {HEALTH_OF[judged], "Suspended"}
    assert health != "Suspended" or judged == "InProgress"


@pytest.mark.parametrize("name", OBJECTS)
def test_argo_cd_offers_the_actions_of_the_table(name: str) -> None:
    assert argocd.offered(OBJECTS[name]) == set(ARGOCD_OFFERED[name]["offered"])


@pytest.mark.parametrize("case", ARGOCD_ACTIONS, ids=lambda case: f"{case['action']}-{case['object']}")
def test_an_action_changes_one_annotation_and_nothing_that_git_has(case: dict[str, Any]) -> None:
    judged = OBJECTS[case["object"]]
    assert case["action"] in argocd.offered(judged)
    patch = argocd.patch_of(case["action"], judged)
    ((name, expected),) = case["annotations"].items()
    assert patch.keys() == {"metadata"}
    assert patch["metadata"].keys() == {"annotations"}
    assert patch["metadata"]["annotations"].keys() == {name}
    value = patch["metadata"]["annotations"][name]
    if expected == "<now>":
        assert value.startswith("20")
        assert value.endswith("Z")
    else:
        assert value == (judged["status"]["planHash"] if expected == "<status.planHash>" else expected)


def test_the_settings_for_argo_cd_hold_the_scripts_as_they_are() -> None:
    assert argocd_settings.TARGET.read_text(encoding="utf-8") == argocd_settings.config_map()


def test_every_action_that_is_offered_has_a_script() -> None:
    offered = {action for row in ARGOCD_OFFERED.values() for action in row["offered"]}
    assert offered == set(argocd_settings.ACTIONS)
