"""Somebody at a terminal: `fec` as a process, with the rights of a service account and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from development.processes import Process
from development.stand import ROOT, Stand
from tests.terminal import run_on_terminal

SECONDS: Final = 150.0
"""Longest time for one command on a busy machine."""

_GROUP: Final = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Ended:
    """A command that ended."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The JSON document on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Person:
    """One user of the command line; the namespace is that of the kubeconfig's context."""

    stand: Stand
    name: str
    kubeconfig: Path

    def run(self, *arguments: str, program: Sequence[str] = (), environment: Mapping[str, str] | None = None) -> Ended:
        """Run a command to its end."""
        done = subprocess.run(
            [*(program or _PROGRAM), *arguments],
            env={**self._environment(), **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> Process:
        """Start a command that may be interrupted; both outputs go to its log."""
        log = self.stand.directory / f"fec-{self.name}.log"
        process = Process.start(f"fec {arguments[0]}", [*_PROGRAM, *arguments], log=log, env=self._environment())
        self.stand._processes.append(process)
        return process

    def on_terminal(self, *arguments: str, answer: str = "") -> Ended:
        """Run a command on a terminal of its own and answer its question; `out` is all that the terminal received."""
        code, text = run_on_terminal([*_PROGRAM, *arguments], self._environment(), answer=answer, seconds=SECONDS)
        return Ended(code, text, "")

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KUBE", "FEC_"))}
        return {**kept, "PYTHONPATH": str(ROOT / "operator"), "KUBECONFIG": str(self.kubeconfig)}


_PROGRAM: Final = (sys.executable, "-m", "failed_execution_cleanup")


def somebody(stand: Stand, name: str, *, here: Sequence[str] = (), everywhere: Sequence[str] = ()) -> Person:
    """A service account with these ClusterRoles, in the namespace of the cleanups or in the whole cluster."""
    stand.kubectl("create", "serviceaccount", name)
    subject = {"kind": "ServiceAccount", "name": name, "namespace": stand.namespace}
    for role in here:
        metadata = {"name": f"{name}-{role}", "namespace": stand.namespace}
        stand.apply(_binding("RoleBinding", metadata, role, subject))
    for role in everywhere:
        metadata = {"name": f"{stand.namespace}-{name}-{role}"}
        stand.apply(_binding("ClusterRoleBinding", metadata, role, subject))
    return Person(stand, name, stand.control_plane.service_account_kubeconfig(stand.namespace, name))


def _binding(kind: str, metadata: dict[str, str], role: str, subject: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": f"{_GROUP}/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": {"apiGroup": _GROUP, "kind": "ClusterRole", "name": role},
        "subjects": [subject],
    }
