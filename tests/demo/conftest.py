"""Places to run the demo in."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.demo.running import Place, new_place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A place of the test's own, without a kube-apiserver."""
    return new_place(tmp_path)
