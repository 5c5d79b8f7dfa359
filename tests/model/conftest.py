"""Marks of the model's tests."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark by which `make check` leaves the long explorations to `make test`."""
    config.addinivalue_line("markers", "exhaustive: explores everything; minutes of computing")
