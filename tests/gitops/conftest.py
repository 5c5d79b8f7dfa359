"""Stands for what GitOps tools, kubectl and administrators do with cleanups."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from development.control_plane import ControlPlane
from development.stand import Stand


class StartStand(Protocol):
    """Starts a stand without an operator."""

    def __call__(self, **settings: Any) -> Stand: ...


@pytest.fixture(scope="session")
def stand(control_plane: ControlPlane) -> Iterator[Stand]:
    """An appliance and its operator; shared, so build VMs with names of the test's own."""
    with Stand(control_plane) as running:
        running.start_operator()
        yield running


@pytest.fixture
def start_stand(control_plane: ControlPlane) -> Iterator[StartStand]:
    """Starts stands that are stopped after the test; on a failure the logs are shown."""
    with ExitStack() as stack:

        def start(**settings: Any) -> Stand:
            return stack.enter_context(Stand(control_plane, settings=settings))

        yield start
