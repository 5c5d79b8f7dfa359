"""docs/reference/metrics.md tells what is exported."""

from __future__ import annotations

import pytest

from development import metrics_page
from development.monitoring.exported import ExportedMetric, exported
from failed_execution_cleanup.controller.metrics import Metrics


def test_the_page_in_the_repository_is_the_one_that_would_be_made() -> None:
    assert metrics_page.PAGE.read_text(encoding="utf-8") == metrics_page.page(), (
        "run python -m development.metrics_page"
    )


@pytest.mark.parametrize("label", ["appliance", "namespace", "priority", "outcome", "state", "reason", "phase"])
def test_labels_are_explained(label: str) -> None:
    explained = metrics_page.page().split("## Labels")[1]
    assert f"`{label}`" in explained


def test_check_finds_a_page_that_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["metrics_page", "--check"])
    assert metrics_page.main() == 0
    monkeypatch.setattr(metrics_page, "page", lambda: "something else")
    assert metrics_page.main() == 1
    assert "make generate" in capsys.readouterr().err


def test_a_metric_that_fits_no_section_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = ExportedMetric("stranger", "gauge", (), "", frozenset({"stranger"}))
    monkeypatch.setattr(metrics_page, "exported", lambda: (stranger,))
    with pytest.raises(ValueError, match="stranger"):
        metrics_page.page()


def test_every_metric_of_the_registry_is_exported_with_a_meaning_and_lower_case_labels() -> None:
    found = {metric.name: metric for metric in exported()}
    registered = {
        family.name + ("_total" if family.type == "counter" else "") for family in Metrics().registry.collect()
    }
    assert registered <= found.keys()
    for metric in found.values():
        assert metric.meaning.endswith("."), metric.name
        assert all(label.islower() for label in metric.labels), metric.name


@pytest.mark.parametrize(
    ("name", "kind", "labels"),
    [
        ("fec_appliance_requests_total", "counter", ("appliance", "command", "outcome", "system")),
        ("workqueue_queue_duration_seconds", "histogram", ("name", "priority")),
        ("workqueue_depth", "gauge", ("name", "priority")),
        ("fec_cleanups", "gauge", ("appliance", "namespace", "reason", "state")),
    ],
)
def test_labels_are_told_before_anything_was_counted(name: str, kind: str, labels: tuple[str, ...]) -> None:
    (metric,) = (metric for metric in exported() if metric.name == name)
    assert (metric.kind, metric.labels) == (kind, labels)
