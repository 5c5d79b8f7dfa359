"""What the API server refuses, in words of what a person does next."""

from __future__ import annotations

import pytest

from failed_execution_cleanup.client import ClientError, ClusterUnreachable, NoSuchCleanup, NotAccepted, NotAllowed
from failed_execution_cleanup.client.errors import of, translated
from failed_execution_cleanup.controller.kubernetes_api import (
    Conflict,
    Forbidden,
    Invalid,
    KubernetesError,
    NotFound,
    Unreachable,
)

POLICY = (
    'FailedExecutionCleanup dr/a: not allowed: failedexecutioncleanups.failover.ossea.io "a" is forbidden: '
    "ValidatingAdmissionPolicy 'failed-execution-cleanup' with binding 'failed-execution-cleanup' denied request: "
)
USE = (
    "alice may not use Appliance default: the verb use on appliances.failover.ossea.io is missing, which the ClusterRole "
    "fec-appliance-user gives when bound by a ClusterRoleBinding"
)
RBAC = (
    'failedexecutioncleanups.failover.ossea.io is forbidden: User "alice" cannot {verb} resource "{resource}" in API group '
    '"failover.ossea.io"{scope}'
)


@pytest.mark.parametrize(
    ("said", "told", "role", "remedy"),
    [
        (POLICY + USE, USE, "fec-appliance-user", "ClusterRole fec-appliance-user"),
        (
            RBAC.format(
                verb="create", resource="failedexecutioncleanups", scope=' in the namespace "dr": RBAC: role not found'
            ),
            "alice may not create failedexecutioncleanups in namespace dr.",
            "fec-cleanup-operator",
            "fec-cleanup-operator, bound in namespace dr.",
        ),
        (
            RBAC.format(verb="list", resource="failedexecutioncleanups", scope=' in the namespace "dr"'),
            "alice may not list failedexecutioncleanups in namespace dr.",
            "fec-viewer",
            "fec-viewer, bound in namespace dr.",
        ),
        (
            RBAC.format(verb="list", resource="appliances", scope=" at the cluster scope"),
            "alice may not list appliances.",
            "fec-viewer",
            "fec-viewer, by a ClusterRoleBinding.",
        ),
        ("spoken by another webhook", "spoken by another webhook", None, "right that is named"),
    ],
    ids=["policy", "create", "list", "appliances", "something else"],
)
def test_a_refusal_names_the_role_to_ask_for(said: str, told: str, role: str | None, remedy: str) -> None:
    error = of(Forbidden(said, status=403))
    assert isinstance(error, NotAllowed)
    assert (str(error), error.role) == (told, role)
    assert remedy in error.remedy


def test_credentials_that_are_not_accepted_need_no_role() -> None:
    error = of(Forbidden("not accepted", status=401))
    assert isinstance(error, NotAllowed)
    assert (error.role, error.remedy) == (None, "Log in to the cluster again.")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFound("x"), NoSuchCleanup),
        (Invalid("x"), NotAccepted),
        (Conflict("x"), ClusterUnreachable),
        (Unreachable("x"), ClusterUnreachable),
        (KubernetesError("x"), ClusterUnreachable),
    ],
)
def test_every_error_is_one_of_ours_and_says_what_to_do(error: KubernetesError, expected: type[ClientError]) -> None:
    with pytest.raises(expected, match="x") as caught, translated():
        raise error
    assert caught.value.remedy
