"""What differs from the goal for every leftover of the catalogue: the first actions and the whole remaining list."""

from dataclasses import replace
from datetime import timedelta

import pytest

from failed_execution_cleanup.recovery.actions import Action, Kind, Phase
from failed_execution_cleanup.recovery.decide import Act, Done, decide
from failed_execution_cleanup.recovery.goals import Goal, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import ReplicationRow
from tests.unit.recovery.worlds import (
    DATA,
    JOB,
    LEFTOVERS,
    OS,
    QUICK,
    RUNNING_WAIVED,
    TVM,
    Scene,
    claimed,
    healthy_start,
    leftover,
    local,
    look,
    work,
)

DETACHED = ("detach os", "detach data")
OS_BACK = ("revert os", "mark-reverted os", "delete-snapshot os", "clear-snapshot os")
DATA_BACK = ("revert data", "mark-reverted data", "delete-snapshot data", "clear-snapshot data")
HOME = ("attach os", "attach data")
ALL = (*DETACHED, *OS_BACK, *DATA_BACK, *HOME)
VM = "destroy-vm vm"
CLOSE = "close-incident"

PLANS: dict[str, tuple[str, ...]] = {
    "F01": (CLOSE,),
    "F06": ("set-mode data", CLOSE),
    "F07": ("detach os", *OS_BACK, "delete-snapshot data", "attach os", CLOSE),
    "F09": ("delete-snapshot os", "delete-snapshot data", CLOSE),
    "F10": (*DETACHED, "revert os", "delete-snapshot os", "revert data", "delete-snapshot data", *HOME, CLOSE),
    "F11": (*ALL, CLOSE),
    "F12": (*ALL, CLOSE),
    "F12b": (*ALL, CLOSE),
    "F15": (*ALL, VM, CLOSE),
    "F19": ("detach data", *OS_BACK, *DATA_BACK, *HOME, VM, CLOSE),
    "F20": (*ALL, VM, CLOSE),
    "F22": (*ALL, VM, CLOSE),
    "F24": (*ALL, VM, CLOSE),
    "F26": (*ALL, VM, CLOSE),
    "F27": (*ALL, VM, CLOSE),
    "F28": (*DETACHED, "stop-vm vm", *OS_BACK, *DATA_BACK, *HOME, VM, CLOSE),
    "R04": ("detach data", *OS_BACK, *DATA_BACK, *HOME, VM, CLOSE),
    "R06": (CLOSE,),
    "R07": (*HOME, VM, CLOSE),
    "R08": ("detach data", *HOME, VM, CLOSE),
    "R09": (VM, CLOSE),
    "C01": (
        *OS_BACK,
        *DATA_BACK,
        "remove-mapping os",
        "attach os",
        "remove-mapping data",
        "attach data",
        CLOSE,
    ),
    "C03": ("clear-snapshot os", *DATA_BACK, *HOME, CLOSE),
    "C06": (VM,),
}
FIRST: dict[str, set[str]] = {
    "F01": {CLOSE},
    "F06": {"set-mode data"},
    "F07": {"detach os"},
    "F09": {"delete-snapshot os", "delete-snapshot data"},
    "F19": {"revert os", "detach data"},
    "F28": {"stop-vm vm"},
    "R04": {"revert os", "detach data"},
    "R07": set(HOME),
    "R08": {"attach os", "detach data"},
    "R09": {VM},
    "C01": {"revert os", "revert data"},
    "C03": {"clear-snapshot os", "revert data"},
    "C06": {VM},
    "R06": {CLOSE},
}


def names(actions: tuple[Action, ...], scene: Scene) -> list[str]:
    """Actions in words of this file."""
    short = {OS: "os", DATA: "data", TVM: "vm"}
    short |= {s.id: short[d.id] for d in scene.disks for s in d.snapshots}
    return [f"{a.kind} {short.get(a.object, '')}".strip() for a in actions]


def test_every_leftover_of_the_catalogue_is_planned() -> None:
    assert set(PLANS) == set(LEFTOVERS)


@pytest.mark.parametrize("code", sorted(LEFTOVERS))
def test_the_whole_remaining_list_in_order(code: str) -> None:
    scene = leftover(code)
    assert names(look(scene, RUNNING_WAIVED).assessment.steps, scene) == list(PLANS[code])


