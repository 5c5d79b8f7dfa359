"""Leader election against an in-memory Lease, in virtual time."""
# ruff: noqa: ARG002 - there is one Lease only

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from failed_execution_cleanup.controller.kubernetes_api import Conflict, Lease, NotFound, Unreachable
from failed_execution_cleanup.controller.leadership import LeaderElection

pytestmark = pytest.mark.looptime

WALL_CLOCK = datetime(2026, 3, 1, tzinfo=UTC)


class LeaseStore:
    """One Lease as the API server keeps it: optimistic locking, nothing else."""

    def __init__(self) -> None:
        self.lease: Lease | None = None
        self.version = 0

    def write(self, lease: Lease) -> Lease:
        self.version += 1
        self.lease = replace(lease, resource_version=str(self.version))
        return self.lease

    def held(self) -> Lease:
        assert self.lease is not None
        return self.lease


class Connection:
    """One candidate's way to the store, which can be cut, slowed down or lose answers."""

    def __init__(self, store: LeaseStore) -> None:
        self.store = store
        self.cut = False
        self.hangs = False
        self.seconds_per_call = 0.0
        self.loses_answers = False
        self.calls: list[str] = []

    async def read_lease(self, namespace: str, name: str) -> Lease:
        await self._pass("read")
        if self.store.lease is None:
            raise NotFound("Lease not found")
        return self.store.lease

    async def create_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        await self._pass("create")
        if self.store.lease is not None:
            raise Conflict("Lease exists")
        return await self._answer(self.store.write(lease))

    async def replace_lease(self, namespace: str, name: str, lease: Lease) -> Lease:
        await self._pass("replace")
        if self.store.lease is not None and lease.resource_version != self.store.lease.resource_version:
            raise Conflict("Lease was modified")
        return await self._answer(self.store.write(lease))

    async def _pass(self, call: str) -> None:
        self.calls.append(call)
        if self.hangs:
            await asyncio.Event().wait()
        await asyncio.sleep(self.seconds_per_call)
        if self.cut:
            raise Unreachable("no route")

    async def _answer(self, lease: Lease) -> Lease:
        if self.loses_answers:
            raise Unreachable("the connection broke before the answer")
        return lease


class Candidate:
    """An election with its connection."""

    def __init__(self, store: LeaseStore, identity: str, *, clock_error: timedelta = timedelta()) -> None:
        self.connection = Connection(store)
        self.election = LeaderElection(
            self.connection,
            "dr",
            "failed-execution-cleanup",
            identity,
            clock=lambda: WALL_CLOCK + clock_error + timedelta(seconds=now()),
        )


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_the_first_candidate_creates_the_lease_and_leads() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    assert first.election.leading
    assert store.lease == Lease("first", 15, WALL_CLOCK, WALL_CLOCK, 0, "1")
    await first.election.release()


async def test_a_leader_keeps_renewing_and_others_stand_by() -> None:
    store = LeaseStore()
    first, second = Candidate(store, "first"), Candidate(store, "second")
    await first.election.acquire()
    waiting = asyncio.create_task(second.election.acquire())
    await asyncio.sleep(601)
    assert (first.election.leading, waiting.done(), second.election.holder) == (True, False, "first")
    assert not first.election.lost.is_set()
    assert store.held().acquired_at == WALL_CLOCK
    assert store.held().renewed_at == WALL_CLOCK + timedelta(seconds=600)
    assert store.held().transitions == 0
    waiting.cancel()
    await first.election.release()


async def test_a_renewal_is_one_call() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    first.connection.calls.clear()
    await asyncio.sleep(10.5)
    assert first.connection.calls == ["replace"] * 5
    await first.election.release()


async def test_release_hands_over_within_one_retry_and_is_not_a_loss() -> None:
    store = LeaseStore()
    first, second = Candidate(store, "first"), Candidate(store, "second")
    await first.election.acquire()
    waiting = asyncio.create_task(second.election.acquire())
    await asyncio.sleep(20.5)
    await first.election.release()
    released = now()
    assert (first.election.leading, first.election.lost.is_set(), store.held().holder) == (False, False, "")
    await waiting
    assert now() - released <= 2
    assert (store.held().holder, store.held().transitions) == ("second", 1)
    await second.election.release()


@pytest.mark.parametrize("clock_error", [timedelta(), timedelta(days=-400), timedelta(days=400)])
async def test_a_crashed_leader_is_replaced_after_the_lease_time_whatever_the_wall_clocks_say(
    clock_error: timedelta,
) -> None:
    store = LeaseStore()
    crashed = Lease("crashed", 15, WALL_CLOCK + clock_error, WALL_CLOCK + clock_error, 3)
    store.write(crashed)
    second = Candidate(store, "second")
    await second.election.acquire()
    assert 15 <= now() <= 17
    assert (store.held().holder, store.held().transitions) == ("second", 4)
    await second.election.release()


async def test_a_changed_annotation_does_not_keep_a_crashed_leader_alive() -> None:
    store = LeaseStore()
    store.write(Lease("crashed", 15, WALL_CLOCK, WALL_CLOCK, 0))
    second = Candidate(store, "second")
    waiting = asyncio.create_task(second.election.acquire())
    for _ in range(20):
        await asyncio.sleep(1.0)
        if store.held().holder == "crashed":
            store.write(store.held())
    await waiting
    assert now() <= 20
    await second.election.release()


async def test_the_record_of_the_leader_says_how_long_it_lasts() -> None:
    store = LeaseStore()
    store.write(Lease("crashed", 60, WALL_CLOCK, WALL_CLOCK, 0))
    second = Candidate(store, "second")
    await second.election.acquire()
    assert 60 <= now() <= 62
    await second.election.release()


