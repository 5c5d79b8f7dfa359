"""Conditions follow the Kubernetes conventions."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from failed_execution_cleanup.resources.conditions import (
    Condition,
    ConditionStatus,
    get_condition,
    remove_condition,
    set_condition,
)
from failed_execution_cleanup.resources.reasons import PRESENT_ONLY_WHILE_TRUE, ConditionType, Reason

NOON = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
LATER = NOON + timedelta(minutes=5)


def with_condition(
    conditions: tuple[Condition, ...],
    type_: ConditionType = ConditionType.READY,
    status: ConditionStatus = ConditionStatus.UNKNOWN,
    *,
    reason: Reason = Reason.PROGRESSING,
    message: str = "",
    generation: int = 1,
    now: datetime = NOON,
) -> tuple[Condition, ...]:
    return set_condition(
        conditions, type_, status, reason=reason, message=message, observed_generation=generation, now=now
    )


def ready(conditions: tuple[Condition, ...]) -> Condition:
    condition = get_condition(conditions, ConditionType.READY)
    assert condition is not None
    return condition


def test_transition_time_stays_while_only_reason_message_and_generation_change() -> None:
    before = with_condition((), now=NOON)
    after = ready(with_condition(before, reason=Reason.QUIET_TIME, message="waits", generation=2, now=LATER))
    assert after.last_transition_time == NOON
    assert (after.reason, after.message, after.observed_generation) == ("QuietTime", "waits", 2)


def test_transition_time_moves_when_the_status_changes() -> None:
    before = with_condition((), now=NOON)
    after = ready(with_condition(before, status=ConditionStatus.TRUE, reason=Reason.CLEANED, now=LATER))
    assert after.last_transition_time == LATER


@pytest.mark.parametrize("type_", sorted(PRESENT_ONLY_WHILE_TRUE))
@pytest.mark.parametrize("status", [ConditionStatus.FALSE, ConditionStatus.UNKNOWN])
def test_abnormal_conditions_are_absent_unless_true(type_: ConditionType, status: ConditionStatus) -> None:
    present = with_condition((), type_, ConditionStatus.TRUE)
    assert get_condition(present, type_) is not None
    assert with_condition(present, type_, status) == ()


def test_long_messages_are_cut_instead_of_refused() -> None:
    message = ready(with_condition((), message="x" * 5000)).message
    assert len(message) == 1024
    assert message.endswith("…")


def test_a_time_without_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        with_condition((), now=NOON.replace(tzinfo=None))


def test_foreign_conditions_are_kept_behind_ours() -> None:
    foreign = Condition.model_validate(
        {"type": "example.com/Seen", "status": "True", "lastTransitionTime": NOON, "reason": "Seen", "message": ""}
    )
    conditions = with_condition((foreign,))
    assert [condition.type for condition in conditions] == ["Ready", "example.com/Seen"]
    assert remove_condition(conditions, ConditionType.READY) == (foreign,)


def test_written_form_is_that_of_metav1_condition() -> None:
    (condition,) = with_condition((), message="works", now=NOON.replace(microsecond=999_999))
    assert condition.to_kubernetes() == {
        "type": "Ready",
        "status": "Unknown",
        "observedGeneration": 1,
        "lastTransitionTime": "2026-05-04T12:00:00Z",
        "reason": "Progressing",
        "message": "works",
    }
    assert Condition.model_validate(condition.to_kubernetes()) == condition


@given(st.lists(st.tuples(st.sampled_from(ConditionType), st.sampled_from(ConditionStatus)), max_size=20))
def test_order_does_not_depend_on_the_order_of_setting(changes: list[tuple[ConditionType, ConditionStatus]]) -> None:
    conditions: tuple[Condition, ...] = ()
    for type_, status in changes:
        conditions = with_condition(conditions, type_, status)
    types = [condition.type for condition in conditions]
    assert types == [type_ for type_ in ConditionType if type_ in types]
