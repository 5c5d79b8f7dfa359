"""The door to the Kubernetes API against a real API server: versions, conflicts, chunks, roles, secrets."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from development.control_plane import ControlPlane
from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Conflict,
    Forbidden,
    Invalid,
    KubernetesApi,
    NotFound,
    merge_patch,
)

CRDS = Path(__file__).parents[2] / "crds"
FINALIZER = "failover.ossea.io/claim"


@pytest.fixture(scope="module", autouse=True)
def custom_resources(control_plane: ControlPlane) -> None:
    control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-f", CRDS)
    control_plane.kubectl("wait", "--for=condition=Established", "--timeout=30s", "-f", CRDS)


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    async with await KubernetesApi.connect(control_plane.admin_kubeconfig) as api:
        yield api


async def create_cleanup(api: KubernetesApi, namespace: str, name: str = "pgtest1") -> dict[str, Any]:
    body = {
        "apiVersion": CLEANUPS.api_version,
        "kind": CLEANUPS.kind,
        "metadata": {"name": name},
        "spec": {"vmName": name, "applianceRef": {"name": "default"}},
    }
    return await api.create(CLEANUPS, namespace, body)


async def test_the_server_tells_its_version(api: KubernetesApi) -> None:
    assert (await api.server_version()).startswith("v1.")


async def test_a_status_patch_changes_status_only_and_moves_the_version(api: KubernetesApi, namespace: str) -> None:
    created = await create_cleanup(api, namespace)
    version = created["metadata"]["resourceVersion"]
    stored = await api.patch_status(CLEANUPS, namespace, "pgtest1", {"phaseSummary": "3/5"}, resource_version=version)
    assert stored["status"]["phaseSummary"] == "3/5"
    assert stored["metadata"]["resourceVersion"] != version
    assert stored["metadata"]["generation"] == created["metadata"]["generation"]
    assert stored["spec"] == created["spec"]
    assert await api.get(CLEANUPS, namespace, "pgtest1") == stored


async def test_a_status_patch_based_on_an_old_version_is_a_conflict(api: KubernetesApi, namespace: str) -> None:
    version = (await create_cleanup(api, namespace))["metadata"]["resourceVersion"]
    await api.patch_status(CLEANUPS, namespace, "pgtest1", {"phaseSummary": "1/5"}, resource_version=version)
    with pytest.raises(Conflict, match=f"status of FailedExecutionCleanup {namespace}/pgtest1"):
        await api.patch_status(CLEANUPS, namespace, "pgtest1", {"phaseSummary": "2/5"}, resource_version=version)
    assert (await api.get(CLEANUPS, namespace, "pgtest1"))["status"]["phaseSummary"] == "1/5"


async def test_a_merge_patch_removes_fields_and_an_empty_one_writes_nothing(api: KubernetesApi, namespace: str) -> None:
    created = await create_cleanup(api, namespace)
    before = created["status"]
    after = {**before, "phaseSummary": "1/5", "cleanupJobID": "c"}
    first = await api.patch_status(
        CLEANUPS,
        namespace,
        "pgtest1",
        merge_patch(before, after),
        resource_version=created["metadata"]["resourceVersion"],
    )
    assert first["status"] == after
    second = await api.patch_status(
        CLEANUPS,
        namespace,
        "pgtest1",
        merge_patch(after, before),
        resource_version=first["metadata"]["resourceVersion"],
    )
    assert second["status"] == before


async def test_a_finalizer_holds_the_object_until_it_is_removed(api: KubernetesApi, namespace: str) -> None:
    created = await create_cleanup(api, namespace)
    version = created["metadata"]["resourceVersion"]
    held = await api.set_finalizers(CLEANUPS, namespace, "pgtest1", [FINALIZER], resource_version=version)
    with pytest.raises(Conflict):
        await api.set_finalizers(CLEANUPS, namespace, "pgtest1", [], resource_version=version)
    metadata = held["metadata"]
    with pytest.raises(Conflict):
        await api.delete(CLEANUPS, namespace, "pgtest1", uid=metadata["uid"], resource_version=version)
    await api.delete(CLEANUPS, namespace, "pgtest1", uid=metadata["uid"], resource_version=metadata["resourceVersion"])
    deleting = await api.get(CLEANUPS, namespace, "pgtest1")
    assert "deletionTimestamp" in deleting["metadata"]
    await api.set_finalizers(
        CLEANUPS, namespace, "pgtest1", [], resource_version=deleting["metadata"]["resourceVersion"]
    )
    with pytest.raises(NotFound, match=f"FailedExecutionCleanup {namespace}/pgtest1 not found"):
        await api.get(CLEANUPS, namespace, "pgtest1")


async def test_creating_what_exists_is_a_conflict_and_what_does_not_fit_is_invalid(
    api: KubernetesApi, namespace: str
) -> None:
    await create_cleanup(api, namespace)
    with pytest.raises(Conflict, match="already exists"):
        await create_cleanup(api, namespace)
    body = {
        "apiVersion": CLEANUPS.api_version,
        "kind": CLEANUPS.kind,
        "metadata": {"name": "x"},
        "spec": {"vmName": 7, "applianceRef": {"name": "default"}},
    }
    with pytest.raises(Invalid, match=r"spec\.vmName"):
        await api.create(CLEANUPS, namespace, body)


async def test_a_list_in_chunks_is_complete(api: KubernetesApi, namespace: str) -> None:
    names = [f"vm-{number}" for number in range(7)]
    await asyncio.gather(*(create_cleanup(api, namespace, name) for name in names))
    listed = [item async for item in api.list(CLEANUPS, namespace, chunk=3)]
    assert sorted(item["metadata"]["name"] for item in listed) == names
    assert {item["kind"] for item in listed} == {"FailedExecutionCleanup"}


async def test_a_secret_is_read_decoded(control_plane: ControlPlane, api: KubernetesApi, namespace: str) -> None:
    control_plane.kubectl(
        "create", "secret", "generic", "ossea", "--from-literal=apiKey=s3cret", f"--namespace={namespace}"
    )
    assert (await api.read_secret(namespace, "ossea"))["apiKey"].get_secret_value() == b"s3cret"


async def test_a_service_account_without_roles_is_forbidden(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    async with await KubernetesApi.connect(kubeconfig) as api:
        assert (await api.server_version()).startswith("v1.")
        with pytest.raises(Forbidden, match=f"Secret {namespace}/ossea: not allowed"):
            await api.read_secret(namespace, "ossea")


async def test_a_wrong_token_is_forbidden_and_does_not_show(control_plane: ControlPlane, namespace: str) -> None:
    kubeconfig = control_plane.service_account_kubeconfig(namespace, "default")
    token = control_plane.kubectl(
        "config", "view", "--raw", "-o=jsonpath={.users[0].user.token}", kubeconfig=kubeconfig
    )
    wrong = kubeconfig.with_suffix(".wrong")
    wrong.write_text(kubeconfig.read_text().replace(token.stdout, "not-a-token"))
    async with await KubernetesApi.connect(wrong) as api:
        with pytest.raises(Forbidden, match="does not accept our credentials") as caught:
            await api.get(CLEANUPS, namespace, "pgtest1")
    assert "not-a-token" not in str(caught.value)
