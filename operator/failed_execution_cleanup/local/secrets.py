"""The secrets of an Appliance without a cluster: from its file, from a directory as Secrets are mounted, or from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretBytes

from failed_execution_cleanup.access.secrets import SecretMissing
from failed_execution_cleanup.appliance.errors import BadCredentials
from failed_execution_cleanup.local.appliance_file import ApplianceFile
from failed_execution_cleanup.resources.appliance import SecretKeyReference


def variable(reference: SecretKeyReference) -> str:
    """The environment variable of a value: key `url` of Secret `oma-database` is `FEC_SECRET_OMA_DATABASE_URL`."""
    return "FEC_SECRET_" + re.sub(r"[^A-Z0-9]", "_", f"{reference.name}_{reference.key}".upper())


@dataclass(frozen=True, slots=True)
class LocalSecrets:
    """Implements `access.secrets.SecretSource`; the first place that has a value is taken.

    Attributes:
        file: Secrets in the Appliance's own file come first.
        directory: then files `<name>/<key>` in it.
        environment: then `variable`.
    """

    file: ApplianceFile
    directory: Path | None
    environment: Mapping[str, str] = field(repr=False)
    system: str = "Secrets"

    def place(self, name: str) -> str:
        """The Secret by its name."""
        return f"Secret {name}"

    async def read(self, reference: SecretKeyReference) -> SecretBytes:
        """The value of one key.

        Raises:
            SecretMissing: no place has it; all of them are named.
            BadCredentials: its file cannot be read.
        """
        looked = [f"in {self.file.path}"]
        if (found := self.file.secrets.get(reference.name, {}).get(reference.key)) is not None:
            return found
        if self.directory is not None:
            path = self.directory / reference.name / reference.key
            try:
                return SecretBytes(path.read_bytes())
            except (FileNotFoundError, NotADirectoryError):
                looked.append(f"in {path}")
            except OSError as error:
                raise BadCredentials(
                    f"{path} cannot be read: {error.strerror}.",
                    system=self.system,
                    remedy="Correct the file or its permissions.",
                ) from None
        name = variable(reference)
        if name in self.environment:
            return SecretBytes(self.environment[name].encode())
        looked.append(f"in the environment variable {name}")
        raise SecretMissing(
            f"{self.place(reference.name)} with key {reference.key!r} was not found {', nor '.join(looked)}.",
            system=self.system,
            remedy="Give it in one of these places.",
        )
