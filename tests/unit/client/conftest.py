"""A cluster in memory and a client for it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from failed_execution_cleanup.client import CleanupClient
from tests.unit.client.cluster import NAMESPACE, Cluster

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def client(cluster: Cluster) -> CleanupClient:
    return CleanupClient(cluster, NAMESPACE, now=lambda: NOW)
