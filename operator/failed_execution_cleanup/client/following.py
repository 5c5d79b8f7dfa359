"""Every change of one cleanup until nothing happens any more, across lost connections."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Final

from failed_execution_cleanup.client.ending import ending
from failed_execution_cleanup.client.errors import NoSuchCleanup, translated
from failed_execution_cleanup.controller.kubernetes_api import (
    CLEANUPS,
    Body,
    Expired,
    ResourceApi,
    Selection,
    Unreachable,
)
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

UNREACHABLE_SECONDS: Final = 300.0
"""How long the API server may be away before whoever follows is told: longer than a rolling upgrade of a control plane."""

_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 15.0


async def follow(api: ResourceApi, namespace: str, name: str) -> AsyncGenerator[FailedExecutionCleanup]:
    """Yield the cleanup as it is now, then after each change seen; the last one is over, see `ending`.

    What changed while the connection was lost is seen as one change.

    Raises:
        NoSuchCleanup: there is none, or it was deleted; another one of its name does not count.
        ClientError: reading is not allowed, or the API server was away for `UNREACHABLE_SECONDS`.
    """
    uid, version = "", ""
    loop = asyncio.get_running_loop()
    unreachable_since: float | None = None
    pause = _FIRST_PAUSE
    while True:
        with translated():
            try:
                async with aclosing(_changes(api, namespace, name)) as changes:
                    async for body in changes:
                        unreachable_since, pause = None, _FIRST_PAUSE
                        metadata = body["metadata"]
                        if uid not in ("", metadata["uid"]):
                            raise _deleted(namespace, name)
                        if metadata["resourceVersion"] == version:
                            continue
                        uid, version = metadata["uid"], metadata["resourceVersion"]
                        cleanup = FailedExecutionCleanup.model_validate(body)
                        yield cleanup
                        if ending(cleanup).over:
                            return
                continue
            except Unreachable as error:
                unreachable_since = unreachable_since if unreachable_since is not None else loop.time()
                if loop.time() - unreachable_since >= UNREACHABLE_SECONDS:
                    raise
                wait = max(pause, error.retry_after_seconds or 0.0)
        await asyncio.sleep(wait)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _changes(api: ResourceApi, namespace: str, name: str) -> AsyncGenerator[Body]:
    """The object as it is now, then its changes until the server ends the stream."""
    body = await api.get(CLEANUPS, namespace, name)
    yield body
    selection = Selection(fields=f"metadata.name={name}")
    version = body["metadata"]["resourceVersion"]
    with suppress(Expired):
        async for change in api.watch(CLEANUPS, namespace, resource_version=version, selection=selection):
            if change.type == "DELETED":
                raise _deleted(namespace, name)
            yield change.object


def _deleted(namespace: str, name: str) -> NoSuchCleanup:
    return NoSuchCleanup(
        f"FailedExecutionCleanup {namespace}/{name} was deleted.",
        remedy="What it held is let go of; create a new one to go on.",
    )
