"""The programs of a control plane: where they are looked for and what a missing one says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from development.cache import cache_directory
from development.control_plane.binaries import (
    ETCD,
    GO_MODULE,
    KUBE_APISERVER,
    built,
    find_binaries,
    kubernetes_version,
)
from development.go_build import find_go
from development.processes import MissingProgramError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = ("kube-apiserver", "etcd", "kubectl")


def install(directory: Path, *names: str) -> None:
    for name in names:
        (directory / name).write_text("#!/bin/sh\n")
        (directory / name).chmod(0o755)


def test_kubebuilder_assets_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, *PROGRAMS)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    found = find_binaries()
    assert [found.kube_apiserver, found.etcd, found.kubectl] == [tmp_path / name for name in PROGRAMS]


def test_missing_api_server_says_how_to_build_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(MissingProgramError, match=r"kube-apiserver not found at .*: run `make control-plane`"):
        find_binaries()


def test_built_api_server_is_kept_by_version_outside_the_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    expected = tmp_path / "failed-execution-cleanup/control-plane" / kubernetes_version() / "kube-apiserver"
    assert built(KUBE_APISERVER) == expected


def test_relative_cache_home_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / ".cache/failed-execution-cleanup"


def test_staging_modules_have_the_release_of_kubernetes() -> None:
    replaced = re.findall(r"=> k8s\.io/\S+ (v\S+)", (GO_MODULE / "go.mod").read_text())
    assert set(replaced) == {kubernetes_version().replace("v1.", "v0.")}


def test_etcd_is_of_the_release_that_the_api_server_was_made_for() -> None:
    client = re.search(
        r"^\s+go\.etcd\.io/etcd/client/v3 v(\d+\.\d+)\.", (GO_MODULE / "go.mod").read_text(), re.MULTILINE
    )
    assert client is not None
    assert ETCD.version.startswith(f"v{client[1]}.")


def test_go_that_is_too_old_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "go"
    old.write_text("#!/bin/sh\necho go1.19.8\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert find_go(KUBE_APISERVER) != old
