"""How far a cleanup is, in few words: what the live table shows of its status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

PHASES: Final = ("detach-volumes", "cleanup-snapshots", "reattach-volumes", "cleanup-test-vm", "database-cleanup")
GOALS: Final = ("VolumesAttached", "SnapshotsRemoved", "TestVMRemoved", "ContextReady")
_NOT_YET: Final = "Pending"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a cleanup is.

    Attributes:
        phases: state of each of the five phases: Pending, Running, Completed, Skipped, Failed.
        goals: status of each of the four goals: True, False, Unknown.
        running: what runs now, such as `cleanup-snapshots 1/3`.
        ready: status of the condition Ready; empty if there is none yet.
        reason: its reason.
        message: its message.
        stalled: whether only a person can help.
    """

    phases: tuple[str, ...]
    goals: tuple[str, ...]
    running: str
    ready: str
    reason: str
    message: str
    stalled: bool

    @property
    def finished(self) -> bool:
        """Whether nothing happens any more without a person."""
        return self.ready == "True" or self.stalled


def progress_of(cleanup: Mapping[str, Any]) -> Progress:
    """Read the status of a FailedExecutionCleanup; what is not there yet counts as not begun."""
    status = cleanup.get("status", {})
    conditions = {condition["type"]: condition for condition in status.get("conditions", [])}
    phases = {phase["name"]: phase for phase in status.get("phases", [])}
    ready = conditions.get("Ready", {})
    return Progress(
        phases=tuple(phases.get(name, {}).get("state", _NOT_YET) for name in PHASES),
        goals=tuple(conditions.get(name, {}).get("status", "Unknown") for name in GOALS),
        running=", ".join(_counted(phases[name]) for name in PHASES if phases.get(name, {}).get("state") == "Running"),
        ready=ready.get("status", ""),
        reason=ready.get("reason", ""),
        message=ready.get("message", ""),
        stalled=conditions.get("Stalled", {}).get("status") == "True",
    )


def _counted(phase: Mapping[str, Any]) -> str:
    counted = f" {phase['done']}/{phase['total']}" if phase.get("total") and "done" in phase else ""
    return f"{phase['name']}{counted}"
