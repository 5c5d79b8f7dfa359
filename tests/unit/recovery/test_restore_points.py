"""What may be reverted, what is left alone, and what is suspect (rules 3, 10-13)."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.decide import Done, Refuse
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.restore_points import Evidence, Restore, restore_of, revert_quiet_until
from failed_execution_cleanup.recovery.volumes import volumes_of
from failed_execution_cleanup.recovery.world import ContentVerdict, LogRow, OwnClaimRow, SyncRow
from tests.unit.recovery.test_incident import incident_of
from tests.unit.recovery.worlds import DATA, JOB, NOW, OMA, OS, STEPS, TVM, Scene, healthy_start, leftover, local, work

QUIET = timedelta(minutes=30)
RATE = 50 * 1024 * 1024


def restore(scene: Scene, volume_id: str = OS, memory: Memory | None = None) -> Restore:
    volume = next(v for v in volumes_of(scene.world()) if v.id == volume_id)
    return restore_of(scene.world(), incident_of(scene), volume, memory or Memory(JOB), tries=3)


def request(
    kind: Kind, obj: str, *, outcome: Outcome | None = Outcome.EFFECT, number: int = 1, ago: int = 60
) -> Request:
    at = NOW - timedelta(seconds=ago)
    return Request(kind, obj, 1, number, at, volume_id=OS, snapshot_id=obj, outcome=outcome, settled_at=at)


def remembering(*requests: Request, number: int = 1) -> Memory:
    return Memory(JOB, number=number, started_at=NOW - timedelta(hours=1), requests=requests)


def test_the_oldest_snapshot_after_the_last_sync_is_the_restore_point_and_goes_last() -> None:
    scene = leftover("F12")
    oldest = scene.disk(OS).snapshots[0]
    newer = [scene.snapshot(OS, age=timedelta(minutes=m), content="dirty") for m in (100, 90)]
    found = restore(scene)
    assert found.point == oldest
    assert [s.id for s in found.deletable] == [newer[1].id, newer[0].id, oldest.id]


def test_two_failed_jobs_on_top_of_each_other_go_back_before_the_first() -> None:
    scene = healthy_start()
    scene.job(job_id="job-0", row_id=0, age=timedelta(hours=5))
    first = scene.snapshot(OS, age=timedelta(hours=4, minutes=50))
    scene.job()
    second = scene.snapshot(OS, content="dirty")
    scene.died_at("virtio-driver-injection", "failed")
    found = restore(scene)
    assert (found.point, [s.id for s in found.deletable]) == (first, [second.id, first.id])


def test_a_snapshot_older_than_the_last_sync_is_a_leftover() -> None:
    scene = leftover("F12")
    scene.syncs.append(SyncRow("disk-2000", "incremental", True, "52", local(timedelta(minutes=60))))
    found = restore(scene)
    assert (found.point, found.deletable, len(found.leftovers)) == (None, (), 1)
    assert restore(scene, DATA).point is not None


def test_a_sync_that_failed_does_not_age_a_snapshot() -> None:
    scene = leftover("F12")
    scene.syncs.append(SyncRow("disk-2000", "incremental", False, None, local(timedelta(minutes=60))))
    assert restore(scene).point is not None


def test_without_sync_rows_of_the_disk_the_newest_completed_replication_counts() -> None:
    scene = leftover("F12")
    scene.syncs.clear()
    scene.replications[0] = replace(scene.replications[0], completed_at=local(timedelta(minutes=60)))
    assert restore(scene).point is None


def test_digits_of_one_writer_tell_an_obsolete_snapshot_across_a_change_of_the_offset() -> None:
    scene = leftover("F12")
    scene.syncs.append(SyncRow("disk-2000", "incremental", True, "52", local(timedelta(minutes=100))))
    scene.disk(OS).snapshots = [
        replace(s, created=s.created + timedelta(hours=1)) if s.created else s for s in scene.disk(OS).snapshots
    ]
    assert restore(scene).point is None


@pytest.mark.parametrize("state", ["Error", "Allocated"])
def test_a_snapshot_that_never_finished_is_deleted_and_never_reverted(state: str) -> None:
    scene = healthy_start()
    scene.job()
    scene.died_at("multi-volume-snapshot-creation", "failed")
    made = scene.snapshot(OS, state=state)
    found = restore(scene)
    assert (found.point, found.deletable) == (None, (made,))


@pytest.mark.parametrize("state", ["Creating", "BackingUp", "Hidden", "what?"])
def test_a_snapshot_that_is_stuck_is_a_leftover(state: str) -> None:
    scene = healthy_start()
    scene.job()
    scene.died_at("multi-volume-snapshot-creation", "failed")
    scene.snapshot(OS, state=state)
    found = restore(scene)
    assert (found.point, found.deletable, len(found.leftovers)) == (None, (), 1)


def test_snapshots_of_people_are_not_even_seen() -> None:
    scene = leftover("F12")
    scene.snapshot(OS, name="before-the-upgrade", recorded=False, age=timedelta(minutes=115))
    scene.snapshot(OS, name="multi-test-failover-disk-2099-1759744800", recorded=False)
    found = restore(scene)
    assert [s.id for s in found.deletable] == [scene.disk(OS).snapshots[0].id]
    assert found.leftovers == ()


def test_an_unrecorded_snapshot_is_found_by_name_and_time() -> None:
    scene = leftover("F10")
    assert restore(scene).point == scene.disk(OS).snapshots[0]
    too_old = leftover("F10")
    too_old.syncs.clear()
    too_old.replications.clear()
    too_old.disk(OS).snapshots = [
        replace(s, created=s.created - timedelta(days=1)) if s.created else s for s in too_old.disk(OS).snapshots
    ]
    assert restore(too_old).point is None


def test_a_snapshot_of_another_volume_is_never_reverted_or_deleted() -> None:
    scene = leftover("F12")
    scene.disk(OS).snapshots = [replace(s, volume_id="vol-elsewhere") for s in scene.disk(OS).snapshots]
    found = restore(scene)
    assert (found.point, found.deletable, len(found.leftovers)) == (None, (), 1)
    assert found.suspect


def test_a_recorded_snapshot_that_is_gone_makes_a_modified_volume_suspect() -> None:
    scene = leftover("F12")
    recorded = scene.disk(OS).recorded
    scene.disk(OS).snapshots.clear()
    found = restore(scene)
    assert (found.missing, found.suspect) == (recorded, True)
    scene.disk(DATA).snapshots.clear()
    assert not restore(scene, DATA).suspect


def test_a_snapshot_that_our_own_delete_removed_is_done_and_not_missing() -> None:
    scene = leftover("F12")
    gone = scene.disk(OS).snapshots.pop().id
    memory = remembering(
        request(Kind.REVERT, gone), request(Kind.DELETE_SNAPSHOT, gone, outcome=None, ago=30), number=2
    )
    found = restore(scene, memory=memory)
    assert (found.missing, found.suspect) == (None, False)


def test_a_delete_without_a_revert_before_it_heals_nothing() -> None:
    scene = leftover("F12")
    gone = scene.disk(OS).snapshots.pop().id
    assert restore(scene, memory=remembering(request(Kind.DELETE_SNAPSHOT, gone))).suspect


def reverted(scene: Scene, *more: Request, number: int = 1, outcome: Outcome | None = Outcome.EFFECT) -> bool:
    revert = request(Kind.REVERT, scene.disk(OS).snapshots[0].id, outcome=outcome)
    return restore(scene, memory=remembering(revert, *more, number=number)).reverted


def test_a_revert_counts_only_within_an_unbroken_claim_and_only_with_its_result() -> None:
    assert reverted(leftover("F12"))
    assert not reverted(leftover("F12"), number=2)
    assert not reverted(leftover("F12"), outcome=Outcome.UNKNOWN)
    assert not reverted(leftover("F12"), outcome=Outcome.REFUSED)
    assert not reverted(leftover("F12"), outcome=None)


def test_a_revert_does_not_count_once_somebody_else_was_given_the_volume() -> None:
    scene = leftover("F19")
    scene.disk(OS).move_to(TVM)
    assert not reverted(scene)
    scene.disk(OS).detach()
    assert reverted(scene)
    taken_off = replace(request(Kind.DETACH, OS, ago=30), vm_id=TVM)
    assert not reverted(scene, taken_off)
    assert reverted(scene, replace(taken_off, vm_id=OMA))
    assert reverted(scene, replace(taken_off, sent_at=NOW - timedelta(seconds=90)))


def test_a_newer_revert_without_a_result_undoes_the_older_one() -> None:
    scene = leftover("F12")
    gone = scene.disk(OS).snapshots.pop().id
    memory = remembering(
        request(Kind.REVERT, gone, ago=90),
        replace(request(Kind.REVERT, gone, outcome=Outcome.UNKNOWN, ago=60), attempt=2),
        request(Kind.DELETE_SNAPSHOT, gone, ago=30),
    )
    assert restore(scene, memory=memory).suspect


def test_a_half_done_revert_makes_even_an_untouched_volume_suspect_content() -> None:
    scene = leftover("F12")
    point = scene.disk(DATA).snapshots[0].id
    doubtful = replace(request(Kind.REVERT, point, outcome=Outcome.UNKNOWN), volume_id=DATA)
    assert not restore(scene, DATA).modified
    assert restore(scene, DATA, remembering(doubtful)).modified


def test_a_snapshot_whose_delete_failed_three_times_is_a_leftover() -> None:
    scene = leftover("F12")
    point = scene.disk(OS).snapshots[0].id
    failed = [replace(request(Kind.DELETE_SNAPSHOT, point, outcome=Outcome.NO_EFFECT), attempt=n) for n in (1, 2, 3)]
    found = restore(scene, memory=remembering(request(Kind.REVERT, point, ago=90), *failed))
    assert (found.reverted, found.deletable, len(found.leftovers)) == (True, (), 1)


def modified(scene: Scene) -> tuple[bool, bool]:
    for disk in scene.disks:
        disk.snapshots.clear()
    return restore(scene).modified, restore(scene, DATA).modified


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("F01", (False, False)),
        ("F07", (False, False)),
        ("F09", (False, False)),
        ("F11", (True, False)),
        ("F24", (True, False)),
        ("F27", (True, True)),
        ("F28", (True, True)),
    ],
)
def test_steps_decide_which_disks_may_be_modified(code: str, expected: tuple[bool, bool]) -> None:
    assert modified(leftover(code)) == expected


def test_without_step_rows_every_disk_may_be_modified() -> None:
    scene = leftover("F07")
    scene.tracking.clear()
    assert modified(scene) == (True, True)


def full(age: timedelta) -> SyncRow:
    return SyncRow("disk-2000", "full", True, "52", local(age))


def test_a_full_sync_after_the_last_step_vouches_for_its_disk_alone() -> None:
    scene = leftover("F27")
    scene.syncs.append(full(timedelta(minutes=30)))
    assert modified(scene) == (False, True)


def test_a_full_sync_before_the_injection_vouches_for_nothing() -> None:
    scene = leftover("F12")
    scene.syncs.append(full(timedelta(minutes=119)))
    assert modified(scene) == (True, False)


@pytest.mark.parametrize(
    ("scene", "evidence"),
    [
        (lambda: leftover("R07"), Evidence.GOOD),
        (lambda: leftover("R06"), Evidence.BAD),
        (lambda: leftover("C03"), Evidence.GOOD),
        (lambda: leftover("C01"), Evidence.NONE),
        (lambda: leftover("F12"), Evidence.NONE),
    ],
)
def test_the_products_own_reverts_are_judged_by_its_rows(scene: Callable[[], Scene], evidence: Evidence) -> None:
    assert restore(scene()).evidence is evidence


def test_a_cleanup_without_context_id_proves_nothing_unless_it_names_this_vm() -> None:
    scene = leftover("C03")
    row = scene.tracking[-1]
    steps = tuple(replace(step, error=None) for step in row.steps)
    scene.tracking[-1] = replace(row, error="failed to delete snapshot of somebody else", steps=steps)
    assert restore(scene).evidence is Evidence.NONE
    scene.tracking[-1] = replace(row, error="pgtest1: failed to delete a snapshot", steps=steps)
    assert restore(scene).evidence is Evidence.GOOD
    scene.tracking[-1] = replace(row, error="pgtest1-copy: failed to delete a snapshot", steps=steps)
    assert restore(scene).evidence is Evidence.NONE


def test_a_bare_name_proves_nothing_where_two_vcenters_have_it() -> None:
    scene = leftover("C03")
    row = scene.tracking[-1]
    steps = tuple(replace(step, error=None) for step in row.steps)
    scene.tracking[-1] = replace(row, error="pgtest1: failed to delete a snapshot", steps=steps)
    world = scene.world()
    world = replace(world, records=replace(world.records, namesakes=1))
    volume = next(v for v in volumes_of(world) if v.id == OS)
    assert restore_of(world, incident_of(scene), volume, Memory(JOB), tries=3).evidence is Evidence.NONE


def test_a_good_rollback_before_the_job_says_nothing_about_the_job() -> None:
    scene = leftover("R07")
    scene.tracking[-1] = replace(scene.tracking[-1], status="completed", started_at=local(timedelta(hours=3)))
    scene.job(job_id="older", row_id=0, age=timedelta(hours=4))
    assert restore(scene).evidence is Evidence.NONE


def test_a_volume_the_job_could_not_snapshot_is_not_proven_by_the_rollback() -> None:
    scene = leftover("R07")
    row = scene.tracking[0]
    scene.tracking[0] = replace(
        row, problems=(LogRow(1, "ERROR", "Failed to create snapshot of vol-data", local(QUIET)),)
    )
    assert restore(scene, DATA).evidence is Evidence.NONE


def quiet(*requests: Request) -> float | None:
    scene = leftover("F12")
    volume = next(v for v in volumes_of(scene.world()) if v.id == OS)
    until = revert_quiet_until(remembering(*requests), volume, QUIET, RATE)
    return None if until is None else (until - NOW).total_seconds()


def test_after_a_revert_without_a_result_the_volume_stays_quiet() -> None:
    assert quiet() is None
    assert quiet(request(Kind.REVERT, "s")) is None
    assert quiet(request(Kind.REVERT, "s", outcome=Outcome.REFUSED)) is None
    assert quiet(request(Kind.REVERT, "s", outcome=Outcome.UNKNOWN)) == 1800 - 60
    assert quiet(request(Kind.REVERT, "s", outcome=None)) == 1800 - 60


def test_the_newest_revert_counts_whichever_snapshot_it_went_to() -> None:
    older = replace(request(Kind.REVERT, "a", ago=90), attempt=2)
    assert quiet(older, request(Kind.REVERT, "b", outcome=Outcome.UNKNOWN)) == 1800 - 60


@pytest.mark.parametrize("tries", [1, 3, 5])
def test_a_delete_is_given_up_after_as_many_tries_as_the_appliance_says(tries: int) -> None:
    scene = leftover("F12")
    point = scene.disk(OS).snapshots[0].id
    failed = [
        replace(request(Kind.DELETE_SNAPSHOT, point, outcome=Outcome.NO_EFFECT), attempt=n) for n in range(1, tries + 1)
    ]
    volume = next(v for v in volumes_of(scene.world()) if v.id == OS)
    for count in (tries - 1, tries):
        found = restore_of(scene.world(), incident_of(scene), volume, remembering(*failed[:count]), tries=tries)
        assert (found.deletable == ()) is (count == tries)


# -- what was wrong before the job began --------------------------------------------------------------------------------

BAD_REVERT = LogRow(1, "ERROR", "Failed to revert volume snapshot", local(timedelta(hours=4)))


def again(*problems: LogRow, step: str = "completed") -> Scene:
    """A failover whose rollback, five hours ago, has these problems in its log; then a new failover that died in injection."""
    scene = leftover("F12")
    scene.job(job_id="earlier", row_id=0, status="completed", age=timedelta(hours=6))
    scene.tracked(row_id="earlier", status="completed", age=timedelta(hours=6))
    row = scene.tracked(
        row_id="rollback-0",
        job_type="cleanup",
        operation="enhanced-test-failover-rollback",
        status="completed",
        steps=(("multi-volume-snapshot-cleanup", step),),
        age=timedelta(hours=5),
    )
    scene.tracking[-1] = replace(row, problems=problems, newest_log_at=local(timedelta(hours=4)))
    return scene


def synced(scene: Scene, sync_type: str, age: timedelta) -> Scene:
    scene.syncs.append(SyncRow("disk-2000", sync_type, True, "52", local(age)))
    return scene


def said(scene: Scene, *suspects: str, age: timedelta, job_id: str = "earlier") -> Scene:
    """A cleanup of ours that ended this long ago, and what it could not vouch for."""
    verdict = ContentVerdict(NOW - age, suspects)
    scene.claims.append(OwnClaimRow("claim-0", job_id, 1, None, None, finished=True, verdict=verdict))
    return scene


HOURS = timedelta(hours=1)
DOUBTS: dict[str, tuple[Callable[[], Scene], bool]] = {
    "a rollback that went well": (again, False),
    "a rollback with a bad revert": (lambda: again(BAD_REVERT), True),
    "a rollback that was cut off": (lambda: again(step="running"), True),
    "a bad revert, then an incremental sync": (lambda: synced(again(BAD_REVERT), "incremental", 3 * HOURS), True),
    "a bad revert, then a full sync": (lambda: synced(again(BAD_REVERT), "full", 3 * HOURS), False),
    "a full sync, then a bad revert": (lambda: synced(again(BAD_REVERT), "full", 4.5 * HOURS), True),
    "a bad revert that a cleanup of ours put right": (lambda: said(again(BAD_REVERT), age=3 * HOURS), False),
    "a bad revert that a cleanup of ours could not put right": (
        lambda: said(again(BAD_REVERT), OS, age=3 * HOURS),
        True,
    ),
    "a cleanup of ours before the bad revert": (lambda: said(again(BAD_REVERT), age=5 * HOURS), True),
    "content a person accepted": (lambda: said(again(), OS, age=3 * HOURS), True),
    "content accepted for another volume": (lambda: said(again(), DATA, age=3 * HOURS), False),
    "content accepted, then a full sync": (lambda: synced(said(again(), OS, age=4 * HOURS), "full", 3 * HOURS), False),
    "a verdict about this very job": (lambda: said(again(), OS, age=3 * HOURS, job_id=JOB), False),
}


@pytest.mark.parametrize("case", DOUBTS)
def test_a_snapshot_of_doubtful_content_makes_no_replica(case: str) -> None:
    make, doubtful = DOUBTS[case]
    found = restore(make())
    assert found.point is not None
    assert (found.doubt is not None) is doubtful


def test_a_later_cleanup_of_the_product_heals_what_was_cut_off_but_not_what_was_lost() -> None:
    for scene, doubtful in ((again(step="running"), False), (again(BAD_REVERT), True)):
        scene.tracked(
            row_id="product-cleanup",
            job_type="cleanup",
            operation="failed-execution-cleanup",
            status="completed",
            steps=(("cleanup-snapshots", "completed"),),
            age=timedelta(hours=3),
        )
        assert (restore(scene).doubt is not None) is doubtful


def test_a_bad_rollback_of_an_older_open_job_taints_the_snapshot_of_the_newer_one() -> None:
    scene = again(BAD_REVERT)
    scene.jobs = [replace(job, status="pending") if job.job_id == "earlier" else job for job in scene.jobs]
    assert "rollback-0" in {row.id for row in incident_of(scene).relatives}
    assert restore(scene).doubt is not None


@pytest.mark.parametrize(
    ("volume_id", "step", "sync", "doubtful"),
    [
        (OS, "virtio-driver-injection", None, True),
        (DATA, "virtio-driver-injection", None, False),
        (DATA, "vm-startup-and-validation", None, True),
        (OS, "multi-volume-snapshot-creation", None, False),
        (OS, "virtio-driver-injection", "incremental", True),
        (OS, "virtio-driver-injection", "full", False),
    ],
)
def test_a_newer_jobs_snapshot_holds_what_an_older_open_job_wrote(
    volume_id: str, step: str, sync: str | None, doubtful: bool
) -> None:
    """Two failed jobs on top of each other, the older one's snapshot removed by hand or obsolete."""
    scene = leftover("F12")
    older = timedelta(hours=4)
    scene.job(job_id="older", row_id=0, age=older)
    steps = STEPS[: STEPS.index(step) + 1]
    scene.tracked(row_id="older", status="failed", steps=tuple((name, "completed") for name in steps), age=older)
    if sync is not None:
        synced(scene, sync, 3 * HOURS)
    assert (restore(scene, volume_id).point is None) is doubtful


