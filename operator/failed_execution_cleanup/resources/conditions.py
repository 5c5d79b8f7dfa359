"""Conditions as Kubernetes conventions want them: pure functions on immutable lists.

A condition's transition time changes only when its status does, each one tells the generation it was computed for, and
conditions that are abnormal when true (`PRESENT_ONLY_WHILE_TRUE`) are absent otherwise: kstatus, Flux and Argo CD read
them that way.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from failed_execution_cleanup.resources.kubernetes_model import MAX_GENERATION, KubernetesModel, Message, Timestamp
from failed_execution_cleanup.resources.reasons import PRESENT_ONLY_WHILE_TRUE, ConditionType, Reason


class ConditionStatus(StrEnum):
    """Status of a condition; an absent condition means Unknown."""

    TRUE = "True"
    FALSE = "False"
    UNKNOWN = "Unknown"


class Condition(KubernetesModel):
    """One observation about the object, like metav1.Condition."""

    type: Annotated[
        str,
        Field(
            max_length=316,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
        ),
    ]
    """What the condition is about, in CamelCase."""

    status: ConditionStatus
    """Whether it holds: True, False or Unknown."""

    observed_generation: Annotated[int, Field(ge=0, le=MAX_GENERATION)] = 0
    """metadata.generation for which the condition was computed; older than the object's means out of date."""

    last_transition_time: Timestamp
    """When status changed the last time."""

    reason: Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")]
    """Why, as one CamelCase word; every reason is explained in the documentation."""

    message: Message
    """Why, as a sentence for people that names the object and what to do next; may be empty."""


def get_condition(conditions: Iterable[Condition], type_: str) -> Condition | None:
    """Return the condition of ``type_``, or None when it is absent."""
    return next((condition for condition in conditions if condition.type == type_), None)


def set_condition(
    conditions: Iterable[Condition],
    type_: ConditionType,
    status: ConditionStatus,
    *,
    reason: Reason,
    message: str,
    observed_generation: int,
    now: datetime,
) -> tuple[Condition, ...]:
    """Return ``conditions`` with the condition of ``type_`` set.

    Args:
        conditions: The present conditions; those of other writers are kept.
        type_: The condition to set.
        status: Its new status. A condition of `PRESENT_ONLY_WHILE_TRUE` is removed unless this is True.
        reason: Why it has this status.
        message: A sentence for people; cut to 1,024 characters.
        observed_generation: ``metadata.generation`` the status was computed for.
        now: Transition time if the status differs from the present one; must have a time zone.

    Returns:
        All conditions, ours in the order of `ConditionType`, then foreign ones in the order they had.

    Raises:
        pydantic.ValidationError: If ``now`` has no time zone.
    """
    kept = tuple(conditions)
    if type_ in PRESENT_ONLY_WHILE_TRUE and status is not ConditionStatus.TRUE:
        return remove_condition(kept, type_)
    present = get_condition(kept, type_)
    unchanged = present is not None and present.status is status
    updated = Condition(
        type=type_.value,
        status=status,
        observed_generation=observed_generation,
        last_transition_time=present.last_transition_time if present is not None and unchanged else now,
        reason=reason.value,
        message=message,
    )
    return tuple(sorted((*remove_condition(kept, type_), updated), key=_rank))


def remove_condition(conditions: Iterable[Condition], type_: str) -> tuple[Condition, ...]:
    """Return ``conditions`` without the one of ``type_``; the order of the others does not change."""
    return tuple(condition for condition in conditions if condition.type != type_)


_RANK = {type_.value: rank for rank, type_ in enumerate(ConditionType)}


def _rank(condition: Condition) -> int:
    return _RANK.get(condition.type, len(_RANK))
