"""Watches: what changed since a version, then what changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from kubernetes_emulator.failures import expired
from kubernetes_emulator.kinds import Body, Kind
from kubernetes_emulator.store import Forgotten, Store


async def watch(
    store: Store,
    kind: Kind,
    namespace: str | None,
    since: int,
    *,
    seconds: float | None,
    bookmark_seconds: float | None,
) -> AsyncIterator[dict[str, Any]]:
    """Yield events until the time is over, or the version to continue from is forgotten.

    Nothing is buffered per watch: one that falls too far behind ends with 410, as a late one does.

    Args:
        store: the objects.
        kind: their kind.
        namespace: where; None for everywhere.
        since: the version to continue from; 0 begins with all objects, as additions.
        seconds: how long; None for as long as the client listens.
        bookmark_seconds: how often to tell the version reached; None for never.
    """
    now = asyncio.get_running_loop().time
    ends_at = now() + seconds if seconds is not None else float("inf")
    bookmark_at = now() + bookmark_seconds if bookmark_seconds is not None else float("inf")
    if since == 0:
        since = store.version
        for _, body in store.snapshot(kind, namespace):
            yield {"type": "ADDED", "object": body}
    while True:
        # In this order: what happens while events are on their way is noticed afterwards.
        changed = store.next_change()
        reached = max(since, store.version)
        try:
            changes = store.changes(kind, namespace, since)
        except Forgotten as forgotten:
            status = expired(f"too old resource version: {since} ({forgotten.oldest})").status
            yield {"type": "ERROR", "object": status}
            return
        for change in changes:
            yield change.event()
        since = reached
        if now() >= ends_at:
            return
        if bookmark_seconds is not None and now() >= bookmark_at:
            yield {"type": "BOOKMARK", "object": _bookmark(kind, since)}
            bookmark_at = now() + bookmark_seconds
        wake_at = min(ends_at, bookmark_at)
        try:
            async with asyncio.timeout_at(wake_at if wake_at != float("inf") else None):
                await changed.wait()
        except TimeoutError:
            continue


def _bookmark(kind: Kind, version: int) -> Body:
    return {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {"resourceVersion": str(version)}}
