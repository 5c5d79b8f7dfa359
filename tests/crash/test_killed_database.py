"""MariaDB ends at once in the middle of a cleanup and comes back: the run goes on to the same end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB, private_mariadb
from development.stand import Stand
from tests.crash.stages import QUICK_TAKEOVER, STAGES, assert_cleaned, hold

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def server() -> Iterator[MariaDB]:
    """A server of the test's own, to be killed."""
    with private_mariadb() as running:
        yield running


@pytest.mark.parametrize("stage", ["reverting", "deleting"])
def test_cleanup_goes_on_when_the_database_was_killed(control_plane: ControlPlane, server: MariaDB, stage: str) -> None:
    with Stand(control_plane, server.create_database("oma")) as stand:
        built = stand.build("F11", "pgtest1", disks=3)
        stand.latency(**STAGES[stage].latency)
        stand.start_operator(**QUICK_TAKEOVER)
        stand.apply_cleanup("pgtest1", "pgtest1")
        hold(stand, stage, "pgtest1")

        server.kill()
        # Whatever the cloud was doing ends while nobody can write it down.
        stand.wait_until(
            lambda: not stand.state()["pending_jobs"], seconds=30, what="the cloud's jobs ended without the database"
        )
        server.start()

        assert_cleaned(stand, "pgtest1", built)
        assert set(stand.contents(built).values()) == {"replica:1"}