async def test_two_candidates_that_start_at_once_end_with_one_leader() -> None:
    store = LeaseStore()
    first, second = Candidate(store, "first"), Candidate(store, "second")
    waiting = [asyncio.create_task(each.election.acquire()) for each in (first, second)]
    await asyncio.sleep(30)
    assert [task.done() for task in waiting].count(True) == 1
    assert [each.election.leading for each in (first, second)].count(True) == 1
    for task in waiting:
        task.cancel()
    for each in (first, second):
        await each.election.release()


@pytest.mark.parametrize("fault", ["cut", "hangs"])
async def test_a_partitioned_leader_gives_up_before_anybody_takes_over(fault: str) -> None:
    store = LeaseStore()
    first, second = Candidate(store, "first"), Candidate(store, "second")
    await first.election.acquire()
    waiting = asyncio.create_task(second.election.acquire())
    await asyncio.sleep(30.5)
    setattr(first.connection, fault, True)
    last_renewal = 30.0
    await first.election.lost.wait()
    given_up = now()
    assert (first.election.leading, second.election.leading) == (False, False)
    assert given_up - last_renewal == pytest.approx(10, abs=0.01)
    await waiting
    assert given_up + 4 < now() <= last_renewal + 15 + 2 + 2
    await second.election.release()


async def test_a_leadership_counts_from_before_the_request_was_sent() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    first.connection.seconds_per_call = 0.75
    await first.election.acquire()
    assert now() == pytest.approx(1.5)
    first.connection.cut = True
    await first.election.lost.wait()
    assert now() == pytest.approx(10)


async def test_release_leaves_the_lease_of_another_alone() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    store.write(Lease("usurper", 15, WALL_CLOCK, WALL_CLOCK, 1))
    await first.election.release()
    assert store.held().holder == "usurper"


@pytest.mark.parametrize("fault", ["cut", "hangs"])
async def test_a_short_cut_is_survived(fault: str) -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    await asyncio.sleep(30.5)
    setattr(first.connection, fault, True)
    await asyncio.sleep(6)
    assert first.election.problem != "" or fault == "hangs"
    setattr(first.connection, fault, False)
    await asyncio.sleep(600)
    assert (first.election.leading, first.election.lost.is_set(), first.election.problem) == (True, False, "")
    await first.election.release()


async def test_a_renewal_whose_answer_is_lost_does_not_cost_the_leadership() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    first.connection.loses_answers = True
    await asyncio.sleep(3)
    first.connection.loses_answers = False
    await asyncio.sleep(60)
    assert (first.election.leading, store.held().transitions) == (True, 0)
    await first.election.release()


async def test_a_leader_that_finds_another_holder_stops_at_once() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    await asyncio.sleep(10.5)
    store.write(replace(store.held(), holder="usurper"))
    await first.election.lost.wait()
    assert now() <= 12.5
    assert not first.election.leading
    await first.election.release()
    assert store.held().holder == "usurper"


async def test_a_leader_whose_lease_is_deleted_makes_it_anew() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    store.lease = None
    await asyncio.sleep(2.5)
    assert (first.election.leading, store.held().holder) == (True, "first")
    await first.election.release()


async def test_a_leader_that_lost_its_lease_can_stand_again() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    store.lease = None
    store.write(Lease("faster", 15, WALL_CLOCK, WALL_CLOCK, 0))
    await first.election.lost.wait()
    await first.election.acquire()
    assert (first.election.leading, first.election.lost.is_set(), store.held().transitions) == (True, False, 1)
    await first.election.release()


async def test_a_leader_whose_loop_was_held_up_does_not_lead_even_before_it_notices() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    noticed: list[tuple[bool, bool]] = []
    lost = first.election.lost
    asyncio.get_running_loop().call_at(now() + 10, lambda: noticed.append((first.election.leading, lost.is_set())))
    first.connection.hangs = True
    await lost.wait()
    assert noticed == [(False, False)]


async def test_losing_the_renewal_task_is_losing_the_leadership() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    renewals = first.election._renewals
    assert renewals is not None
    renewals.cancel()
    await first.election.lost.wait()
    assert not first.election.leading


async def test_a_candidate_waits_for_the_api_and_says_why() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    first.connection.cut = True
    waiting = asyncio.create_task(first.election.acquire())
    await asyncio.sleep(120)
    assert first.election.problem == "no route"
    first.connection.cut = False
    await waiting
    assert (first.election.leading, first.election.problem) == (True, "")
    await first.election.release()


async def test_release_without_the_api_returns_soon_and_leaves_the_lease_to_run_out() -> None:
    store = LeaseStore()
    first = Candidate(store, "first")
    await first.election.acquire()
    first.connection.hangs = True
    await first.election.release()
    assert now() <= 2.01
    assert (store.held().holder, first.election.leading) == ("first", False)


async def test_a_leader_cannot_acquire_twice() -> None:
    first = Candidate(LeaseStore(), "first")
    await first.election.acquire()
    with pytest.raises(RuntimeError, match="first leads already"):
        await first.election.acquire()
    await first.election.release()


@pytest.mark.parametrize(("lease", "renew", "retry"), [(15, 15, 2), (15, 10, 10), (15, 10, 0)])
async def test_times_that_would_allow_two_leaders_are_refused(lease: int, renew: float, retry: float) -> None:
    with pytest.raises(ValueError, match="retry_seconds < renew_seconds < lease_seconds"):
        LeaderElection(
            Connection(LeaseStore()), "dr", "x", "me", lease_seconds=lease, renew_seconds=renew, retry_seconds=retry
        )


async def test_an_identity_is_required() -> None:
    with pytest.raises(ValueError, match="identity"):
        LeaderElection(Connection(LeaseStore()), "dr", "x", "")
