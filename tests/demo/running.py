"""Starting the demo as people do: as a process of its own group, with an environment of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from development.stand import ROOT

IN_PLACE = (sys.executable, "-m", "development.demo")
SECONDS = 240


@dataclass(frozen=True, slots=True)
class Place:
    """Where a demo may leave traces.

    Attributes:
        temporary: its TMPDIR.
        environment: its whole environment.
    """

    temporary: Path
    environment: Mapping[str, str]

    def left_behind(self) -> list[str]:
        """Files that are left in TMPDIR, but for the lock that uv leaves when it installs."""
        return sorted(path.name for path in self.temporary.iterdir() if not path.match("uv-*.lock"))

    def run(self, command: Sequence[str], directory: Path = ROOT) -> subprocess.CompletedProcess[str]:
        """Run a demo to its end."""
        with self.started(command, directory) as process:
            output, _ = process.communicate(timeout=SECONDS)
        return subprocess.CompletedProcess(command, process.returncode, output)

    @contextmanager
    def started(self, command: Sequence[str], directory: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
        """Start a demo in a process group of its own, as a shell does; killed if the block leaves it running."""
        process = subprocess.Popen(
            command,
            cwd=directory,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )
        with process:
            try:
                yield process
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


def new_place(directory: Path, **environment: str) -> Place:
    """A place with an empty cache directory, where no kube-apiserver was ever built."""
    temporary = directory / "tmp"
    temporary.mkdir()
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("FEC_", "DEMO_", "MAKE", "MFLAGS", "PYTEST_", "VIRTUAL_ENV", "KUBE"))
    }
    home_cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    own = {
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("operator", "simulators", ".")),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(temporary),
        "XDG_CACHE_HOME": str(directory / "cache"),
        # What was downloaded before need not be downloaded again: packages are not what is tested.
        "PIP_CACHE_DIR": os.environ.get("PIP_CACHE_DIR", str(home_cache / "pip")),
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(home_cache / "uv")),
    }
    return Place(temporary, inherited | own | environment)


def wait_for_output(process: subprocess.Popen[str], marker: str) -> str:
    """Read a demo's output until something was printed, and return all of it."""
    assert process.stdout is not None
    read = []
    for line in process.stdout:
        read.append(line)
        if marker in line:
            return "".join(read)
    raise AssertionError(f"{marker!r} was never printed:\n{''.join(read)}")


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that a demo started, directly or not."""
    return psutil.Process(process.pid).children(recursive=True)


def still_alive(processes: Sequence[psutil.Process]) -> list[str]:
    """Those of them that did not end within some seconds; an orphan is reaped a moment after it died."""
    _, alive = psutil.wait_procs(processes, timeout=10)
    return [str(process) for process in alive]
