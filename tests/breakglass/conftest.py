"""Real parts for break-glass: MariaDB and the simulator for the command alone, a whole stand where the operator takes part."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from development.mariadb import MariaDB
from tests.breakglass.command import WithoutCluster
from tests.takeover.conftest import pytest_runtest_makereport, start_stand

__all__ = ["appliance", "pytest_runtest_makereport", "start_stand"]


@pytest.fixture
def appliance(mariadb: MariaDB) -> Iterator[WithoutCluster]:
    """An appliance on MariaDB, without any Kubernetes."""
    with WithoutCluster(mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")) as running:
        yield running
