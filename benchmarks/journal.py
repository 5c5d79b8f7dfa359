"""What the pretend appliance noted about the volumes, as chains of steps and as moments."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from benchmarks.bound import Chain, Step

Entry: TypeAlias = Mapping[str, Any]

REVERTS: Final = "reverts"
"""Name of the server that all reverts share under `revertsInParallel`."""

_COMMANDS: Final = {
    "detached": "detachVolume",
    "reverted": "revertSnapshot",
    "snapshot-deleted": "deleteSnapshot",
    "attached": "attachVolume",
}
"""Command whose job has an effect."""


@dataclass(frozen=True, slots=True)
class Span:
    """When something began and ended, in seconds since the epoch."""

    begun: float
    ended: float


def chains(entries: Iterable[Entry], latencies: Mapping[str, float]) -> list[Chain]:
    """The work of each volume in the order it had its effects, each step as long as the backend takes for it alone.

    Args:
        entries: of the journal.
        latencies: seconds by command, as set in the appliance.
    """
    steps: defaultdict[str, list[Step]] = defaultdict(list)
    for entry in entries:
        command = _COMMANDS.get(entry.get("kind", "")) if entry["entry"] == "effect" else None
        if command is None:
            continue
        details = entry["details"]
        volume_id = details["volumeid"] if command == "deleteSnapshot" else entry["object_id"]
        server = REVERTS if command == "revertSnapshot" else details.get("virtualmachineid")
        steps[volume_id].append(Step(command, latencies.get(command, 0.0), server))
    return list(steps.values())


def requests(entries: Iterable[Entry], *commands: str) -> list[Entry]:
    """Mutating requests of the operator, in order; only of these commands where some are named."""
    return [
        entry
        for entry in entries
        if entry["entry"] == "request"
        and entry["caller"] == "client"
        and (not commands or entry["command"] in commands)
    ]


def first_requests(entries: Iterable[Entry], owners: Mapping[str, str]) -> dict[str, float]:
    """When the first mutating request for each VM came, in seconds since the epoch.

    Args:
        entries: of the journal.
        owners: VM name by the ids of its volumes and snapshots.
    """
    first: dict[str, float] = {}
    for entry in requests(entries):
        for object_id in entry["object_ids"]:
            if object_id in owners:
                first.setdefault(owners[object_id], entry["time"])
    return first


def span(entries: Sequence[Entry]) -> Span:
    """From the operator's first mutating request to the last change of the cloud.

    Raises:
        ValueError: there was none.
    """
    last = max(entry["time"] for entry in entries if entry["entry"] == "effect")
    return Span(min(entry["time"] for entry in requests(entries)), last)


def spans(entries: Sequence[Entry], command: str, effect: str) -> Iterator[Span]:
    """From each executed request of a command to the next effect of that kind on the same object.

    Args:
        entries: of the journal.
        command: such as `revertSnapshot`.
        effect: such as `reverted`; the request's object is the effect's or the effect's snapshot.
    """
    waiting: dict[str, float] = {}
    for entry in entries:
        if entry["entry"] == "request":
            if entry["caller"] == "client" and entry["command"] == command and entry["executed"]:
                waiting[entry["object_ids"][0]] = entry["time"]
        elif entry["kind"] == effect:
            begun = waiting.pop(entry["details"].get("snapshotid", entry["object_id"]), None)
            if begun is not None:
                yield Span(begun, entry["time"])


def most_at_once(spans: Iterable[Span]) -> int:
    """How many of them overlapped at most; one that ends as another begins does not overlap it."""
    changes = sorted(change for one in spans for change in ((one.begun, 1), (one.ended, -1)))
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def most_in_a_second(moments: Iterable[float]) -> int:
    """How many of them lie within one second at most."""
    ordered = sorted(moments)
    first = most = 0
    for index, moment in enumerate(ordered):
        while moment - ordered[first] >= 1.0:
            first += 1
        most = max(most, index - first + 1)
    return most
