"""`fec run` and `fec diagnose` tell what is wrong with a setting before anything is begun."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from failed_execution_cleanup.commands.operating import app
from failed_execution_cleanup.exit_codes import ExitCode


@pytest.mark.parametrize("command", [["run"], ["diagnose", "pgtest1"]], ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("FEC_WORKERS", "0", "FEC_WORKERS: Input should be greater than or equal to 1"),
        ("FEC_LOG_FORMAT", "xml", "FEC_LOG_FORMAT: Input should be 'human' or 'json'"),
        ("FEC_WATCH_NAMESPACES", "dr", "watch_namespaces"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(
    command: list[str], variable: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    done = CliRunner().invoke(app, command)
    assert done.exit_code == ExitCode.USAGE
    assert told in done.output
    assert "Traceback" not in done.output
