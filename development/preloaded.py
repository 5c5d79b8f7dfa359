"""Programs of this repository, forked from one process that has imported them: a start costs milliseconds instead of seconds of CPU.

They are processes of their own like any other: with their own arguments, environment and log, ended by the signals they are sent, and
killed by the kernel when the process that asked for them is gone. Started anew from disk they are wherever memory, start-up or the
entry point itself is what a test looks at.
"""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from multiprocessing import forkserver
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final, cast

from development.processes import Process

_FORKSERVER: Final = multiprocessing.get_context("forkserver")
IMPORTS: Final = "development.preloaded_imports"
"""Importing it imports all that programs of this repository import when they run."""
_PR_SET_PDEATHSIG: Final = 1


def start_program(name: str, module: str, *arguments: str | Path, log: Path, env: Mapping[str, str]) -> Process:
    """Start `python -m <module> <arguments>` without waiting for it to become ready.

    Args:
        name: what messages call the process.
        module: package or module to run; those of `development.preloaded_imports` start at once.
        arguments: of the program.
        log: file to append standard output and standard error to.
        env: the whole environment.
    """
    warm_up()
    log.touch(mode=0o600)  # whoever waits for a line reads it before the program has begun
    process = _FORKSERVER.Process(
        target=_become, args=(module, [str(each) for each in arguments], log, dict(env)), name=name, daemon=True
    )
    process.start()
    return Process(name, _Forked(process), log)


@functools.cache
def warm_up() -> None:
    """Start the process that the programs are forked from; it imports them while the caller goes on."""
    _FORKSERVER.set_forkserver_preload([IMPORTS])
    before = os.environ.get("PYTHONPATH")
    # multiprocessing leaves the process without the parent's path until a child is forked, and says nothing of failed imports.
    os.environ["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def die_with(parent: int) -> None:
    """Have the kernel kill this process once its parent is gone (`prctl(2)`)."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(1)


class _Forked:
    """A forked process as `subprocess.Popen` shows one."""

    def __init__(self, process: ForkServerProcess) -> None:
        self.pid: Final = cast("int", process.pid)
        self._process = process

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired(self._process.name, timeout or 0.0)
        return code

    def terminate(self) -> None:
        self._process.terminate()

    def kill(self) -> None:
        self._process.kill()


def _become(module: str, arguments: Sequence[str], log: Path, env: Mapping[str, str]) -> None:
    die_with(os.getppid())
    asking = multiprocessing.parent_process()
    if asking is None or not asking.is_alive():
        os._exit(1)
    # Each child has the end of the pipe that keeps the process it was forked from alive, although only the first one to ask should.
    os.close(forkserver._forkserver._forkserver_alive_fd)  # type: ignore[attr-defined]  # noqa: SLF001
    os.setpgid(0, 0)
    descriptor = os.open(log, os.O_WRONLY | os.O_APPEND)
    for stream in (sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(descriptor, stream)
    os.environ.clear()
    os.environ.update(env)
    # The one thing an imported library has kept of the environment.
    for name in ("kubernetes.config.kube_config", "kubernetes.aio.config.kube_config"):
        if name in sys.modules:
            vars(sys.modules[name])["KUBE_CONFIG_DEFAULT_LOCATION"] = env.get("KUBECONFIG", "~/.kube/config")
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
