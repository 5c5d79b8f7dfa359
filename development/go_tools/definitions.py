"""Custom resource definitions of the Prometheus operator, as it ships them in its Go module."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Final

from development.go_build import GoProgram, find_go, go_environment

_OPERATOR: Final = GoProgram(
    name="prometheus-operator",
    module=Path(__file__).parent / "prometheus_operator",
    source="github.com/prometheus-operator/prometheus-operator",
    package="cmd/operator",
)
_DEFINITIONS: Final = "example/prometheus-operator-crd"


def prometheus_operator_definitions() -> Path:
    """Return a directory with one file for each definition, at the release of `go.mod`; it is downloaded once (6 MB).

    Raises:
        MissingProgramError: no Go was found that is new enough.
        subprocess.CalledProcessError: it cannot be downloaded, or is not what `go.sum` says.
    """
    command = [str(find_go(_OPERATOR)), "mod", "download", "-json", _OPERATOR.source]
    done = subprocess.run(
        command, cwd=_OPERATOR.module, env=go_environment(), check=True, stdout=subprocess.PIPE, text=True
    )
    return Path(json.loads(done.stdout)["Dir"], _DEFINITIONS)
