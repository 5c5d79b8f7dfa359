"""Files of the repository that are part of the chart as they are: `files/` holds a copy of each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from development.stand import ROOT

__all__ = ["CHART", "COPIES", "CRDS", "ROOT"]

CHART: Final = ROOT / "helm/failed-execution-cleanup"
CRDS: Final = tuple(sorted((ROOT / "crds").glob("*.yaml")))

_MANIFESTS: Final = (
    "base/rbac.yaml",
    "base/roles.yaml",
    "base/admission-policy.yaml",
    "components/console/rbac.yaml",
    "overlays/one-namespace/appliance-events.yaml",
    "monitoring/pod-monitor.yaml",
    "monitoring/prometheus-rule.yaml",
    "monitoring/dashboard.json",
)

COPIES: Final[dict[Path, Path]] = {
    **{CHART / "files" / path: ROOT / "manifests" / path for path in _MANIFESTS},
    **{CHART / "files/crds" / path.name: path for path in CRDS},
}
"""Source of each copy."""
