"""Real parts for the takeover tests: stands whose operators may be stopped, killed and joined by others at any moment."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand
from tests.crash.conftest import StartStand

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let fixtures know whether their test failed."""
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


@pytest.fixture
def start_stand(control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[StartStand]:
    """Starts stands that are stopped after the test; after a failure their operators' logs are shown."""
    stands: list[Stand] = []
    with ExitStack() as stack:

        def start(database: str, **settings: Any) -> Stand:
            url = None
            if database == "mariadb":
                server: MariaDB = request.getfixturevalue("mariadb")
                url = server.create_database(f"oma_{uuid.uuid4().hex[:12]}")
            stands.append(stack.enter_context(Stand(control_plane, url, settings=settings)))
            return stands[-1]

        yield start
        if request.node.stash.get(FAILED, False):
            for process in (process for stand in stands for process in stand.operators):
                sys.stderr.write(f"--- {process.name}, exit code {process.returncode}\n{process.log_tail(60)}\n")
