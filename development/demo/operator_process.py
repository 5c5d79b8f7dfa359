"""The operator of the demo, as a process that can be killed and started again."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from development.demo.cluster import Cluster
from development.processes import Process
from development.stand import ROOT

_SHORT_TIMES: Final = {
    "FEC_LEASE_SECONDS": "3",
    "FEC_HTTP_TIMEOUT_SECONDS": "3",
    "FEC_CLAIM_EXPIRY_SECONDS": "3",
}
"""After a kill the next operator waits for lease and claim to expire; by default half a minute each."""


class Operator:
    """The operator; a context manager that kills it in the end, since nothing is worth a long goodbye."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        """Prepare; nothing is started yet.

        Args:
            cluster: where it works.
            directory: for its log.
        """
        self._cluster = cluster
        self._log = directory / "operator.log"
        self._process: Process | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    @property
    def pid(self) -> int:
        """Process id of the one that runs."""
        return self._running().pid

    def start(self) -> None:
        """Start it, with the settings a deployment would have but for times."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FEC_")}
        settings = {
            "PYTHONPATH": str(ROOT / "operator"),
            "FEC_KUBECONFIG": str(self._cluster.operator_kubeconfig),
            "FEC_NAMESPACE": self._cluster.names.operator_namespace,
            "FEC_WATCH_NAMESPACES": json.dumps([self._cluster.names.namespace]),
            "FEC_HEALTH_PORT": "0",
            **_SHORT_TIMES,
        }
        command = (sys.executable, "-m", "failed_execution_cleanup", "run")
        self._process = Process.start("operator", command, log=self._log, env=inherited | settings)

    def kill(self) -> None:
        """SIGKILL: it finishes nothing and says nothing."""
        self._running().kill()

    def ensure_running(self) -> None:
        """Check that it has not ended.

        Raises:
            ProcessError: it has; the message ends with its last log lines.
        """
        self._running().ensure_running()

    def log_tail(self, lines: int) -> str:
        """Return the end of its log."""
        return self._running().log_tail(lines)

    def _running(self) -> Process:
        if self._process is None:
            raise RuntimeError("the operator was not started")
        return self._process
