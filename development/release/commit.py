"""The commit a release is built from: nothing of the working tree that is not in it gets into a release."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


class DirtyTreeError(RuntimeError):
    """The working tree differs from its commit; the message names the files."""


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit of a repository.

    Attributes:
        repository: root of the checkout.
        id: its full name.
        seconds: when it was made, in seconds since 1970; the time stamp of everything built from it.
    """

    repository: Path
    id: str
    seconds: int

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """A temporary folder with the files of the commit."""
        archive = subprocess.check_output(["git", "archive", "--format=tar", self.id], cwd=self.repository)
        with (
            tempfile.TemporaryDirectory(prefix="release-") as directory,
            tarfile.open(fileobj=io.BytesIO(archive)) as files,
        ):
            files.extractall(directory, filter="data")
            yield Path(directory)


def clean_commit(repository: Path) -> Commit:
    """The commit that is checked out.

    Raises:
        DirtyTreeError: there are changes, or files that are neither tracked nor ignored.
    """
    changed = _git(repository, "status", "--porcelain")
    if changed:
        raise DirtyTreeError(f"commit or remove these first, a release holds what is committed:\n{changed}")
    commit, seconds = _git(repository, "log", "-1", "--format=%H %ct").split()
    return Commit(repository, commit, int(seconds))


def _git(repository: Path, *arguments: str) -> str:
    return subprocess.check_output(["git", *arguments], cwd=repository, text=True).strip()
