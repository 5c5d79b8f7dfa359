"""What the console counts and measures. Labels are few and bounded: methods, routes and statuses, never a VM or a user.

fec_console_requests_total          method, route, status
fec_console_request_seconds         method, route; streams and waiting requests are as long as they are wanted
fec_console_refused_tokens_total
fec_console_open_streams            kind: `events` or `waiting`
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.process_collector import ProcessCollector

_BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class ConsoleMetrics:
    """Everything this process counts."""

    def __init__(self) -> None:
        """Create all metrics at zero, in a registry of their own."""
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._requests = Counter(
            "fec_console_requests", "Requests answered.", ("method", "route", "status"), registry=registry
        )
        self._seconds = Histogram(
            "fec_console_request_seconds",
            "Time until an answer was complete.",
            ("method", "route"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self.refused_tokens = Counter("fec_console_refused_tokens", "Tokens that were not accepted.", registry=registry)
        self._open_streams = Gauge(
            "fec_console_open_streams", "Event streams and waiting requests.", ("kind",), registry=registry
        )
        for kind in ("events", "waiting"):
            self._open_streams.labels(kind)

    def waiting(self) -> AbstractContextManager[None]:
        """While the context lasts, one request more waits for the end of a cleanup."""
        return self._one_more("waiting")

    def streaming(self) -> AbstractContextManager[None]:
        """While the context lasts, one event stream more is open."""
        return self._one_more("events")

    @contextmanager
    def _one_more(self, kind: str) -> Iterator[None]:
        gauge = self._open_streams.labels(kind)
        gauge.inc()
        try:
            yield
        finally:
            gauge.dec()

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        known = method if method in _METHODS else "other"
        self._requests.labels(known, route, str(status)).inc()
        self._seconds.labels(known, route).observe(seconds)
