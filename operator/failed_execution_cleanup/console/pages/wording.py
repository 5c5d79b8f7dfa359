"""The words of the pages, where they are not those of a resource: the product's own for what it calls itself (appliance facts 7.2)."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

from failed_execution_cleanup.client import EndingState
from failed_execution_cleanup.console.cards import CardState
from failed_execution_cleanup.recovery.actions import Kind, Phase
from failed_execution_cleanup.resources.cleanup import Holder, LeftoverKind

__all__ = [
    "ACTIONS",
    "CARD_STATES",
    "ENDINGS",
    "HOLDERS",
    "LEFTOVERS",
    "PHASES",
    "action_words",
    "counted_words",
    "in_words",
    "planned_words",
]

PHASES: Final = {
    Phase.DETACH: "Detach volumes from OMA",
    Phase.SNAPSHOTS: "Roll back and delete snapshots",
    Phase.REATTACH: "Reattach volumes to OMA",
    Phase.TEST_VM: "Delete test VM if created",
    Phase.DATABASE: "Reset VM to ready_for_failover",
}
"""The five actions of a cleanup."""

ACTIONS: Final = {
    Kind.MARK_CONTEXT: "Mark the VM as being cleaned up",
    Kind.STOP_VM: "Stop the test VM",
    Kind.DETACH: "Detach volume",
    Kind.REVERT: "Roll volume back to its snapshot",
    Kind.MARK_REVERTED: "Record the rollback",
    Kind.DELETE_SNAPSHOT: "Delete snapshot",
    Kind.CLEAR_SNAPSHOT: "Clear the snapshot's record",
    Kind.REMOVE_MAPPING: "Remove stale device mapping",
    Kind.ATTACH: "Attach volume to the OMA",
    Kind.SET_MODE: "Set the volume's operation mode",
    Kind.CREATE_EXPORT: "Create the volume's export",
    Kind.DESTROY_VM: "Destroy the test VM",
    Kind.EXPUNGE_VM: "Expunge the test VM",
    Kind.CLOSE_INCIDENT: "Close the failed job and reset the VM",
}

_COUNTED: Final = {
    Kind.STOP_VM: ("stop {} test VM", "stop {} test VMs"),
    Kind.DETACH: ("detach {} volume", "detach {} volumes"),
    Kind.REVERT: ("roll {} volume back to its snapshot", "roll {} volumes back to their snapshots"),
    Kind.DELETE_SNAPSHOT: ("delete {} snapshot", "delete {} snapshots"),
    Kind.ATTACH: ("attach {} volume to the OMA", "attach {} volumes to the OMA"),
    Kind.DESTROY_VM: ("destroy {} test VM", "destroy {} test VMs"),
    Kind.CLOSE_INCIDENT: ("close the failed job and reset the VM",) * 2,
}
"""What people look for in a phase, for one object and for several; the rest goes along with it."""

CARD_STATES: Final = {
    CardState.STUCK: "Stuck",
    CardState.RUNNING: "In progress",
    CardState.UNKNOWN: "Unknown",
    CardState.CLEAN: "Healthy",
}

ENDINGS: Final = {
    EndingState.WORKING: "Working",
    EndingState.WAITING: "Waiting",
    EndingState.CLEAN: "Done",
    EndingState.NEEDS_PERSON: "Needs you",
    EndingState.SUSPENDED: "Suspended",
    EndingState.AWAITING_APPROVAL: "Awaiting approval",
}

HOLDERS: Final = {
    Holder.OMA: "On the OMA",
    Holder.TEST_VM: "On the test VM",
    Holder.DETACHED: "Detached",
    Holder.OTHER: "On another VM",
    Holder.UNKNOWN: "Not known",
}

LEFTOVERS: Final = {
    LeftoverKind.SNAPSHOT.value: "Snapshot",
    LeftoverKind.VOLUME.value: "Volume",
    LeftoverKind.VIRTUAL_MACHINE.value: "VM",
    LeftoverKind.ROW.value: "Row",
}

_HUMP: Final = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def in_words(reason: str) -> str:
    """A CamelCase reason as words: `RunningTestVM` becomes `Running test VM`."""
    first, *others = _HUMP.split(reason)
    return " ".join((first, *(word if word.isupper() else word.lower() for word in others)))


def action_words(kind: Kind, *, forced: bool = False) -> str:
    """What an action does."""
    return f"{ACTIONS[kind]}, by force" if forced else ACTIONS[kind]


def counted_words(kinds: Iterable[Kind]) -> str:
    """What some actions come to, such as `detach 3 volumes`; what only goes along with others is told where it is alone."""
    counts = Counter(kinds)
    told = [words[counts[kind] > 1].format(counts[kind]) for kind, words in _COUNTED.items() if counts[kind]]
    if not told:
        told = [f"{ACTIONS[kind][:1].lower()}{ACTIONS[kind][1:]}" for kind in counts]
    return ", ".join(told)


def planned_words(action: str) -> str:
    """What an action of a resource's status does; one that only a newer operator knows stays as it is."""
    try:
        return ACTIONS[Kind(action)]
    except ValueError:
        return action
