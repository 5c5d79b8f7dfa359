"""A whole installation with an operator at work, and people with different rights."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from development.control_plane import ControlPlane
from development.stand import Stand
from tests.commands.person import Person, somebody


@pytest.fixture(scope="module")
def stand(control_plane: ControlPlane) -> Iterator[Stand]:
    """An appliance that is scanned every ten seconds, and its operator."""
    with Stand(control_plane, settings={"detection": {"intervalSeconds": 10}}) as running:
        running.start_operator()
        yield running


@pytest.fixture(scope="module")
def person(stand: Stand) -> Person:
    """Somebody who may do all that people may: place cleanups, use the appliance, waive, and read."""
    here = ("fec-cleanup-operator", "fec-waiver")
    return somebody(stand, "dispatcher", here=here, everywhere=("fec-appliance-user", "fec-viewer"))
