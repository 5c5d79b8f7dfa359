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
