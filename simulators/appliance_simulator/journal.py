"""Ordered record of what reached the appliance and what it did.

Two kinds of entry share one sequence: `Request`, a mutating call with the note whether it was executed, and `Effect`, a
change of the cloud. Reads are only counted. No entry holds a credential.
"""

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

SECRET_PARAMETERS: Final = frozenset({"apikey", "signature", "sessionkey", "secretkey"})


class Door(StrEnum):
    """Where a request came in."""

    OSSEA = "ossea"
    DAEMON = "daemon"


@dataclass
class Request:
    """A mutating call.

    Attributes:
        sequence: Place in the journal, over requests and effects.
        time: Unix time in seconds.
        door: The API it reached.
        caller: `client`, or `daemon` for what the Volume Daemon asks of OSSEA.
        command: OSSEA command, or the daemon's action (`attach`, `attach-root`, `detach`, `delete`, `export`).
        object_ids: The objects it names, first the one it is about.
        parameters: What was sent, without credentials.
        executed: Whether it was accepted and its work started.
        job_id: OSSEA job or daemon operation it started.
        status: HTTP status of the answer; None when the connection was closed instead.
        fault: The fault that struck, if any.
    """

    sequence: int
    time: float
    door: Door
    caller: str
    command: str
    object_ids: tuple[str, ...]
    parameters: dict[str, str]
    executed: bool = False
    job_id: str | None = None
    status: int | None = None
    fault: str | None = None


@dataclass(frozen=True)
class Effect:
    """A change of the cloud.

    Attributes:
        sequence: Place in the journal, over requests and effects.
        time: Unix time in seconds.
        kind: For example `attached`, `detached`, `reverted`, `snapshot-deleted`, `vm-stopped`, `vm-destroyed`.
        object_id: The volume, snapshot or VM that changed.
        details: Other ids and values, for example `virtualmachineid`.
    """

    sequence: int
    time: float
    kind: str
    object_id: str
    details: dict[str, str]


@dataclass
class Journal:
    """Everything that happened, in order.

    Attributes:
        entries: Mutating calls and changes of the cloud.
        reads: Counts of the other calls.
        hasty: Calls of any kind that came again before the pause was over that a 429 asked for.
    """

    entries: list[Request | Effect] = field(default_factory=list)
    reads: Counter[str] = field(default_factory=Counter)
    hasty: list[str] = field(default_factory=list)

    def request(
        self,
        door: Door,
        command: str,
        object_ids: tuple[str, ...],
        parameters: Mapping[str, str],
        *,
        caller: str = "client",
    ) -> Request:
        """Note a mutating call the moment it arrives; the caller fills in how it ended."""
        shown = {name: value for name, value in parameters.items() if name.lower() not in SECRET_PARAMETERS}
        entry = Request(len(self.entries), time.time(), door, caller, command, object_ids, shown)
        self.entries.append(entry)
        return entry

    def effect(self, kind: str, object_id: str, **details: str) -> None:
        """Note a change of the cloud."""
        self.entries.append(Effect(len(self.entries), time.time(), kind, object_id, details))

    def requests(
        self, command: str | None = None, *, door: Door | None = None, caller: str | None = "client"
    ) -> list[Request]:
        """The mutating calls, by default those of clients only (`caller=None` is everybody's)."""
        return [
            entry
            for entry in self.entries
            if isinstance(entry, Request)
            and (command is None or entry.command == command)
            and (door is None or entry.door == door)
            and (caller is None or entry.caller == caller)
        ]

    def effects(self, kind: str | None = None) -> list[Effect]:
        """The changes of the cloud, all or those of one kind."""
        return [entry for entry in self.entries if isinstance(entry, Effect) and (kind is None or entry.kind == kind)]

    def clear(self) -> None:
        """Forget everything so far."""
        self.entries.clear()
        self.reads.clear()
        self.hasty.clear()

    def as_json(self) -> dict[str, Any]:
        """The journal as plain JSON values."""
        return {
            "entries": [{"entry": type(entry).__name__.lower(), **asdict(entry)} for entry in self.entries],
            "reads": dict(self.reads),
        }
