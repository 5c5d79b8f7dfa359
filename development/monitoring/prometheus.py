"""A private Prometheus that scrapes one operator and evaluates the shipped rules."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import httpx
import yaml

from development.go_tools import find_tool
from development.monitoring.alerts import rule_file
from development.processes import LOOPBACK, Process, free_port

SCRAPE_SECONDS: Final = 1
_READY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Series:
    """One series of a result: its labels, times in seconds since the epoch, and values."""

    labels: dict[str, str]
    times: tuple[float, ...]
    values: tuple[float, ...]


class Prometheus:
    """A running server; a context manager that ends it and removes its data."""

    def __init__(self, targets: dict[str, int]) -> None:
        """Prepare; nothing is started yet.

        Args:
            targets: ports of `/metrics` on the loopback interface, by the name of the pod they stand for.
        """
        self._targets = targets
        self._directory = tempfile.TemporaryDirectory(prefix="prometheus-")
        self._client = httpx.Client(trust_env=False, timeout=30)
        self._process: Process | None = None

    def __enter__(self) -> Self:
        """Start the server and wait until it answers.

        Raises:
            MissingProgramError: it was not built.
            ProcessError: it ended or did not become ready.
        """
        directory = Path(self._directory.name)
        port = free_port()
        (directory / "rules.yaml").write_text(yaml.safe_dump(rule_file()), encoding="utf-8")
        (directory / "prometheus.yaml").write_text(yaml.safe_dump(self._configuration()), encoding="utf-8")
        self._client.base_url = httpx.URL(f"http://{LOOPBACK}:{port}")
        command: list[str | Path] = [
            find_tool("prometheus"),
            f"--config.file={directory / 'prometheus.yaml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={LOOPBACK}:{port}",
        ]
        self._process = Process.start("prometheus", command, log=directory / "prometheus.log")
        try:
            self._process.wait_until(self._is_ready, seconds=_READY_SECONDS)
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the server."""
        self._stop()

    def query_range(self, expression: str, *, start: float, end: float, step_seconds: float) -> tuple[Series, ...]:
        """Evaluate a query at many moments.

        Args:
            expression: PromQL.
            start: first moment, in seconds since the epoch.
            end: last moment.
            step_seconds: between two moments.

        Raises:
            httpx.HTTPStatusError: the query was refused.
        """
        parameters: dict[str, str | float] = {"query": expression, "start": start, "end": end, "step": step_seconds}
        answer = self._client.get("/api/v1/query_range", params=parameters).raise_for_status().json()
        return tuple(
            Series(
                {name: value for name, value in entry["metric"].items() if name != "__name__"},
                tuple(float(moment) for moment, _ in entry["values"]),
                tuple(float(value) for _, value in entry["values"]),
            )
            for entry in answer["data"]["result"]
        )

    def has_scraped(self) -> bool:
        """Whether every target answered the last scrape."""
        now = time.time()
        up = self.query_range("min(up)", start=now, end=now, step_seconds=1.0)
        return any(series.values[-1] == 1.0 for series in up)

    def _configuration(self) -> dict[str, object]:
        targets = [
            {"targets": [f"{LOOPBACK}:{port}"], "labels": {"pod": pod, "namespace": "failed-execution-cleanup"}}
            for pod, port in self._targets.items()
        ]
        scrape = {"job_name": "failed-execution-cleanup", "honor_labels": True, "static_configs": targets}
        every = f"{SCRAPE_SECONDS}s"
        return {
            "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [scrape],
        }

    def _is_ready(self) -> bool:
        try:
            return self._client.get("/-/ready").status_code == httpx.codes.OK
        except httpx.TransportError:
            return False

    def _stop(self) -> None:
        self._client.close()
        if self._process is not None:
            self._process.stop()
        self._directory.cleanup()
