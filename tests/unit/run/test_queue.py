"""The work queue: its promises as properties, its delays in virtual time."""
# ruff: noqa: S311 - jitter, not secrets

import asyncio
import logging
from collections.abc import Coroutine
from contextlib import closing
from random import Random
from typing import Any

import looptime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from failed_execution_cleanup.run.queue import Backoff, Lane, QueueClosed, Result, WorkQueue, work

untimed = settings(deadline=None)
keys = st.sampled_from("abcdefgh")
lanes = st.sampled_from(list(Lane))
groups = st.sampled_from(["east", "west"])
delays = st.sampled_from([0.0, 0.0, 0.5, 3.0])


def run_in_virtual_time(scenario: Coroutine[Any, Any, None]) -> None:
    """Run one example of a property on a loop of its own, whose clock costs nothing."""
    with closing(looptime.new_event_loop()) as loop:
        loop.run_until_complete(scenario)


async def take(queue: WorkQueue[str]) -> str | None:
    """Take the next key if there is one right now."""
    getter = asyncio.create_task(queue.get())
    await asyncio.sleep(0)
    if getter.done():
        return getter.result()
    getter.cancel()
    await asyncio.gather(getter, return_exceptions=True)
    return None


async def drain(queue: WorkQueue[str]) -> list[str]:
    taken = []
    while (key := await take(queue)) is not None:
        taken.append(key)
    return taken


class TestOrder:
    async def test_urgent_lanes_come_first(self) -> None:
        queue = WorkQueue[str](share=1000)
        for lane in reversed(Lane):
            queue.add(lane.name, lane)
        assert await drain(queue) == [lane.name for lane in Lane]

    @untimed
    @given(st.lists(st.tuples(keys, lanes)))
    def test_a_lane_is_first_in_first_out_and_raised_keys_join_it_last(self, added: list[tuple[str, Lane]]) -> None:
        async def scenario() -> None:
            queue = WorkQueue[str](share=1000)
            model: dict[Lane, list[str]] = {lane: [] for lane in Lane}
            for key, lane in added:
                queue.add(key, lane)
                current = next((each for each in Lane if key in model[each]), None)
                if current is None or lane < current:
                    if current is not None:
                        model[current].remove(key)
                    model[lane].append(key)
            assert queue.depth == {lane: len(model[lane]) for lane in Lane}
            assert await drain(queue) == [key for lane in Lane for key in model[lane]]

        run_in_virtual_time(scenario())

    @untimed
    @given(share=st.integers(1, 6), older=st.integers(0, 8), stream=st.lists(lanes, min_size=1, max_size=4))
    def test_no_lane_starves(self, share: int, older: int, stream: list[Lane]) -> None:
        async def scenario() -> None:
            queue = WorkQueue[str](share=share)
            for number in range(older):
                queue.add(f"older-{number}", Lane.DRIFT)
            queue.add("last", Lane.DRIFT)
            picks, key = 0, ""
            while key != "last":
                queue.add(f"new-{picks}", stream[picks % len(stream)])
                queue.add(f"newer-{picks}", Lane.CHANGE)
                taken = await take(queue)
                assert taken is not None
                key, picks = taken, picks + 1
                queue.done(key)
            assert picks <= share * (older + 1)

        run_in_virtual_time(scenario())

    async def test_a_key_in_the_most_urgent_lane_keeps_four_picks_of_five_by_default(self) -> None:
        queue = WorkQueue[str]()
        for number in range(10):
            queue.add(f"drift-{number}", Lane.DRIFT)
        for number in range(10):
            queue.add(f"change-{number}", Lane.CHANGE)
        first = (await drain(queue))[:10]
        assert [key.split("-")[0] for key in first] == (["change"] * 4 + ["drift"]) * 2


