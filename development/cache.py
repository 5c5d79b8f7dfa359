"""Where things that are slow to make are kept: outside the checkout, shared by all checkouts of a user."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def cache_directory() -> Path:
    """Return `$XDG_CACHE_HOME/failed-execution-cleanup` (default `~/.cache/…`); it need not exist yet."""
    # An empty or relative value counts as unset (XDG base directory specification).
    configured = Path(os.environ.get("XDG_CACHE_HOME", ""))
    base = configured if configured.is_absolute() else Path.home() / ".cache"
    return base / "failed-execution-cleanup"


@contextmanager
def exclusive(directory: Path) -> Iterator[None]:
    """Create a directory and hold it locked against other processes that make something in it."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
