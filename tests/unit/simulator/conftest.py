"""A running appliance on SQLite and clients for it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from appliance_simulator import SimulatedAppliance, simulator
from tests.unit.simulator.clients import DaemonClient, OsseaClient


@pytest.fixture(scope="session", autouse=True)
def _no_implicit_event_loop() -> None:
    """Keep pytest-asyncio from making, by asking for it, an event loop that nobody closes (Python 3.11)."""
    asyncio.set_event_loop(None)


@pytest.fixture
async def appliance(tmp_path: Path) -> AsyncIterator[SimulatedAppliance]:
    async with simulator(f"sqlite+aiosqlite:///{tmp_path}/oma.db") as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient() as client:
        yield client


@pytest.fixture
def ossea(appliance: SimulatedAppliance, http: httpx.AsyncClient) -> OsseaClient:
    return OsseaClient(appliance, http)


@pytest.fixture
def daemon(appliance: SimulatedAppliance, http: httpx.AsyncClient) -> DaemonClient:
    return DaemonClient(appliance, http)
