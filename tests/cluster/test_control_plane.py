"""The real parts behave as the other tests in this folder take for granted."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from development.control_plane import ControlPlane, KubectlError

if TYPE_CHECKING:
    from development.mariadb import MariaDB


def test_api_server_reports_the_pinned_release(control_plane: ControlPlane) -> None:
    version = json.loads(control_plane.kubectl("get", "--raw=/version").stdout)
    assert (version["major"], version["minor"]) == ("1", "37")
    assert version["gitVersion"].startswith("v1.37.")


def test_kubectl_applies_manifests_from_standard_input(control_plane: ControlPlane, namespace: str) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "greeting"}, "data": {"hello": "world"}}
    control_plane.kubectl("apply", f"--namespace={namespace}", "-f", "-", input=json.dumps(manifest))
    shown = control_plane.kubectl("get", "configmap/greeting", f"--namespace={namespace}", "-o=jsonpath={.data.hello}")
    assert shown.stdout == "world"


def test_failed_kubectl_shows_the_servers_answer(control_plane: ControlPlane, namespace: str) -> None:
    with pytest.raises(KubectlError, match='configmaps "absent" not found'):
        control_plane.kubectl("get", "configmap/absent", f"--namespace={namespace}")


def test_service_account_without_a_role_is_denied(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    refused = control_plane.kubectl("get", "configmaps", kubeconfig=kubeconfig, check=False)
    assert refused.returncode == 1
    assert f'"system:serviceaccount:{namespace}:default" cannot list resource "configmaps"' in refused.stderr


def test_service_account_with_a_role_is_allowed(control_plane: ControlPlane, namespace: str) -> None:
    scope = f"--namespace={namespace}"
    control_plane.kubectl("create", "role", "reader", "--verb=list", "--resource=configmaps", scope)
    subject = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "rolebinding", "reader", "--role=reader", subject, scope)
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    control_plane.kubectl("get", "configmaps", kubeconfig=kubeconfig)


def test_admission_policies_are_enforced(control_plane: ControlPlane, namespace: str) -> None:
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "metadata": {"name": namespace}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    here = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    policy = kind | {
        "kind": "ValidatingAdmissionPolicy",
        "spec": {
            "matchConstraints": {"namespaceSelector": here, "resourceRules": [rule]},
            "validations": [{"expression": "authorizer.group('').resource('secrets').check('impossible').allowed()"}],
        },
    }
    binding = kind | {
        "kind": "ValidatingAdmissionPolicyBinding",
        "spec": {"policyName": namespace, "validationActions": ["Deny"]},
    }
    for manifest in (policy, binding):
        control_plane.kubectl("apply", "-f", "-", input=json.dumps(manifest))
    user = f"--as=system:serviceaccount:{namespace}:default"
    scope = f"--namespace={namespace}"
    control_plane.kubectl("create", "role", "writer", "--verb=create", "--resource=configmaps", scope)
    subject = f"--serviceaccount={namespace}:default"
    control_plane.kubectl("create", "rolebinding", "writer", "--role=writer", subject, scope)
    create = ("create", "configmap", "greeting", "--dry-run=server", scope, user)
    # The API server takes up a policy within about a second; each attempt takes a tenth of one.
    attempts = (control_plane.kubectl(*create, check=False) for _ in range(100))
    denied = next(attempt for attempt in attempts if attempt.returncode != 0)
    assert f"ValidatingAdmissionPolicy '{namespace}' with binding '{namespace}' denied request" in denied.stderr


def test_stopping_leaves_no_process_and_no_file() -> None:
    with ControlPlane() as control_plane:
        pids = control_plane.pids
        assert [psutil.Process(pid).name() for pid in pids] == ["etcd", "kube-apiserver"]
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not control_plane.directory.exists()


async def test_mariadb_has_the_version_and_character_set_of_production(mariadb: MariaDB) -> None:
    engine = create_async_engine(mariadb.create_database(f"test_{uuid.uuid4().hex}"))
    async with engine.connect() as connection:
        row = (await connection.execute(text("SELECT VERSION(), @@character_set_database, @@collation_database"))).one()
    await engine.dispose()
    assert row[0].startswith("10.11.")
    assert (row[1], row[2]) == ("utf8mb4", "utf8mb4_general_ci")


async def test_mariadb_advisory_lock_excludes_a_second_connection(mariadb: MariaDB) -> None:
    engine = create_async_engine(mariadb.url)
    take = text("SELECT GET_LOCK(:name, 0)").bindparams(name=uuid.uuid4().hex)
    async with engine.connect() as holder, engine.connect() as other:
        assert await holder.scalar(take) == 1
        assert await other.scalar(take) == 0
        # Ends the session, as a killed operator's would.
        await holder.invalidate()
        assert await other.scalar(take) == 1
    await engine.dispose()
