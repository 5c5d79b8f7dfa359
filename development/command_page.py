"""`docs/reference/cli.md`: every command of `fec` with its arguments and options, and the exit codes, generated from the product.

python -m development.command_page [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, get_args

import typer.main

from development.generated_file import write_or_check
from development.markdown import cell, paragraphs
from failed_execution_cleanup.cli import app
from failed_execution_cleanup.exit_codes import ExitCode

PAGE: Final[Path] = Path(__file__).resolve().parent.parent / "docs" / "reference" / "cli.md"

_INTRODUCTION: Final = """\
# Command line

Generated from the program by `make generate`. `fec` works with the rights of your kubeconfig and through the two resources alone, so
whatever it does can be done with kubectl as well ([kubectl](../kubectl.md)); what you may do is set out in
[permissions](../permissions.md). Installed as `kubectl-fec` on the `PATH` it is also `kubectl fec`.

`-o json` and `-o yaml` write data with stable keys on standard output and nothing else; what goes on meanwhile is told on standard error.
Ctrl-C while a cleanup is followed ends the watching, never the cleanup. `fec --install-completion` completes commands, VMs and cleanups.

## Exit codes

| code | meaning |
|---|---|
"""


def page() -> str:
    """The whole page."""
    codes = "".join(f"| {code.value} | {code.meaning} |\n" for code in ExitCode)
    return "".join(
        (_INTRODUCTION, codes, "| 1 | An error of this program. |\n", *_commands(typer.main.get_command(app), "fec"))
    )


def _commands(group: Any, path: str) -> Iterator[str]:
    # Typer's own copy of click is private, so its objects are taken as they are.
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        if hasattr(command, "list_commands"):
            yield from _commands(command, f"{path} {name}")
        else:
            yield from _command(command, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    arguments = [each for each in command.params if each.param_type_name == "argument"]
    options = [each for each in command.params if each.param_type_name == "option" and each.name != "help"]
    usage = " ".join((path, *(_placeholder(argument) for argument in arguments), "[OPTIONS]"))
    yield f"\n## {path}\n\n```\n{usage}\n```\n\n{paragraphs(command.help)}\n"
    rows = [(f"`{_placeholder(argument)}`", argument.help or "") for argument in arguments]
    rows += [(_names(option), option.help or "") for option in options]
    yield "\n| | |\n|---|---|\n"
    yield from (f"| {left} | {cell(right)} |\n" for left, right in rows)


def _placeholder(argument: Any) -> str:
    text = str(argument.metavar or argument.name.upper()).strip("[]")
    return text if argument.required else f"[{text}]"


def _names(option: Any) -> str:
    names = [*option.opts, *option.secondary_opts]
    value = "" if option.is_flag else f" {_value(option)}"
    return cell(", ".join(f"`{name}{value}`" for name in sorted(names, key=len)))


def _value(option: Any) -> str:
    if option.metavar:
        return str(option.metavar)
    annotation = option.type_descriptor.annotation
    (kind, *_) = get_args(annotation) or (annotation,)
    if issubclass(kind, Enum):
        return "|".join(str(choice.value) for choice in kind)
    return {str: "TEXT", int: "NUMBER", float: "NUMBER", Path: "FILE"}[kind]


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
