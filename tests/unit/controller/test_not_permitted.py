"""What an Appliance allows: its namespaces and waivers; the stop names the Appliance, what it forbids, and the way out."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.controller.reconcile import not_permitted
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

OWN = "operators"


def appliance(namespaces: list[str], waivers: list[str]) -> Appliance:
    return Appliance.model_validate(
        {
            "metadata": {"name": "default"},
            "spec": {
                "allowedNamespaces": namespaces,
                "waivers": waivers,
                "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
                "volumeDaemon": {"url": "http://oma.example.com:8090"},
            },
        }
    )


def cleanup(namespace: str, waivers: list[str]) -> FailedExecutionCleanup:
    return FailedExecutionCleanup.model_validate(
        {
            "metadata": {"name": "pgtest1", "namespace": namespace},
            "spec": {
                "vmName": "pgtest1",
                "applianceRef": {"name": "default"},
                "failoverJobID": "job-1",
                "waive": [{"reason": reason, "object": "v-1"} for reason in waivers],
            },
        }
    )


@pytest.mark.parametrize(
    ("allowed", "waivable", "namespace", "waived", "named"),
    [
        (["dr"], [], "dr", [], None),
        (["dr", "dr2"], [], "dr2", [], None),
        (["dr"], [], "other", [], ["Appliance default", "namespace other", "spec.allowedNamespaces"]),
        (["dr"], [], OWN, [], [f"namespace {OWN}"]),
        ([], [], OWN, [], None),
        ([], [], "dr", [], ["namespace dr"]),
        (["dr"], ["RunningTestVM"], "dr", ["RunningTestVM"], None),
        (["dr"], [], "dr", ["RunningTestVM"], ["Appliance default", "RunningTestVM", "spec.waivers"]),
        (["dr"], ["RunningTestVM"], "dr", ["RunningTestVM", "AcceptContent"], ["waive AcceptContent:"]),
        (["dr"], ["RunningTestVM"], "other", ["RunningTestVM"], ["namespace other"]),
    ],
)
def test_namespaces_and_waivers_are_the_administrators_to_allow(
    allowed: list[str], waivable: list[str], namespace: str, waived: list[str], named: list[str] | None
) -> None:
    refusal = not_permitted(cleanup(namespace, waived), appliance(allowed, waivable), OWN)
    if named is None:
        assert refusal is None
        return
    assert refusal is not None
    assert refusal.reason is Reason.NOT_PERMITTED
    assert [word for word in named if word not in refusal.message] == []
