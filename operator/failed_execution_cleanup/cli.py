"""`fec`, also as `kubectl fec`: the commands of `commands`, `console` and `local`, put together.

A command's module is imported when the command is used: who asks for a status, or completes a name, does not wait for the operator's
libraries.
"""

from __future__ import annotations

from importlib import import_module
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup

from failed_execution_cleanup import __version__

_PACKAGE: Final = "failed_execution_cleanup"
COMMANDS: Final = {
    **dict.fromkeys(("stuck", "status", "history", "report"), "commands.looking"),
    **dict.fromkeys(("plan", "cleanup"), "commands.placing"),
    **dict.fromkeys(("suspend", "resume", "rerun", "approve", "waive"), "commands.asking"),
    **dict.fromkeys(("run", "diagnose"), "commands.operating"),
    "serve": "console.command",
    "local": "local.commands",
}
"""Where each command is, in the order of the help."""


class ImportedWhenUsed(TyperGroup):
    """The commands of `COMMANDS`. Typer's own copy of click is private, so its objects are taken as they are."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of the commands."""
        del ctx
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command, imported now; None if there is none of that name."""
        if (module := COMMANDS.get(cmd_name)) is None:
            return None
        found: Any = typer.main.get_command(import_module(f"{_PACKAGE}.{module}").app)
        return found if found.name == cmd_name else found.get_command(ctx, cmd_name)


app = typer.Typer(
    name="fec",
    cls=ImportedWhenUsed,
    help="Repairs half-dead disaster-recovery failovers without losing replicated data.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def fec(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Repairs half-dead disaster-recovery failovers without losing replicated data."""


def main() -> None:
    """Entry point of the scripts `fec` and `kubectl-fec`, and of `python -m failed_execution_cleanup`."""
    app()
