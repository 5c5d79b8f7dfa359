"""The list of tools, and where a built one is kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from development.cache import cache_directory
from development.go_build import GoProgram, build
from development.processes import MissingProgramError

_MODULES: Final = Path(__file__).parent
_PROMETHEUS: Final = "github.com/prometheus/prometheus"
_PROMETHEUS_VERSION: Final = "github.com/prometheus/common/version.Version"
_HELM: Final = "helm.sh/helm/v3"
# What `helm template` and `helm lint` take for the cluster's version: that of the k8s.io/client-go in its go.mod, as its Makefile does.
_HELM_KUBERNETES: Final = {"Major": "1", "Minor": "37"}
_NO_DISCOVERY: Final = ("remove_all_sd",)  # service discovery needs modules that the Go proxy does not have

TOOLS: Final = {
    tool.name: tool
    for tool in (
        GoProgram(
            name="promtool",
            module=_MODULES / "prometheus",
            source=_PROMETHEUS,
            package="cmd/promtool",
            tags=_NO_DISCOVERY,
            stamps={_PROMETHEUS_VERSION: "{version}"},
        ),
        GoProgram(
            name="prometheus",
            module=_MODULES / "prometheus",
            source=_PROMETHEUS,
            package="cmd/prometheus",
            tags=_NO_DISCOVERY,
            stamps={_PROMETHEUS_VERSION: "{version}"},
        ),
        GoProgram(
            name="helm",
            module=_MODULES / "helm",
            source=_HELM,
            package="cmd/helm",
            stamps={f"{_HELM}/internal/version.version": "{version}"}
            | {
                f"{_HELM}/pkg/{package}.k8sVersion{part}": number
                for package in ("chartutil", "lint/rules")
                for part, number in _HELM_KUBERNETES.items()
            },
        ),
    )
}
"""Tools by name. A new one is an entry here and a directory with the `go.mod` and `go.sum` that pin it."""


def kept(tool: GoProgram) -> Path:
    """Return where a built tool is kept, by version; it need not exist yet."""
    return cache_directory() / "go-tools" / tool.name / tool.version / tool.name


def build_tool(name: str) -> Path:
    """Build a tool unless it is there already, printing progress.

    Raises:
        MissingProgramError: no Go was found that is new enough.
        BuildError: the compiler or a download failed.
    """
    return build(TOOLS[name], kept(TOOLS[name]))


def find_tool(name: str) -> Path:
    """Return the path of a tool that was built.

    Raises:
        MissingProgramError: it was not; says how to get it.
    """
    path = kept(TOOLS[name])
    if not os.access(path, os.X_OK):
        raise MissingProgramError(
            f"{name} not found at {path}: run `.venv/bin/python -m development.go_tools build {name}` (several minutes)"
        )
    return path
