"""The shipped alerts: each fires when it should and only then, and speaks of what is really exported."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from development.monitoring.alerts import MANIFESTS, ROOT, RULE, Alert, alerts
from development.monitoring.exported import exported
from development.monitoring.panels import ROWS, in_prometheus
from development.monitoring.promql import label_uses, series_in
from failed_execution_cleanup.controller.operator import LEASE_NAME
from failed_execution_cleanup.resources.reasons import Reason
from tests.monitoring.conftest import Promtool

UNIT_TESTS: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "alert_tests.yaml").read_text(encoding="utf-8"))
NAMES = (
    "RescueNeeded",
    "DataSuspect",
    "StuckFailover",
    "Stalled",
    "Slow",
    "OperatorDown",
    "ApplianceUnreachable",
    "QueueOld",
)
EVERY_ALERT = pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.name)


@pytest.mark.parametrize("case", UNIT_TESTS["tests"], ids=lambda case: case["name"])
def test_an_alert_fires_when_it_should_and_resolves(
    promtool: Promtool, rules: Path, tmp_path: Path, case: dict[str, Any]
) -> None:
    alone = tmp_path / "alone.yaml"
    alone.write_text(yaml.safe_dump({**UNIT_TESTS, "rule_files": [rules.name], "tests": [case]}), encoding="utf-8")
    code, told = promtool("test", "rules", alone)
    assert code == 0, told


@EVERY_ALERT
def test_every_alert_is_tested_just_below_while_it_fires_and_when_it_resolved(alert: Alert) -> None:
    (case,) = (case for case in UNIT_TESTS["tests"] if case["name"] == alert.name)
    fires = [bool(look.get("exp_alerts")) for look in case["alert_rule_test"] if look["alertname"] == alert.name]
    assert not fires[0]
    assert any(fires)
    assert not fires[-1]


def test_prometheus_accepts_the_rules(promtool: Promtool, rules: Path) -> None:
    code, told = promtool("check", "rules", "--lint=all", "--lint-fatal", rules)
    assert code == 0, told


def test_there_is_an_alert_for_each_thing_somebody_must_know() -> None:
    assert {alert.name for alert in alerts()} == {f"FailedExecutionCleanup{name}" for name in NAMES}


@EVERY_ALERT
def test_an_alert_tells_how_bad_it_is_what_happened_and_where_to_read_on(alert: Alert) -> None:
    assert alert.severity in {"critical", "warning", "info"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert alert.annotations["summary"].endswith(".")
    assert "{{" not in alert.annotations["summary"]
    assert alert.annotations["runbook_url"] == f"docs/runbooks/{alert.name}.md"
    assert (ROOT / alert.annotations["runbook_url"]).is_file()


@EVERY_ALERT
def test_an_alert_reads_series_and_labels_that_are_exported(alert: Alert) -> None:
    labels = {series: set(metric.labels) for metric in exported() for series in metric.series}
    assert series_in(alert.expression) <= labels.keys()
    missing = {use for use in label_uses(alert.expression) if use.label not in labels[use.series]}
    assert not missing


@EVERY_ALERT
def test_a_description_uses_only_labels_the_alert_has(alert: Alert) -> None:
    kept = {use.label for use in label_uses(alert.expression) if use.value is None}
    assert set(re.findall(r"\$labels\.(\w+)", alert.annotations["description"])) <= kept


def test_alerts_select_reasons_that_exist_and_the_lease_of_the_operator() -> None:
    uses = {use for alert in alerts() for use in label_uses(alert.expression) if use.value is not None}
    reasons = {use.value for use in uses if use.label == "reason"}
    assert reasons <= {reason.value for reason in Reason}
    assert {use.value for use in uses if use.label == "name"} == {LEASE_NAME}


def test_reasons_with_an_alert_of_their_own_page_nobody_twice() -> None:
    by_name = {alert.name.removeprefix("FailedExecutionCleanup"): alert.expression for alert in alerts()}
    own = {
        use.value
        for name in ("RescueNeeded", "DataSuspect")
        for use in label_uses(by_name[name])
        if use.label == "reason" and use.value
    }
    excluded = {use.value for use in label_uses(by_name["Stalled"]) if use.label == "reason" and use.value}
    assert excluded == own


def test_the_resource_is_one_the_prometheus_operator_takes() -> None:
    resource = yaml.safe_load(RULE.read_text(encoding="utf-8"))
    assert (resource["apiVersion"], resource["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
    assert set(resource["spec"]) == {"groups"}


def test_the_scrape_keeps_the_namespace_of_the_cleanups() -> None:
    monitor = yaml.safe_load((MANIFESTS / "pod-monitor.yaml").read_text(encoding="utf-8"))
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["honorLabels"] is True
    assert endpoint["path"] == "/metrics"
    queries = [in_prometheus(query.expression) for row in ROWS for panel in row.panels for query in panel.queries]
    jobs = {use.value for query in queries for use in label_uses(query) if use.label == "job"}
    assert jobs == {monitor["spec"]["selector"]["matchLabels"][monitor["spec"]["jobLabel"]]}
