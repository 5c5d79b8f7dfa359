"""`systemd/operator.env` and `systemd/console.env`: each setting as a comment with its default, generated from the settings classes.

python -m development.environment_files [--check]
"""

from __future__ import annotations

import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from development.generated_file import write_or_check
from development.settings_page import variables
from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.settings import OperatorSettings

DIRECTORY: Final[Path] = Path(__file__).resolve().parent.parent / "systemd"
_WIDTH: Final = 118

_GIVEN_BY_UNIT: Final = frozenset({"FEC_KUBECONFIG", "FEC_IDENTITY"})
"""The unit names the kubeconfig, and an identity written down would not be unique."""

_FILES: Final[Mapping[str, tuple[str, tuple[type[BaseSettings], ...]]]] = {
    "operator.env": ("/etc/failed-execution-cleanup/operator.env, read by fec.service", (OperatorSettings,)),
    "console.env": (
        "/etc/failed-execution-cleanup/console.env, read by fec-console.service",
        (ConsoleSettings, ClaimSettings),
    ),
}


def files() -> dict[str, str]:
    """Each file's content by its name."""
    return {
        name: f"# {place}. What is shown after = is the default. No secret belongs here.\n{''.join(_lines(classes))}"
        for name, (place, classes) in _FILES.items()
    }


def _lines(classes: tuple[type[BaseSettings], ...]) -> Iterator[str]:
    for settings in classes:
        for variable, field in variables(settings).items():
            if variable in _GIVEN_BY_UNIT:
                continue
            meaning = " ".join((field.description or "").split())
            yield "\n" + "".join(f"# {line}\n" for line in textwrap.wrap(meaning, _WIDTH))
            yield f"#{variable}={_default(field)}\n"


def _default(field: FieldInfo) -> str:
    match field.default:
        case None:
            return ""
        case tuple() as values:
            return f"'{json.dumps(values)}'"
        case value:
            return f"{value:g}" if isinstance(value, float) else str(value)


def main() -> int:
    """Write the files, or with `--check` tell whether they are up to date (exit code 1: not)."""
    return max(write_or_check(DIRECTORY / name, text) for name, text in files().items())


if __name__ == "__main__":
    sys.exit(main())
