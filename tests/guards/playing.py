"""Play a stop: bring it about, ask as the resource asks, and see what is sent."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from appliance_simulator.journal import Request
from failed_execution_cleanup.recovery.decide import Decision, Wait
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from failed_execution_cleanup.run.cleanup import Cleanup
from failed_execution_cleanup.run.order import Order
from tests.guards.acts import OTHER_JOB
from tests.guards.table import Exit, Grants, Stop
from tests.matrix.arrangements import ARRANGEMENTS
from tests.matrix.expected import Case, refused
from tests.matrix.stage import LIMITS, Found, Stage, staged
from tests.unit.run.engine import Asker

NOBODY: Final = "nobody"
_OURS: Final = frozenset({None, Reason.QUIET_TIME})
"""Waits for our own doing; the queue comes back by itself."""


@dataclass(frozen=True)
class Answer:
    """What came of one look, or of one run.

    Attributes:
        sent: mutating requests that reached OSSEA or the daemon.
    """

    decision: Decision
    sent: tuple[Request, ...]

    @property
    def reason(self) -> Reason | None:
        """Its reason, where it has one."""
        return getattr(self.decision, "reason", None)

    @property
    def message(self) -> str:
        """Its sentence."""
        return str(getattr(self.decision, "message", ""))


@contextlib.asynccontextmanager
async def stopped(stop: Stop, database_url: str) -> AsyncIterator[Stage]:
    """The stage of a stop, arranged."""
    case = Case(
        stop.id,
        stop.row,
        stop.reason.value,
        refused(stop.reason.value),
        kind=stop.kind,
        age_seconds=stop.age_seconds,
        operation_limit_seconds=stop.operation_seconds,
        force_stop=stop.force_stop,
    )
    async with staged(case, database_url) as stage:
        stage.settings = replace(stage.settings, stop_timeout=timedelta(seconds=stop.stop_seconds))
        await arrange(stage, stop.arrange)
        await stage.watch()
        yield stage


async def arrange(stage: Stage, names: tuple[str, ...]) -> None:
    """Let these things happen."""
    for name in names:
        await ARRANGEMENTS[name](stage)


def order_of(stage: Stage, stop: Stop, way: Exit | None = None, *, useless: frozenset[Waiver] = frozenset()) -> Order:
    """What the resource says at first, or on this way out; with more waivers than help."""
    corrected = way is not None and way.corrected
    asked = stop.asked
    waivers = granted(stage, (*stop.granted, *(way.waive if way else ()))) | useless
    own_job = stage.built.failover_job_id if waivers else None
    return Order(
        stage.case.vm_name if corrected or asked.vm_name is None else asked.vm_name,
        vcenter_host=stage.built.vm.vcenter_host if corrected else None,
        job_id=own_job if corrected or asked.job_id is None else asked.job_id,
        asker="new" if corrected and asked.job_id is not None else "guards",
        requested_at="again" if way is not None and way.again else None,
        waivers=waivers,
        deadline=timedelta(hours=4) if corrected or asked.deadline is None else asked.deadline,
        approved_plan=None if corrected else asked.approved_plan,
    )


def granted(stage: Stage, grants: Grants) -> frozenset[Waiver]:
    """Waivers with the ids of this stage."""
    return frozenset(Waiver(reason, object_id(stage, name)) for reason, name in grants)


def object_id(stage: Stage, name: str) -> str:
    """The id behind a name of the table."""
    known = {
        "job id": stage.built.failover_job_id,
        "vm": stage.built.destination_vm_id,
        "replication": stage.replication_id,
        **{f"disk-{number}": volume_id for number, volume_id in enumerate(stage.volume_ids)},
    }
    return known.get(name) or name


def useless_waivers(stage: Stage, stop: Stop) -> frozenset[Waiver]:
    """Every waiver there is, for every object there is, but those that are known to lift this stop.

    Of the volumes only one is named: with the content of all accepted there would be nothing left to do that a stop could forbid.
    """
    objects = ("job", "job id", "vm", "replication", OTHER_JOB, NOBODY, "disk-1")
    reasons = {*(reason.value for reason in WaiverReason), stop.reason.value}
    helping = {grant for way in stop.exits for grant in way.waive}
    # What lifts the stop for the job does so under each of the job's names, and for its VM where it is about the VM.
    names = {"job": ("job", "job id", "vm"), "job id": ("job", "job id"), "vm": ("vm",)}
    helping |= {(reason, name) for reason, obj in tuple(helping) for name in names.get(obj, (obj,))}
    return granted(
        stage, tuple((reason, obj) for reason in sorted(reasons) for obj in objects if (reason, obj) not in helping)
    )


async def run(stage: Stage, order: Order, *, owner: str = "operator-1") -> Answer:
    """Run as the queue does, until there is an end or a wait for something that others must bring about."""
    first = len(stage.appliance.journal.entries)
    async with asyncio.timeout(45):
        while True:
            progress = await Cleanup(stage.doors, stage.settings, owner, Asker(order), LIMITS).run()
            decision = progress.decision
            if not (isinstance(decision, Wait) and decision.reason in _OURS):
                break
            await asyncio.sleep(min(decision.after.total_seconds(), 0.5))
    entries = stage.appliance.journal.entries[first:]
    return Answer(decision, tuple(e for e in entries if isinstance(e, Request) and e.caller == "client"))


def changes(before: Found, after: Found) -> list[str]:
    """What differs between two looks; our own claim's row counts as well."""
    tables = [table for table, rows in before.rows.items() if rows != after.rows[table]]
    objects = [object_id for object_id, thing in before.cloud.items() if after.cloud.get(object_id) != thing]
    return [*tables, *objects]
