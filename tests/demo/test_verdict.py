"""The verdict sees every way in which a cleanup may have gone wrong, whatever the operator says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from development.demo.appliance import Built, Recorded
from development.demo.progress import Progress, progress_of
from development.demo.scene import ProtectedVM
from development.demo.verdict import Ending, Situation

OMA, TEST_VM = "oma", "test-vm"
STUCK = Situation(
    Recorded("failed_over_test", "pending", frozenset({"v1", "v2"}), frozenset({"v1", "v2"})),
    holders={"v1": OMA, "v2": OMA},
    contents={"v1": "dirty:injection", "v2": "replica:1"},
    snapshots=frozenset({"s1", "s2"}),
    test_vm=None,
)
CLEAN = Situation(
    Recorded("ready_for_failover", "failed", frozenset({"v1", "v2"}), frozenset()),
    holders={"v1": OMA, "v2": OMA},
    contents={"v1": "replica:1", "v2": "replica:1"},
    snapshots=frozenset(),
    test_vm=None,
)
SAID_CLEANED = progress_of({"status": {"conditions": [{"type": "Ready", "status": "True", "reason": "Cleaned"}]}})


def ending(before: Situation, after: Situation, *calls: str, refused_for: str = "", rows_only: bool = False) -> Ending:
    protected = ProtectedVM("pgtest1", "pgtest1", "F11", 2, "hung", refused_for, rows_only)
    return Ending(Built(protected, "ctx", ("v1", "v2"), (), None), before, after, SAID_CLEANED, calls, OMA)


def refusal(reason: str) -> Progress:
    ready = {"type": "Ready", "status": "False", "reason": reason}
    return progress_of({"status": {"conditions": [ready, {"type": "Stalled", "status": "True"}]}})


def test_a_clean_vm_is_right() -> None:
    assert ending(STUCK, CLEAN, "detach", "attach").right


@pytest.mark.parametrize(
    "wrong",
    [
        replace(CLEAN, recorded=replace(CLEAN.recorded, context_status="cleanup_required")),
        replace(CLEAN, snapshots=frozenset({"s1"})),
        replace(CLEAN, holders={"v1": OMA, "v2": None}),
        replace(CLEAN, holders={"v1": OMA, "v2": TEST_VM}),
        replace(CLEAN, contents={"v1": "dirty:injection", "v2": "replica:1"}),
        replace(CLEAN, test_vm="Stopped"),
    ],
    ids=["context", "snapshot", "detached", "elsewhere", "content", "test VM"],
)
def test_anything_that_is_not_as_it_has_to_be_is_seen(wrong: Situation) -> None:
    assert not ending(STUCK, wrong).right


def test_a_vm_with_nothing_but_wrong_rows_must_not_cost_a_single_call() -> None:
    assert ending(STUCK, CLEAN, rows_only=True).right
    assert not ending(STUCK, CLEAN, "detach", rows_only=True).right


def test_a_refusal_is_right_only_for_its_reason_and_without_any_trace() -> None:
    one = ending(STUCK, STUCK, refused_for="RunningTestVM")
    refused = replace(one, progress=refusal("RunningTestVM"))
    assert refused.right
    assert not one.right
    assert not replace(one, progress=refusal("NothingFailed")).right
    assert not replace(refused, calls=("detach",)).right
    assert not replace(refused, after=CLEAN).right


def test_a_blind_cleanup_is_counted_by_what_mappings_and_rows_make_it_do() -> None:
    home, moved = {"v1": OMA, "v2": OMA}, {"v1": None, "v2": None}
    hidden = replace(STUCK.recorded, mapped=frozenset({"v1"}))
    assert ending(STUCK, CLEAN).blind_outcome == "8 calls"
    assert ending(replace(STUCK, holders=moved), CLEAN).blind_outcome == "8 calls, stops at once: 431"
    on_test_vm = replace(STUCK, recorded=hidden, holders={"v1": TEST_VM, "v2": TEST_VM})
    assert ending(on_test_vm, CLEAN).blind_outcome == "7 calls, stops half-way: 431"
    assert ending(replace(CLEAN, holders=home), CLEAN).blind_outcome == "4 calls, all for nothing"
