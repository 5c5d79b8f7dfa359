"""The console's own rights: enough for all it shows, and nothing to write with."""

from __future__ import annotations

from typing import Final

import pytest

from development.stand import Stand
from tests.console.conftest import ACCOUNT

pytestmark = pytest.mark.timeout(400)

OURS: Final = "failover.ossea.io"
MAY: Final = (
    "create tokenreviews.authentication.k8s.io",
    "create subjectaccessreviews.authorization.k8s.io",
    f"list appliances.{OURS}",
    f"list failedexecutioncleanups.{OURS}",
    "get secrets",
)
NEVER: Final = (
    *(f"{verb} failedexecutioncleanups.{OURS}" for verb in ("create", "update", "patch", "delete", "waive")),
    *(f"{verb} appliances.{OURS}" for verb in ("create", "update", "patch", "delete", "use")),
    f"patch failedexecutioncleanups.{OURS} --subresource=status",
    "list secrets",
    "watch secrets",
    "create serviceaccounts --subresource=token",
    "impersonate users",
    "impersonate serviceaccounts",
)


def may(stand: Stand, right: str, namespace: str) -> bool:
    account = f"--as=system:serviceaccount:{stand.operator_namespace}:{ACCOUNT}"
    command = ("auth", "can-i", *right.split(), account, f"--namespace={namespace}")
    return stand.control_plane.kubectl(*command, check=False).stdout.strip() == "yes"


@pytest.mark.parametrize("right", MAY)
def test_what_the_console_needs_it_may(stand: Stand, right: str) -> None:
    assert may(stand, right, stand.operator_namespace)


@pytest.mark.parametrize("right", NEVER)
def test_what_would_change_anything_it_may_not(stand: Stand, right: str) -> None:
    assert not may(stand, right, stand.operator_namespace)
    assert not may(stand, right, stand.namespace)


def test_secrets_of_other_namespaces_are_out_of_its_reach(stand: Stand) -> None:
    assert not may(stand, "get secrets", stand.namespace)