@pytest.mark.parametrize("code", sorted(LEFTOVERS))
def test_the_context_is_marked_before_a_volume_or_a_row_is_touched(code: str) -> None:
    scene = leftover(code)
    decision = look(scene, RUNNING_WAIVED)
    assert isinstance(decision, Act)
    expected = [VM] if code == "C06" else ["mark-context"]
    assert names(decision.actions, scene) == expected


@pytest.mark.parametrize("code", sorted(set(LEFTOVERS) - {"F01", "F07", "R07", "F10"}))
def test_the_first_enabled_actions(code: str) -> None:
    scene = leftover(code)
    if code != "C06":
        scene.context_status = "cleanup_required"
    decision = look(scene, RUNNING_WAIVED)
    assert isinstance(decision, Act)
    assert set(names(decision.actions, scene)) == FIRST.get(code, set(DETACHED))


@pytest.mark.parametrize("code", sorted(LEFTOVERS))
def test_every_leftover_ends_with_its_volumes_home_and_nothing_more_to_do(code: str) -> None:
    scene = leftover(code)
    decision, memory = work(scene, RUNNING_WAIVED)
    assert isinstance(decision, Done)
    assert {disk.holder for disk in scene.disks} == {"vm-oma"}
    assert list(scene.vms) == ["vm-oma"]
    if code == "R06":
        assert (decision.reason, scene.context_status) == (Reason.CLEANED_DATA_SUSPECT, "failed")
        return
    assert (decision.reason, scene.context_status) == (Reason.CLEANED, "ready_for_failover")
    assert {disk.content for disk in scene.disks} == {"replica"}
    assert all(goal.reached for goal in decision.assessment.goals.values())
    assert decide(scene.world(), RUNNING_WAIVED, memory) == decision
    assert isinstance(look(scene, RUNNING_WAIVED), Done)


def test_nothing_to_do_is_done_without_any_action() -> None:
    scene = healthy_start()
    scene.context_status = "ready_for_failover"
    scene.job(status="failed")
    scene.tracked(status="failed", steps=(("validation", "failed"),))
    decision = look(scene)
    assert isinstance(decision, Done)
    assert (decision.reason, decision.assessment.steps) == (Reason.ALREADY_CLEAN, ())


def test_a_vm_without_any_failover_has_nothing_to_do() -> None:
    decision = look(healthy_start(), Wish())
    assert isinstance(decision, Done)
    assert decision.reason is Reason.NOTHING_TO_DO


def test_a_volume_that_is_fine_on_the_appliance_stays_there() -> None:
    scene = leftover("F07")
    steps = look(scene).assessment.steps
    assert all(step.volume_id != DATA for step in steps if step.phase in {Phase.DETACH, Phase.REATTACH})


@pytest.mark.parametrize("path", ["/dev/vdc", "remote-vm-1", "/dev/disk/by-id/virtio-12"])
def test_a_mapping_without_its_by_id_path_is_made_anew(path: str) -> None:
    scene = leftover("R09")
    mapping = scene.disk(DATA).mapping
    assert mapping is not None
    scene.disk(DATA).mapping = replace(mapping, device_path=path)
    assert names(look(scene).assessment.steps, scene) == ["detach data", "attach data", VM, CLOSE]


def test_an_export_that_is_missing_is_created() -> None:
    scene = leftover("R09")
    scene.disk(DATA).exported = False
    assert names(look(scene).assessment.steps, scene) == ["create-export data", VM, CLOSE]


def test_accepted_content_is_attached_as_it_is_and_its_snapshot_kept_and_listed() -> None:
    scene = leftover("F27")
    kept = scene.disk(OS).snapshots[0].id
    wish = Wish(JOB, frozenset({Waiver("AcceptContent", OS)}), settings=QUICK)
    decision, _ = work(scene, wish)
    assert isinstance(decision, Done)
    assert decision.reason is Reason.CLEANED_DATA_SUSPECT
    assert scene.context_status == "failed"
    assert [s.id for s in scene.disk(OS).snapshots] == [kept]
    assert [item.id for item in decision.assessment.leftovers] == [kept]
    assert decision.assessment.goals[Goal.SNAPSHOTS_REMOVED].reached
    assert (scene.disk(OS).content, scene.disk(DATA).content) == ("dirty", "replica")


