"""What the checks of alerts and dashboard share."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

import pytest
import yaml

from development.go_tools import find_tool
from development.monitoring.alerts import rule_file


class Promtool(Protocol):
    """Runs promtool; what it finds wrong is told by the exit code and both outputs together."""

    def __call__(self, *arguments: str | Path, stdin: bytes = b"") -> tuple[int, str]: ...


@pytest.fixture(scope="session")
def promtool() -> Promtool:
    """The promtool of the pinned release."""
    program = find_tool("promtool")

    def run(*arguments: str | Path, stdin: bytes = b"") -> tuple[int, str]:
        done = subprocess.run([program, *arguments], input=stdin, capture_output=True, check=False)
        return done.returncode, (done.stdout + done.stderr).decode()

    return run


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """The shipped rules in a file as Prometheus reads it."""
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump(rule_file()), encoding="utf-8")
    return path