class TestDeduplication:
    async def test_two_causes_of_one_key_are_one_entry_in_the_more_urgent_lane(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.DRIFT)
        queue.add("a", Lane.DELETION)
        queue.add("a", Lane.RETRY)
        assert queue.depth[Lane.DELETION] == 1
        assert await drain(queue) == ["a"]

    async def test_a_key_added_again_to_its_lane_keeps_its_place(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.CHANGE)
        queue.add("b", Lane.CHANGE)
        queue.add("a", Lane.CHANGE)
        assert await drain(queue) == ["a", "b"]

    async def test_a_key_added_during_its_work_runs_once_more_afterwards(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.CHANGE)
        assert await take(queue) == "a"
        queue.add("a", Lane.CHANGE)
        queue.add("a", Lane.DRIFT)
        assert await take(queue) is None
        queue.done("a")
        assert await drain(queue) == ["a"]

    @untimed
    @given(
        st.lists(st.tuples(keys, lanes, delays, groups, delays), max_size=60),
        st.lists(st.sampled_from([0.0, 0.1, 2.0]), min_size=1),
        st.integers(1, 4),
        st.integers(1, 3),
    )
    def test_workers_never_share_a_key_never_exceed_a_limit_and_lose_nothing(
        self, added: list[tuple[str, Lane, float, str, float]], durations: list[float], workers: int, limit: int
    ) -> None:
        async def scenario() -> None:
            queue = WorkQueue[str](default_limit=limit, random=Random(1))
            limited = all(lane is not Lane.DELETION for _, lane, _, _, _ in added)
            group_of = {key: group for key, _, _, group, _ in added}
            in_work: list[str] = []
            history: list[tuple[str, str]] = []
            violations: list[str] = []

            async def reconcile(key: str) -> Result:
                in_work.append(key)
                history.append(("start", key))
                if in_work.count(key) > 1:
                    violations.append(f"two workers on {key}")
                if limited and [group_of[each] for each in in_work].count(group_of[key]) > limit:
                    violations.append(f"too many of {group_of[key]}")
                runs = len(history)
                await asyncio.sleep(durations[runs % len(durations)])
                in_work.remove(key)
                if runs % 7 == 0:
                    raise RuntimeError("a reconcile that fails")
                return Result.requeue_after(1.0) if runs % 5 == 0 else Result.done()

            pool = asyncio.create_task(work(queue, reconcile, workers))
            for key, lane, after, _, pause in added:
                history.append(("add", key))
                queue.add(key, lane, after=after, group=group_of[key])
                await asyncio.sleep(pause)
            await asyncio.sleep(100_000)
            assert violations == []
            assert (queue.working, queue.delayed, sum(queue.depth.values())) == (0, 0, 0)
            last = {key: what for what, key in history}
            assert last == dict.fromkeys(group_of, "start"), "a key was added and never run since"
            queue.close()
            await pool

        logging.disable(logging.CRITICAL)
        try:
            run_in_virtual_time(scenario())
        finally:
            logging.disable(logging.NOTSET)


@pytest.mark.looptime
class TestDelays:
    async def test_a_delayed_key_comes_at_its_time(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.RETRY, after=30)
        assert (queue.delayed, await take(queue)) == (1, None)
        assert await queue.get() == "a"
        assert asyncio.get_running_loop().time() == pytest.approx(30)

    async def test_the_earlier_time_wins(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.RETRY, after=30)
        queue.add("a", Lane.DRIFT, after=10)
        queue.add("a", Lane.CHANGE, after=60)
        assert await queue.get() == "a"
        assert asyncio.get_running_loop().time() == pytest.approx(10)
        queue.done("a")
        assert queue.delayed == 0

    async def test_a_delay_given_during_work_counts_from_when_it_was_given(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.CHANGE)
        await queue.get()
        queue.add("a", Lane.RETRY, after=30)
        await asyncio.sleep(20)
        queue.done("a")
        await queue.get()
        assert asyncio.get_running_loop().time() == pytest.approx(30)

    async def test_a_change_ends_a_backoff_early(self) -> None:
        queue = WorkQueue[str](random=Random(1))
        queue.add("a", Lane.CHANGE)
        await queue.get()
        for _ in range(5):
            queue.failed("a")
        queue.done("a")
        queue.add("a", Lane.CHANGE)
        assert await take(queue) == "a"

    async def test_oldest_wait_is_that_of_the_first_in_the_lane(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.DRIFT)
        await asyncio.sleep(7)
        queue.add("b", Lane.DRIFT)
        assert queue.oldest_wait == {**dict.fromkeys(Lane, 0.0), Lane.DRIFT: pytest.approx(7)}


