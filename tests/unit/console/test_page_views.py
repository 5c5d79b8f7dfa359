"""What the pages show, from what is known: pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import pytest
from markupsafe import Markup

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.cards import Card, CardState, Incident
from failed_execution_cleanup.console.outlines import outline
from failed_execution_cleanup.console.pages.cards_view import PAGE_SIZE, Filter, card_view, vm_list
from failed_execution_cleanup.console.pages.dialog_view import Answerable, Posted, dialog_view
from failed_execution_cleanup.console.pages.lists_view import CleanupFilter, appliance_view, cleanup_list
from failed_execution_cleanup.console.pages.live import Live, Part, changed, seen_parts
from failed_execution_cleanup.console.pages.offers import CleanupOffers
from failed_execution_cleanup.console.pages.progress_view import progress_view
from failed_execution_cleanup.console.pages.wording import PHASES, counted_words, in_words
from failed_execution_cleanup.console.plans import Obstacle, OfferedWaiver, PhaseAhead, Plan, PlannedJob
from failed_execution_cleanup.recovery.actions import Action, Kind, Phase
from failed_execution_cleanup.recovery.approval import approved_key, plan_hash
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.recovery.reasons import Reason as Guard
from failed_execution_cleanup.recovery.world import ContextRow
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Reason
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from tests.unit.client.cluster import appliance_body, cleanup_body, ready

AT: Final = datetime(2026, 1, 31, 10, tzinfo=UTC)
DOCS: Final = "https://docs.example.com/reasons/"


def card(number: int, state: CardState = CardState.CLEAN) -> Card:
    stuck = state is CardState.STUCK
    incident = Incident(
        f"job-{number}", "test failover", live=False, last_step="Creating Destination VM", blocked_by=None
    )
    return Card(
        appliance="oma",
        context_id=f"ctx-{number}",
        vm_name=f"vm {number:04}",
        vcenter_host="vc01",
        context_status="failed_over_test" if stuck else "ready_for_failover",
        state=state,
        incident=incident if stuck else None,
        stuck_since=AT if stuck else None,
        problem="",
        cleanup=None,
    )


# -- cards -------------------------------------------------------------------------------------------------------------


def test_the_button_is_on_stuck_vms_of_appliances_that_one_may_use() -> None:
    stuck = card(1, CardState.STUCK)
    assert card_view(stuck, {"oma"}).cleanable
    assert not card_view(stuck, {"another"}).cleanable
    assert not card_view(card(2), {"oma"}).cleanable


def test_an_alert_tells_operation_time_and_what_would_stop_a_cleanup() -> None:
    stuck = card(1, CardState.STUCK)
    assert stuck.incident is not None
    blocked = replace(stuck, incident=replace(stuck.incident, blocked_by=Guard.RUNNING_TEST_VM))
    alert = card_view(blocked, ()).alert
    assert alert is not None
    assert (alert.operation, alert.since, alert.blocked_by) == ("test failover", AT, "Running test VM")


def test_a_thousand_vms_come_in_pages_without_gap_or_repetition() -> None:
    every = sorted(
        (card(n, CardState.STUCK if n % 100 == 0 else CardState.CLEAN) for n in range(1000)), key=lambda c: c.place
    )
    names, cursor = [], None
    while True:
        shown = vm_list(every, Filter(cursor=cursor), {"oma"}, ())
        assert (shown.total, len(shown.cards) <= PAGE_SIZE) == (1000, True)
        names += [each.vm_name for each in shown.cards]
        if shown.beyond is None:
            break
        cursor = shown.beyond.partition("cursor=")[2]
    assert names == [each.vm_name for each in every]
    assert {choice.words: choice.count for choice in shown.choices} == {
        "All": 1000,
        "Stuck": 10,
        "In progress": 0,
        "Unknown": 0,
        "Healthy": 990,
    }


def test_counts_are_those_of_the_search_whatever_the_chosen_state() -> None:
    every = [card(n, CardState.STUCK) for n in range(12)]
    shown = vm_list(every, Filter(state=CardState.CLEAN, text="VM 000"), {"oma"}, ())
    assert ([choice.count for choice in shown.choices], shown.total) == ([10, 10, 0, 0, 0], 0)
    assert [choice.words for choice in shown.choices if choice.chosen] == ["Healthy"]


# -- the dialog --------------------------------------------------------------------------------------------------------

DETACH: Final = Action(Kind.DETACH, "vol-1", "volume disk-0 (vol-1): it must be reverted", volume_id="vol-1")
REVERT: Final = Action(Kind.REVERT, "vol-1", "volume disk-0 (vol-1): back to its restore point", volume_id="vol-1")
RUNNING: Final = Obstacle(
    Reason.RUNNING_TEST_VM,
    "test VM x is Running.",
    Reason.RUNNING_TEST_VM.remedy,
    "x",
    None,
    needs_person=True,
    waiver=OfferedWaiver(WaiverReason.RUNNING_TEST_VM, "job", allowed=True),
)
MAY: Final = Answerable(clean=True, waive=True, homes=("dr",))
TICKED: Final = Posted(waivers=frozenset({Waiver("RunningTestVM", "job")}), note="ticket")


def plan(*actions: Action, reason: Reason | None = None, obstacles: tuple[Obstacle, ...] = ()) -> Plan:
    phases = {action.phase for action in actions}
    return Plan(
        appliance="oma",
        context=ContextRow("ctx-1", "pgtest1", "vc01", "vm-1", "failed_over_test", None, None),
        context_status="failed_over_test",
        job=PlannedJob("job-1", "test failover", live=False, since=AT, last_step=None),
        reason=reason,
        message="it may not begin." if reason is not None else "",
        actions=actions,
        phases=tuple(PhaseAhead(phase, phase in phases, "nothing of it is left") for phase in Phase),
        obstacles=obstacles,
        leftovers=(),
        goals=(),
        context_would_become="ready_for_failover",
        digest=plan_hash(actions),
    )


@pytest.mark.parametrize(
    ("reason", "executable", "waits"),
    [
        (None, True, False),
        (Reason.QUIET_TIME, True, True),
        (Reason.FAILOVER_STILL_RUNNING, True, True),
        (Reason.RUNNING_TEST_VM, False, False),
        (Reason.NOTHING_FAILED, False, False),
        (Reason.ALREADY_CLEAN, False, False),
        (Reason.CLEANED_DATA_SUSPECT, False, False),
    ],
)
def test_what_can_begin_or_waits_may_be_ordered_and_nothing_else(
    reason: Reason | None, executable: bool, waits: bool
) -> None:
    view = dialog_view(plan(DETACH, reason=reason), None, MAY, DOCS)
    assert (view.executable, view.waits) == (executable, waits)


def test_who_may_not_clean_up_is_offered_neither_button_nor_waiver() -> None:
    blocked = plan(DETACH, reason=Reason.RUNNING_TEST_VM, obstacles=(RUNNING,))
    view = dialog_view(blocked, None, Answerable(clean=False, waive=False), DOCS)
    assert (view.executable, view.obstacles[0].waiver) == (False, None)


@pytest.mark.parametrize(
    ("state", "executable"),
    [
        (EndingState.WORKING, False),
        (EndingState.WAITING, False),
        (EndingState.SUSPENDED, False),
        (EndingState.NEEDS_PERSON, True),
        (EndingState.AWAITING_APPROVAL, True),
        (EndingState.CLEAN, True),
    ],
)
def test_nothing_is_ordered_beside_a_cleanup_that_is_at_work(state: EndingState, executable: bool) -> None:
    other = replace(outline(stored()), state=state)
    view = dialog_view(plan(DETACH), other, MAY, DOCS)
    assert (view.executable, view.rival is None) == (executable, executable)


@pytest.mark.parametrize(
    ("allowed", "may", "refusal"),
    [(True, True, ""), (False, True, "spec.waivers"), (True, False, "fec-waiver")],
)
def test_a_waiver_is_offered_where_appliance_and_role_allow_it(allowed: bool, may: bool, refusal: str) -> None:
    offered = replace(RUNNING, waiver=OfferedWaiver(WaiverReason.RUNNING_TEST_VM, "job", allowed=allowed))
    blocked = plan(DETACH, reason=Reason.RUNNING_TEST_VM, obstacles=(offered,))
    (obstacle,) = dialog_view(blocked, None, replace(MAY, waive=may), DOCS, posted=TICKED).obstacles
    assert obstacle.waiver is not None
    assert (obstacle.waiver.refusal == "", obstacle.waiver.ticked) == (refusal == "", refusal == "")
    assert refusal in obstacle.waiver.refusal
    assert obstacle.page == f"{DOCS}RunningTestVM.md"


def test_what_is_waived_stays_to_be_seen_and_needs_a_note() -> None:
    blocked = plan(DETACH, reason=Reason.RUNNING_TEST_VM, obstacles=(RUNNING,))
    view = dialog_view(plan(DETACH), None, MAY, DOCS, posted=TICKED, without=blocked)
    assert ([each.words for each in view.obstacles], view.ticked, view.executable) == (
        ["Running test VM"],
        TICKED.waivers,
        True,
    )
    assert not dialog_view(plan(DETACH), None, MAY, DOCS, without=blocked).ticked


def test_a_tick_that_no_obstacle_offers_counts_for_nothing() -> None:
    forged = Posted(waivers=frozenset({Waiver("AcceptContent", "vol-1")}), note="ticket")
    assert not dialog_view(plan(DETACH), None, MAY, DOCS, posted=forged).ticked


def test_a_plan_that_is_too_long_for_a_form_is_told_by_its_digest_alone() -> None:
    many = plan(*(replace(DETACH, object=f"{number:036}") for number in range(1000)))
    assert dialog_view(many, None, MAY, DOCS).shown == ""
    assert dialog_view(plan(DETACH), None, MAY, DOCS).shown == "detach/vol-1"


def test_the_five_actions_tell_what_they_come_to_or_why_they_are_not_needed() -> None:
    view = dialog_view(
        plan(DETACH, replace(DETACH, object="vol-2", why="volume disk-1 (vol-2): it must be reverted"), REVERT),
        None,
        MAY,
        "",
    )
    assert [(phase.words, phase.needed) for phase in view.phases] == [
        (PHASES[phase], phase in {Phase.DETACH, Phase.SNAPSHOTS}) for phase in Phase
    ]
    assert [phase.why for phase in view.phases[:3]] == [
        "detach 2 volumes: it must be reverted",
        "roll 1 volume back to its snapshot: back to its restore point",
        "nothing of it is left",
    ]
    assert view.summary == "detach 2 volumes, roll 1 volume back to its snapshot"


def test_what_changed_since_the_plan_was_shown_is_told_both_ways() -> None:
    shown = frozenset({approved_key(DETACH)})
    assert dialog_view(plan(DETACH), None, MAY, DOCS, posted=Posted(shown=shown)).change is None
    change = dialog_view(plan(REVERT), None, MAY, DOCS, posted=Posted(shown=shown)).change
    assert change is not None
    assert (change.more, change.less) == (("Roll volume back to its snapshot vol-1",), ("Detach volume vol-1",))


# -- one cleanup -------------------------------------------------------------------------------------------------------

ALL: Final = CleanupOffers(pause=True, proceed=True, amend=True)
NONE: Final = CleanupOffers(pause=False, proceed=False, amend=False)
PAUSE: Final = CleanupOffers(pause=True, proceed=False, amend=False)


def stored(reason: str = "", state: str = "False", **fields: Any) -> dict[str, Any]:
    annotations = {"failover.ossea.io/suspended": "true"} if reason == "Suspended" else {}
    status = ready(reason, state, **fields) if reason else None
    body = cleanup_body("pgtest1-0a1b2c3d", status=status, annotations=annotations, failoverJobID="job-1")
    body["metadata"] |= {"generation": 1, "creationTimestamp": "2026-01-31T10:00:00Z"}
    return body


@pytest.mark.parametrize(
    ("body", "offers", "verbs"),
    [
        (stored(), ALL, ["suspend"]),
        (stored(), PAUSE, ["suspend"]),
        (stored(), NONE, []),
        (stored("Progressing", "Unknown"), ALL, ["suspend"]),
        (stored("QuietTime"), ALL, ["suspend"]),
        (stored("Suspended"), ALL, ["resume"]),
        (stored("Suspended"), PAUSE, []),
        (stored("RunningTestVM"), ALL, ["rerun"]),
        (stored("RunningTestVM"), PAUSE, []),
        (stored("PlanReady", planHash="0" * 32), ALL, ["approve", "suspend"]),
        (stored("PlanReady", planHash="0" * 32), PAUSE, ["suspend"]),
        (stored("Cleaned", "True"), ALL, ["rerun"]),
        (stored("Cleaned", "True"), NONE, []),
    ],
)
def test_only_what_makes_sense_and_is_allowed_is_offered(
    body: dict[str, Any], offers: CleanupOffers, verbs: list[str]
) -> None:
    view = progress_view(FailedExecutionCleanup.model_validate(body), offers, DOCS)
    assert [ask.verb for ask in view.asks] == verbs


def test_a_stop_that_can_be_waived_leads_to_the_dialog() -> None:
    body = stored("RunningTestVM", context={"id": "ctx-1"})
    cleanup = FailedExecutionCleanup.model_validate(body)
    assert progress_view(cleanup, ALL, DOCS).dialog == "/vms/default/ctx-1"
    assert progress_view(cleanup, PAUSE, DOCS).dialog is None
    other = FailedExecutionCleanup.model_validate(stored("UnknownHolder", context={"id": "ctx-1"}))
    assert progress_view(other, ALL, DOCS).dialog is None


def test_all_five_phases_are_shown_before_anybody_looked() -> None:
    view = progress_view(FailedExecutionCleanup.model_validate(stored()), NONE, DOCS)
    assert [phase.words for phase in view.phases] == [*PHASES.values()]
    assert (view.summary, view.over, view.state) == ("0/5", False, "Working")


def test_a_message_is_told_without_the_address_that_stands_beside_it() -> None:
    body = stored("RunningTestVM", message="It runs. See docs/reasons/RunningTestVM.md")
    view = progress_view(FailedExecutionCleanup.model_validate(body), NONE, DOCS)
    assert (view.message, view.page) == ("It runs.", f"{DOCS}RunningTestVM.md")


# -- lists -------------------------------------------------------------------------------------------------------------


def test_only_the_cleanups_that_were_named_are_listed() -> None:
    every = [replace(outline(stored()), name=f"c-{n}") for n in range(3)]
    shown = cleanup_list(every, CleanupFilter(only=("dr/c-1",)))
    assert [row.href for row in shown.rows] == ["/cleanups/dr/c-1"]


def test_an_appliance_counts_the_cleanups_that_one_may_see() -> None:
    working = replace(outline(stored()), queue_position=2)
    asking = outline(stored("RunningTestVM"))
    view = appliance_view(Appliance.model_validate(appliance_body()), [working, asking, replace(asking, appliance="b")])
    assert (view.working, view.queued, view.needing) == (1, 1, 1)
    assert {health.state for health in view.healths} == {"unknown"}


# -- words and parts ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("RunningTestVM", "Running test VM"),
        ("VMSnapshotsPresent", "VM snapshots present"),
        ("Cleaned", "Cleaned"),
        ("ZombieJob", "Zombie job"),
    ],
)
def test_a_reason_is_spelled_as_words(reason: str, words: str) -> None:
    assert in_words(reason) == words


def test_actions_are_counted_in_the_order_of_the_work() -> None:
    assert counted_words([Kind.DETACH, Kind.DETACH, Kind.STOP_VM]) == "stop 1 test VM, detach 2 volumes"
    assert counted_words([Kind.SET_MODE]) == "set the volume's operation mode"


def test_only_parts_that_a_page_shows_otherwise_are_sent() -> None:
    parts = (Part("news", Markup("1 VM")), Part("vm-1", Markup("stuck")), Part("vm-2", Markup("clean")))
    seen = seen_parts(Live("/live/vms", {}, 2, parts).address.partition("seen=")[2].replace("%2C", ","))
    assert list(seen) == ["news", "vm-1", "vm-2"]
    assert changed(parts, seen) == ()
    now = (parts[0], Part("vm-1", Markup("running")), Part("vm-3", Markup("new")))
    assert changed(now, seen) == (now[1],)


def test_a_question_that_is_none_shows_nothing() -> None:
    assert seen_parts("../etc,news.zz,=,news.0123456789abc") == {}
