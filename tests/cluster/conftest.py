"""Real parts for the tests: a Kubernetes control plane and MariaDB, started once per session."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A new namespace with its `default` service account; never deleted, since nothing would finish the deletion."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    control_plane.create_namespace(name)
    return name


@pytest.fixture(scope="session")
def stand(control_plane: ControlPlane, mariadb: MariaDB) -> Iterator[Stand]:
    """An appliance on MariaDB and its operator; shared, so build VMs with names of the test's own."""
    with Stand(control_plane, mariadb.create_database(f"oma_{uuid.uuid4().hex[:12]}")) as running:
        running.start_operator()
        yield running


@pytest.fixture(scope="session")
def sqlite_stand(control_plane: ControlPlane) -> Iterator[Stand]:
    """An appliance on SQLite and its operator; shared, so build VMs with names of the test's own."""
    with Stand(control_plane) as running:
        running.start_operator()
        yield running


@pytest.fixture(params=["mariadb", "sqlite"])
def either_stand(request: pytest.FixtureRequest) -> Stand:
    """The shared stands, one after the other."""
    found: Stand = request.getfixturevalue("stand" if request.param == "mariadb" else "sqlite_stand")
    return found
