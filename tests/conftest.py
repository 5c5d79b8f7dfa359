"""What every test shares: the real parts, started once per session where a test asks for them."""

import asyncio
import contextlib
import gc
from collections import Counter
from collections.abc import Iterator

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB, private_mariadb
from development.sqlite_without_threads import sqlite_without_threads

pytest.register_assert_rewrite("tests.unit.appliance.database.contract")


def pytest_configure() -> None:
    """Keep looptime's plugin from making, in the first synchronous test, an event loop that nobody closes."""
    asyncio.set_event_loop(None)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that may take longest: those with the longest timeout, and of these those with most tests."""
    tests = Counter(item.path for item in items)
    items.sort(key=lambda item: (_timeout(item), tests[item.path]), reverse=True)


def pytest_collection_finish() -> None:
    """Spare the garbage collector what lives as long as the tests: modules and thousands of collected items."""
    gc.collect()
    gc.freeze()


def _timeout(item: pytest.Item) -> float:
    """Seconds after which each test of an item's file counts as hanging; 0 where the file says nothing."""
    module = item.getparent(pytest.Module)
    marks = module.iter_markers("timeout") if module is not None else ()
    return max((float(mark.args[0]) for mark in marks), default=0.0)


@pytest.fixture(scope="module", autouse=True)
def sqlite_at_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """SQLite in the test's own process without threads, but where the driver itself matters: `@pytest.mark.sqlite_threads`."""
    with contextlib.nullcontext() if request.node.get_closest_marker("sqlite_threads") else sqlite_without_threads():
        yield


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A running kube-apiserver; shared, so keep to the namespaces of the test."""
    with ControlPlane() as running:
        yield running


@pytest.fixture(scope="session")
def mariadb() -> Iterator[MariaDB]:
    """A running MariaDB; shared, so create a database of the test's own."""
    with private_mariadb() as running:
        yield running


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show the figures that tests recorded with `record_property("figure", …)`, whichever process they ran in."""
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "figure":
                terminalreporter.write_line(f"figure: {value}")
