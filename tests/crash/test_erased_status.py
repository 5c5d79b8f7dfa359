"""`status` is only a projection: it may be erased at any moment, and the end is the same."""

from __future__ import annotations

import json

import pytest

from development.stand import Stand
from tests.crash.conftest import StartStand
from tests.crash.stages import QUICK_TAKEOVER, STAGES, assert_cleaned, hold

pytestmark = pytest.mark.timeout(240)


def erase_status(stand: Stand, name: str) -> None:
    """Replace the status by an empty one, as a restore from a backup does."""
    body = stand.cleanup(name) | {"status": {}}
    del body["metadata"]["resourceVersion"]
    stand.control_plane.kubectl("replace", "--subresource=status", "-f", "-", input=json.dumps(body))


@pytest.mark.parametrize("stage", ["reverting", "attaching"])
def test_status_erased_in_mid_run_changes_nothing(start_stand: StartStand, stage: str) -> None:
    stand = start_stand("sqlite")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES[stage].latency)
    stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, stage, "pgtest1")

    erase_status(stand, "pgtest1")

    claim = assert_cleaned(stand, "pgtest1", built)
    assert claim.number == 1
    assert len(stand.effects("reverted")) == len(stand.effects("snapshot-deleted")) == 3
    status = stand.cleanup("pgtest1")["status"]
    assert status["failedJob"]["id"]
    assert len(status["phases"]) == 5


def test_status_erased_with_the_operator_killed_is_found_again_in_the_claim(start_stand: StartStand) -> None:
    stand = start_stand("mariadb")
    built = stand.build("F11", "pgtest1", disks=3)
    stand.latency(**STAGES["deleting"].latency)
    first = stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    hold(stand, "deleting", "pgtest1")

    first.kill()
    erase_status(stand, "pgtest1")
    stand.start_operator(**QUICK_TAKEOVER)

    assert assert_cleaned(stand, "pgtest1", built).number == 2


def test_status_erased_after_the_end_comes_back_without_a_single_call(start_stand: StartStand) -> None:
    stand = start_stand("sqlite")
    built = stand.build("F11", "pgtest1", disks=3)
    first = stand.start_operator(**QUICK_TAKEOVER)
    stand.apply_cleanup("pgtest1", "pgtest1")
    assert_cleaned(stand, "pgtest1", built)
    sent = stand.requests()

    erase_status(stand, "pgtest1")
    assert_cleaned(stand, "pgtest1", built)
    first.stop()
    erase_status(stand, "pgtest1")
    stand.start_operator(**QUICK_TAKEOVER)
    assert_cleaned(stand, "pgtest1", built)

    assert stand.requests() == sent
