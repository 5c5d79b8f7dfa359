"""`manifests/monitoring/dashboard.json`: the dashboard as Grafana imports it, generated from the panels.

python -m development.monitoring.dashboard [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any, Final

from development.generated_file import write_or_check
from development.monitoring.alerts import MANIFESTS
from development.monitoring.panels import ROWS, Kind, Panel

TARGET: Final = MANIFESTS / "dashboard.json"

_SCHEMA_VERSION: Final = 42
_DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_COLUMNS: Final = 24
_HEIGHTS: Final = {Kind.STAT: 4, Kind.LINES: 8, Kind.STATES: 8}


def dashboard() -> dict[str, Any]:
    """The dashboard in Grafana's JSON model."""
    return {
        "uid": "failed-execution-cleanup",
        "title": "Failed execution cleanup",
        "description": "Appliances, stuck failovers and the cleanups that repair them.",
        "tags": ["disaster-recovery"],
        "schemaVersion": _SCHEMA_VERSION,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": [_firing_alerts()]},
        "templating": {"list": [_datasource_variable(), _appliance_variable()]},
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 1, 0
    for row in ROWS:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
        }
        number, top, left, height = number + 1, top + 1, 0, 0
        for panel in row.panels:
            if left + panel.width > _COLUMNS:
                top, left, height = top + height, 0, 0
            place = {"x": left, "y": top, "w": panel.width, "h": _HEIGHTS[panel.kind]}
            yield {"id": number, "gridPos": place, **_panel(panel)}
            number, left, height = number + 1, left + panel.width, max(height, place["h"])
        top += height


def _panel(panel: Panel) -> dict[str, Any]:
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0}
    options: dict[str, Any]
    match panel.kind:
        case Kind.STAT:
            steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
            if panel.alarming is not None:
                steps.append({"color": "red", "value": panel.alarming})
            defaults |= {"thresholds": {"mode": "absolute", "steps": steps}}
            options = {
                "reduceOptions": {"calcs": ["lastNotNull"]},
                "colorMode": "background" if panel.alarming is not None else "value",
                "graphMode": "area",
            }
        case Kind.STATES:
            colours = ("green", "blue" if panel.harmless else "red")
            meanings = zip("10", panel.states, colours, strict=True)
            words = {value: {"text": text, "color": colour} for value, text, colour in meanings}
            defaults |= {"mappings": [{"type": "value", "options": words}]}
            options = {"mergeValues": True, "showValue": "never", "legend": {"displayMode": "list"}}
        case Kind.LINES:
            custom = {"fillOpacity": 10, "showPoints": "never"}
            if panel.stacked:
                custom |= {"fillOpacity": 30, "stacking": {"mode": "normal", "group": "A"}}
            defaults |= {"custom": custom}
            options = {"tooltip": {"mode": "multi", "sort": "desc"}, "legend": {"displayMode": "list"}}
    return {
        "type": panel.kind.value,
        "title": panel.title,
        "description": panel.meaning,
        "datasource": _DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _DATASOURCE,
                "expr": query.expression,
                "legendFormat": query.legend,
                "instant": panel.kind is Kind.STAT,
                "range": panel.kind is not Kind.STAT,
            }
            for index, query in enumerate(panel.queries)
        ],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def _datasource_variable() -> dict[str, Any]:
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def _appliance_variable() -> dict[str, Any]:
    return {
        "name": "appliance",
        "label": "Appliance",
        "type": "query",
        "datasource": _DATASOURCE,
        "query": {"query": "label_values(fec_appliance_up, appliance)", "refId": "appliance"},
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"text": ["All"], "value": ["$__all"]},
    }


def _firing_alerts() -> dict[str, Any]:
    return {
        "name": "Alerts",
        "datasource": _DATASOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"FailedExecutionCleanup.+", alertstate="firing"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}} {{appliance}} {{reason}}",
    }


def main() -> int:
    """Write the dashboard, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(TARGET, json.dumps(dashboard(), indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
