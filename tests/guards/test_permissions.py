"""What administrators allow: namespaces, waivers, and the hours in which the scan may begin cleanups by itself.

Only the scan says `OutsideWindow`, of a stuck job; a cleanup that somebody asked for keeps no hours.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from failed_execution_cleanup.controller.reconcile import not_permitted
from failed_execution_cleanup.controller.reporter import order_of
from failed_execution_cleanup.detection.windows import any_open
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Reason as Documented
from failed_execution_cleanup.resources.reasons import Waiver

SHOWN = frozenset({Reason.NOT_PERMITTED, Reason.OUTSIDE_WINDOW})
JOB = "6f0c9a12-0000-4000-8000-000000000000"


def appliance(*waivers: Waiver, namespaces: tuple[str, ...] = ("dr",)) -> Appliance:
    spec = {
        "allowedNamespaces": namespaces,
        "waivers": waivers,
        "database": {"urlSecretRef": {"name": "oma", "key": "url"}},
        "volumeDaemon": {"url": "http://oma.example.com:8090"},
    }
    return Appliance.model_validate({"metadata": {"name": "oma-1"}, "spec": spec})


def cleanup(*waivers: Waiver, **spec: Any) -> FailedExecutionCleanup:
    waive = [{"reason": waiver, "object": "4711"} for waiver in waivers]
    told = {"vmName": "pgtest1", "applianceRef": {"name": "oma-1"}, "failoverJobID": JOB, "waive": waive, **spec}
    return FailedExecutionCleanup.model_validate({"metadata": {"name": "c", "namespace": "dr"}, "spec": told})


@pytest.mark.parametrize("waiver", Waiver)
def test_a_waiver_needs_the_appliances_permission(waiver: Waiver) -> None:
    others = tuple(other for other in Waiver if other is not waiver)
    refusal = not_permitted(cleanup(waiver), appliance(*others), "fec")
    assert refusal is not None
    assert refusal.reason is Reason.NOT_PERMITTED
    assert waiver.value in refusal.message
    assert "oma-1" in refusal.message
    assert "spec.waivers" in refusal.message
    assert not_permitted(cleanup(waiver), appliance(waiver), "fec") is None


@pytest.mark.parametrize("waiver", Waiver)
def test_a_waiver_that_is_not_allowed_never_reaches_the_core(waiver: Waiver) -> None:
    others = frozenset(other.value for other in Waiver if other is not waiver)
    assert order_of(cleanup(waiver), others).waivers == frozenset()
    assert len(order_of(cleanup(waiver), frozenset({waiver.value})).waivers) == 1


def test_a_namespace_needs_the_appliances_permission() -> None:
    refusal = not_permitted(cleanup(), appliance(namespaces=("production",)), "fec")
    assert refusal is not None
    assert refusal.reason is Reason.NOT_PERMITTED
    assert "dr" in refusal.message
    assert not_permitted(cleanup(), appliance(namespaces=("production", "dr")), "fec") is None
    assert not_permitted(cleanup(), appliance(namespaces=()), "dr") is None


def test_outside_its_windows_the_scan_begins_nothing_and_inside_it_does() -> None:
    spec = appliance().spec.model_dump(by_alias=True, exclude_none=True)
    night = {"name": "night", "start": "22:00", "end": "05:00", "timeZone": "UTC"}
    spec["detection"] = {"action": "Execute", "namespace": "dr", "windows": [night]}
    told = Appliance.model_validate({"metadata": {"name": "oma-1"}, "spec": spec}).spec.detection
    assert not any_open(told.windows, datetime(2026, 3, 2, 12, 0, tzinfo=UTC))
    assert any_open(told.windows, datetime(2026, 3, 2, 23, 0, tzinfo=UTC))
    assert Documented.OUTSIDE_WINDOW.waiver is None