def test_a_snapshot_taken_after_the_injection_is_no_better_than_the_injected_disk() -> None:
    scene = leftover("F12")
    scene.disk(OS).snapshots.clear()
    scene.snapshot(OS, age=timedelta(minutes=90), content="dirty")
    decision, memory = work(scene)
    assert isinstance(decision, Refuse)
    assert decision.reason is Reason.SNAPSHOT_MISSING
    assert not memory.requests


def test_a_good_word_after_a_lost_snapshot_is_about_what_was_left() -> None:
    scene = leftover("R06")
    steps = (("multi-volume-snapshot-cleanup", "completed"),)
    scene.tracked(
        row_id="rollback-2",
        job_type="cleanup",
        operation="enhanced-test-failover-rollback",
        status="completed",
        steps=steps,
        age=timedelta(minutes=40),
    )
    assert restore(scene).evidence is Evidence.BAD


def test_a_volume_in_doubt_goes_back_to_its_snapshot_and_stays_suspect() -> None:
    decision, _ = work(scene := again(BAD_REVERT))
    assert isinstance(decision, Done)
    assert decision.reason is Reason.CLEANED_DATA_SUSPECT
    assert "rollback-0" in decision.message
    assert scene.context_status == "failed"
    decision, _ = work(scene := again())
    assert isinstance(decision, Done)
    assert (decision.reason, scene.context_status) == (Reason.CLEANED, "ready_for_failover")