def test_a_suspect_volume_is_vouched_for_by_a_full_sync_and_a_new_request() -> None:
    scene = leftover("R06")
    _, memory = work(scene)
    scene.context_status = "ready_for_failover"
    for disk in scene.disks:
        disk.content = "replica"
    row = replace(scene.syncs[0], sync_type="full", created_at=scene.now + timedelta(hours=3))
    scene.syncs += [replace(row, disk_id=f"disk-{2000 + disk.number}") for disk in scene.disks]
    decision = look(scene, memory=memory.again(scene.now, "again"))
    assert isinstance(decision, Done)
    assert decision.reason is Reason.ALREADY_CLEAN


def test_a_closed_incident_without_proof_is_reported_and_not_written() -> None:
    decision = look(leftover("C06"))
    assert [(item.kind, item.id) for item in decision.assessment.leftovers] == [("Volume", OS)]
    assert decision.assessment.closing is None


def test_an_expunge_that_is_not_permitted_leaves_a_destroyed_vm_and_says_so() -> None:
    scene = leftover("R09")
    scene.context_status = "cleanup_required"
    asked = Request(Kind.DESTROY_VM, TVM, 1, 1, scene.now, outcome=Outcome.REFUSED, settled_at=scene.now)
    memory = replace(claimed(scene), requests=(asked,))
    scene.now += timedelta(minutes=1)
    decision = look(scene, memory=memory)
    assert isinstance(decision, Act)
    assert [(a.kind, a.expunge) for a in decision.actions] == [(Kind.DESTROY_VM, False)]
    scene.vms[TVM] = replace(scene.vms[TVM], state="Destroyed")
    decision, _ = work(scene, memory=memory)
    assert isinstance(decision, Done)
    assert [item.id for item in decision.assessment.leftovers] == [TVM]
    assert decision.assessment.goals[Goal.TEST_VM_REMOVED].reached
    asked_again = look(scene, memory=memory.again(scene.now, "permitted now"))
    assert names(asked_again.assessment.steps, scene) == ["expunge-vm vm"]


@pytest.mark.parametrize(
    ("status", "bytes_written", "completed", "expected"),
    [
        ("completed", 10, True, "ready_for_failover"),
        ("failed", 0, True, "ready_for_failover"),
        ("failed", 10, True, "failed"),
        ("replicating", 10, False, "failed"),
    ],
)
def test_the_newest_replication_that_wrote_decides_what_the_context_deserves(
    status: str, bytes_written: int, completed: bool, expected: str
) -> None:
    scene = leftover("F12")
    at = local(timedelta(hours=3))
    ended = at if completed else None
    scene.replications.insert(0, ReplicationRow("repl-2", status, at, at, at, ended, at, bytes_written))
    assessment = look(scene, Wish(JOB, frozenset({Waiver("ZombieJob", "repl-2")}), settings=QUICK)).assessment
    assert assessment.target == expected


def test_a_vm_that_never_replicated_is_not_ready() -> None:
    scene = leftover("F12")
    scene.replications.clear()
    scene.last_successful_job = None
    assert look(scene).assessment.undeserved is Reason.REPLICA_NOT_CONSISTENT


def test_the_last_transaction_closes_exactly_what_was_seen() -> None:
    scene = leftover("R07")
    closing = look(scene).assessment.closing
    assert closing is not None
    assert closing.closing is not None
    assert closing.closing.failovers == ()
    assert closing.closing.tracking == (("rollback-1", "running"),)
    assert len(closing.closing.steps) == 1
    assert closing.closing.context_from == ("failed_over_test",)
    assert closing.closing.newest_failover == 1


def test_a_completed_job_stays_completed_when_only_its_rollback_failed() -> None:
    scene = leftover("R09")
    work(scene)
    assert [job.status for job in scene.jobs] == ["completed"]


def test_a_plan_is_shown_even_while_a_guard_forbids_it() -> None:
    scene = leftover("F28")
    assert names(look(scene, memory=Memory(JOB)).assessment.steps, scene) == list(PLANS["F28"])
