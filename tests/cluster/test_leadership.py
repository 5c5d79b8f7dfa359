"""Leader election on a Lease of a real API server; short lease times, no virtual time."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from development.control_plane import ControlPlane
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi
from failed_execution_cleanup.controller.leadership import LeaderElection

NAME = "failed-execution-cleanup"


@pytest.fixture
async def api(control_plane: ControlPlane) -> AsyncIterator[KubernetesApi]:
    async with await KubernetesApi.connect(control_plane.admin_kubeconfig) as api:
        yield api


def candidate(api: KubernetesApi, namespace: str, identity: str, *, lease_seconds: int = 15) -> LeaderElection:
    return LeaderElection(
        api,
        namespace,
        NAME,
        identity,
        lease_seconds=lease_seconds,
        renew_seconds=lease_seconds * 2 / 3,
        retry_seconds=0.2,
    )


async def kubectl(control_plane: ControlPlane, namespace: str, *arguments: str) -> str:
    """Run kubectl in a thread, so that the renewals go on."""
    result = await asyncio.to_thread(control_plane.kubectl, *arguments, f"--namespace={namespace}")
    return result.stdout


async def lease_spec(control_plane: ControlPlane, namespace: str) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(await kubectl(control_plane, namespace, "get", "lease", NAME, "-o=json"))["spec"]
    return spec


async def renewed(election: LeaderElection, api: KubernetesApi, namespace: str) -> None:
    """Wait until the Lease has been renewed once more."""
    before = await api.read_lease(namespace, NAME)
    while (await api.read_lease(namespace, NAME)).renewed_at == before.renewed_at:
        assert not election.lost.is_set()
        await asyncio.sleep(0.05)


async def test_the_api_server_accepts_every_record_of_a_leadership(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    election = candidate(api, namespace, "first")
    await election.acquire()
    spec = await lease_spec(control_plane, namespace)
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("first", 15, 0)
    acquired = spec["acquireTime"]
    assert acquired <= spec["renewTime"]  # it is renewed every fifth of a second, and kubectl may take longer
    await renewed(election, api, namespace)
    assert (await api.read_lease(namespace, NAME)).transitions == 0
    assert (await lease_spec(control_plane, namespace))["acquireTime"] == acquired
    await election.release()
    assert (await lease_spec(control_plane, namespace)).get("holderIdentity", "") == ""
    assert not election.lost.is_set()


async def test_a_standby_takes_over_from_a_leader_that_released(api: KubernetesApi, namespace: str) -> None:
    first, second = candidate(api, namespace, "first"), candidate(api, namespace, "second")
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await renewed(first, api, namespace)
    assert not waiting.done()
    await first.release()
    await waiting
    lease = await api.read_lease(namespace, NAME)
    assert (lease.holder, lease.transitions, second.leading, first.leading) == ("second", 1, True, False)
    await second.release()


async def test_a_standby_takes_over_from_a_leader_that_died(api: KubernetesApi, namespace: str) -> None:
    first, second = (
        candidate(api, namespace, "first", lease_seconds=3),
        candidate(api, namespace, "second", lease_seconds=3),
    )
    await first.acquire()
    renewals = first._renewals
    assert renewals is not None
    renewals.cancel()
    await second.acquire()
    assert first.lost.is_set()
    assert (await api.read_lease(namespace, NAME)).holder == "second"
    await second.release()


async def test_of_many_candidates_at_once_one_leads(api: KubernetesApi, namespace: str) -> None:
    elections = [candidate(api, namespace, f"candidate-{number}") for number in range(5)]
    waiting = [asyncio.create_task(election.acquire()) for election in elections]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    (leader,) = (election for election in elections if election.leading)
    await renewed(leader, api, namespace)
    assert [election.leading for election in elections].count(True) == 1
    for task in waiting:
        task.cancel()
    await asyncio.wait(waiting)
    await leader.release()


async def test_a_leader_whose_lease_is_deleted_makes_it_anew(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    election = candidate(api, namespace, "first")
    await election.acquire()
    await kubectl(control_plane, namespace, "delete", "lease", NAME)
    await kubectl(control_plane, namespace, "wait", "--for=create", f"lease/{NAME}", "--timeout=30s")
    assert (election.leading, (await lease_spec(control_plane, namespace))["holderIdentity"]) == (True, "first")
    await election.release()


async def test_a_leader_whose_lease_another_has_taken_stops(
    control_plane: ControlPlane, api: KubernetesApi, namespace: str
) -> None:
    election = candidate(api, namespace, "first")
    await election.acquire()
    usurper = '{"spec": {"holderIdentity": "usurper"}}'
    await kubectl(control_plane, namespace, "patch", "lease", NAME, "--type=merge", f"--patch={usurper}")
    await election.lost.wait()
    assert not election.leading
    await election.release()
    assert (await lease_spec(control_plane, namespace))["holderIdentity"] == "usurper"
