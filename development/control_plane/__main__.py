"""`python -m development.control_plane build | start | path`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from development.control_plane.binaries import find_binaries
from development.control_plane.build import build_servers
from development.control_plane.server import ControlPlane
from development.go_build import BuildError
from development.processes import MissingProgramError, ProcessError

if TYPE_CHECKING:
    from types import FrameType

_CHECK_SECONDS = 1.0


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m development.control_plane", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build kube-apiserver and etcd unless they are there, and print their paths")
    commands.add_parser("path", help="print the path of kube-apiserver")
    start = commands.add_parser("start", help="run a control plane until interrupted")
    start.add_argument("--ready-file", type=Path, help="file to write the admin kubeconfig's path to, once ready")
    options = parser.parse_args(arguments)
    try:
        match options.command:
            case "build":
                for server in build_servers():
                    print(server)
            case "path":
                print(find_binaries().kube_apiserver)
            case "start":
                _serve(options.ready_file)
    except (MissingProgramError, BuildError, ProcessError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def _serve(ready_file: Path | None) -> NoReturn:
    signal.signal(signal.SIGTERM, _exit_on_signal)
    with ControlPlane() as control_plane:
        print(f"Ready: {control_plane.url}\nexport KUBECONFIG={control_plane.admin_kubeconfig}", flush=True)
        if ready_file is not None:
            # Whoever waits for the file must never see it half-written.
            unfinished = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
            unfinished.write_text(f"{control_plane.admin_kubeconfig}\n")
            unfinished.replace(ready_file)
        while True:
            control_plane.ensure_running()
            time.sleep(_CHECK_SECONDS)


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


if __name__ == "__main__":
    sys.exit(main())
