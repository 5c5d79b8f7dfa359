"""The API server is silent for a while: the work in the database ends or pauses safely, and the status catches up."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from development.control_plane import ControlPlane
from development.mariadb import MariaDB
from development.stand import Stand
from tests.crash.stages import STAGES, assert_cleaned, claims, hold
from tests.takeover.operators import LEASE_SECONDS, QUICK, assert_no_call_twice, sent_by_operators, start_replica

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def cluster() -> Iterator[ControlPlane]:
    """A control plane of the test's own, to be silenced."""
    with ControlPlane() as running:
        yield running


@contextmanager
def silent(cluster: ControlPlane) -> Iterator[None]:
    """The API server answers nobody; connections to it stay open."""
    *_, apiserver = cluster.pids
    os.kill(apiserver, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(apiserver, signal.SIGCONT)


def test_a_run_ends_while_the_cluster_is_away_and_the_status_catches_up(
    cluster: ControlPlane, mariadb: MariaDB
) -> None:
    with Stand(cluster, mariadb.create_database("oma_lost_cluster_1")) as stand:
        built = stand.build("F11", "pgtest1", disks=2)
        stand.latency(**STAGES["detaching"].latency)
        start_replica(stand, "one", **{**QUICK, "FEC_LEASE_SECONDS": "300"})
        stand.apply_cleanup("pgtest1", "pgtest1")
        hold(stand, "detaching", "pgtest1")

        with silent(cluster):
            stand.wait_until(
                lambda: [claim.finished for claim in claims(stand)] == [True], seconds=120, what="the run ended"
            )

        claim = assert_cleaned(stand, "pgtest1", built)
        assert claim.number == 1
        assert len(stand.cleanup("pgtest1")["status"]["phases"]) == 5


def test_a_leader_that_loses_its_lease_with_the_cluster_hands_its_claim_over(
    cluster: ControlPlane, mariadb: MariaDB
) -> None:
    with Stand(cluster, mariadb.create_database("oma_lost_cluster_2")) as stand:
        built = stand.build("F11", "pgtest1", disks=2)
        stand.latency(revertSnapshot=3.0 * LEASE_SECONDS)  # leadership is lost before it ends
        first = start_replica(stand, "one", **QUICK)
        stand.apply_cleanup("pgtest1", "pgtest1")
        hold(stand, "reverting", "pgtest1")

        with silent(cluster):
            assert first.wait(seconds=90) == 1, "its pod is started anew"
            (claim,) = claims(stand)
            assert claim.owner is None
            sent = sent_by_operators(stand)
            assert {request["command"] for request in sent} == {"detach", "revertSnapshot"}, (
                "nothing was begun any more"
            )
        stand.latency(revertSnapshot=0.0)
        start_replica(stand, "two", **QUICK)

        assert assert_cleaned(stand, "pgtest1", built).number == 2
        assert_no_call_twice(sent_by_operators(stand))
