"""The cleanup a person means, by its own name or by that of its VM."""

from __future__ import annotations

import re
from typing import Final

from failed_execution_cleanup.client import CleanupClient, NoSuchCleanup
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

_OBJECT_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


async def find(client: CleanupClient, name: str) -> FailedExecutionCleanup:
    """The cleanup of that name, else the newest of the VM of that name.

    Raises:
        NoSuchCleanup: there is neither.
    """
    if _OBJECT_NAME.fullmatch(name) is not None:
        try:
            return await client.get(name)
        except NoSuchCleanup:
            pass
    every = await client.list_cleanups(vm_name=name)
    if not every:
        raise NoSuchCleanup(
            f"There is no cleanup {name} in namespace {client.namespace}, and none of a VM of that name.",
            remedy="`fec status` lists the cleanups; `-n` names another namespace.",
        )
    return every[0]
