"""docs/reference/cli.md tells every command there is."""

from __future__ import annotations

import pytest

from development import command_page
from failed_execution_cleanup.exit_codes import ExitCode


def test_the_page_in_the_repository_is_the_one_that_would_be_made() -> None:
    assert command_page.PAGE.read_text(encoding="utf-8") == command_page.page(), (
        "run python -m development.command_page"
    )


@pytest.mark.parametrize(
    "told",
    [
        "## fec cleanup\n",
        "## fec local plan\n",
        "fec waive NAME REASON [OBJECT] [OPTIONS]",
        "`-o md\\|json\\|html`",
        "`--waive REASON[=OBJECT]`",
        "`--wait`, `--no-wait`",
    ],
)
def test_commands_arguments_and_options_are_told(told: str) -> None:
    assert told in command_page.page()


@pytest.mark.parametrize("code", ExitCode)
def test_every_exit_code_is_explained(code: ExitCode) -> None:
    assert f"| {code.value} | {code.meaning} |\n" in command_page.page()


def test_check_finds_a_page_that_is_out_of_date(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["command_page", "--check"])
    assert command_page.main() == 0
    monkeypatch.setattr(command_page, "page", lambda: "something else")
    assert command_page.main() == 1
    assert "make generate" in capsys.readouterr().err
