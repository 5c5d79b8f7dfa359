"""The real parts behave as the other tests in this folder take for granted."""

from __future__ import annotations

import json
import uuid
from typing import TYPE_CHECKING

import psutil
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from development.control_plane import ControlPlane, KubectlError
from development.mariadb import private_mariadb

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
    name = uuid.uuid4().hex
    take = text("SELECT GET_LOCK(:name, 0)").bindparams(name=name)
    wait = text("SELECT GET_LOCK(:name, 30)").bindparams(name=name)
    async with engine.connect() as holder, engine.connect() as other:
        assert await holder.scalar(take) == 1
        assert await other.scalar(take) == 0
        # Ends the session, as a killed operator's would end; the server notices a moment later.
        await holder.invalidate()
        assert await other.scalar(wait) == 1
    await engine.dispose()


async def test_mariadb_keeps_committed_rows_over_a_crash() -> None:
    with private_mariadb() as server:
        engine = create_async_engine(server.create_database("kept"))
        async with engine.begin() as connection:
            await connection.execute(text("CREATE TABLE jobs (id INT PRIMARY KEY)"))
            await connection.execute(text("INSERT INTO jobs VALUES (7)"))
        await engine.dispose()
        server.kill()
        server.start()
        async with engine.connect() as connection:
            assert await connection.scalar(text("SELECT id FROM jobs")) == 7
        await engine.dispose()


@pytest.mark.parametrize(
    ("timezone", "offset_hours"),
    [("+02:00", 2), ("-05:30", -5.5), ("Asia/Kolkata", 5.5)],
)
async def test_mariadb_clock_runs_in_the_given_time_zone(timezone: str, offset_hours: float) -> None:
    with private_mariadb(timezone) as server:
        engine = create_async_engine(server.url)
        async with engine.connect() as connection:
            difference = await connection.scalar(text("SELECT TIMESTAMPDIFF(MINUTE, UTC_TIMESTAMP(), NOW())"))
        await engine.dispose()
    assert difference == offset_hours * 60


def test_mariadb_hides_its_password(mariadb: MariaDB) -> None:
    password = make_url(mariadb.url).password
    assert isinstance(password, str)
    assert password not in repr(mariadb)


def test_mariadb_refuses_a_name_that_would_need_quoting(mariadb: MariaDB) -> None:
    with pytest.raises(ValueError, match="not a database name"):
        mariadb.create_database("a`b")
