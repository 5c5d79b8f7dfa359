"""The token bucket, in virtual time."""

import asyncio

import pytest

from failed_execution_cleanup.appliance.rate_limit import RateLimit

pytestmark = [pytest.mark.asyncio, pytest.mark.looptime]


async def enter(limit: RateLimit, times: list[float]) -> None:
    async with limit:
        times.append(asyncio.get_running_loop().time())


async def test_entries_are_spaced_evenly() -> None:
    limit, times = RateLimit(10), list[float]()
    await asyncio.gather(*(enter(limit, times) for _ in range(4)))
    assert times == pytest.approx([0.0, 0.1, 0.2, 0.3])


async def test_a_burst_passes_at_once_and_the_rest_waits() -> None:
    limit, times = RateLimit(10, burst=3), list[float]()
    await asyncio.gather(*(enter(limit, times) for _ in range(5)))
    assert times == pytest.approx([0.0, 0.0, 0.0, 0.1, 0.2])


async def test_idle_time_fills_the_bucket_no_further_than_its_burst() -> None:
    limit, times = RateLimit(10, burst=2), list[float]()
    await enter(limit, times)
    await asyncio.sleep(60)
    await asyncio.gather(*(enter(limit, times) for _ in range(3)))
    assert times == pytest.approx([0.0, 60.0, 60.0, 60.1])


async def test_a_pause_holds_everybody_back_and_a_shorter_one_does_not_end_it() -> None:
    limit, times = RateLimit(10, burst=5), list[float]()
    await enter(limit, times)
    limit.pause(3)
    waiting = asyncio.create_task(enter(limit, times))
    await asyncio.sleep(1)
    limit.pause(4)
    limit.pause(1)
    await asyncio.gather(waiting, enter(limit, times))
    assert times == pytest.approx([0.0, 5.0, 5.0])


async def test_waiters_are_served_in_the_order_they_came() -> None:
    limit, order = RateLimit(1), list[int]()

    async def come(number: int) -> None:
        async with limit:
            order.append(number)

    await asyncio.gather(*(come(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_cancelled_waiter_takes_no_token() -> None:
    limit, times = RateLimit(1), list[float]()
    await enter(limit, times)
    waiter = asyncio.create_task(enter(limit, times))
    await asyncio.sleep(0.5)
    waiter.cancel()
    await enter(limit, times)
    assert times == pytest.approx([0.0, 1.0])


async def test_requests_inside_the_limit_may_overlap() -> None:
    limit = RateLimit(10)
    loop = asyncio.get_running_loop()

    async def slow() -> None:
        async with limit:
            await asyncio.sleep(5)

    await asyncio.gather(slow(), slow())
    assert loop.time() == pytest.approx(5.1)


@pytest.mark.parametrize(("per_second", "burst"), [(0, 1), (-1, 1), (1, 0)])
async def test_a_limit_that_lets_nothing_through_is_a_mistake(per_second: float, burst: int) -> None:
    with pytest.raises(ValueError, match="positive rate"):
        RateLimit(per_second, burst=burst)


async def test_who_waited_tells_how_long() -> None:
    waited: list[float] = []
    limit = RateLimit(10, burst=2, waited=waited.append)
    await asyncio.gather(*(enter(limit, []) for _ in range(4)))
    assert waited == pytest.approx([0.1, 0.2])


async def test_what_can_wait_leaves_half_of_a_burst_to_others() -> None:
    limit, times, looked = RateLimit(10, burst=10), list[float](), list[float]()

    async def look() -> None:
        await limit.spare(at_most_seconds=5)
        looked.append(asyncio.get_running_loop().time())

    await look()
    await asyncio.gather(*(enter(limit, times) for _ in range(8)), look())
    assert looked == pytest.approx([0.0, 0.35])
    assert times == pytest.approx([0.0] * 8)


async def test_what_can_wait_does_not_wait_for_ever() -> None:
    limit = RateLimit(10, burst=2)

    async def busy() -> None:
        for _ in range(100):
            await enter(limit, [])

    others = asyncio.create_task(busy())
    await asyncio.sleep(1)
    await limit.spare(at_most_seconds=2)
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)
    await others
