"""`python -m development.demo [--slow] [--crash | --refuse] [--record FILE]`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from development.demo.cluster import OWN_CLUSTER, ClusterError
from development.demo.performance import Options, perform
from development.processes import LOOPBACK, MissingProgramError, ProcessError

_INTERRUPTS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_COLUMNS_IN_A_FILE: Final = 120


def parse(arguments: list[str]) -> Options:
    """Command line options."""
    parser = argparse.ArgumentParser(
        prog="python -m development.demo",
        description="Five stuck test failovers are cleaned up before your eyes. The real kube-apiserver is used when it "
        f"is built already, your own cluster with {OWN_CLUSTER}, otherwise an emulator.",
    )
    parser.add_argument("--slow", action="store_true", help="with latencies in the proportions of a real cloud")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--crash", action="store_true", help="kill the operator in the middle, and start it again")
    which.add_argument(
        "--refuse", action="store_true", help="show what is refused: a healthy failover, a running test VM"
    )
    parser.add_argument("--record", type=Path, metavar="FILE", help="draw the performance into an SVG file")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: list[str]) -> int:
    """Give one performance; 0 only if it ended as it had to."""
    options = parse(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _COLUMNS_IN_A_FILE
    for number in _INTERRUPTS:
        signal.signal(number, _interrupt)
    _reach_loopback_without_proxy()
    try:
        with ExitStack() as stack:
            try:
                return 0 if perform(options, console, stack) else 1
            finally:
                _let_nothing_interrupt()
    except (ClusterError, MissingProgramError, ProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted: everything is stopped and removed.\n")
        return 128 + signal.SIGINT


def _reach_loopback_without_proxy() -> None:
    """All parts of the demo are on this machine, whatever the environment says of the world outside."""
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), LOOPBACK)))


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # Only once: whoever is impatient must not leave half of it behind.
    _let_nothing_interrupt()
    raise KeyboardInterrupt


def _let_nothing_interrupt() -> None:
    for number in _INTERRUPTS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
