"""`fec serve` as a command: what cannot be used is told before anything is begun."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from failed_execution_cleanup.console.command import app
from failed_execution_cleanup.exit_codes import ExitCode


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command configures the logging of its process, which here is that of all tests."""
    root, own = logging.getLogger(), logging.getLogger("failed_execution_cleanup")
    handlers, levels = [*root.handlers], (root.level, own.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    own.setLevel(levels[1])


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, list(arguments))
    return done.exit_code, done.output


def test_its_name_is_serve() -> None:
    assert typer.main.get_command(app).name == "serve"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--port", "70000"), ExitCode.USAGE, "port"),
        (("--appliance-file", "appliance.yaml"), ExitCode.USAGE, "belong together"),
        (("--kubeconfig", "/nowhere/config"), ExitCode.UNREACHABLE, "No usable Kubernetes configuration"),
        (
            ("--appliance-file", "/nowhere/a.yaml", "--token-file", "/nowhere/tokens"),
            ExitCode.USAGE,
            "/nowhere/a.yaml cannot be read",
        ),
    ],
)
def test_what_cannot_be_used_is_told(arguments: tuple[str, ...], code: int, told: str) -> None:
    ended, output = run(*arguments)
    assert ended == code
    assert told in output


def test_a_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEC_CONSOLE_WAIT_SECONDS", "-1")
    code, output = run()
    assert code == 2
    assert "wait_seconds" in output


def test_a_port_that_is_taken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{apiVersion: v1, kind: Config, clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}], users: [],"
        " contexts: [{name: c, context: {cluster: c, user: ''}}], current-context: c}"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        code, output = run("--kubeconfig", str(kubeconfig), "--port", str(taken.getsockname()[1]))
    assert code == 2
    assert "cannot listen on 127.0.0.1" in output


def test_a_list_that_is_no_json_is_told_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEC_CONSOLE_TRUSTED_PROXIES", "192.0.2.1")
    done = CliRunner().invoke(app)
    assert (done.exit_code, "trusted_proxies" in done.output) == (ExitCode.USAGE, True)
    assert "Traceback" not in done.output
