"""The Helm of these tests is the pinned one, and takes the Kubernetes of its client library for granted where it knows no cluster."""

from __future__ import annotations

import re
from pathlib import Path

from development.chart.rendering import Helm
from development.go_tools import TOOLS


def test_helm_says_the_version_that_is_pinned(offline: Helm) -> None:
    assert offline.run("version", "--template={{.Version}}") == TOOLS["helm"].version


def test_without_a_cluster_helm_means_the_kubernetes_of_its_client_library(offline: Helm, tmp_path: Path) -> None:
    pinned = (TOOLS["helm"].module / "go.mod").read_text(encoding="utf-8")
    (minor,) = re.findall(r"^\tk8s\.io/client-go v0\.(\d+)\.", pinned, re.MULTILINE)
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("{apiVersion: v2, name: chart, version: 1.0.0}")
    (chart / "templates/said.yaml").write_text("said: {{ .Capabilities.KubeVersion.Version }}")
    assert f"said: v1.{minor}.0" in offline.run("template", chart)
