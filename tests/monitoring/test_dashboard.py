"""The shipped dashboard: what it asks is PromQL, and is about what is really exported."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from development.monitoring.alerts import MANIFESTS
from development.monitoring.dashboard import TARGET, dashboard
from development.monitoring.exported import exported
from development.monitoring.panels import in_prometheus
from development.monitoring.promql import label_uses, series_in
from tests.monitoring.conftest import Promtool

SHIPPED: dict[str, Any] = json.loads(TARGET.read_text(encoding="utf-8"))
PANELS = [panel for panel in SHIPPED["panels"] if panel["type"] != "row"]
OF_THE_TARGET = {"pod", "job"}
"""Labels that Prometheus adds to what it scrapes."""


def targets() -> Iterator[tuple[str, dict[str, Any]]]:
    """Each query of the shipped file, with a name to find it by."""
    for panel in PANELS:
        for target in panel["targets"]:
            yield f"{panel['title']} {target['refId']}", target


EVERY_QUERY = pytest.mark.parametrize("target", [pytest.param(target, id=name) for name, target in targets()])


def test_the_shipped_file_is_what_the_panels_make() -> None:
    assert dashboard() == SHIPPED, "run python -m development.monitoring.dashboard"


def test_prometheus_accepts_every_query(promtool: Promtool, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:query:{number}", "expr": in_prometheus(target["expr"])}
        for number, (_, target) in enumerate(targets())
    ]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    code, told = promtool("check", "rules", "--lint=none", path)
    assert code == 0, told


@EVERY_QUERY
def test_a_query_reads_series_and_labels_that_are_exported(target: dict[str, Any]) -> None:
    query = in_prometheus(target["expr"])
    labels = {
        series: {*metric.labels, *OF_THE_TARGET, *(["le"] if series.endswith("_bucket") else [])}
        for metric in exported()
        for series in metric.series
    }
    assert series_in(query) <= labels.keys()
    missing = {use for use in label_uses(query) if use.label not in labels[use.series]}
    assert not missing


@EVERY_QUERY
def test_a_legend_names_only_labels_that_the_result_keeps(target: dict[str, Any]) -> None:
    kept = {use.label for use in label_uses(in_prometheus(target["expr"])) if use.value is None}
    assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= kept


def test_every_metric_of_ours_is_shown() -> None:
    shown = {series for _, target in targets() for series in series_in(in_prometheus(target["expr"]))}
    hidden = {metric.name for metric in exported() if metric.name.startswith("fec_") and not metric.series & shown}
    assert not hidden


def test_only_known_variables_are_used() -> None:
    known = {"$" + variable["name"] for variable in SHIPPED["templating"]["list"]} | {"$__rate_interval"}
    for name, target in targets():
        assert set(re.findall(r"\$\w+", target["expr"])) <= known, name


def test_panels_lie_side_by_side_within_the_width_and_never_on_each_other() -> None:
    places = [panel["gridPos"] for panel in SHIPPED["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    cells = [
        (x, y)
        for place in places
        for x, y in itertools.product(
            range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
        )
    ]
    assert len(cells) == len(set(cells))
    assert len({panel["id"] for panel in SHIPPED["panels"]}) == len(SHIPPED["panels"])


def test_grafana_finds_the_dashboard_by_its_label() -> None:
    component = yaml.safe_load((MANIFESTS / "kustomization.yaml").read_text(encoding="utf-8"))
    (generated,) = component["configMapGenerator"]
    assert generated["files"] == [f"failed-execution-cleanup.json={TARGET.name}"]
    assert generated["options"]["labels"]["grafana_dashboard"] == "1"
