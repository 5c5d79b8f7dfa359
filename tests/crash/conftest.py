"""Real parts for the crash tests: a control plane, MariaDB, and stands whose operator may be killed at any moment."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand


class StartStand(Protocol):
    """Starts a stand on a database: `mariadb` or `sqlite`."""

    def __call__(self, database: str, **settings: Any) -> Stand: ...


@pytest.fixture
def start_stand(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[StartStand]:
    """Starts stands that are stopped after the test; on a failure the logs are shown."""
    with ExitStack() as stack:

        def start(database: str, **settings: Any) -> Stand:
            url = None
            if database == "mariadb":
                server: MariaDB = request.getfixturevalue("mariadb")
                url = server.create_database(f"oma_{uuid.uuid4().hex[:12]}")
            return stack.enter_context(Stand(control_plane, url, settings=settings))

        yield start
