"""The operator's own client, its leader election, its Events, and Kopf."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator
from typing import Any

import kopf
import pytest
from kopf.testing import KopfRunner

from failed_execution_cleanup.controller.events import EventRecorder, ObjectReference
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Conflict,
    KubernetesApi,
    NotFound,
    merge_patch,
)
from failed_execution_cleanup.controller.leadership import LeaderElection
from tests.contract.api_server import ApiServer, Cleanups, content, wait_until

FINALIZER = "failover.ossea.io/claim"
LEASE = "failed-execution-cleanup"


@pytest.fixture
async def api(server: ApiServer) -> AsyncIterator[KubernetesApi]:
    async with await KubernetesApi.connect(server.kubeconfig) as api:
        yield api


def candidate(api: KubernetesApi, namespace: str, identity: str) -> LeaderElection:
    return LeaderElection(api, namespace, LEASE, identity, lease_seconds=3, renew_seconds=2, retry_seconds=0.2)


async def test_the_client_writes_status_and_finalizers_by_version(
    api: KubernetesApi, cleanups: Cleanups, namespace: str
) -> None:
    before = cleanups.create("pgtest1")
    version = before["metadata"]["resourceVersion"]
    after = {**before["status"], "phaseSummary": "1/5", "cleanupJobID": "c"}
    patch = merge_patch(before["status"], after)
    stored = await api.patch_status(CLEANUPS, namespace, "pgtest1", patch, resource_version=version)
    assert stored["status"] == after
    with pytest.raises(Conflict, match=f"finalizers of FailedExecutionCleanup {namespace}/pgtest1: conflict"):
        await api.set_finalizers(CLEANUPS, namespace, "pgtest1", [FINALIZER], resource_version=version)
    version = stored["metadata"]["resourceVersion"]
    held = await api.set_finalizers(CLEANUPS, namespace, "pgtest1", [FINALIZER], resource_version=version)
    assert held["metadata"]["finalizers"] == [FINALIZER]
    metadata = held["metadata"]
    with pytest.raises(Conflict):
        await api.delete(CLEANUPS, namespace, "pgtest1", uid=metadata["uid"], resource_version=version)
    version = metadata["resourceVersion"]
    await api.delete(CLEANUPS, namespace, "pgtest1", uid=metadata["uid"], resource_version=version)
    deleting = await api.get(CLEANUPS, namespace, "pgtest1")
    version = deleting["metadata"]["resourceVersion"]
    await api.set_finalizers(CLEANUPS, namespace, "pgtest1", [], resource_version=version)
    with pytest.raises(NotFound):
        await api.get(CLEANUPS, namespace, "pgtest1")


async def test_the_client_lists_in_chunks(api: KubernetesApi, cleanups: Cleanups, namespace: str) -> None:
    created = [cleanups.create(f"vm-{number}") for number in range(5)]
    assert [item async for item in api.list(CLEANUPS, namespace, chunk=2)] == created
    assert [item async for item in api.list(APPLIANCES) if item["metadata"]["name"] == namespace] == []


async def test_the_client_lists_metadata_alone(api: KubernetesApi, cleanups: Cleanups, namespace: str) -> None:
    created = [cleanups.create(f"vm-{number}") for number in range(3)]
    listed = [item async for item in api.list(CLEANUPS, namespace, chunk=2, only_metadata=True)]
    assert [item["metadata"] for item in listed] == [body["metadata"] for body in created]
    assert {(item["kind"], item.get("spec"), item.get("status")) for item in listed} == {
        ("PartialObjectMetadata", None, None)
    }


async def test_the_client_reads_secrets_and_the_version(api: KubernetesApi, server: ApiServer, namespace: str) -> None:
    secret = {"metadata": {"name": "oma"}, "stringData": {"url": "s3cret"}}
    content(server.http.post(f"/api/v1/namespaces/{namespace}/secrets", json=secret), 201)
    assert (await api.read_secret(namespace, "oma"))["url"].get_secret_value() == b"s3cret"
    assert (await api.server_version()).startswith("v1.")
    with pytest.raises(NotFound, match=f"Secret {namespace}/none not found"):
        await api.read_secret(namespace, "none")


async def test_one_leads_and_the_next_takes_over(api: KubernetesApi, namespace: str) -> None:
    first, second = candidate(api, namespace, "first"), candidate(api, namespace, "second")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    taken = await api.read_lease(namespace, LEASE)
    while (await api.read_lease(namespace, LEASE)).renewed_at == taken.renewed_at:
        assert not waiting.done()
        await asyncio.sleep(0.05)
    await first.release()
    await waiting
    lease = await api.read_lease(namespace, LEASE)
    assert (lease.holder, lease.transitions, second.leading, first.leading) == ("second", 1, True, False)
    await second.release()


async def test_a_leader_makes_a_deleted_lease_anew_and_yields_to_a_stranger(
    api: KubernetesApi, server: ApiServer, namespace: str
) -> None:
    election = candidate(api, namespace, "first")
    await election.acquire()
    path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases/{LEASE}"
    uid = content(server.http.get(path))["metadata"]["uid"]
    content(server.http.delete(path))
    while (found := server.http.get(path)).is_error or found.json()["metadata"]["uid"] == uid:
        assert election.leading
        await asyncio.sleep(0.05)
    merge = {"Content-Type": "application/merge-patch+json"}
    content(server.http.patch(path, json={"spec": {"holderIdentity": "stranger"}}, headers=merge))
    await election.lost.wait()
    assert not election.leading
    await election.release()
    assert (await api.read_lease(namespace, LEASE)).holder == "stranger"


async def test_repeated_events_are_one_series(
    api: KubernetesApi, server: ApiServer, cleanups: Cleanups, namespace: str
) -> None:
    recorder = EventRecorder(api, "fec-7d9f")
    regarding = ObjectReference.of(cleanups.create("pgtest1"))
    for _ in range(3):
        await recorder.record(regarding, "Warning", "RevertFailing", "CleanupSnapshots", "3 tries failed")
    path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
    (event,) = content(server.http.get(path))["items"]
    assert (event["series"]["count"], event["note"]) == (3, "3 tries failed")
    assert event["regarding"]["uid"] == regarding.uid
    content(server.http.delete(f"{path}/{event['metadata']['name']}"))
    await recorder.record(regarding, "Warning", "RevertFailing", "CleanupSnapshots", "3 tries failed")
    (anew,) = content(server.http.get(path))["items"]
    assert "series" not in anew


@pytest.mark.parametrize("clusterwide", [False, True])
def test_kopf_sees_what_happens_and_leaves_no_trace(
    server: ApiServer, cleanups: Cleanups, monkeypatch: pytest.MonkeyPatch, clusterwide: bool
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(server.kubeconfig))
    registry = kopf.OperatorRegistry()
    seen: list[tuple[str, str | None]] = []

    async def login(**kwargs: Any) -> kopf.ConnectionInfo | None:
        return kopf.login_with_kubeconfig(**kwargs)

    async def on_event(type: str | None, name: str, namespace: str | None, **_: Any) -> None:  # noqa: A002 - Kopf's name
        if namespace == cleanups.namespace:
            seen.append((name, type))

    kopf.on.login(registry=registry)(login)
    kopf.on.event("failover.ossea.io", "v1alpha1", "failedexecutioncleanups", registry=registry)(on_event)
    settings = kopf.OperatorSettings()
    settings.watching.chunk_size = 2

    def wait_for(name: str, kind: str | None) -> None:
        wait_until(lambda: (name, kind) in seen, what=f"Kopf sees {name} {kind}")

    for name in ("a", "b", "c"):
        cleanups.create(name)
    where = ["--all-namespaces"] if clusterwide else ["--namespace", cleanups.namespace]
    with KopfRunner(["run", "--standalone", *where], registry=registry, settings=settings, timeout=30) as runner:
        for name in ("a", "b", "c"):
            wait_for(name, None)
        created = cleanups.create("d", finalizers=["example.com/other"])
        wait_for("d", "ADDED")
        assert content(cleanups.get("d")) == created
        content(cleanups.patch("d", {"spec": {"note": "n"}}))
        wait_for("d", "MODIFIED")
        content(cleanups.delete("d"))
        content(cleanups.patch("d", {"metadata": {"finalizers": []}}))
        wait_for("d", "DELETED")
    assert runner.exit_code == 0
    # Kopf ends its loop before its TLS connections are closed; what is left of them must not fail another test.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()
