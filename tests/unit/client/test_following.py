"""Every change until the end, across lost connections; in virtual time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from failed_execution_cleanup.client import CleanupClient, ClusterUnreachable, NoSuchCleanup, NotAllowed, NotEnded
from failed_execution_cleanup.client.following import UNREACHABLE_SECONDS
from failed_execution_cleanup.controller.kubernetes_api import Expired, Forbidden, Unreachable
from failed_execution_cleanup.resources.conditions import get_condition
from tests.unit.client.cluster import Cluster, cleanup_body, ready

NAME = "pgtest1-0a1b2c3d"
PROGRESSING, CLEANED = ready("Progressing", "Unknown"), ready("Cleaned", "True")

pytestmark = pytest.mark.looptime


async def reasons(client: CleanupClient) -> list[str]:
    async with aclosing(client.follow(NAME)) as changes:
        seen = [get_condition(cleanup.status.conditions, "Ready") async for cleanup in changes]
    return [condition.reason if condition else "" for condition in seen]


async def test_each_change_is_seen_until_the_end(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME))
    following = asyncio.create_task(reasons(client))
    await asyncio.sleep(1)
    cluster.status(NAME, PROGRESSING)
    cluster.put(cleanup_body("another"))
    await asyncio.sleep(1)
    cluster.status(NAME, CLEANED)
    assert await following == ["", "Progressing", "Cleaned"]


@pytest.mark.parametrize("broken", [Unreachable("cut"), Expired("too old")], ids=["cut", "forgotten"])
async def test_a_connection_that_breaks_is_made_again(
    client: CleanupClient, cluster: Cluster, broken: Unreachable | Expired
) -> None:
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    following = asyncio.create_task(reasons(client))
    await asyncio.sleep(1)
    cluster.failures["watch"] = [broken]
    cluster.failures["get"] = [Unreachable("still away"), Unreachable("still away")]
    cluster.wake()
    await asyncio.sleep(0)
    cluster.status(NAME, CLEANED)
    assert await following == ["Progressing", "Cleaned"]


async def test_a_stream_that_the_server_ends_goes_on_without_a_repetition(
    client: CleanupClient, cluster: Cluster
) -> None:
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    following = asyncio.create_task(reasons(client))
    await asyncio.sleep(1)
    cluster.cut = True
    cluster.wake()
    await asyncio.sleep(1)
    cluster.status(NAME, CLEANED)
    assert await following == ["Progressing", "Cleaned"]


async def test_a_cluster_that_stays_away_is_told_after_minutes(client: CleanupClient, cluster: Cluster) -> None:
    cluster.failures["get"] = [Unreachable("away") for _ in range(200)]
    start = asyncio.get_running_loop().time()
    with pytest.raises(ClusterUnreachable, match="away"):
        await reasons(client)
    assert UNREACHABLE_SECONDS <= asyncio.get_running_loop().time() - start < UNREACHABLE_SECONDS + 20


async def test_what_is_forbidden_is_told_at_once(client: CleanupClient, cluster: Cluster) -> None:
    cluster.failures["get"] = [Forbidden("not allowed", status=403)]
    with pytest.raises(NotAllowed):
        await reasons(client)


async def test_a_deleted_cleanup_is_told_though_another_took_its_name(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    following = asyncio.create_task(reasons(client))
    await asyncio.sleep(1)
    cluster.failures["watch"] = [Unreachable("cut")]
    cluster.wake()
    await asyncio.sleep(0)
    cluster.remove(NAME)
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    with pytest.raises(NoSuchCleanup, match="was deleted"):
        await following


async def test_deleted_while_it_is_followed_it_is_told(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    following = asyncio.create_task(reasons(client))
    await asyncio.sleep(1)
    cluster.remove(NAME)
    with pytest.raises(NoSuchCleanup, match="was deleted"):
        await following


async def test_waiting_gives_up_in_time_and_says_how_far_it_is(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, status=ready("QuietTime", message="one more minute")))
    with pytest.raises(NotEnded, match="did not end in 30 s: one more minute") as caught:
        await client.ended(NAME, 30)
    assert caught.value.cleanup is not None
    assert caught.value.cleanup.metadata.name == NAME


async def test_waiting_returns_the_last_one(client: CleanupClient, cluster: Cluster) -> None:
    cluster.put(cleanup_body(NAME, status=PROGRESSING))
    waiting = asyncio.create_task(client.ended(NAME))
    await asyncio.sleep(1)
    cluster.status(NAME, CLEANED)
    assert (await waiting).status.observed_generation == 1
