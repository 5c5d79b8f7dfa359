"""`docs/reference/metrics.md`: every metric, its labels and the alerts that use it, generated from the product's registry.

python -m development.metrics_page [--check]
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from development.generated_file import write_or_check
from development.monitoring.alerts import ROOT, Alert, alerts
from development.monitoring.exported import ExportedMetric, exported
from development.monitoring.promql import series_in
from failed_execution_cleanup.controller import metrics as product

_EXPLAINED: Final = re.compile(r"^    ([a-z_]+(?:, [a-z_]+)*) {2,}(\S.*)$", re.MULTILINE)
"""A line of the table of labels in the docstring of the product's metrics."""

PAGE: Final[Path] = ROOT / "docs" / "reference" / "metrics.md"

_INTRODUCTION: Final = """\
# Metrics

Generated from the operator's registry by `make generate`. Every replica serves them at `/metrics`; what cleanups and appliances do is
told by the leader alone. No label holds a VM, a job or a volume, so the number of series does not grow with the work done: which cleanup
an alert is about is told by `kubectl get fec -A`.

A histogram has the series `_bucket`, `_sum` and `_count`. Names of controller-runtime and client-go are used where they mean the same.
"""
_SECTIONS: Final = (
    ("Cleanups and appliances", ("fec_",)),
    ("Reconciles", ("controller_runtime_",)),
    ("Queues", ("workqueue_",)),
    ("Leadership", ("leader_election_",)),
    ("Process", ("process_", "python_")),
)


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a metric belongs into no section.
    """
    metrics, rules = exported(), alerts()
    homeless = [m.name for m in metrics if not any(m.name.startswith(prefixes) for _, prefixes in _SECTIONS)]
    if homeless:
        raise ValueError(f"no section of docs/reference/metrics.md is for {', '.join(homeless)}")
    parts = [_INTRODUCTION]
    for heading, prefixes in _SECTIONS:
        found = [metric for metric in metrics if metric.name.startswith(prefixes)]
        if found:
            parts += [f"\n## {heading}\n\n| name | type | labels | meaning | alerts |\n|---|---|---|---|---|\n"]
            parts += _rows(found, rules)
    parts += ["\n## Labels\n\n| label | meaning |\n|---|---|\n", *_labels()]
    return "".join(parts)


def _labels() -> Iterator[str]:
    """What the product's own module says about labels."""
    for names, meaning in _EXPLAINED.findall(product.__doc__ or ""):
        labels = ", ".join(f"`{name}`" for name in names.split(", "))
        yield f"| {labels} | {meaning[0].upper()}{meaning[1:]}. |\n"


def _rows(metrics: Iterable[ExportedMetric], rules: Iterable[Alert]) -> Iterator[str]:
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        users = ", ".join(
            f"[{alert.name}](../runbooks/{alert.name}.md)"
            for alert in rules
            if series_in(alert.expression) & metric.series
        )
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.meaning} | {users} |\n"


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
