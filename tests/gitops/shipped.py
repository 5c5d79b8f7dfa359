"""The objects and tables that are shipped in `gitops/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

GITOPS: Final = Path(__file__).resolve().parents[2] / "gitops"
OBJECTS: Final[dict[str, dict[str, Any]]] = {
    path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted((GITOPS / "objects").glob("*.yaml"))
}


def table(path: str) -> Any:
    """A table of expectations."""
    return yaml.safe_load((GITOPS / path).read_text(encoding="utf-8"))


def by_object(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """A table's rows by object; each object is in it once."""
    found = {row["object"]: row for row in rows}
    assert len(found) == len(rows)
    return found


KSTATUS: Final = by_object(table("kstatus/cases.yaml"))
FLUX: Final = by_object(table("flux/cases.yaml"))
ARGOCD_HEALTH: Final = by_object(table("argocd/health_test.yaml")["tests"])
ARGOCD_OFFERED: Final = by_object(table("argocd/action_test.yaml")["discoveryTests"])
ARGOCD_ACTIONS: Final[list[dict[str, Any]]] = table("argocd/action_test.yaml")["actionTests"]


def ready_of(body: dict[str, Any]) -> dict[str, Any]:
    """The condition Ready; empty where there is none."""
    conditions = body["status"].get("conditions", [])
    return next((condition for condition in conditions if condition["type"] == "Ready"), {})
