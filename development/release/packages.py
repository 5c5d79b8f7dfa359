"""Wheel, sdist, and the locked requirements to install the wheel with."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from development.processes import MissingProgramError


def find_uv() -> Path:
    """The uv of this virtual environment, else that of the PATH.

    Raises:
        MissingProgramError: there is none.
    """
    beside = Path(sys.executable).with_name("uv")
    if beside.is_file():
        return beside
    if (found := shutil.which("uv")) is None:
        raise MissingProgramError("uv was not found: run `make install`")
    return Path(found)


def build_packages(tree: Path, target: Path, *, seconds: int, only: str | None = None) -> None:
    """Build wheel and sdist.

    Args:
        tree: the sources: a checkout, or an sdist unpacked.
        target: folder for them.
        seconds: time stamp of all files in them, in seconds since 1970.
        only: `wheel` or `sdist`; both if omitted. Where both are built, the wheel is built from the sdist.

    Raises:
        subprocess.CalledProcessError: the build failed; it said why on standard error.
    """
    kind = [f"--{only}"] if only else []
    uv(tree, "build", "--quiet", *kind, "--out-dir", str(target), SOURCE_DATE_EPOCH=str(seconds))
    # uv keeps a folder of builds out of Git; in a folder of a release it is in the way.
    (target / ".gitignore").unlink(missing_ok=True)


def locked_requirements(tree: Path) -> str:
    """What `pip install --require-hashes` installs: exactly the locked dependencies."""
    header = (
        "# The locked dependencies: pip install --require-hashes -r requirements.txt, then the wheel with --no-deps.\n"
    )
    return header + uv(tree, "export", "--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header")


def install_locked(tree: Path, environment: Path) -> None:
    """Make a virtual environment with the locked dependencies and nothing else."""
    options = ("--frozen", "--no-dev", "--no-install-project", "--no-editable")
    uv(tree, "sync", "--quiet", *options, UV_PROJECT_ENVIRONMENT=str(environment))


def uv(tree: Path, *arguments: str, **environment: str) -> str:
    """Run uv in a folder; gives what it printed.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    # The virtual environment of whoever calls is none of the build's business.
    inherited = {name: value for name, value in os.environ.items() if name not in {"VIRTUAL_ENV", "PYTHONPATH"}}
    return subprocess.run(
        [str(find_uv()), *arguments],
        cwd=tree,
        env=inherited | {"UV_PYTHON": sys.executable} | environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
