"""The alerts of `manifests/monitoring/prometheus-rule.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parent.parent.parent
MANIFESTS: Final = ROOT / "manifests" / "monitoring"
RULE: Final = MANIFESTS / "prometheus-rule.yaml"
RUNBOOKS: Final = ROOT / "docs" / "runbooks"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alerting rule.

    Attributes:
        name: of the alert.
        expression: PromQL.
        wait: how long the expression must hold, in Prometheus's notation; empty: it fires at once.
        severity: critical, warning or info.
        annotations: summary, description, runbook_url.
    """

    name: str
    expression: str
    wait: str
    severity: str
    annotations: Mapping[str, str]


def rule_file() -> dict[str, Any]:
    """The rules as Prometheus itself reads them: the `spec` of the resource."""
    spec: dict[str, Any] = yaml.safe_load(RULE.read_text(encoding="utf-8"))["spec"]
    return spec


def alerts() -> tuple[Alert, ...]:
    """All alerts, in the order of the file."""
    return tuple(
        Alert(rule["alert"], rule["expr"], rule.get("for", ""), rule["labels"]["severity"], rule["annotations"])
        for group in rule_file()["groups"]
        for rule in group["rules"]
    )
