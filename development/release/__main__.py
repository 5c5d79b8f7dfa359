"""`python -m development.release [--into dist]`: build everything that is handed out, from the commit alone."""

from __future__ import annotations

import argparse
import hashlib
import re
import subprocess
import sys
from pathlib import Path

from development.processes import MissingProgramError
from development.release.archives import packed
from development.release.chart import package_chart
from development.release.commit import Commit, DirtyTreeError, clean_commit
from development.release.manifests import definitions, installation
from development.release.packages import build_packages, locked_requirements
from development.release.sbom import ROOT, InvalidBillError, bill_of_materials
from failed_execution_cleanup import __version__

SUMS = "SHA256SUMS"


class UnreadyError(RuntimeError):
    """Something of the commit says that it is no release yet; the message says what."""


def build(commit: Commit, target: Path) -> None:
    """Fill an empty folder.

    Raises:
        UnreadyError: the changelog has no entry for the version.
        InvalidBillError, MissingProgramError, subprocess.CalledProcessError: a part cannot be built.
    """
    with commit.unpacked() as tree:
        changelog = (tree / "CHANGELOG.md").read_text(encoding="utf-8")
        if not re.search(rf"^## \[{re.escape(__version__)}\]", changelog, re.MULTILINE):
            raise UnreadyError(f"CHANGELOG.md has no entry [{__version__}]: write it, or correct __version__")
        build_packages(tree, target, seconds=commit.seconds)
        (wheel,) = target.glob("*.whl")
        texts = {
            "requirements.txt": locked_requirements(tree),
            "crds.yaml": definitions(tree),
            "install.yaml": installation(tree),
            "sbom.cdx.json": bill_of_materials(tree, wheel),
        }
        for name, text in texts.items():
            (target / name).write_text(text, encoding="utf-8")
        units = packed(tree / "systemd", seconds=commit.seconds)
        (target / f"failed-execution-cleanup-systemd-{__version__}.tar.gz").write_bytes(units)
        package_chart(tree, target, seconds=commit.seconds)
    (target / SUMS).write_text(checksums(target), encoding="utf-8")


def checksums(directory: Path) -> str:
    """What `sha256sum --check` compares: every file of a folder."""
    files = sorted(path for path in directory.iterdir() if path.name != SUMS)
    return "".join(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in files)


def main(arguments: list[str] | None = None) -> int:
    """Build a release; 1 if it cannot be."""
    parser = argparse.ArgumentParser(prog="python -m development.release", description=__doc__)
    parser.add_argument("--into", type=Path, default=ROOT / "dist", help="folder for it, made afresh (default: dist)")
    target: Path = parser.parse_args(arguments).into
    try:
        commit = clean_commit(ROOT)
        if target.is_dir():
            for old in target.iterdir():
                old.unlink()
        target.mkdir(parents=True, exist_ok=True)
        build(commit, target)
    except (DirtyTreeError, UnreadyError, InvalidBillError, MissingProgramError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"{' '.join(map(str, error.cmd))} failed with {error.returncode}\n")
        return 1
    print(f"version {__version__}, commit {commit.id}:\n{(target / SUMS).read_text()}", end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
