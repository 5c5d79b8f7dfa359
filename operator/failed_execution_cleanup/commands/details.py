"""One cleanup in full, a plan, and how it ended, as a person reads them."""

from __future__ import annotations

import shlex

from failed_execution_cleanup.client import EndingState, ending
from failed_execution_cleanup.commands.output import say, table
from failed_execution_cleanup.commands.summary import planned_message
from failed_execution_cleanup.local.wording import job_line
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, PhaseState
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import GOALS, ConditionType, Reason


def show_plan(cleanup: FailedExecutionCleanup) -> None:
    """Every action and why, what is not needed, what stands in the way, and how to have it carried out."""
    status, found = cleanup.status, ending(cleanup)
    _heading(cleanup)
    if status.plan:
        say("")
        rows = [(str(a.step), a.phase.value, a.action, a.object, a.why) for a in status.plan]
        table(("STEP", "PHASE", "ACTION", "OBJECT", "WHY"), rows)
    unneeded = [phase for phase in status.phases if phase.state is PhaseState.SKIPPED]
    if unneeded and status.plan:
        say("", "Not needed:", *(f"  {phase.name.value}: {phase.message or ''}" for phase in unneeded))
    blocked = found.reason != Reason.PLAN_READY
    summary = planned_message(cleanup)
    if summary and (not blocked or "Forbidden at present" in summary):
        say("", summary)
    if blocked:
        say("", f"{found.reason}: {found.message}")
        _next(found.remedy)
    if status.plan:
        name = cleanup.metadata.name
        approve = _again("approve", name, "--plan", status.plan_hash or "", cleanup=cleanup)
        say(
            "",
            f"plan hash: {status.plan_hash}",
            f"to do this and nothing else: {approve}",
            f"to clean up, whatever is found then: {_again('cleanup', cleanup.spec.vm_name, cleanup=cleanup)}",
        )


def show_end(cleanup: FailedExecutionCleanup) -> None:
    """How it ended, the four goals, what was left behind, and what a person does next."""
    status, found = cleanup.status, ending(cleanup)
    say("", f"{found.reason}: {found.message}")
    if found.wrong_input:
        _next(found.remedy)
        return
    _goals(cleanup)
    _remarks(cleanup)
    if found.state is not EndingState.CLEAN:
        _next(found.remedy)
        _waiver(cleanup)
    elif status.cleanup_job_id is not None:
        say(f"report: {_again('report', cleanup.metadata.name, cleanup=cleanup)}")


def show_cleanup(cleanup: FailedExecutionCleanup) -> None:
    """One cleanup in full."""
    status, found = cleanup.status, ending(cleanup)
    _heading(cleanup)
    say(f"{found.state.value}: {found.reason}: {found.message}")
    if status.queue_position is not None:
        say(f"place in the queue: {status.queue_position}")
    if status.next_attempt_at is not None:
        say(f"next look: {status.next_attempt_at:%Y-%m-%d %H:%M:%S} UTC")
    if status.phases:
        say("")
        rows = [
            (
                phase.name.value,
                phase.state.value,
                f"{phase.done}/{phase.total}" if phase.total and phase.done is not None else "",
                phase.message or "",
            )
            for phase in status.phases
        ]
        table(("PHASE", "STATE", "DONE", ""), rows)
    if status.volumes:
        say("")
        volumes = [
            (v.disk or v.id, v.id, v.holder.value, v.state or "", str(v.snapshots or ""), v.step or "", v.message or "")
            for v in status.volumes
        ]
        table(("DISK", "VOLUME", "ON", "STATE", "SNAPSHOTS", "LAST STEP", ""), volumes)
    _goals(cleanup)
    _remarks(cleanup)
    if found.state is not EndingState.CLEAN:
        _next(found.remedy)
        _waiver(cleanup)


def _heading(cleanup: FailedExecutionCleanup) -> None:
    metadata, spec = cleanup.metadata, cleanup.spec
    say(f"{spec.vm_name} on {spec.appliance_ref.name} ({metadata.namespace}/{metadata.name})")
    say(job_line(cleanup.status) or "no failover job is known yet")
    if spec.note or spec.requested_by:
        say(
            f"asked for{f' by {spec.requested_by}' if spec.requested_by else ''}{f': {spec.note}' if spec.note else ''}"
        )


def _goals(cleanup: FailedExecutionCleanup) -> None:
    conditions = cleanup.status.conditions
    rows = [(type_.value, c.status.value, c.message) for type_ in GOALS if (c := get_condition(conditions, type_))]
    if rows:
        say("")
        table(("GOAL", "REACHED", ""), rows)


def _remarks(cleanup: FailedExecutionCleanup) -> None:
    status = cleanup.status
    suspect = get_condition(status.conditions, ConditionType.DATA_SUSPECT)
    drifted = get_condition(status.conditions, ConditionType.DRIFTED)
    lines = [f"content suspect: {suspect.message}"] if suspect is not None else []
    lines += [f"drifted: {drifted.message}"] if drifted is not None else []
    lines += [f"waived: {used.reason.value} for {used.object}" for used in status.waivers_used]
    lines += [f"left behind: {left.kind.value} {left.id}: {left.message}" for left in status.leftovers]
    if lines:
        say("", *lines)


def _next(remedy: str) -> None:
    if remedy:
        say(f"next: {remedy}")


def _waiver(cleanup: FailedExecutionCleanup) -> None:
    """The command for the waiver, where it is granted for the job as a whole."""
    try:
        waiver = Reason(ending(cleanup).reason).waiver
    except ValueError:
        return
    if waiver is not None and waiver.value in {"RunningTestVM", "LiveFailover", "EngineMayWake"}:
        say(f"waive: {_again('waive', cleanup.metadata.name, waiver.value, 'job', cleanup=cleanup)}")


def _again(*words: str, cleanup: FailedExecutionCleanup) -> str:
    """A command line that can be copied."""
    return shlex.join(["fec", *words, "-n", cleanup.metadata.namespace or "default"])
