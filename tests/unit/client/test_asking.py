"""Suspend, resume, approve, waive, run again: each one write based on what was read."""

from __future__ import annotations

from typing import Any

import pytest

from failed_execution_cleanup.client import (
    CleanupClient,
    ClusterUnreachable,
    EndingState,
    NoSuchCleanup,
    NotPossible,
)
from failed_execution_cleanup.controller.kubernetes_api import NotFound
from failed_execution_cleanup.resources.reasons import Waiver
from tests.unit.client.cluster import Cluster, appliance_body, cleanup_body, ready, stuck

NAME = "pgtest1-0a1b2c3d"
SUSPENDED = "failover.ossea.io/suspended"
PLAN = "failover.ossea.io/approvedPlan"


async def test_suspending_is_an_annotation_so_that_git_is_left_alone(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    assert (await client.suspend(NAME)).suspended
    assert cluster.patches == [{"metadata": {"annotations": {SUSPENDED: "true"}}}]


@pytest.mark.parametrize(
    ("annotations", "spec", "patch"),
    [
        ({SUSPENDED: "true"}, {}, {"metadata": {"annotations": {SUSPENDED: None}}}),
        ({}, {"suspend": True}, {"spec": {"suspend": False}}),
        (
            {SUSPENDED: "true"},
            {"suspend": True},
            {"metadata": {"annotations": {SUSPENDED: None}}, "spec": {"suspend": False}},
        ),
        ({}, {}, None),
    ],
)
async def test_resuming_takes_back_whatever_suspended_it(
    client: CleanupClient,
    cluster: Cluster,
    annotations: dict[str, str],
    spec: dict[str, Any],
    patch: dict[str, Any] | None,
) -> None:
    cluster.put(cleanup_body(NAME, annotations=annotations, **spec))
    assert not (await client.resume(NAME)).suspended
    assert cluster.patches == ([] if patch is None else [patch])


async def test_each_request_for_another_run_is_a_new_token(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    assert (await client.rerun(NAME)).requested_at == "2026-01-31T12:00:00+00:00"


@pytest.mark.parametrize("given", [None, "sha-1"])
async def test_the_plan_that_was_read_is_approved(client: CleanupClient, cluster: Cluster, given: str | None) -> None:
    cluster.put(cleanup_body(NAME, mode="Plan", status=ready("PlanReady", planHash="sha-1")))
    assert (await client.approve(NAME, given)).approved_plan == "sha-1"


async def test_a_plan_that_changed_meanwhile_is_not_approved(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, mode="Plan", status=ready("PlanReady", planHash="sha-1")))
    cluster.meanwhile = [{"status": ready("PlanReady", planHash="sha-2")}]
    with pytest.raises(NotPossible, match="is sha-2 by now, not sha-1"):
        await client.approve(NAME, "sha-1")
    assert cluster.patches == []


async def test_without_a_plan_there_is_nothing_to_approve(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    with pytest.raises(NotPossible, match="no plan to approve"):
        await client.approve(NAME)


async def test_a_waiver_binds_the_cleanup_to_the_job_it_is_granted_for(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, status=ready("RunningTestVM", failedJob={"id": "j-1"})))
    await client.waive(NAME, Waiver.RUNNING_TEST_VM, "job")
    await client.waive(NAME, Waiver.RUNNING_TEST_VM, "job")
    grant = {"reason": "RunningTestVM", "object": "job"}
    assert cluster.patches == [{"spec": {"waive": [grant], "failoverJobID": "j-1"}}]


async def test_a_waiver_for_a_job_nobody_knows_is_refused(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    with pytest.raises(NotPossible, match="bound to no failed job yet"):
        await client.waive(NAME, Waiver.RUNNING_TEST_VM, "job")


async def test_a_change_somebody_else_made_meanwhile_is_kept(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    cluster.meanwhile = [{"spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}, "note": "theirs"}}]
    cleanup = await client.suspend(NAME)
    assert (cleanup.suspended, cleanup.spec.note) == (True, "theirs")


async def test_an_object_that_never_keeps_still_is_given_up_on(client: CleanupClient, cluster: Cluster) -> None:
    body = cluster.put(cleanup_body(NAME))
    cluster.meanwhile = [{"status": body["status"]} for _ in range(5)]
    with pytest.raises(ClusterUnreachable, match="keeps changing"):
        await client.suspend(NAME)


async def test_a_cleanup_that_is_not_there_is_told(client: CleanupClient, cluster: Cluster) -> None:
    cluster.failures["get"] = [NotFound("FailedExecutionCleanup dr/x not found", status=404)]
    with pytest.raises(NoSuchCleanup, match="dr/x not found") as caught:
        await client.suspend("x")
    assert "fec status" in caught.value.remedy


async def test_only_an_unchanged_cleanup_is_withdrawn(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    read = await client.get(NAME)
    cluster.status(NAME, ready("Progressing", "Unknown"))
    with pytest.raises(ClusterUnreachable):
        await client.withdraw(read)
    await client.withdraw(await client.get(NAME))
    assert cluster.names == []


async def test_lists_are_filtered_and_newest_first(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body("a", status=ready("Cleaned", "True")))
    cluster.put(cleanup_body("b", status=ready("RunningTestVM")))
    cluster.put(cleanup_body("c", vmName="other", status=ready("Cleaned", "True")))
    cluster.put(cleanup_body("d", applianceRef={"name": "west"}))

    async def names(**filters: Any) -> list[str]:
        return [cleanup.metadata.name for cleanup in await client.list_cleanups(**filters)]

    assert await names() == ["d", "c", "b", "a"]
    assert await names(states=[EndingState.CLEAN]) == ["c", "a"]
    assert await names(vm_name="pgtest1", states=[EndingState.CLEAN]) == ["a"]
    assert await names(appliance="west") == ["d"]


async def test_the_stuck_of_all_appliances_are_listed(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(appliance_body("west", stuck("b", "2")))
    cluster.put(appliance_body("east", stuck("a", "1")))
    assert [(vm.appliance, vm.job.vm_name) for vm in await client.stuck()] == [("east", "a"), ("west", "b")]
    assert [vm.job.vm_name for vm in await client.stuck("west")] == ["b"]
    assert await client.user_name() == "alice"
