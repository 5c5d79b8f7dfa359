"""Chart and manifests are two ways to the same objects."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, Final

import pytest
import yaml

from development.chart.rendering import Object, kustomized, rendered
from development.chart.sources import CRDS, ROOT
from tests.package.objects import by_identity

HELM_ONLY: Final = frozenset(
    {
        "app.kubernetes.io/instance",
        "app.kubernetes.io/managed-by",
        "app.kubernetes.io/version",
        "helm.sh/chart",
        "helm.sh/resource-policy",
    }
)
"""Labels and annotations that tell of a release."""

MONITORING: Final[Mapping[str, Any]] = {
    "monitoring": {"scrape": "PodMonitor", "rules": {"enabled": True}, "dashboard": {"enabled": True}}
}

FORMS: Final[Mapping[str, tuple[Mapping[str, Any], list[str]]]] = {
    "cluster-wide": ({}, ["../overlays/cluster-wide"]),
    "one-namespace": ({"watchNamespaces": ["dr"]}, ["../overlays/one-namespace"]),
    "with console": ({"console": {"enabled": True}}, ["../overlays/cluster-wide", "../components/console"]),
    "with monitoring": (MONITORING, ["../overlays/cluster-wide", "../monitoring"]),
    "everything in one namespace": (
        {"watchNamespaces": ["dr"], "console": {"enabled": True}, **MONITORING},
        ["../overlays/one-namespace", "../components/console", "../monitoring"],
    ),
}
"""Values of the chart, and the overlay and components that say the same."""


def comparable(node: Any) -> Any:
    """Without what only Helm knows, and without an order where Kubernetes sees none."""
    if isinstance(node, Mapping):
        plain = {key: comparable(value) for key, value in node.items() if key not in HELM_ONLY}
        if "metadata" in plain and "kind" in plain:
            # The chart says the name on each object, manifests where something selects by it.
            for part in ("labels", "annotations"):
                labels = plain["metadata"].get(part, {})
                labels.pop("app.kubernetes.io/name", None)
                if not labels:
                    plain["metadata"].pop(part, None)
        return plain
    if isinstance(node, list):
        plain_items = [comparable(item) for item in node]
        named = all(isinstance(item, Mapping) and "name" in item for item in plain_items)
        return sorted(plain_items, key=lambda item: str(item["name"])) if named else plain_items
    return node


@pytest.fixture(scope="module", params=FORMS)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Object], list[Object]]:
    """Objects of the chart and of the overlay."""
    values, (overlay, *components) = FORMS[request.param]
    return rendered({**values, "crds": {"install": False}}), combined(tmp_path_factory, overlay, components)


def combined(factory: pytest.TempPathFactory, overlay: str, components: list[str]) -> list[Object]:
    """An overlay with components, as a person would write it beside a copy of the manifests."""
    copy = factory.mktemp("kustomize") / "manifests"
    shutil.copytree(ROOT / "manifests", copy)
    ours = copy / "ours"
    ours.mkdir()
    (ours / "kustomization.yaml").write_text(yaml.safe_dump({"resources": [overlay], "components": components}))
    return kustomized(ours)


def test_both_have_the_same_objects(both: tuple[list[Object], list[Object]]) -> None:
    chart, overlay = (by_identity(objects) for objects in both)
    own = {key for key in overlay if key[0] == "Namespace"}
    tests = {key for key in chart if key[0] == "Pod"}
    assert own == {("Namespace", "", "failed-execution-cleanup")}
    assert tests == {("Pod", "failed-execution-cleanup", "failed-execution-cleanup-test")}
    assert chart.keys() - tests == overlay.keys() - own


def test_each_object_is_the_same_in_both(both: tuple[list[Object], list[Object]]) -> None:
    chart, overlay = (by_identity(objects) for objects in both)
    for key in chart.keys() & overlay.keys():
        assert comparable(chart[key]) == comparable(overlay[key]), key


def test_the_chart_has_the_definitions_of_crds() -> None:
    chart = [each for each in rendered() if each["kind"] == "CustomResourceDefinition"]
    assert [comparable(each) for each in chart] == [comparable(yaml.safe_load(path.read_text())) for path in CRDS]


def test_no_overlay_has_the_definitions_so_that_deleting_it_keeps_all_cleanups() -> None:
    for overlay in ("overlays/cluster-wide", "overlays/one-namespace"):
        assert {each["kind"] for each in kustomized(overlay)}.isdisjoint({"CustomResourceDefinition"})
