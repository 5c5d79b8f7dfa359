"""The units for systemd on the appliance, judged by systemd itself."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import pytest
import typer.main

from development.settings_page import variables
from failed_execution_cleanup.cli import app
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.operator import DRAIN_SECONDS
from failed_execution_cleanup.exit_codes import ExitCode
from tests.docs.pages import Block, blocks
from tests.package_build.containerfile import ROOT

UNITS: Final = sorted((ROOT / "systemd").glob("*.service"))
PROGRAM: Final = "/opt/failed-execution-cleanup/bin/fec"
CONFIGURATION: Final = "/etc/failed-execution-cleanup/"
HIGHEST_EXPOSURE: Final = 15
"""In tenths: `systemd-analyze security` calls up to 2.0 OK and a unit without any hardening 9.6 UNSAFE."""

EVERY_UNIT = pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)


def values(unit: Path, key: str) -> list[str]:
    """What a unit says of a key, in its order."""
    return re.findall(rf"^{key}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    assert program is not None, "install Debian's systemd"
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@EVERY_UNIT
def test_systemd_finds_no_fault(unit: Path, tmp_path: Path) -> None:
    there = tmp_path / unit.name
    # The program is where the documentation puts it, which is not here.
    there.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true"), encoding="utf-8")
    verified = analyze("verify", "--recursive-errors=no", there)
    assert (verified.returncode, verified.stderr) == (0, "")


@pytest.mark.parametrize("drop_in", blocks("ini"), ids=str)
def test_systemd_finds_no_fault_in_what_the_documentation_adds(drop_in: Block, tmp_path: Path) -> None:
    (unit,) = (unit for unit in UNITS if unit.name == "fec-console.service")
    there = tmp_path / unit.name
    there.write_text(unit.read_text(encoding="utf-8").replace(PROGRAM, "/bin/true") + drop_in.text, encoding="utf-8")
    verified = analyze("verify", "--recursive-errors=no", there)
    assert (verified.returncode, verified.stderr) == (0, "")
    named = set(re.findall(r"(FEC_\w+)=", drop_in.text))
    assert named <= set(variables(ConsoleSettings))


@EVERY_UNIT
def test_systemd_finds_little_exposure(unit: Path) -> None:
    judged = analyze("security", "--offline=yes", f"--threshold={HIGHEST_EXPOSURE}", unit)
    assert judged.returncode == 0, judged.stdout + judged.stderr


@EVERY_UNIT
def test_the_command_is_one_that_fec_knows(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    program, verb, *arguments = shlex.split(line)
    assert program == PROGRAM
    found: Any = typer.main.get_command(app)
    found.get_command(None, verb).make_context(verb, arguments)


@EVERY_UNIT
def test_secrets_are_handed_over_by_systemd_and_each_is_used(unit: Path) -> None:
    (line,) = values(unit, "ExecStart")
    handed = dict(value.split(":", 1) for value in values(unit, "LoadCredential"))
    assert set(re.findall(r"\$\{CREDENTIALS_DIRECTORY\}/(\S+)", line)) == handed.keys()
    assert all(place == f"{CONFIGURATION}{name}" for name, place in handed.items())
    assert not values(unit, "Environment")


@EVERY_UNIT
def test_the_settings_are_those_of_the_shipped_file(unit: Path) -> None:
    (place,) = values(unit, "EnvironmentFile")
    assert place.startswith(f"-{CONFIGURATION}"), "without the file, the defaults"
    assert (ROOT / "systemd" / Path(place).name).is_file()


@EVERY_UNIT
def test_it_may_end_its_work_and_comes_back_after_a_failure(unit: Path) -> None:
    assert int(values(unit, "TimeoutStopSec")[0]) >= max(45, 2 * DRAIN_SECONDS)
    assert values(unit, "Restart") == ["on-failure"]
    assert values(unit, "StartLimitIntervalSec") == ["0"]
    assert values(unit, "RestartPreventExitStatus") == [str(int(ExitCode.USAGE))]


def test_both_are_hardened_alike() -> None:
    def hardening(unit: Path) -> str:
        return unit.read_text(encoding="utf-8").partition("\nDynamicUser=")[2]

    assert len({hardening(unit) for unit in UNITS}) == 1
    assert len(UNITS) == 2
