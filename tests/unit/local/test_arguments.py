"""The command line, checked before anything is opened: what is wrong is said in the words of the command line."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from failed_execution_cleanup.local.appliance_file import read_appliance_file
from failed_execution_cleanup.local.arguments import Arguments, Prepared, UsageError
from failed_execution_cleanup.recovery.goals import Waiver
from tests.unit.local.test_appliance_file import APPLIANCE

JOB = "6f0c9a12"


def arguments(tmp_path: Path, **changed: Any) -> Arguments:
    path = tmp_path / "my appliance.yaml"
    path.write_text(yaml.safe_dump(APPLIANCE))
    given = {"vm": "PG Test 1", "file": path, "secrets_dir": None, "vcenter_host": None, "job": None, "waive": ()}
    return Arguments(**{**given, **changed})


def prepared(asked: Arguments) -> Prepared:
    return Prepared.of(asked, read_appliance_file(asked.file), planned=False)


def test_every_command_has_an_identity_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("getpass.getuser", lambda: "alice")
    monkeypatch.setattr("socket.gethostname", lambda: "oma1")
    orders = [prepared(arguments(tmp_path, note="ticket 4711")).order for _ in range(2)]
    assert len({order.asker for order in orders}) == 2
    for order in orders:
        assert order.asker is not None
        assert order.asker.startswith("local/alice@oma1/")
        assert order.requested_at == order.asker
        assert order.note == "break-glass by alice@oma1: ticket 4711"


def test_an_account_without_a_name_is_told_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no such account")

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.setattr("os.getuid", lambda: 1001)
    order = prepared(arguments(tmp_path)).order
    assert order.asker is not None
    assert order.asker.startswith("local/1001@")


def test_waivers_are_read(tmp_path: Path) -> None:
    asked = arguments(tmp_path, job=JOB, waive=("RunningTestVM=job", "AcceptContent=vol-1"))
    order = prepared(asked).order
    assert order.waivers == {Waiver("RunningTestVM", "job"), Waiver("AcceptContent", "vol-1")}
    assert order.job_id == JOB


def test_the_command_that_was_planned_survives_a_shell(tmp_path: Path) -> None:
    asked = arguments(tmp_path, vcenter_host="vc01", waive=("RunningTestVM=job",), secrets_dir=Path("/run/my secrets"))
    words = shlex.split(asked.again(JOB))
    assert words[:4] == ["fec", "local", "cleanup", "PG Test 1"]
    assert words[words.index("--appliance") + 1] == str(asked.file)
    assert words[words.index("--secrets-dir") + 1] == "/run/my secrets"
    assert words[words.index("--waive") + 1] == "RunningTestVM=job"
    assert words[words.index("--job") + 1] == JOB


@pytest.mark.parametrize(
    ("changed", "environment", "named"),
    [
        ({"waive": ("RunningTestVM=job",)}, {}, ["--job"]),
        ({"waive": ("Nothing=job",), "job": JOB}, {}, ["Nothing=job", "LiveFailover"]),
        ({"waive": ("RunningTestVM",), "job": JOB}, {}, ["RunningTestVM=job"]),
        ({"waive": ("AcceptContent=job",), "job": JOB}, {}, ["id of a volume"]),
        ({"waive": ("ZombieJob=job",), "job": JOB}, {}, ["id of a row"]),
        ({"vm": " "}, {}, ["vmName"]),
        ({"job": ""}, {}, ["failoverJobID"]),
        ({"note": "x" * 2000}, {}, ["note", "1024"]),
        ({}, {"FEC_CLAIM_EXPIRY_SECONDS": "soon"}, ["claim_expiry_seconds", "environment"]),
    ],
    ids=[
        "waiver without job", "unknown waiver", "waiver without object", "content of a job", "zombie job", "blank name",
        "empty job", "long note", "environment",
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    environment: dict[str, str],
    named: list[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as told:
        prepared(arguments(tmp_path, **changed))
    assert [word for word in named if word not in str(told.value)] == []
