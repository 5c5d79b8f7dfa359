"""What `/metrics` really exports: read from the product's registry, with one sample for each metric."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric

from failed_execution_cleanup.controller.metrics import (
    CONTROLLER,
    Census,
    CleanupCensus,
    CleanupCount,
    Metrics,
    QueueDepth,
    QueueMetrics,
)
from failed_execution_cleanup.run.queue import WorkQueue

_OF_PARTS: Final = frozenset({"le", "quantile"})
"""Labels that tell apart the series of one histogram or summary."""


@dataclass(frozen=True, slots=True)
class ExportedMetric:
    """A metric as Prometheus sees it.

    Attributes:
        name: what a query of its value names; for a histogram without `_bucket`, `_sum` and `_count`.
        kind: counter, gauge or histogram.
        labels: names of its labels, in alphabetical order.
        meaning: its help text.
        series: names of all its series.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str
    series: frozenset[str]


def sample_registry() -> CollectorRegistry:
    """A registry like that of a running operator, with one sample at least for each metric."""
    metrics = Metrics()
    QueueMetrics(metrics, CONTROLLER)
    metrics.registry.register(QueueDepth(CONTROLLER, WorkQueue()))
    cleanup = CleanupCount("default", "dr", "finished", "Cleaned", 1)
    metrics.registry.register(Census(lambda: CleanupCensus((cleanup,), (("default", 0.0),))))
    for metric in vars(metrics).values():
        if isinstance(metric, MetricWrapperBase):
            names = metric._labelnames  # noqa: SLF001 - told nowhere else before there is a sample
            if names:
                metric.labels(*names)
    return metrics.registry


def exported() -> tuple[ExportedMetric, ...]:
    """All metrics, by name."""

    async def collect() -> list[Metric]:
        return list(sample_registry().collect())  # the age of what waits in a queue is told by the loop's clock

    return tuple(sorted(map(_of, asyncio.run(collect())), key=lambda metric: metric.name))


def _of(family: Metric) -> ExportedMetric:
    # The time of creation is a series that only the OpenMetrics format and old servers make use of.
    samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
    return ExportedMetric(
        name=f"{family.name}_total" if family.type == "counter" else family.name,
        kind=family.type,
        labels=tuple(sorted({label for sample in samples for label in sample.labels} - _OF_PARTS)),
        meaning=family.documentation,
        series=frozenset(sample.name for sample in samples),
    )
