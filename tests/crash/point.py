"""One crash point: a cleanup that is cut off once or more, and what it came to in the end.

Everything of a point lives in one process of its own, which is forked from one that has imported everything: the pretend appliance and
the emulator in its event loop, and the operators as its children, forked before there is a loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from development.preloaded import die_with
from development.sqlite_without_threads import sqlite_without_threads
from tests.crash.cluster import Cluster, cluster
from tests.crash.end import End, broken_rules, end_of
from tests.crash.forked import ForkedOperator, Orders
from tests.crash.mutating_calls import Call, Kill
from tests.matrix.arrangements import ARRANGEMENTS
from tests.matrix.expected import CASES, Case
from tests.matrix.expected import End as Expected
from tests.matrix.invariants import violations
from tests.matrix.stage import Stage, staged

SCENARIOS: Final = ("F11", "F24", "F28", "R04", "C03")
"""Leftover states, by their cases in the recovery matrix: a hung injection; volumes on two VMs; a test VM that runs and is waived; a
rollback that lost volumes; a product's cleanup that stopped between two deletes."""

TIMES: Final = {
    "FEC_LEASE_SECONDS": "15",
    "FEC_HTTP_TIMEOUT_SECONDS": "4",
    "FEC_CLAIM_EXPIRY_SECONDS": "1.5",
    "FEC_HEALTH_PORT": "0",
}
"""A claim runs out soon. A Lease does not, or a busy machine would cost a living operator its leadership; but the Lease of a dead one is
removed, except at points that are about the Lease."""

LOOK_SECONDS: Final = 0.2
"""How often it is looked whether a cleanup has ended."""

DISKS: Final = 2
"""One with the operating system, one with data: enough for work side by side."""

SECONDS: Final = 180.0
"""No point may take longer."""


@dataclass(frozen=True, slots=True)
class Point:
    """What is cut off, and when.

    Attributes:
        scenario: one of `SCENARIOS`.
        kills: how each operator but the last one ends; empty for a reference run.
    """

    scenario: str
    kills: tuple[Kill, ...] = ()

    def __str__(self) -> str:
        return f"{self.scenario} {', then '.join(map(str, self.kills)) or 'without a crash'}"


@dataclass(frozen=True, slots=True)
class Parts:
    """The real servers of a point; simulated ones where None.

    Attributes:
        kubeconfig: an administrator's, of a kube-apiserver.
        database_url: SQLAlchemy URL of an empty MariaDB database; it holds a password.
    """

    kubeconfig: Path | None = None
    database_url: str | None = None

    def __repr__(self) -> str:
        return f"<Parts {self.kubeconfig} {'MariaDB' if self.database_url else 'SQLite'}>"


@dataclass(frozen=True, slots=True)
class Played:
    """What became of a point.

    Attributes:
        reached: of each kill, whether the operator came to it.
        calls: mutating calls of each operator.
        also: the call after whose answer the first operator died as well: nothing came between that and its fatal call.
        end: None when it did not come to one.
        problems: rules that were broken, or why there is no end.
        logs: the last lines of each operator's log.
    """

    point: Point
    reached: tuple[bool, ...]
    calls: tuple[tuple[Call, ...], ...]
    also: Call | None
    end: End | None
    problems: tuple[str, ...]
    logs: tuple[str, ...]
    seconds: float


def case_of(scenario: str) -> Case:
    """The scenario's case in the recovery matrix."""
    return next(case for case in CASES if case.id == scenario)


def expected_end(scenario: str) -> Expected:
    """The end that was written down by hand: of the way out where there is one, such as a waiver."""
    case = case_of(scenario)
    return case.end if case.way is None else case.way.end


def play_in_process(point: Point, parts: Parts, directory: Path, result: Connection, parent: int) -> None:
    """Body of a point's process: play and send what became of it."""
    die_with(parent)
    started = time.monotonic()
    operators = [ForkedOperator(directory, number) for number in range(1, len(point.kills) + 2)]
    reached: list[bool] = []
    end: End | None = None
    problems: tuple[str, ...]
    try:
        with sqlite_without_threads():
            end, problems = asyncio.run(_play(point, parts, directory, operators, reached))
    except Exception as error:  # noqa: BLE001 - told to the parent, which knows how to replay it
        problems = ("".join(traceback.format_exception(error)),)
    finally:
        for operator in operators:
            operator.kill()
    calls = tuple(tuple(operator.trail.calls) for operator in operators)
    logs = tuple(operator.log_tail() for operator in operators)
    also = operators[0].trail.answered_last if any(reached[:1]) else None
    result.send(Played(point, tuple(reached), calls, also, end, problems, logs, time.monotonic() - started))


async def _play(
    point: Point, parts: Parts, directory: Path, operators: Sequence[ForkedOperator], reached: list[bool]
) -> tuple[End, tuple[str, ...]]:
    case = case_of(point.scenario)
    database_url = parts.database_url or f"sqlite+aiosqlite:///{directory}/oma.db"
    async with (
        asyncio.timeout(SECONDS),
        staged(case, database_url, disks=DISKS) as stage,
        cluster(directory, parts.kubeconfig) as api,
    ):
        for name in case.arrange:
            await ARRANGEMENTS[name](stage)
        await stage.watch()
        await api.install(stage.appliance.database_url, stage.appliance.daemon_url)
        await api.ask(case.vm_name, **_wish(stage))
        for operator, kill in zip(operators, (*point.kills, None), strict=True):
            try:
                code = await _operate(api, operator, kill)
            except asyncio.CancelledError as error:
                error.add_note(f"no end in time; the cleanup is {json.dumps(await api.cleanup())}")
                raise
            if kill is not None:
                reached.append(code < 0)
                if "lease" not in str(kill):
                    await api.remove_lease()
            elif code != 0:
                raise RuntimeError(f"the last operator ended with {code}")
        after = await stage.look()
        cleanup = await api.cleanup()
        await api.remove_appliance()
        violated = await violations(stage, after)
        return end_of(stage, after, cleanup), tuple(broken_rules(stage, after, violated))


def _wish(stage: Stage) -> dict[str, Any]:
    """What the cleanup asks for beyond the VM: the waivers of the case's way out."""
    order = stage.order(stage.case.way)
    if not order.waivers:
        return {}
    waivers = [{"reason": waiver.reason, "object": waiver.object} for waiver in order.waivers]
    return {"failoverJobID": order.job_id, "waive": waivers}


async def _operate(api: Cluster, operator: ForkedOperator, kill: Kill | None) -> int:
    """Run an operator until it is killed or, once the cleanup has ended, told to stop; gives its exit code."""
    environment = {
        **TIMES,
        "FEC_KUBECONFIG": str(api.kubeconfig),
        "FEC_NAMESPACE": api.operator_namespace,
        "FEC_WATCH_NAMESPACES": json.dumps([api.namespace]),
        "FEC_APPLIANCES": json.dumps([api.appliance]),
    }
    operator.begin(Orders(environment, kill))
    exited = asyncio.create_task(operator.exited())
    try:
        while not exited.done() and not (operator.trail.watching and _has_ended(await api.cleanup())):
            await asyncio.wait([exited], timeout=LOOK_SECONDS)
        if not exited.done():
            operator.terminate()
        return await exited
    finally:
        exited.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await exited


def _has_ended(cleanup: dict[str, Any]) -> bool:
    conditions = cleanup.get("status", {}).get("conditions", [])
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and not cleanup["metadata"].get("finalizers")
