"""Settings of a process, from its environment and its command line; what is wrong with one is told, and ends the program."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import typer
from pydantic import ValidationError
from pydantic_settings import BaseSettings, SettingsError

from failed_execution_cleanup.commands.output import complain
from failed_execution_cleanup.exit_codes import ExitCode

__all__ = ["settings_of"]

Settings = TypeVar("Settings", bound=BaseSettings)


def settings_of(kind: type[Settings], given: Mapping[str, object], *, named: Callable[[str], str] = str) -> Settings:
    """The settings of the environment, with those of the command line before them.

    Args:
        kind: whose settings.
        given: options of the command line; None where one was not given.
        named: how people know a field.

    Raises:
        typer.Exit: one is not allowed; it was told which and why.
    """
    try:
        return kind.model_validate(
            kind().model_dump() | {name: value for name, value in given.items() if value is not None}
        )
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        wrong = "; ".join(
            f"{named('.'.join(map(str, one['loc']))) if one['loc'] else 'settings'}: {one['msg']}" for one in found
        )
    except SettingsError as error:
        wrong = f'{error}: a list is written as JSON, such as \'["one", "two"]\''
    complain(f"{wrong}.")
    raise typer.Exit(ExitCode.USAGE)
