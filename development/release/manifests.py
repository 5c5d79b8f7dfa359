"""What `kubectl apply` installs, as one file each: the definitions, and everything else.

They are apart because whoever deletes the definitions deletes all cleanups.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Final

from development.control_plane.binaries import find_binaries

_DEFINITIONS: Final = (
    "# kubectl apply --server-side -f crds.yaml; first, and never deleted while cleanups are wanted.\n"
)
_INSTALLATION: Final = (
    "# kubectl apply --server-side -f install.yaml; operator, roles and policies for the whole cluster.\n"
)


def definitions(tree: Path) -> str:
    """The custom resource definitions."""
    files = sorted((tree / "crds").glob("*.yaml"))
    return _DEFINITIONS + "---\n".join(path.read_text(encoding="utf-8") for path in files)


def installation(tree: Path) -> str:
    """Everything else, as `manifests/overlays/cluster-wide` has it.

    Raises:
        subprocess.CalledProcessError: it cannot be put together.
    """
    command = [str(find_binaries().kubectl), "kustomize", str(tree / "manifests/overlays/cluster-wide")]
    return _INSTALLATION + subprocess.check_output(command, text=True)
