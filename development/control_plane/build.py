"""Build kube-apiserver from source: the Go module `k8s.io/kubernetes`, at the release and checksums committed here."""

from __future__ import annotations

from pathlib import Path

from development.control_plane.binaries import KUBE_APISERVER, built_kube_apiserver
from development.go_build import build


def build_kube_apiserver() -> Path:
    """Build kube-apiserver unless it is there already, printing progress.

    Returns:
        The path of the program.

    Raises:
        MissingProgramError: no Go was found that is new enough.
        BuildError: the compiler or a download failed.
    """
    return build(KUBE_APISERVER, built_kube_apiserver())
