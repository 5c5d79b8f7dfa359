"""Build the reference once, at the releases and checksums committed here; it is kept outside the checkout."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from development.cache import cache_directory, exclusive
from development.go_build import BuildError, GoProgram, find_go, go_environment

_DIRECTORY: Final = Path(__file__).parent
_MODULE: Final = GoProgram(name="reference", module=_DIRECTORY, source="sigs.k8s.io/controller-runtime", package=".")
_SOURCES: Final = ("go.mod", "go.sum", "*.go")


def build_reference() -> Path:
    """Build the program unless it is there already, and return its path; minutes the first time.

    Raises:
        MissingProgramError: no Go was found that is new enough.
        BuildError: the compiler or a download failed.
    """
    target = cache_directory() / "benchmarks" / f"reference-{_MODULE.version}-{_fingerprint()}"
    with exclusive(target.parent):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as directory:
            unfinished = Path(directory) / target.name
            flags = ("-mod=readonly", "-buildvcs=false", "-trimpath", "-ldflags=-s -w")
            command = [str(find_go(_MODULE)), "build", *flags, "-o", str(unfinished), "."]
            done = subprocess.run(
                command, cwd=_DIRECTORY, env=go_environment(), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                raise BuildError(f"go build ended with exit code {done.returncode}:\n{done.stderr[-4000:]}")
            unfinished.replace(target)
    return target


def controller_runtime_version() -> str:
    """The release of controller-runtime that `go.mod` pins."""
    return _MODULE.version


def _fingerprint() -> str:
    """Changes whenever a source does."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in _SOURCES for path in _DIRECTORY.glob(pattern)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
