"""Real parts for the tests: a Kubernetes control plane and MariaDB, started once per session."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB, private_mariadb

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A running kube-apiserver; shared, so keep to the namespace of the test."""
    with ControlPlane() as running:
        yield running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB; shared, so create a database of the test's own."""
    with private_mariadb() as running:
        yield running


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A new namespace with its `default` service account; never deleted, since nothing would finish the deletion."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    control_plane.create_namespace(name)
    return name
