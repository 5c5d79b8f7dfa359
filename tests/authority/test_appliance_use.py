"""What the operator itself enforces, policy or not: allowed namespaces and waivers, its own Secrets, one Appliance for an appliance."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import make_url

from development.control_plane import KubectlError
from development.stand import Stand
from tests.cluster.observed import assert_replica, condition, message

pytestmark = pytest.mark.timeout(300)


def appliance_condition(stand: Stand, name: str) -> tuple[str, str, str]:
    """Status, reason and message of an Appliance's condition Ready."""
    body: dict[str, Any] = json.loads(stand.kubectl("get", "appliance", name, "-o", "json"))
    conditions = {each["type"]: each for each in body.get("status", {}).get("conditions", [])}
    ready = conditions.get("Ready", {})
    return ready.get("status", ""), ready.get("reason", ""), ready.get("message", "")


def wait_for_appliance(stand: Stand, name: str, status: str, reason: str) -> str:
    stand.wait_until(
        lambda: appliance_condition(stand, name)[:2] == (status, reason), what=f"Appliance {name} is {status} {reason}"
    )
    return appliance_condition(stand, name)[2]


@pytest.fixture(scope="module")
def twin(stand: Stand) -> str:
    """Name of a second Appliance, not there yet; the operator looks after both, and watches its own namespace too."""
    name = f"{stand.appliance}-twin"
    stand.start_operator(
        FEC_APPLIANCES=json.dumps([stand.appliance, name]),
        FEC_WATCH_NAMESPACES=json.dumps([stand.namespace, stand.operator_namespace]),
    )
    return name


