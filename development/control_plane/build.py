"""Build kube-apiserver and etcd from source, at the releases and checksums committed here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from development.control_plane.binaries import ETCD, KUBE_APISERVER, built
from development.go_build import build


def build_servers() -> Iterator[Path]:
    """Build each server unless it is there already, printing progress.

    Yields:
        The path of each.

    Raises:
        MissingProgramError: no Go was found that is new enough.
        BuildError: the compiler or a download failed.
    """
    for program in (ETCD, KUBE_APISERVER):
        yield build(program, built(program))
