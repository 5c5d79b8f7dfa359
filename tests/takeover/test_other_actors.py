"""The product acts in the middle of a run: nothing is sent before it was seen, every stop is explained, and the end is clean.

Each case is a job, a moment of its cleanup and what the product does then; see `intrusion` for what a moment is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Final

import pytest

from appliance_simulator.product_flows import INJECTION
from failed_execution_cleanup.recovery.decide import Decision
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.run.cleanup import Cleanup, Limits
from tests.takeover.intrusion import (
    BEFORE,
    BEFORE_THE_LAST_TRANSACTION,
    DURING_ATTACH,
    IN_QUIET_TIME,
    Intrusion,
    intrude,
)
from tests.unit.run.engine import QUICK, VM, Asker, Engine, engine, reason_of

pytestmark = pytest.mark.timeout(120)

LONG: Final = timedelta(minutes=5)
PATIENT: Final = replace(QUICK, stuck_after=LONG)
"""Who showed life in the run that is intruded on counts as alive, however slow the machine."""
QUIET: Final = timedelta(seconds=5)
"""Longer than the act takes, which begins as soon as the quiet time is told."""
IMPATIENT: Final = replace(QUICK, stuck_after=timedelta(seconds=1))
"""Afterwards he soon counts as dead."""
LIMITS: Final = Limits(http_seconds=10.0, expiry_seconds=3.0)
WORK_SECONDS: Final = 0.2
FIRST, DETACHED, REVERTED, DELETED, *_ = BEFORE
MOMENTS: Final = (FIRST, DETACHED, IN_QUIET_TIME, REVERTED, DELETED, DURING_ATTACH, BEFORE_THE_LAST_TRANSACTION)
AWAY: Final = (DETACHED, IN_QUIET_TIME, REVERTED, DELETED, DURING_ATTACH)
"""Moments at which volumes are off the appliance."""


async def injection_ends_well(run: Engine) -> None:
    await run.appliance.product.wake_in_injection(VM, INJECTION)


async def engine_creates_its_vm(run: Engine) -> None:
    await run.appliance.product.wake_in_injection(VM, "vm-creation")


async def engine_takes_the_volumes(run: Engine) -> None:
    await run.appliance.product.wake_in_injection(VM, "volume-attachment")


async def engine_goes_on_to_its_end(run: Engine) -> None:
    await run.appliance.product.wake_in_injection(VM, "status-update")


async def rollback_begins(run: Engine) -> None:
    await run.appliance.product.begin_rollback(VM)


async def product_cleanup_begins(run: Engine) -> None:
    await run.appliance.product.begin_product_cleanup(VM)


async def replication_begins(run: Engine) -> None:
    await run.appliance.add_running_replication(VM)


async def replication_fails(run: Engine) -> None:
    await run.appliance.product.fail_replication(VM)


async def newer_failover_begins(run: Engine) -> None:
    await run.appliance.product.begin_failover(VM)


async def time_passes(run: Engine) -> None:
    """Whoever acted falls silent for good."""


Act = Callable[[Engine], Awaitable[None]]


@dataclass(frozen=True)
class Case:
    """What the product does at a moment, and what must become of the run.

    Attributes:
        first: how the run that is intruded on ends.
        end: how it ends later.
        then: what happens between.
        kind: of the failover.
    """

    moment: str
    act: Act
    first: Reason
    end: Reason
    then: Act = time_passes
    kind: str = "test"

    def __str__(self) -> str:
        return f"{self.act.__name__} {self.moment} ({self.kind})".replace("_", " ")


def cases() -> Iterator[Case]:
    """Every case."""
    still, cleaned, healthy = Reason.FAILOVER_STILL_RUNNING, Reason.CLEANED, Reason.NOTHING_FAILED
    for moment in MOMENTS:
        yield Case(moment, injection_ends_well, still, cleaned)
        yield Case(moment, engine_creates_its_vm, still, cleaned)
    for moment in (FIRST, DETACHED, REVERTED, BEFORE_THE_LAST_TRANSACTION):
        yield Case(moment, rollback_begins, still, cleaned)
        yield Case(moment, product_cleanup_begins, still, cleaned)
        yield Case(moment, replication_begins, Reason.REPLICATION_ACTIVE, cleaned, then=replication_fails)
    # An engine that finds volumes gone gives up, which ends its job: the run goes on, having looked again.
    for moment in AWAY:
        yield Case(moment, engine_goes_on_to_its_end, cleaned, cleaned)
    # One that finds them all makes a healthy failover, which nobody may undo.
    for moment in (FIRST, BEFORE_THE_LAST_TRANSACTION):
        yield Case(moment, engine_goes_on_to_its_end, healthy, healthy)
    yield Case(FIRST, engine_takes_the_volumes, still, cleaned)
    # The snapshots are gone by then, and nobody can say what that engine wrote to the OS disk.
    yield Case(BEFORE_THE_LAST_TRANSACTION, engine_takes_the_volumes, still, Reason.SNAPSHOT_MISSING)
    yield Case(FIRST, newer_failover_begins, Reason.SUPERSEDED, Reason.SUPERSEDED)
    for moment in (DETACHED, REVERTED, DURING_ATTACH, BEFORE_THE_LAST_TRANSACTION):
        yield Case(moment, newer_failover_begins, Reason.SUPERSEDED_IN_RUN, Reason.SUPERSEDED_IN_RUN)
    for moment in (FIRST, DETACHED, REVERTED, BEFORE_THE_LAST_TRANSACTION):
        yield Case(moment, injection_ends_well, still, cleaned, kind="live")
        yield Case(moment, engine_creates_its_vm, still, cleaned, kind="live")
    for moment in (DETACHED, REVERTED):
        yield Case(moment, engine_goes_on_to_its_end, cleaned, cleaned, kind="live")
    yield Case(BEFORE_THE_LAST_TRANSACTION, engine_goes_on_to_its_end, healthy, healthy, kind="live")


@pytest.mark.parametrize("case", list(cases()), ids=str)
async def test_nothing_is_sent_before_it_was_seen_and_every_stop_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    settings = replace(PATIENT, quiet=QUIET) if case.moment == IN_QUIET_TIME else PATIENT
    async with engine(tmp_path, "F11", disks=2, settings=IMPATIENT, kind=case.kind, limits=LIMITS) as run:
        for command in ("attachVolume", "detachVolume", "revertSnapshot", "deleteSnapshot"):
            run.appliance.latencies.set(command, WORK_SECONDS)
        waived = ("EngineMayWake", "LiveFailover") if case.kind == "live" else ()
        intrusion = intrude(monkeypatch, run, case.moment, case.act)

        first = (await Cleanup(run.doors, settings, "engine-1", Asker(run.order(*waived)), LIMITS).run()).decision

        assert intrusion.happened
        assert intrusion.unseen == []
        assert (reason_of(first), getattr(first, "message", "") != "") == (case.first, True), first
        if case.first is not Reason.CLEANED:
            assert intrusion.after == [], "requests while the run should have stopped"
        await case.then(run)
        end = await run.run(*waived, seconds=60)
        assert reason_of(end) is case.end, end
        check_the_end(run, case, intrusion, end)


def check_the_end(run: Engine, case: Case, intrusion: Intrusion, end: Decision) -> None:
    """What is left, by reason of the end."""
    if case.end is Reason.CLEANED:
        assert run.left_over() == []
        return
    message = getattr(end, "message", "")
    if case.moment == FIRST:
        assert run.appliance.journal.requests() == []
    if case.end is Reason.NOTHING_FAILED:
        assert intrusion.after == []
        assert set(run.appliance.holders(VM).values()) != {run.appliance.oma_vm_id}
    if case.end is Reason.SUPERSEDED_IN_RUN:
        assert intrusion.after == []
        assert run.lost() == []
        names = {run.appliance.cloud.volumes[volume].name for volume in run.away()}
        assert all(name in message for name in names), message
    if case.end is Reason.SNAPSHOT_MISSING:
        assert run.built.volume_ids[0] in message
        assert run.away() == {run.built.volume_ids[0]}, "volumes that nobody doubts are brought home"