class TestBackoff:
    def test_delays_double_up_to_the_cap(self) -> None:
        backoff = Backoff(jitter=0)
        assert [backoff.delay(n, Random(1)) for n in (1, 2, 3, 9, 10, 5000)] == [1, 2, 4, 256, 300, 300]

    @untimed
    @given(st.integers(1, 10_000), st.randoms(use_true_random=False))
    def test_jitter_takes_off_at_most_its_share(self, failures: int, random: Random) -> None:
        full = Backoff(jitter=0).delay(failures, random)
        assert full / 2 <= Backoff(jitter=0.5).delay(failures, random) <= full

    @pytest.mark.looptime
    async def test_failures_spread_out_and_a_success_forgets_them(self) -> None:
        times: list[float] = []

        async def reconcile(_: str) -> Result:
            times.append(asyncio.get_running_loop().time())
            if len(times) in (4, 6):
                return Result.requeue_after(10)
            if len(times) == 7:
                queue.close()
                return Result.done()
            raise RuntimeError("no luck")

        queue = WorkQueue[str](backoff=Backoff(jitter=0))
        queue.add("a", Lane.CHANGE)
        await work(queue, reconcile, workers=2)
        assert times == pytest.approx([0, 1, 3, 7, 17, 18, 28])


class TestGroups:
    async def test_a_full_group_is_skipped_and_holds_up_nobody_else(self) -> None:
        queue = WorkQueue[str](default_limit=1)
        queue.add("a1", Lane.CHANGE, group="a")
        queue.add("a2", Lane.CHANGE, group="a")
        queue.add("b1", Lane.DRIFT, group="b")
        queue.add("free", Lane.DRIFT)
        assert await drain(queue) == ["a1", "b1", "free"]
        queue.done("a1")
        assert await drain(queue) == ["a2"]

    async def test_a_deletion_ignores_the_limit(self) -> None:
        queue = WorkQueue[str](default_limit=1)
        queue.add("a1", Lane.CHANGE, group="a")
        queue.add("a2", Lane.CHANGE, group="a")
        assert await drain(queue) == ["a1"]
        queue.add("a2", Lane.DELETION)
        assert await drain(queue) == ["a2"]

    async def test_a_raised_limit_lets_waiting_workers_go_on(self) -> None:
        queue = WorkQueue[str](default_limit=1)
        for key in ("a1", "a2", "a3"):
            queue.add(key, Lane.CHANGE, group="a")
        getters = [asyncio.create_task(queue.get()) for _ in range(3)]
        await asyncio.sleep(0)
        assert [getter.done() for getter in getters] == [True, False, False]
        queue.set_limit("a", None)
        assert await asyncio.gather(*getters) == ["a1", "a2", "a3"]

    async def test_a_requeued_key_stays_in_its_group(self) -> None:
        queue = WorkQueue[str](default_limit=1)
        queue.add("a1", Lane.CHANGE, group="a")
        queue.add("a2", Lane.CHANGE, group="a")
        assert await take(queue) == "a1"
        queue.add("a1", Lane.RETRY)
        queue.done("a1")
        assert await drain(queue) == ["a2"]

    async def test_position_counts_the_waiting_keys_of_the_group_only(self) -> None:
        queue = WorkQueue[str](default_limit=1)
        queue.add("a0", Lane.CHANGE, group="a")
        assert await take(queue) == "a0"
        queue.add("a1", Lane.DRIFT, group="a")
        queue.add("b1", Lane.CHANGE, group="b")
        queue.add("a2", Lane.CHANGE, group="a")
        queue.add("a3", Lane.CHANGE, group="a", after=60)
        queue.add("a0", Lane.CHANGE)
        positions = {key: queue.position(key) for key in ("a0", "a1", "a2", "a3", "b1", "unknown")}
        assert positions == {"a0": None, "a1": 2, "a2": 1, "a3": None, "b1": 1, "unknown": None}

    @pytest.mark.parametrize("limit", [0, -1])
    async def test_a_limit_that_would_stop_a_group_is_refused(self, limit: int) -> None:
        with pytest.raises(ValueError, match="at least 1"):
            WorkQueue[str]().set_limit("a", limit)
        with pytest.raises(ValueError, match="at least 1"):
            WorkQueue[str](default_limit=limit)
        with pytest.raises(ValueError, match="at least 1"):
            WorkQueue[str](share=limit)


