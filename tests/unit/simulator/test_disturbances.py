"""What is wrong with the emulator on purpose: refusals, ended watches, and watches that do not tell the truth."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from kubernetes_emulator import Emulator, emulator
from kubernetes_emulator.disturbances import Event, Untruthful

LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


@pytest.fixture
async def api() -> AsyncIterator[Emulator]:
    async with emulator() as running:
        yield running


@pytest.fixture
async def http(api: Emulator) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=api.url, trust_env=False, timeout=20) as client:
        yield client


async def create(http: httpx.AsyncClient, name: str) -> httpx.Response:
    return await http.post(LEASES, json={"metadata": {"name": name}})


async def test_refusal_strikes_as_often_as_told_and_writes_are_counted(api: Emulator, http: httpx.AsyncClient) -> None:
    api.disturbances.refuse("POST", "/leases", 429, times=2, retry_after=7)
    answers = [await create(http, "a") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 201]
    assert answers[0].headers["Retry-After"] == "7"
    assert answers[0].json()["reason"] == "TooManyRequests"
    await http.get(LEASES)
    assert api.disturbances.writes == {("POST", LEASES): 3}
    assert api.disturbances.refused == {("POST", LEASES): 2}
    with pytest.raises(ValueError, match="cannot refuse"):
        api.disturbances.refuse("POST", "/leases", 418)


async def test_ended_watch_tells_410(api: Emulator, http: httpx.AsyncClient) -> None:
    async with http.stream("GET", LEASES, params={"watch": "true"}) as response:
        lines = response.aiter_lines()
        await create(http, "a")
        assert json.loads(await anext(lines))["type"] == "ADDED"
        api.disturbances.expire_watches("leases")
        await create(http, "b")
        event = json.loads(await anext(lines))
        assert (event["type"], event["object"]["code"]) == ("ERROR", 410)
        assert [line async for line in lines] == []


async def test_mangler_stands_between_a_watch_and_its_client(api: Emulator, http: httpx.AsyncClient) -> None:
    api.disturbances.manglers["leases"] = lambda event: [event, event]
    async with http.stream("GET", LEASES, params={"watch": "true"}) as response:
        await create(http, "a")
        lines = response.aiter_lines()
        told = [json.loads(await anext(lines)) for _ in range(2)]
    assert told[0] == told[1]


async def test_cut_connections_end_watches_without_a_word(api: Emulator, http: httpx.AsyncClient) -> None:
    async with http.stream("GET", LEASES, params={"watch": "true"}) as response:
        await asyncio.sleep(0)
        api.cut_connections()
        with pytest.raises(httpx.TransportError):
            await response.aread()


def events(count: int) -> list[Event]:
    return [{"type": "MODIFIED", "object": {"metadata": {"name": "a"}, "number": number}} for number in range(count)]


def told(mangler: Untruthful, count: int) -> list[int]:
    return [event["object"]["number"] for given in events(count) for event in mangler(given)]


@pytest.mark.parametrize(
    ("chances", "expected"),
    [
        ({}, [0, 1, 2, 3]),
        ({"lost": 1.0}, []),
        ({"doubled": 1.0}, [0, 0, 1, 1, 2, 2, 3, 3]),
        ({"swapped": 1.0}, [1, 0, 3, 2]),
    ],
)
def test_watch_tells_something_else(chances: dict[str, Any], expected: list[int]) -> None:
    assert told(Untruthful(1, **chances), 4) == expected


def test_old_events_are_told_again() -> None:
    mangler = Untruthful(1, stale=1.0)
    numbers = told(mangler, 20)
    assert mangler.done["stale"] == 19
    assert numbers[0] == 0
    assert all(older < newer for newer, older in zip(numbers[1::2], numbers[2::2], strict=True))


def test_a_seed_tells_the_same_again() -> None:
    chances = {"lost": 0.3, "doubled": 0.3, "swapped": 0.3, "stale": 0.3}
    assert told(Untruthful(5, **chances), 50) == told(Untruthful(5, **chances), 50)