def test_without_a_list_only_the_operators_own_namespace_is_allowed(stand: Stand, twin: str) -> None:
    stand.apply_appliance(stand.appliance, allowedNamespaces=[])
    built = {name: stand.build("F11", name, disks=1) for name in ("outside1", "inside1")}
    inside = stand.manifest("inside1", "inside1")
    inside["metadata"]["namespace"] = stand.operator_namespace
    stand.apply(stand.manifest("outside1", "outside1"), inside)
    read = ("get", "fec/inside1", f"--namespace={stand.operator_namespace}", "--output=jsonpath={.status.conditions}")
    stand.wait_until(lambda: '"Cleaned"' in stand.control_plane.kubectl(*read).stdout, what="inside1 is cleaned")
    assert_replica(stand, built["inside1"])

    refused = stand.wait_for("outside1", "Stalled")
    assert condition(refused, "Ready") == ("False", "NotPermitted")
    assert [
        word for word in (stand.appliance, stand.namespace, "allowedNamespaces") if word not in message(refused)
    ] == []
    assert stand.requests(about=built["outside1"]) == []

    stand.apply_appliance(stand.appliance)
    stand.annotate("outside1", requestedAt="2026-10-01T10:00:00Z")
    assert condition(stand.wait_for("outside1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built["outside1"])


def test_a_waiver_is_used_as_soon_as_the_appliance_allows_it(stand: Stand, twin: str) -> None:
    built = stand.build("F28", "waived1", disks=1)
    stand.apply_appliance(stand.appliance, waivers=[])
    waiver = {"reason": "RunningTestVM", "object": "job"}
    stand.apply_cleanup("waived1", "waived1", failoverJobID=built["failover_job_id"], waive=[waiver])
    refused = stand.wait_for("waived1", "Stalled")
    assert condition(refused, "Ready") == ("False", "NotPermitted")
    assert [word for word in (stand.appliance, "RunningTestVM", "spec.waivers") if word not in message(refused)] == []
    assert stand.requests(about=built) == []

    stand.apply_appliance(stand.appliance)
    stand.annotate("waived1", requestedAt="2026-10-01T10:00:00Z")
    assert condition(stand.wait_for("waived1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built)


def test_a_secret_of_the_cleanups_namespace_is_not_read(stand: Stand, twin: str) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "planted", "namespace": stand.namespace},
        "stringData": {"url": stand.database_url},
    }
    stand.apply(secret)
    stand.apply_appliance(twin, database={"urlSecretRef": {"name": "planted", "key": "url"}})
    told = wait_for_appliance(stand, twin, "False", "SecretMissing")
    assert f"{stand.operator_namespace}/planted" in told
    stand.kubectl("delete", f"appliance/{twin}")


@pytest.mark.parametrize(
    "reference",
    [
        {"database": {"urlSecretRef": {"name": "planted", "key": "url", "namespace": "kube-system"}}},
        {"ossea": {"credentialsSecretRef": {"name": "planted", "namespace": "kube-system"}}},
        {"ossea": {"encryptionKeySecretRef": {"name": "planted", "key": "key", "namespace": "kube-system"}}},
    ],
)
def test_an_appliance_cannot_name_a_secret_elsewhere(stand: Stand, reference: Mapping[str, Any]) -> None:
    with pytest.raises(KubectlError, match=r"unknown field .*\.namespace"):
        stand.apply_appliance(f"{stand.appliance}-elsewhere", **reference)


def test_a_table_without_an_active_row_stalls_instead_of_waiting(stand: Stand, twin: str) -> None:
    built = stand.build("F11", "inactive1", disks=1)
    stand.rows("UPDATE ossea_configs SET is_active = 0")
    stand.apply_cleanup("inactive1", "inactive1")
    refused = stand.wait_for("inactive1", "Stalled")
    assert condition(refused, "Ready") == ("False", "ApplianceInconsistent")
    assert "ossea_configs has 0 active rows" in message(refused)
    assert stand.requests(about=built) == []

    stand.rows("UPDATE ossea_configs SET is_active = 1")
    stand.annotate("inactive1", requestedAt="2026-10-01T10:00:00Z")
    assert condition(stand.wait_for("inactive1", "Ready"), "Ready") == ("True", "Cleaned")


def test_of_two_appliances_on_one_database_the_younger_is_refused(stand: Stand, twin: str) -> None:
    """Another host name and another Secret do not hide that it is the same database."""
    url = make_url(stand.database_url)
    stand.apply_secret("alias", url=url.set(host="localhost").render_as_string(hide_password=False))
    wait_for_appliance(stand, stand.appliance, "True", "Available")
    built = {name: stand.build("F11", name, disks=1) for name in ("elder1", "younger1")}
    stand.apply_appliance(twin, database={"urlSecretRef": {"name": "alias", "key": "url"}})
    stand.apply_cleanup("younger1", "younger1", applianceRef={"name": twin})
    stand.apply_cleanup("elder1", "elder1")

    told = wait_for_appliance(stand, twin, "False", "ApplianceInconsistent")
    refused = stand.wait_for("younger1", "Stalled")
    assert condition(refused, "Ready") == ("False", "ApplianceInconsistent")
    for text in (told, message(refused)):
        assert f"Appliance {twin} " in text
        assert f"older Appliance {stand.appliance} " in text
        assert "deletes one of them" in text
    assert stand.requests(about=built["younger1"]) == []
    assert appliance_condition(stand, stand.appliance)[:2] == ("True", "Available")
    assert condition(stand.wait_for("elder1", "Ready"), "Ready") == ("True", "Cleaned")

    stand.kubectl("delete", f"appliance/{stand.appliance}")
    wait_for_appliance(stand, twin, "True", "Available")
    stand.annotate("younger1", requestedAt="2026-10-01T10:00:00Z")
    assert condition(stand.wait_for("younger1", "Ready"), "Ready") == ("True", "Cleaned")
    assert_replica(stand, built["younger1"])

    # What was deleted comes back as the younger one.
    stand.apply_appliance(stand.appliance)
    wait_for_appliance(stand, stand.appliance, "False", "ApplianceInconsistent")
    stand.kubectl("delete", f"appliance/{twin}")
    wait_for_appliance(stand, stand.appliance, "True", "Available")
