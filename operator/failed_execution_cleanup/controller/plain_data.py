"""Observation and decision as plain data, for a document that people and programs read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter

from failed_execution_cleanup.appliance.observe import candidates
from failed_execution_cleanup.recovery.actions import Action
from failed_execution_cleanup.recovery.approval import plan_hash, plan_of
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Wait
from failed_execution_cleanup.recovery.goals import GoalState
from failed_execution_cleanup.recovery.guards import Block
from failed_execution_cleanup.recovery.leftovers import Leftover
from failed_execution_cleanup.recovery.world import Cloud, Records, World

__all__ = ["plain_cloud", "plain_decision", "plain_records"]

_RECORDS: Final = TypeAdapter(Records)
_CLOUD: Final = TypeAdapter(Cloud)
_BLOCKS: Final = TypeAdapter(tuple[Block, ...])
_LEFTOVERS: Final = TypeAdapter(tuple[Leftover, ...])
_GOAL: Final = TypeAdapter(GoalState)


def plain_records(records: Records) -> dict[str, Any]:
    """What the database says about one context."""
    told: dict[str, Any] = _RECORDS.dump_python(records, mode="json")
    return told


def plain_cloud(world: World) -> dict[str, Any]:
    """What OSSEA shows of one context: its volumes, and the VMs that matter for it. Nobody else's."""
    cloud = world.cloud
    ours = {row.volume_id for row in world.records.volumes}
    watched = candidates(world.records, cloud.vms, cloud.volumes)
    related = replace(
        cloud,
        vms={id_: vm for id_, vm in cloud.vms.items() if id_ in watched},
        volumes={id_: volume for id_, volume in cloud.volumes.items() if id_ in ours},
    )
    told: dict[str, Any] = _CLOUD.dump_python(related, mode="json")
    return told


def plain_decision(world: World, decision: Decision) -> dict[str, Any]:
    """What would be done now, and every reason for it."""
    seen = decision.assessment
    plan = plan_of(world, seen) if seen.incident is not None else ()
    reason = decision.reason if isinstance(decision, Done | Refuse | Wait) else None
    return {
        "decision": type(decision).__name__,
        "reason": reason.value if reason is not None else None,
        "message": decision.message if not isinstance(decision, Act) else None,
        "afterSeconds": decision.after.total_seconds() if isinstance(decision, Wait) else None,
        "now": [_action(action) for action in decision.actions] if isinstance(decision, Act) else [],
        "plan": [_action(action) for action in plan],
        "planHash": plan_hash(plan),
        "blocks": _BLOCKS.dump_python((*seen.blocks, *(b for v in seen.volumes for b in v.blocks)), mode="json"),
        "goals": {goal.value: _GOAL.dump_python(state, mode="json") for goal, state in seen.goals.items()},
        "leftovers": _LEFTOVERS.dump_python(seen.leftovers, mode="json"),
        "contextWouldBecome": seen.target,
        "replicaUndeserving": seen.undeserved_why or None,
    }


def _action(action: Action) -> dict[str, Any]:
    return {
        "phase": action.phase.value,
        "action": action.kind.value,
        "object": action.object,
        "forced": action.forced,
        "why": action.why,
    }
