"""One cleanup per failed job, whoever asks and how often."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from failed_execution_cleanup.client import (
    AmbiguousTarget,
    CleanupClient,
    NoSuchAppliance,
    NotPossible,
    Order,
)
from failed_execution_cleanup.controller.kubernetes_api import Forbidden
from failed_execution_cleanup.resources.cleanup import Mode, WaiverGrant
from failed_execution_cleanup.resources.naming import cleanup_name
from failed_execution_cleanup.resources.reasons import Waiver
from tests.unit.client.cluster import Cluster, appliance_body, cleanup_body, ready, stuck

JOB = "6f0c9a12-3b1d-4a55-9c51-0d6f0e6f2b7a"
ORDER = Order("pgtest1")
WAIVER = WaiverGrant(reason=Waiver.RUNNING_TEST_VM, object="job")


async def test_the_stuck_job_gives_the_name_the_scan_would_give(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("other", "x"), stuck("pgtest1", JOB)))
    order = replace(ORDER, note="ticket 4711", requested_by="alice")
    cleanup, created = await client.place(order)
    assert created
    assert cleanup.metadata.name == cleanup_name("pgtest1", JOB)
    assert cluster.stored(cleanup.metadata.name)["spec"] == {
        "vmName": "pgtest1",
        "vcenterHost": "vc01",
        "failoverJobID": JOB,
        "applianceRef": {"name": "default"},
        "mode": "Execute",
        "note": "ticket 4711",
        "requestedBy": "alice",
    }


async def test_asked_twice_it_is_the_same_one_and_nothing_is_written(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    first = await client.place(ORDER)
    second = await client.place(ORDER)
    assert (first.created, second.created) == (True, False)
    assert second.cleanup.metadata.uid == first.cleanup.metadata.uid
    assert cluster.patches == []


async def test_a_vm_that_nobody_found_stuck_gets_one_that_the_operator_binds(
    client: CleanupClient, cluster: Cluster
) -> None:
    cluster.put(appliance_body())
    first = await client.place(ORDER)
    second = await client.place(ORDER)
    assert first.cleanup.spec.failover_job_id is None
    assert (second.created, second.cleanup.metadata.name) == (False, first.cleanup.metadata.name)


async def test_a_job_that_became_stuck_meanwhile_is_met_by_the_one_not_bound_yet(
    client: CleanupClient, cluster: Cluster
) -> None:
    cluster.put(appliance_body())
    first = await client.place(ORDER)
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    assert (await client.place(ORDER)).cleanup.metadata.name == first.cleanup.metadata.name


@pytest.mark.parametrize("reason", ["Superseded", "SupersededInRun", "JobMismatch"])
async def test_one_whose_job_lost_its_place_is_followed_by_a_new_one(
    client: CleanupClient, cluster: Cluster, reason: str
) -> None:
    cluster.put(appliance_body())
    first = await client.place(ORDER)
    cluster.status(first.cleanup.metadata.name, ready(reason, "True", failedJob={"id": "old"}))
    second = await client.place(ORDER)
    assert second.created
    assert len(cluster.names) == 2
    assert (await client.place(ORDER)).cleanup.metadata.uid == second.cleanup.metadata.uid


async def test_one_under_a_name_of_its_own_stands_for_its_job(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    cluster.put(cleanup_body("by-hand", status=ready("Progressing", "Unknown", failedJob={"id": JOB})))
    cleanup, created = await client.place(ORDER)
    assert (cleanup.metadata.name, created) == ("by-hand", False)


async def test_a_cleanup_of_another_job_does_not_stand_for_this_one(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    cluster.put(cleanup_body(status=ready("Cleaned", "True", failedJob={"id": "older"})))
    assert (await client.place(ORDER)).created


@pytest.mark.parametrize(
    ("order", "present", "spec"),
    [
        (ORDER, {"mode": "Plan"}, {"mode": "Execute"}),
        (replace(ORDER, mode=Mode.PLAN), {"mode": "Execute"}, None),
        (
            replace(ORDER, waivers=(WAIVER,)),
            {},
            {"waive": [{"reason": "RunningTestVM", "object": "job"}], "failoverJobID": JOB},
        ),
        (
            replace(ORDER, waivers=(WAIVER,)),
            {"waive": [{"reason": "RunningTestVM", "object": "job"}], "failoverJobID": JOB},
            None,
        ),
        (
            replace(ORDER, waivers=(WAIVER,)),
            {"waive": [{"reason": "AcceptContent", "object": "v-1"}], "failoverJobID": JOB},
            {
                "waive": [
                    {"reason": "AcceptContent", "object": "v-1"},
                    {"reason": "RunningTestVM", "object": "job"},
                ],
                "failoverJobID": JOB,
            },
        ),
    ],
    ids=["planned is executed", "executing is not planned", "waiver", "waiver given already", "one waiver more"],
)
async def test_one_that_is_there_is_given_what_the_order_adds(
    client: CleanupClient, cluster: Cluster, order: Order, present: dict[str, Any], spec: dict[str, Any] | None
) -> None:
    cluster.put(appliance_body())
    cluster.put(cleanup_body(status=ready("RunningTestVM", failedJob={"id": JOB}), **present))
    await client.place(order)
    assert cluster.patches == ([] if spec is None else [{"spec": spec}])


async def test_one_more_run_is_asked_for_only_when_it_is_wanted(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body())
    cluster.put(cleanup_body(status=ready("Cleaned", "True", failedJob={"id": JOB})))
    assert (await client.place(ORDER)).cleanup.requested_at is None
    assert (await client.place(ORDER, again=True)).cleanup.requested_at == "2026-01-31T12:00:00+00:00"


async def test_a_rival_who_is_faster_is_joined(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB)))
    rival = Cluster.create

    async def beaten(self: Cluster, resource: Any, namespace: str | None, body: dict[str, Any]) -> dict[str, Any]:
        await rival(self, resource, namespace, body)
        return await rival(self, resource, namespace, body)

    cluster.create = beaten.__get__(cluster)  # type: ignore[method-assign]
    assert not (await client.place(ORDER)).created
    assert cluster.names == [cleanup_name("pgtest1", JOB)]


async def test_a_name_taken_by_another_vm_is_told(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("PG test1", JOB)))
    name = cleanup_name("PG test1", JOB)
    cluster.put(cleanup_body(name, vmName="pg-test1"))
    with pytest.raises(NotPossible, match=f"{name} is taken by the cleanup of VM 'pg-test1'"):
        await client.place(Order("PG test1"))


async def test_a_waiver_without_a_known_job_is_told_before_anything_is_created(
    client: CleanupClient, cluster: Cluster
) -> None:
    cluster.put(appliance_body())
    with pytest.raises(NotPossible, match="granted for one failover job"):
        await client.place(replace(ORDER, waivers=(WAIVER,)))
    assert cluster.names == []


async def test_vms_of_one_name_need_their_vcenter(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("default", stuck("pgtest1", JOB, "vc01"), stuck("pgtest1", "b", "vc02")))
    with pytest.raises(AmbiguousTarget, match="vc01, vc02"):
        await client.place(ORDER)
    assert (await client.place(replace(ORDER, vcenter_host="vc02"))).cleanup.spec.failover_job_id == "b"


async def test_of_several_appliances_the_one_with_the_stuck_vm_is_meant(
    client: CleanupClient, cluster: Cluster
) -> None:
    cluster.put(appliance_body("east"))
    cluster.put(appliance_body("west"))
    with pytest.raises(AmbiguousTarget, match="several Appliances: east, west"):
        await client.place(ORDER)
    cluster.put(appliance_body("west", stuck("pgtest1", JOB)))
    assert (await client.place(ORDER)).cleanup.spec.appliance_ref.name == "west"


async def test_an_appliance_that_does_not_exist_is_told(client: CleanupClient, cluster: Cluster) -> None:
    with pytest.raises(NoSuchAppliance, match="There is no Appliance"):
        await client.place(ORDER)
    with pytest.raises(NoSuchAppliance, match="There is no Appliance west"):
        await client.place(replace(ORDER, appliance="west"))


async def test_who_may_not_read_appliances_may_still_ask(client: CleanupClient, cluster: Cluster) -> None:
    cluster.failures["page appliances"] = [Forbidden("not allowed", status=403)]
    cluster.failures["get"] = [Forbidden("not allowed", status=403)]
    assert (await client.place(ORDER)).cleanup.spec.appliance_ref.name == "default"
    assert (await client.place(replace(ORDER, vm_name="b", appliance="west"))).cleanup.spec.appliance_ref.name == "west"


async def test_names_that_look_like_selectors_are_taken_as_they_are(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body())
    first = await client.place(Order(r"a,b=c\d"))
    assert [c.metadata.name for c in await client.list_cleanups(vm_name=r"a,b=c\d")] == [first.cleanup.metadata.name]
