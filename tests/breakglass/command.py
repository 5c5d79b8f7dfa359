"""`fec local` as a person types it, on the machine that is left when the cluster is down."""

from __future__ import annotations

import getpass
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, cast

import yaml
from sqlalchemy import make_url

from development.control_plane import ControlPlane
from development.preloaded import start_program
from development.processes import Process
from development.stand import ROOT, Stand
from tests.takeover.operators import QUICK
from tests.terminal import run_on_terminal

PERSON: Final = f"{getpass.getuser()}@{socket.gethostname()}"
SECONDS: Final = 120.0
"""Longest time for one command on a busy machine."""


class WithoutCluster(Stand):
    """An appliance whose cluster is what is down."""

    def __init__(self, database_url: str) -> None:
        """Prepare; nothing is started yet."""
        super().__init__(cast("ControlPlane", None), database_url)

    def _install(self) -> None:
        """There is nothing to install in."""


@dataclass(frozen=True)
class Ended:
    """A command that ended.

    Attributes:
        out: its standard output; with `-o json` the result and nothing else.
        err: its standard error.
    """

    code: int
    out: str
    err: str

    @property
    def result(self) -> dict[str, Any]:
        """The JSON document on standard output."""
        document: dict[str, Any] = json.loads(self.out)
        return document


@dataclass
class BreakGlass:
    """The commands, on one appliance.

    Attributes:
        secret: where the database's URL is given: `file`, `directory`, `environment` or nowhere.
        spec: fields of the Appliance's spec, over those of the stand.
        environment: over that of a process that takes claims over soon.
        database_url: what stands in the Secret; the stand's own by default.
    """

    stand: Stand
    secret: str = "file"
    spec: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=lambda: QUICK)
    database_url: str | None = None
    _started: int = 0

    def run(self, verb: str, vm_name: str, *arguments: str) -> Ended:
        """Run a command to its end; its output holds no secret."""
        done = subprocess.run(
            self._command(verb, vm_name, *arguments),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self.assert_no_secret(done.stdout + done.stderr)
        return Ended(done.returncode, done.stdout, done.stderr)

    def on_terminal(self, vm_name: str, answer: str) -> Ended:
        """Run a cleanup on a terminal of its own and answer its question; `out` is all that the terminal received."""
        code, text = run_on_terminal(
            self._command("cleanup", vm_name), self._environment(), answer=answer, seconds=SECONDS
        )
        self.assert_no_secret(text)
        return Ended(code, text, "")

    def start(self, vm_name: str, *arguments: str) -> Process:
        """Start a cleanup that may be killed or interrupted; both outputs go to its log."""
        self._started += 1
        name = f"break-glass-{self._started}"
        module, *words = self._words("cleanup", vm_name, "--yes", *arguments)
        process = start_program(name, module, *words, log=self.stand.directory / f"{name}.log", env=self._environment())
        self.stand._processes.append(process)
        return process

    def assert_no_secret(self, text: str) -> None:
        """Neither the database's password nor the cloud's keys are in a text."""
        secrets = {make_url(url).password for url in (self.stand.database_url, self.database_url) if url}
        secrets |= {self.stand.address["secret_key"], self.stand.address["api_key"]}
        assert [secret for secret in secrets if secret and secret in text] == []

    def _command(self, verb: str, vm_name: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", *self._words(verb, vm_name, *arguments)]

    def _words(self, verb: str, vm_name: str, *arguments: str) -> list[str]:
        words = ["failed_execution_cleanup", "local", verb, vm_name, *arguments]
        words += ["--appliance", str(self._file())]
        return words + (["--secrets-dir", str(self._directory())] if self.secret == "directory" else [])

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "FEC_"))}
        given = {"FEC_SECRET_OMA_DATABASE_URL": self._url} if self.secret == "environment" else {}
        nowhere = {"KUBECONFIG": str(self.stand.directory / "no-cluster")}
        return {**kept, "PYTHONPATH": str(ROOT / "operator"), **nowhere, **self.environment, **given}

    @property
    def _url(self) -> str:
        return self.database_url or self.stand.database_url

    def _file(self) -> Path:
        appliance = self.stand.appliance_manifest(self.stand.appliance, **self.spec)
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "oma-database"}}
        documents = [appliance, {**secret, "stringData": {"url": self._url}}] if self.secret == "file" else [appliance]
        path = self.stand.directory / "appliance.yaml"
        path.write_text(yaml.safe_dump_all(documents))
        return path

    def _directory(self) -> Path:
        directory = self.stand.directory / "secrets" / "oma-database"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "url").write_text(f"{self._url}\n")
        return directory.parent
