"""Puts htmx beside the console's other static files: a build hook of hatchling, and a script for a checkout.

htmx is not kept in the repository. The wheel `django-htmx` carries it, is locked with its hash, and is needed by nobody who installs the
product: wheel and sdist ship the file. Its content is compared with the one that was tried.
"""

from __future__ import annotations

import hashlib
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final

SOURCE: Final = "django-htmx==1.29.0"
FILE: Final = "django_htmx/static/django_htmx/htmx-2.min.js"
DIGEST: Final = "71ea67185bfa8c98c39d31717c6fce5d852370fcdfd129db4543774d3145c0de"
"""SHA-256 of htmx 2.0.10 as that wheel carries it."""
TARGET: Final = Path(__file__).resolve().parent / "operator/failed_execution_cleanup/console/static/htmx.min.js"


class HtmxNotFound(RuntimeError):  # noqa: N818 - named for what happened
    """htmx cannot be put in place; the message says why and what to do."""


def present() -> bool:
    """Whether htmx is in place already, as it is in an sdist."""
    return TARGET.is_file() and _digest(TARGET.read_bytes()) == DIGEST


def put_in_place() -> None:
    """Copy htmx out of the installed wheel, unless it is there.

    Raises:
        HtmxNotFound: the wheel is not installed, or carries something else.
    """
    if present():
        return
    try:
        source = Path(str(distribution(SOURCE.partition("==")[0]).locate_file(FILE)))
        content = source.read_bytes()
    except (PackageNotFoundError, OSError) as error:
        raise HtmxNotFound(f"htmx is in the wheel {SOURCE}, which cannot be read here ({error}): install it.") from None
    if _digest(content) != DIGEST:
        raise HtmxNotFound(f"{source} is not the htmx of {SOURCE}: SHA-256 {_digest(content)}, wanted {DIGEST}.")
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_bytes(content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    try:
        put_in_place()
    except HtmxNotFound as problem:
        sys.exit(f"hatch_build.py: {problem}")
else:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class HtmxHook(BuildHookInterface):  # type: ignore[type-arg]
        """Runs before a wheel, an editable wheel or an sdist is made."""

        PLUGIN_NAME = "custom"

        def dependencies(self) -> list[str]:
            """What the build needs beside hatchling: nothing where htmx is in place."""
            return [] if present() else [SOURCE]

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Put htmx in place.

            Raises:
                HtmxNotFound: it cannot be.
            """
            del version, build_data
            put_in_place()
