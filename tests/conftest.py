"""What every test shares: the real parts, started once per session where a test asks for them."""

import asyncio
from collections.abc import Iterator

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB, private_mariadb


def pytest_configure() -> None:
    """Keep looptime's plugin from making, in the first synchronous test, an event loop that nobody closes."""
    asyncio.set_event_loop(None)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Keep tests that share an installation, of their file or folder, on one worker."""
    shared = _shared_by(item)
    if shared:
        item.add_marker(pytest.mark.xdist_group(shared))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what may take longest."""
    items.sort(key=_may_take, reverse=True)


def _may_take(item: pytest.Item) -> float:
    """Seconds after which a test counts as hanging: those of its file, so that tests of one file stay together."""
    module = item.getparent(pytest.Module)
    marks = module.iter_markers("timeout") if module is not None else ()
    return max((float(mark.args[0]) for mark in marks), default=0.0)


def _shared_by(item: pytest.Item) -> str:
    """The file or folder for which something is made once that a test uses; empty when there is nothing.

    What this file here makes belongs to all, and every worker has its own.
    """
    if not isinstance(item, pytest.Function):
        return ""
    definitions = (known[-1] for known in item._fixtureinfo.name2fixturedefs.values())
    places = {d.baseid for d in definitions if d.scope in ("session", "module")} - {"", "tests"}
    return min(places, key=len, default="")


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
