"""Objects, their one version counter, and a bounded memory of their changes."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from kubernetes_emulator.kinds import Body, Kind

Key: TypeAlias = tuple[str, str]
"""Namespace ("" for cluster-scoped objects) and name."""


class Forgotten(Exception):  # noqa: N818 - named for what happened
    """The changes since that version are not known any more.

    Attributes:
        oldest: the oldest version whose changes are known.
    """

    def __init__(self, oldest: int) -> None:
        super().__init__(f"only versions from {oldest} on are remembered")
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Change:
    """One object became another one, or came, or went."""

    version: int
    key: Key
    before: Body | None
    after: Body | None

    def event(self) -> dict[str, Any]:
        """The change as a watch shows it; a removed object is shown as it was, with the version of its removal."""
        if self.after is not None:
            return {"type": "ADDED" if self.before is None else "MODIFIED", "object": self.after}
        return {"type": "DELETED", "object": _at_version(self.before or {}, self.version)}


@dataclass(slots=True)
class _Collection:
    """The objects of one kind."""

    oldest: int
    changes: deque[Change]
    objects: dict[Key, Body] = field(default_factory=dict)


class Store:
    """All objects of all kinds. It knows nothing of what they mean.

    Attributes:
        version: of the newest change, whatever kind it was of.
    """

    def __init__(self, history: int) -> None:
        """Begin empty.

        Args:
            history: how many changes are remembered per kind.
        """
        self.version = 1
        self._history = history
        self._collections: dict[str, _Collection] = {}
        self._changed = asyncio.Event()

    def open(self, kind: Kind) -> None:
        """Make room for objects of a kind; does nothing when there is."""
        if kind.resource not in self._collections:
            self._collections[kind.resource] = _Collection(self.version, deque(maxlen=self._history))

    def get(self, kind: Kind, key: Key) -> Body | None:
        """The object of that key."""
        return self._collections[kind.resource].objects.get(key)

    def put(self, kind: Kind, key: Key, body: Body) -> Body:
        """Store an object and return it with its new version."""
        after = _at_version(body, self.version + 1)
        self._record(kind, key, after)
        return after

    def remove(self, kind: Kind, key: Key) -> None:
        """Remove an object."""
        self._record(kind, key, None)

    def snapshot(self, kind: Kind, namespace: str | None, at: int | None = None) -> list[tuple[Key, Body]]:
        """Return the objects of one namespace or of all, in the order of their keys, as they are or were.

        Raises:
            Forgotten: that version was too long ago.
        """
        collection = self._collections[kind.resource]
        objects = dict(collection.objects)
        for change in reversed(self.changes(kind, None, self.version if at is None else at)):
            if change.before is None:
                del objects[change.key]
            else:
                objects[change.key] = change.before
        return [(key, objects[key]) for key in sorted(objects) if namespace in (None, key[0])]

    def changes(self, kind: Kind, namespace: str | None, after: int) -> list[Change]:
        """Return what changed in one namespace or in all after a version, oldest first.

        Raises:
            Forgotten: that version was too long ago.
        """
        collection = self._collections[kind.resource]
        if after < collection.oldest:
            raise Forgotten(collection.oldest)
        newer: list[Change] = []
        for change in reversed(collection.changes):
            if change.version <= after:
                break
            if namespace in (None, change.key[0]):
                newer.append(change)
        newer.reverse()
        return newer

    def next_change(self) -> asyncio.Event:
        """What the next change, of any kind, will set."""
        return self._changed

    def _record(self, kind: Kind, key: Key, after: Body | None) -> None:
        collection = self._collections[kind.resource]
        self.version += 1
        if len(collection.changes) == self._history:
            collection.oldest = collection.changes[0].version
        collection.changes.append(Change(self.version, key, collection.objects.get(key), after))
        if after is None:
            del collection.objects[key]
        else:
            collection.objects[key] = after
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _at_version(body: Body, version: int) -> Body:
    return {**body, "metadata": {**body["metadata"], "resourceVersion": str(version)}}
