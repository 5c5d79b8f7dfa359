"""`docs/reference/settings.md`: every environment variable of the operator and of the console, generated from their settings classes.

python -m development.settings_page [--check]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AliasChoices
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from development.generated_file import write_or_check
from development.markdown import cell
from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings

PAGE: Final[Path] = Path(__file__).resolve().parent.parent / "docs" / "reference" / "settings.md"

_INTRODUCTION: Final = """\
# Settings

Generated from the settings classes by `make generate`. All are environment variables, and all are optional. What belongs to an appliance
(addresses, limits, waiting times, what may be waived) is not here but in its [Appliance](resources.md#appliance).

A list is written as JSON: `FEC_WATCH_NAMESPACES='["dr", "dr-test"]'`. A value that is not allowed ends the process at once with the name
of the variable. Options of the command line, such as `--kubeconfig`, go before the environment: [command line](cli.md).
"""
_SECTIONS: Final = (
    (
        "Operator and console",
        "Times that everybody who works on an appliance must agree on: operators of all clusters, consoles, and `fec local`. They say"
        " when a silent owner of a claim counts as dead.",
        ClaimSettings,
    ),
    ("Operator", "Read by `fec run`, and by `fec diagnose`.", OperatorSettings),
    ("Console", "Read by `fec serve`. Variables without `CONSOLE` mean the same as the operator's.", ConsoleSettings),
)
_END: Final = """
## Other variables

| variable | read by | |
|---|---|---|
| `POD_NAME` | `fec run` | begins the name under which this process owns Lease and claims; the host's name without it |
| `KUBECONFIG` | all commands | kubeconfig where neither an option, nor `FEC_KUBECONFIG`, nor a pod's service account says otherwise |
| `FEC_SECRET_<NAME>_<KEY>` | `fec local`, `fec serve --appliance-file` | value of a key of a Secret; [break-glass](../break-glass.md) \
tells how the name is made |
"""


def page() -> str:
    """The whole page.

    Raises:
        ValueError: a setting has no description.
    """
    parts = [_INTRODUCTION]
    told: set[str] = set()
    for heading, text, settings in _SECTIONS:
        inherited = told if settings is OperatorSettings else set()
        rows = {name: row for name, row in _rows(settings) if name not in inherited}
        told |= rows.keys()
        parts += [
            f"\n## {heading}\n\n{text}\n\n| variable | value | default | meaning |\n|---|---|---|---|\n",
            *rows.values(),
        ]
    return "".join((*parts, _END))


def variables(settings: type[BaseSettings]) -> dict[str, FieldInfo]:
    """Each environment variable of a settings class with its field; a group of settings of its own has none."""
    prefix = settings.model_config.get("env_prefix", "")
    return {
        _variable(prefix, name, field): field
        for name, field in settings.model_fields.items()
        if not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseSettings))
    }


def _variable(prefix: str, name: str, field: FieldInfo) -> str:
    if isinstance(field.validation_alias, AliasChoices):
        return next(str(choice) for choice in field.validation_alias.choices if str(choice).isupper())
    return f"{prefix}{name}".upper()


def _rows(settings: type[BaseSettings]) -> Iterator[tuple[str, str]]:
    for variable, field in variables(settings).items():
        if not field.description:
            raise ValueError(f"{settings.__name__}: {variable} has no description")
        meaning = cell(field.description)
        yield variable, f"| `{variable}` | {_value(field)} | {_default(field)} | {meaning} |\n"


def _value(field: FieldInfo) -> str:
    kind = next((each for each in get_args(field.annotation) if each is Path), field.annotation)
    if get_origin(kind) is Literal:
        return ", ".join(f"`{choice}`" for choice in get_args(kind))
    if get_origin(kind) is tuple:
        return "JSON list of texts"
    names: dict[Any, str] = {Path: "path", str: "text", int: "whole number", float: "number"}
    return f"{names[kind]}{_bounds(field)}"


def _bounds(field: FieldInfo) -> str:
    told = []
    for bound in field.metadata:
        match bound:
            case Ge(ge=value):
                told.append(f"at least {value}")
            case Gt(gt=value):
                told.append(f"more than {value}")
            case Le(le=value):
                told.append(f"at most {value}")
            case Lt(lt=value):
                told.append(f"less than {value}")
            case _:
                raise ValueError(f"no words for the bound {bound!r}")
    return "".join(f", {words}" for words in told)


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "made at start"
    match field.default:
        case None | "":
            return ""
        case tuple() as values:
            return f"`{json.dumps(values)}`"
        case value:
            return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def main() -> int:
    """Write the page, or with `--check` tell whether it is up to date (exit code 1: not)."""
    return write_or_check(PAGE, page())


if __name__ == "__main__":
    sys.exit(main())
