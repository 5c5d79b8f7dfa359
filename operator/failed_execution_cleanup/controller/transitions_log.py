"""One log record for each change of a cleanup's conditions.

Phases, claims and requests are logged where they happen (`run`); a condition changes where a status is stored.
"""

from __future__ import annotations

import logging
from typing import Final

from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import Condition
from failed_execution_cleanup.resources.reasons import ConditionType

__all__ = ["log_conditions"]

logger = logging.getLogger(__name__)

_SHADOWS: Final = frozenset({ConditionType.RECONCILING, ConditionType.STALLED})
"""Follow from the reason of Ready and never change without it: telling them would say everything twice."""


def log_conditions(cleanup: FailedExecutionCleanup, stored: CleanupStatus) -> None:
    """Log every condition that came, went, or changed its status or reason; a change of words alone is none.

    Args:
        cleanup: the resource as it was before.
        stored: its status as it is now.
    """
    was = {condition.type: condition for condition in cleanup.status.conditions}
    now = {condition.type: condition for condition in stored.conditions}
    about = {
        "resource": f"{cleanup.metadata.namespace}/{cleanup.metadata.name}",
        "appliance": cleanup.spec.appliance_ref.name,
        "vm": cleanup.spec.vm_name,
        **({} if stored.failed_job is None else {"job": stored.failed_job.id}),
    }
    for type_ in (*now, *(gone for gone in was if gone not in now)):
        before, after = _state(was.get(type_)), _state(now.get(type_))
        if type_ in _SHADOWS or before == after:
            continue
        told = {"transition": "condition", "condition": type_, "status": after[0], "reason": after[1], "was": before[0]}
        explained = now[type_].message if type_ in now else ""
        logger.info("Condition changed", extra={**about, **told, **({"explanation": explained} if explained else {})})


def _state(condition: Condition | None) -> tuple[str, str]:
    """Status and reason; a condition that is absent has neither."""
    return ("Absent", "") if condition is None else (condition.status.value, condition.reason)
