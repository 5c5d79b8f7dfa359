"""A cleanup in a few words, for tables and for programs."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from failed_execution_cleanup.client import Ending, EndingState, StuckVM, ending
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, PhaseState
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import ConditionType

CLEANUP_HEAD = ("NAME", "VM", "APPLIANCE", "STATE", "REASON", "PHASES", "AGE", "MESSAGE")
STUCK_HEAD = ("VM", "VCENTER", "APPLIANCE", "TYPE", "STUCK SINCE", "HELD BY", "CLEANUP", "LAST STEP")


def exit_code(found: Ending) -> ExitCode:
    """What a command that followed a cleanup says in the end."""
    if found.wrong_input:
        return ExitCode.USAGE
    match found.state:
        case EndingState.CLEAN:
            return ExitCode.CLEAN
        case EndingState.NEEDS_PERSON:
            return ExitCode.STALLED
        case EndingState.AWAITING_APPROVAL:
            return ExitCode.STALLED
        case _:
            return ExitCode.WAITING


def row(cleanup: FailedExecutionCleanup, *, with_namespace: bool = False) -> tuple[str, ...]:
    """One line of a table, under `CLEANUP_HEAD`."""
    found, metadata = ending(cleanup), cleanup.metadata
    name = f"{metadata.namespace}/{metadata.name}" if with_namespace else metadata.name
    return (
        name,
        cleanup.spec.vm_name,
        cleanup.spec.appliance_ref.name,
        found.state.value,
        found.reason,
        cleanup.status.phase_summary or "",
        age(metadata.creation_timestamp),
        found.message,
    )


def stuck_row(vm: StuckVM) -> tuple[str, ...]:
    """One line of a table, under `STUCK_HEAD`."""
    job = vm.job
    return (
        job.vm_name,
        job.vcenter_host or "",
        vm.appliance,
        job.type.value if job.type is not None else "",
        f"{job.stuck_since:%Y-%m-%d %H:%M} UTC" if job.stuck_since is not None else "",
        job.reason or "",
        job.cleanup or "",
        job.last_step or "",
    )


def stuck_document(vm: StuckVM) -> dict[str, Any]:
    """A stuck VM for programs: the fields of `kubectl explain appliance.status.stuck`, and the Appliance."""
    return {"appliance": vm.appliance, **vm.job.to_kubernetes()}


def document(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
    """A cleanup for programs: keys are stable; `status` has the fields of `kubectl explain fec.status`."""
    found, spec = ending(cleanup), cleanup.spec
    return {
        "name": cleanup.metadata.name,
        "namespace": cleanup.metadata.namespace,
        "vmName": spec.vm_name,
        "vcenterHost": spec.vcenter_host,
        "appliance": spec.appliance_ref.name,
        "mode": spec.mode.value,
        "state": found.state.value,
        "over": found.over,
        "exitCode": exit_code(found).value,
        "reason": found.reason,
        "message": found.message,
        "remedy": found.remedy or None,
        "status": cleanup.status.to_kubernetes(),
    }


def plan_document(cleanup: FailedExecutionCleanup) -> dict[str, Any]:
    """A plan for programs."""
    found, status = ending(cleanup), cleanup.status
    blocked = found.reason != "PlanReady"
    return {
        "name": cleanup.metadata.name,
        "namespace": cleanup.metadata.namespace,
        "vmName": cleanup.spec.vm_name,
        "appliance": cleanup.spec.appliance_ref.name,
        "failedJob": status.failed_job.to_kubernetes() if status.failed_job is not None else None,
        "actions": [action.to_kubernetes() for action in status.plan],
        "planHash": status.plan_hash,
        "notNeeded": [
            {"phase": phase.name.value, "why": phase.message}
            for phase in status.phases
            if phase.state is PhaseState.SKIPPED
        ],
        "blockedBy": {"reason": found.reason, "message": found.message, "remedy": found.remedy} if blocked else None,
        "summary": planned_message(cleanup),
    }


def planned_message(cleanup: FailedExecutionCleanup) -> str:
    """What the condition Planned says; empty where there is no plan."""
    planned = get_condition(cleanup.status.conditions, ConditionType.PLANNED)
    return planned.message if planned is not None else ""


def age(since: datetime | None) -> str:
    """How long ago, in the greatest unit that says something, as kubectl does."""
    if since is None:
        return ""
    seconds = max(0, int((datetime.now(UTC) - since).total_seconds()))
    for unit, length, until in (("s", 1, 120), ("m", 60, 7_200), ("h", 3_600, 172_800)):
        if seconds < until:
            return f"{seconds // length}{unit}"
    return f"{seconds // 86_400}d"
