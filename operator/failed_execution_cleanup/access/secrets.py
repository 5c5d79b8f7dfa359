"""Where the secrets come from that an Appliance refers to."""

from __future__ import annotations

from typing import Protocol

from pydantic import SecretBytes

from failed_execution_cleanup.appliance.errors import BadCredentials
from failed_execution_cleanup.resources.appliance import SecretKeyReference


class SecretMissing(BadCredentials):
    """A Secret, or a key in it, is nowhere to be found."""


class SecretSource(Protocol):
    """Finds the value of one key of a Secret."""

    @property
    def system(self) -> str:
        """Who keeps the secrets, as messages name it."""
        ...

    def place(self, name: str) -> str:
        """The Secret as messages name it, such as `Secret operators/oma-database`."""
        ...

    async def read(self, reference: SecretKeyReference) -> SecretBytes:
        """The value, read afresh.

        Raises:
            SecretMissing: there is no such Secret, or no such key in it.
            BadCredentials: it may not be read.
        """
        ...
