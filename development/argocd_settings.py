"""`gitops/argocd/argocd-cm.yaml`: the Lua scripts of that folder as Argo CD takes them from its ConfigMap.

python -m development.argocd_settings [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import yaml

from development.generated_file import write_or_check
from failed_execution_cleanup.resources.identifiers import CLEANUP_KIND, GROUP

DIRECTORY: Final = Path(__file__).resolve().parent.parent / "gitops/argocd"
TARGET: Final = DIRECTORY / "argocd-cm.yaml"
ACTIONS: Final = ("suspend", "resume", "re-run", "approve")
_HEADER: Final = (
    "# Generated from the Lua scripts in this folder by `python -m development.argocd_settings`; edit those instead.\n"
)


class _Text(str):
    """Written as a block, so that a script stays readable."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|"))


def config_map() -> str:
    """The ConfigMap as YAML; to be merged into the one that Argo CD has."""
    actions = {
        "discovery.lua": _script("actions/discovery.lua"),
        "definitions": [{"name": name, "action.lua": _script(f"actions/{name}.lua")} for name in ACTIONS],
    }
    data = {
        f"resource.customizations.health.{GROUP}_{CLEANUP_KIND}": _script("health.lua"),
        f"resource.customizations.actions.{GROUP}_{CLEANUP_KIND}": _Text(_yaml(actions)),
    }
    labels = {"app.kubernetes.io/name": "argocd-cm", "app.kubernetes.io/part-of": "argocd"}
    metadata = {"name": "argocd-cm", "namespace": "argocd", "labels": labels}
    return _HEADER + _yaml({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})


def _script(path: str) -> _Text:
    return _Text((DIRECTORY / path).read_text(encoding="utf-8"))


def _yaml(document: object) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=140)


def main() -> int:
    """Write the file, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(TARGET, config_map())


if __name__ == "__main__":
    sys.exit(main())
