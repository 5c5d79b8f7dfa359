"""Programs forked from a preloaded process are processes like any other."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from development.preloaded import start_program
from development.processes import Process, ProcessError

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import os, sys, time
print("arguments", *sys.argv[1:], flush=True)
print("loaded", "failed_execution_cleanup.controller.reconcile" in sys.modules, "kopf" in sys.modules, flush=True)
print("setting", os.environ.get("SETTING"), os.environ.get("HOME"), flush=True)
if sys.argv[1] == "fail":
    sys.exit(3)
time.sleep(600)
"""
START_A_CHILD = """
import pathlib, sys
from development.preloaded import start_program
child = start_program("child", "program_of_a_test", "wait", log=pathlib.Path(sys.argv[1]), env={"PYTHONPATH": ""})
child.wait_until(lambda: "arguments" in child.log_tail(), seconds=60)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "program_of_a_test.py").write_text(PROGRAM)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "program_of_a_test"


@pytest.fixture
def waiting(program: str, tmp_path: Path) -> Iterator[Process]:
    process = start_program("the program", program, "wait", log=tmp_path / "log", env={"SETTING": "given"})
    process.wait_until(lambda: "setting" in process.log_tail(), seconds=60)
    yield process
    process.kill()


def test_it_has_its_own_arguments_environment_and_log(waiting: Process) -> None:
    assert waiting.log_tail() == "arguments wait\nloaded True True\nsetting given None"
    assert os.getpgid(waiting.pid) == waiting.pid


def test_what_the_programs_import_is_there_before_they_begin(waiting: Process) -> None:
    assert "loaded True True" in waiting.log_tail()


def test_it_ends_by_the_signal_it_is_sent(waiting: Process) -> None:
    assert waiting.returncode is None
    assert waiting.stop() == -signal.SIGTERM
    assert waiting.returncode == -signal.SIGTERM
    assert not psutil.pid_exists(waiting.pid)


def test_sigkill_is_told_as_such(waiting: Process) -> None:
    waiting.kill()
    assert waiting.returncode == -signal.SIGKILL


def test_its_exit_code_is_the_programs(program: str, tmp_path: Path) -> None:
    process = start_program("the program", program, "fail", log=tmp_path / "log", env={})
    assert process.wait(seconds=60) == 3


def test_what_does_not_end_in_time_is_told_with_its_log(waiting: Process) -> None:
    with pytest.raises(ProcessError, match=r"the program still runs after 0 s:\narguments wait"):
        waiting.wait(seconds=0)


def test_it_ends_when_the_process_that_asked_for_it_is_killed(program: str, tmp_path: Path) -> None:
    paths = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "operator", ROOT / "simulators")))
    with subprocess.Popen(
        [sys.executable, "-c", START_A_CHILD, tmp_path / "log"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    gone, alive = psutil.wait_procs([child], timeout=30)
    assert (gone, alive) == ([child], [])
