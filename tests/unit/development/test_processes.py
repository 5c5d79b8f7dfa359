"""Child processes are waited for, stopped, and never outlive their parent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from development.processes import LOOPBACK, Process, ProcessError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SLEEP = "import time; print('up', flush=True); time.sleep(600)"
IGNORE_TERMINATION = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEP}"
START_A_CHILD = f"""
import pathlib, sys
from development.processes import Process
child = Process.start("child", [sys.executable, "-c", {SLEEP!r}], log=pathlib.Path(sys.argv[1]))
print(child.pid, flush=True)
sys.stdin.read()
"""


def start(code: str, log: Path) -> Process:
    return Process.start("the program", [sys.executable, "-c", code], log=log)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def sleeper(log: Path) -> Iterator[Process]:
    process = start(SLEEP, log)
    process.wait_until(lambda: "up" in process.log_tail(), seconds=30)
    yield process
    process.kill()


def test_pid_is_that_of_the_program_itself(sleeper: Process) -> None:
    assert psutil.Process(sleeper.pid).cmdline()[1:] == ["-c", SLEEP]


def test_stop_ends_the_process_with_sigterm(sleeper: Process) -> None:
    assert sleeper.stop() == -signal.SIGTERM
    assert not psutil.pid_exists(sleeper.pid)


def test_stop_may_be_called_again(sleeper: Process) -> None:
    assert sleeper.stop() == sleeper.stop()


def test_stop_kills_a_process_that_ignores_sigterm(log: Path) -> None:
    process = start(IGNORE_TERMINATION, log)
    process.wait_until(lambda: "up" in process.log_tail(), seconds=30)
    assert process.stop(grace_seconds=0.01) == -signal.SIGKILL


def test_process_is_out_of_reach_of_the_terminals_interrupt(sleeper: Process) -> None:
    assert os.getpgid(sleeper.pid) == sleeper.pid != os.getpgrp()


def test_early_end_is_reported_with_exit_code_and_log(log: Path) -> None:
    process = start("import sys; print('no such table'); sys.exit(3)", log)
    with pytest.raises(ProcessError, match=r"the program ended with exit code 3:\nno such table"):
        process.wait_until(lambda: False, seconds=30)


def test_missed_readiness_is_reported_with_the_log(sleeper: Process) -> None:
    with pytest.raises(ProcessError, match=r"not ready within 0 s:\nup"):
        sleeper.wait_until(lambda: False, seconds=0)


def test_log_tail_returns_the_last_lines_only(log: Path) -> None:
    process = start("print(*range(50000), sep='\\n')", log)
    assert process.wait(seconds=30) == 0
    assert process.log_tail(lines=2) == "49998\n49999"


def test_child_ends_when_its_parent_is_killed(log: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", START_A_CHILD, log],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, alive = psutil.wait_procs([child], timeout=30)
    assert (gone, alive) == ([child], [])


def test_free_port_can_be_listened_on() -> None:
    with socket.socket() as server:
        server.bind((LOOPBACK, free_port()))
        server.listen()
