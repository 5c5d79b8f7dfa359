"""A real Helm on the real API server."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from development.chart.rendering import Helm
from development.control_plane import ControlPlane

RESTRICTED: Final = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn")}


@pytest.fixture(scope="session")
def helm(control_plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    """Helm as an administrator of the control plane."""
    return Helm(tmp_path_factory.mktemp("helm"), control_plane.admin_kubeconfig)


@pytest.fixture
def offline(tmp_path: Path) -> Helm:
    """Helm that knows no cluster."""
    return Helm(tmp_path)


@pytest.fixture
def namespace(control_plane: ControlPlane) -> str:
    """A namespace of the test's own, in which only restricted pods may run."""
    name = f"package-{uuid.uuid4().hex[:8]}"
    control_plane.create_namespace(name)
    label(control_plane, name, RESTRICTED)
    return name


def label(control_plane: ControlPlane, namespace: str, labels: Mapping[str, Any]) -> None:
    """Label a namespace."""
    control_plane.kubectl("label", "namespace", namespace, *(f"{key}={value}" for key, value in labels.items()))