class TestWorkers:
    @pytest.mark.parametrize(("lane", "noticed"), [(Lane.DELETION, True), (Lane.CHANGE, True), (Lane.DRIFT, False)])
    async def test_a_worker_notices_a_deletion_or_change_of_its_key(self, lane: Lane, noticed: bool) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.STARTUP)
        assert await take(queue) == "a"
        changed = queue.changed("a")
        queue.add("b", Lane.DELETION)
        assert not changed.is_set()
        queue.add("a", lane)
        assert changed.is_set() == noticed
        queue.done("a")
        with pytest.raises(KeyError):
            queue.changed("a")

    async def test_each_turn_starts_unchanged(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.CHANGE)
        assert await take(queue) == "a"
        queue.add("a", Lane.CHANGE)
        queue.done("a")
        assert await take(queue) == "a"
        assert not queue.changed("a").is_set()

    async def test_a_key_not_in_work_cannot_be_done(self) -> None:
        queue = WorkQueue[str]()
        queue.add("a", Lane.CHANGE)
        with pytest.raises(ValueError, match="'a' is not being worked on"):
            queue.done("a")

    async def test_a_cancelled_get_passes_its_wake_up_on(self) -> None:
        queue = WorkQueue[str]()
        first, second = (asyncio.create_task(queue.get()) for _ in range(2))
        await asyncio.sleep(0)
        queue.add("a", Lane.CHANGE)
        first.cancel()
        assert await second == "a"

    @pytest.mark.looptime
    async def test_closing_lets_work_in_flight_finish_and_drops_the_rest(self) -> None:
        finished: list[str] = []

        async def reconcile(key: str) -> Result:
            await asyncio.sleep(5)
            finished.append(key)
            return Result.requeue_after(1)

        queue = WorkQueue[str]()
        for key in "abc":
            queue.add(key, Lane.CHANGE)
        pool = asyncio.create_task(work(queue, reconcile, workers=2))
        await asyncio.sleep(1)
        queue.add("d", Lane.CHANGE, after=1)
        queue.close()
        await pool
        assert sorted(finished) == ["a", "b"]
        assert (queue.working, queue.delayed, sum(queue.depth.values())) == (0, 0, 0)
        queue.add("e", Lane.DELETION)
        with pytest.raises(QueueClosed):
            await queue.get()

    async def test_a_failing_reconcile_is_logged_with_its_key_and_ends_no_worker(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def reconcile(key: str) -> Result:
            if key == "bad":
                raise RuntimeError("no luck")
            queue.close()
            return Result.done()

        queue = WorkQueue[str]()
        queue.add("bad", Lane.CHANGE)
        queue.add("good", Lane.CHANGE)
        await work(queue, reconcile, workers=1)
        (record,) = (record for record in caplog.records if record.levelno == logging.ERROR)
        assert record.exc_info is not None
        assert vars(record)["key"] == "bad"
        assert queue.failures("bad") == 1
