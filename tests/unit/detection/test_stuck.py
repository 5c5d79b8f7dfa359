"""Which worlds hold a stuck failover, beyond what the matrix shows over HTTP."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from failed_execution_cleanup.appliance.observe_many import Observed
from failed_execution_cleanup.detection.stuck import StuckFailover, Unsettled, stuck_failover
from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import OwnClaimRow, ReplicationRow
from failed_execution_cleanup.run.claim import dump_memory
from tests.unit.recovery.worlds import CTX, DATA, JOB, NOW, OS, QUICK, Scene, leftover, local


def judged(scene: Scene, memory: Memory | None = None) -> StuckFailover | Unsettled | None:
    memories = {} if memory is None else {JOB: dump_memory(memory)}
    return stuck_failover(Observed(scene.world(), memories), QUICK)


def test_what_is_told_names_vm_job_step_and_the_last_sign_of_life_with_its_zone() -> None:
    stuck = judged(leftover("F11"))
    assert stuck == StuckFailover(
        job_id=JOB,
        context_id=CTX,
        vm_name="pgtest1",
        vcenter_host="vc01",
        live=False,
        operation="test failover",
        since=NOW.replace(tzinfo=UTC) - timedelta(hours=2) + timedelta(minutes=12),
        last_step="virtio-driver-injection",
        reason=None,
    )


def test_job_counts_as_stuck_from_the_very_moment_its_silence_is_long_enough() -> None:
    scene = leftover("F11")
    last = local(timedelta(hours=2)) + timedelta(minutes=12)
    scene.now = _utc(scene, last) + QUICK.stuck_after - timedelta(seconds=1)
    assert judged(scene) is None
    scene.now += timedelta(seconds=1)
    assert isinstance(judged(scene), StuckFailover)


def _utc(scene: Scene, stamp: datetime) -> datetime:
    clock = scene.records().clock
    return stamp - clock.offset


def test_cleanup_at_work_is_told_as_the_reason() -> None:
    scene = leftover("F12")
    scene.claims.append(OwnClaimRow("claim", JOB, 1, "operator-1", 3.0, False))
    stuck = judged(scene, Memory(JOB, number=1, started_at=scene.now))
    assert isinstance(stuck, StuckFailover)
    assert stuck.reason is Reason.CLAIMED_ELSEWHERE


def test_finished_cleanup_has_the_last_word() -> None:
    assert judged(leftover("F12"), Memory(JOB, number=1, finished="CleanedDataSuspect")) is None


def test_tries_of_a_released_claim_count_for_the_reason() -> None:
    scene = leftover("F12")
    tried = tuple(
        Request(
            Kind.DETACH,
            volume_id,
            attempt,
            1,
            scene.now - timedelta(minutes=50 - attempt),
            volume_id=volume_id,
            outcome=Outcome.NO_EFFECT,
            settled_at=scene.now - timedelta(minutes=49 - attempt),
        )
        for volume_id in (OS, DATA)
        for attempt in (1, 2, 3)
    )
    stuck = judged(scene, Memory(JOB, number=1, started_at=scene.now - timedelta(hours=1), requests=tried))
    assert isinstance(stuck, StuckFailover)
    assert stuck.reason is Reason.DETACH_FAILING


def test_product_cleanup_that_may_be_of_any_vm_hides_none_of_them() -> None:
    scene = leftover("F12")
    scene.tracked(
        row_id="nameless",
        job_type="cleanup",
        operation="failed-execution-cleanup",
        status="running",
        context_id=None,
        age=timedelta(minutes=1),
    )
    stuck = judged(scene)
    assert isinstance(stuck, StuckFailover)
    assert stuck.reason is Reason.FAILOVER_STILL_RUNNING


def test_verdict_waits_while_rows_change_under_the_look() -> None:
    before, after = leftover("F12").world(), leftover("F11").world()
    seen = Observed(replace(after, first=before.records))
    assert stuck_failover(seen, QUICK) is Unsettled.UNSETTLED


def test_status_that_a_newer_replication_wrote_makes_no_rolled_back_job_stuck() -> None:
    scene = leftover("R09")
    scene.vms.pop("vm-test")
    scene.jobs = [replace(job, status="completed") for job in scene.jobs]
    scene.tracking = [
        replace(row, status="completed", steps=tuple(replace(step, status="completed") for step in row.steps))
        for row in scene.tracking
    ]
    scene.context_status = "failed_over_test"
    assert isinstance(judged(scene), StuckFailover), "only the status is left to write"

    scene.context_status = "replicating"
    began = local(timedelta(minutes=1), scene.now)
    scene.replications.append(ReplicationRow("repl-2", "replicating", began, began, began, None, began, 1))
    assert judged(scene) is None
