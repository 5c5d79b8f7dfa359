"""What Helm and kustomize make of chart and manifests, as parsed objects."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from development.chart.sources import CHART, ROOT
from development.control_plane.binaries import find_binaries
from development.go_tools import find_tool

Object: TypeAlias = dict[str, Any]
"""A Kubernetes object."""

RELEASE: Final = "failed-execution-cleanup"
"""Release and namespace with which the chart renders the names of `manifests/`."""

APPLIANCES_KNOWN: Final = "failover.ossea.io/v1alpha1/Appliance"
"""What a cluster that has the definitions tells Helm."""

_SECONDS: Final = 120.0


class HelmError(RuntimeError):
    """Helm ended with an error; the message is what it wrote to standard error."""


class Helm:
    """The real Helm, with files of its own in a directory; nothing of the user's is read."""

    def __init__(self, directory: Path, kubeconfig: Path | None = None) -> None:
        """Find the program.

        Args:
            directory: where Helm keeps what it keeps.
            kubeconfig: the cluster; none is needed to render.

        Raises:
            MissingProgramError: it was not built; says how to do so.
        """
        self._program = find_tool("helm")
        homes = {f"HELM_{kind}_HOME": str(directory / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
        self._environment = {**os.environ, **homes, "KUBECONFIG": str(kubeconfig or os.devnull)}

    def run(self, *arguments: str | Path, values: Mapping[str, Any] | None = None) -> str:
        """Run a command and return what it prints.

        Args:
            arguments: of Helm.
            values: given as a values file.

        Raises:
            HelmError: it failed.
        """
        given = [] if values is None else ["--values=-"]
        done = subprocess.run(
            [str(self._program), *map(str, arguments), *given],
            input=json.dumps(values or {}),
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise HelmError(done.stderr)
        return done.stdout


def rendered(
    values: Mapping[str, Any] | None = None,
    *,
    release: str = RELEASE,
    namespace: str = RELEASE,
    knows: Iterable[str] = (APPLIANCES_KNOWN,),
    chart: Path = CHART,
) -> list[Object]:
    """Objects of the chart.

    Args:
        values: over the defaults.
        release: its name.
        namespace: where it is.
        knows: APIs that the cluster has beside Kubernetes' own.
        chart: directory or archive.

    Raises:
        HelmError: values or templates are wrong.
        MissingProgramError: Helm was not built.
    """
    with tempfile.TemporaryDirectory(prefix="helm-") as directory:
        apis = [f"--api-versions={api}" for api in knows]
        text = Helm(Path(directory)).run(
            "template", release, chart, f"--namespace={namespace}", *apis, values=values or {}
        )
    return _parsed(text)


def kustomized(directory: Path | str) -> list[Object]:
    """Objects of a kustomization; a relative path is below `manifests/`.

    Raises:
        subprocess.CalledProcessError: it cannot be built.
    """
    command = [str(find_binaries().kubectl), "kustomize", str(ROOT / "manifests" / directory)]
    return _parsed(subprocess.check_output(command, text=True, timeout=_SECONDS))


def _parsed(text: str) -> list[Object]:
    # The definitions alone are thousands of lines: with the parser in Python they would take longer than Helm.
    return [document for document in yaml.load_all(text, Loader=yaml.CSafeLoader) if document]
