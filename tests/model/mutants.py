"""The code made wrong on purpose, once or more per rule: each mutant must be noticed, and by the rule it breaks. Data only.

A mutant of the core is looked for by exploring a small product. One of the engine or the doors breaks a rule the core alone cannot keep,
and a test on a real appliance (simulated) notices it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.model.dimensions import Product

CORE: Final = "failed_execution_cleanup.recovery"


@dataclass(frozen=True, slots=True)
class Mutant:
    """One wrong piece of code.

    Attributes:
        rule: the rule of docs/rules.md it breaks.
        name: what is wrong.
        module: where.
        edits: (text that occurs exactly once in the module, what stands there instead).
        why: what the rule would lose.
        on: the product in which it is noticed, or the tests that notice it.
        others: further (module, edits) that must be wrong as well, where two lines guard the same.
    """

    rule: int
    name: str
    module: str
    edits: tuple[tuple[str, str], ...]
    why: str
    on: Product | tuple[str, ...]
    others: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = field(default=())


def _one(places: str, points: str, steps: str, **values: object) -> Product:
    settings: dict[str, object] = {"endings": ("hangs",), "vms": ("Stopped",), "mishaps": 0} | values
    return Product("mutant", 1, tuple(places.split()), tuple(points.split()), tuple(steps.split()), **settings)  # type: ignore[arg-type]


def _two(places: str, points: str, steps: str, **values: object) -> Product:
    settings: dict[str, object] = {"endings": ("hangs",), "vms": ("Stopped",), "mishaps": 0} | values
    return Product("mutant", 2, tuple(places.split()), tuple(points.split()), tuple(steps.split()), **settings)  # type: ignore[arg-type]


_PLAIN: Final = _one("mode vm", "one", "volume-attachment")
_FAULTS: Final = _one("mode vm", "one newer", "volume-attachment", mishaps=1)
_OTHERS: Final = _one("mode vm", "one newer", "volume-attachment", mishaps=1, others=True)
_DATABASE: Final = "tests/unit/appliance/database/test_on_sqlite.py"

MUTANTS: Final = (
    Mutant(
        1,
        "healthy failovers are not refused",
        f"{CORE}.guards",
        (('    if job is None or job.status != "completed" or incident.rollbacks:\n', "    if True:\n"),),
        "a test VM in use loses its disks",
        _one("vm", "one", "vm-startup-and-validation", endings=("completed",)),
    ),
    Mutant(
        2,
        "newer jobs are overlooked",
        f"{CORE}.decide",
        (("superseded_by(world.records, incident)) is not None:", "None) is not None:"),),
        "the cleanup of an old job undoes a new failover",
        _OTHERS,
    ),
    Mutant(
        3,
        "the newest snapshot is the restore point",
        f"{CORE}.restore_points",
        (("    oldest = usable[0] if usable else None\n", "    oldest = usable[-1] if usable else None\n"),),
        "what the failover wrote is put back",
        _one("mode", "newer", "unknown"),
    ),
    Mutant(
        3,
        "obsolete snapshots count",
        f"{CORE}.restore_points",
        (("synced is not None and _obsolete(snapshot", "synced is None and _obsolete(snapshot"),),
        "the replica is rolled back behind its last sync",
        _one("mode", "obsolete", "volume-attachment"),
    ),
    Mutant(
        3,
        "a person's snapshot is ours",
        f"{CORE}.restore_points",
        (("    if parts is None:\n        return False\n", "    if parts is None:\n        return True\n"),),
        "a backup that a person made is deleted",
        _one("mode", "one", "volume-attachment"),
    ),
    Mutant(
        4,
        "VMs of live failovers are found by name",
        f"{CORE}.incident",
        (('        if job.job_type != "test":\n            continue\n', ""),),
        "somebody's VM is destroyed for its name",
        _one("mode", "one", "volume-attachment", kinds=("live",), recorded=("unrecorded",)),
    ),
    Mutant(
        5,
        "signs of life are overlooked",
        f"{CORE}.guards",
        (("        left = limit - clock.age(incident.newest_activity)\n", "        left = timedelta(0)\n"),),
        "volumes are torn out of a failover that works",
        _OTHERS,
    ),
    Mutant(
        5,
        "no quiet time",
        f"{CORE}.decide",
        (("    if incident.ended_by_engine:\n        return None\n", "    if incident:\n        return None\n"),),
        "the restore point is gone when the engine wakes up and writes",
        _PLAIN,
    ),
    Mutant(
        5,
        "a live failover's open row needs no word",
        f"{CORE}.guards",
        (("    if open_rows and not wish.waived(", "    if not open_rows and not wish.waived("),),
        "the engine goes on after a failed injection, on disks we moved",
        _one("mode", "one", "virtio-driver-injection", kinds=("live",), vms=("none",), waivers=("none",)),
    ),
    Mutant(
        6,
        "replications are overlooked",
        f"{CORE}.guards",
        (("        if row.status in TERMINAL_REPLICATION:\n", "        if row.status:\n"),),
        "volumes are detached under a running replication",
        _OTHERS,
    ),
    Mutant(
        6,
        "nameless product cleanups are overlooked",
        f"{CORE}.guards",
        (("    for row in incident.nameless:\n", "    for row in incident.nameless[:0]:\n"),),
        "two cleanups work on one VM",
        _OTHERS,
    ),
    Mutant(
        7,
        "the context is not marked",
        f"{CORE}.approval",
        (("    return not marked and any(", "    return marked and any("),),
        "the scheduler replicates onto volumes that are being reverted",
        _PLAIN,
    ),
    Mutant(
        7,
        "an observation may be torn",
        f"{CORE}.decide",
        (
            (
                "activity(world.first, memory) != activity(world.records, memory)",
                "activity(world.first, memory) is None",
            ),
        ),
        "a decision rests on two different worlds",
        _OTHERS,
    ),
    Mutant(
        7,
        "nothing is read right before a request",
        "failed_execution_cleanup.run.worker",
        (("        if activity(records, memory) != activity(world.records, memory):\n", "        if not records:\n"),),
        "a request is sent although a job began since the decision",
        ("tests/model/test_replay.py::test_nothing_is_sent_once_the_engine_moved",),
    ),
    Mutant(
        8,
        "no preflight",
        f"{CORE}.decide",
        (("    safe = not held or memory.displaced\n", "    safe = True\n"),),
        "volumes are taken off while another can never come home",
        _two("mode missing", "one irrevertable", "volume-attachment"),
    ),
    Mutant(
        9,
        "the mapping tells where a volume is",
        f"{CORE}.guards",
        (
            (
                "    if volume.cloud.vm_id is None:\n",
                "    if volume.mapping is not None and volume.mapping.vm_id == world.oma_vm_id:\n        return Holder.OMA\n"
                "    if volume.cloud.vm_id is None:\n",
            ),
        ),
        "a detached volume passes for one at home",
        _one("stale", "one none", "volume-attachment multi-volume-snapshot-creation", vms=("none", "Stopped")),
    ),
    Mutant(
        9,
        "a list without a witness proves that a VM is gone",
        "failed_execution_cleanup.appliance.perform",
        (("        if self._subject.oma_vm_id not in vms:\n", "        if not self._subject.oma_vm_id:\n"),),
        "an account that lost its rights makes every VM look destroyed",
        ("tests/model/test_replay.py::test_a_list_of_vms_without_the_witness_proves_nothing",),
    ),
    Mutant(
        10,
        "volumes are reverted where they are",
        f"{CORE}.plan",
        (
            (
                "    detach = holder is Holder.TEST_VM or (holder is Holder.OMA and (disturbs or not usable))\n",
                "    detach = False\n",
            ),
        ),
        "a disk in use is overwritten",
        _one("oma", "one", "virtio-driver-injection", vms=("none",)),
        others=(
            (
                f"{CORE}.decide",
                (
                    (
                        "    if step.kind in {Kind.REVERT, Kind.ATTACH, Kind.REMOVE_MAPPING}:\n        return v.holder is Holder.NOBODY\n",
                        "",
                    ),
                ),
            ),
        ),
    ),
    Mutant(
        10,
        "a sync since the snapshot is overlooked",
        f"{CORE}.restore_points",
        (
            ("    return recorded is not None and as_utc(recorded, records.clock) < synced\n", "    return False\n"),
            ("    if _taken(snapshot, volume, records) <= synced:\n        return True\n", ""),
        ),
        "a newer replica is rolled back",
        _one("oma", "obsolete", "virtio-driver-injection", vms=("none",)),
    ),
    Mutant(
        11,
        "a revert without a result is forgotten",
        f"{CORE}.decide",
        (("        if doubt is not None:\n", "        if doubt is None and False:\n"),),
        "the appliance gets a volume that the storage is still writing",
        _FAULTS,
    ),
    Mutant(
        11,
        "a slow copy is not waited for",
        f"{CORE}.restore_points",
        (("max(settings_quiet, timedelta(seconds=size / bytes_per_second))", "settings_quiet"),),
        "a large volume is attached in the middle of its copy",
        _FAULTS,
    ),
    Mutant(
        12,
        "a broken claim's revert counts",
        f"{CORE}.restore_points",
        (("        and newest.number == memory.number\n", ""),),
        "the restore point is deleted although somebody else may have written since",
        _FAULTS,
    ),
    Mutant(
        12,
        "who held the volume since does not matter",
        f"{CORE}.restore_points",
        (
            ("    if holder not in {None, world.oma_vm_id}:\n        return True\n", ""),
            (
                "    return any(r.sent_at > revert.sent_at and r.vm_id != world.oma_vm_id for r in detached)\n",
                "    return not detached\n",
            ),
        ),
        "the restore point goes although the test VM wrote again",
        _OTHERS,
    ),
    Mutant(
        12,
        "what is newer takes the place of a restore point that is gone",
        f"{CORE}.restore_points",
        (
            (
                "        return oldest if oldest is not None and oldest.id in gone_back_to else None\n",
                "        return oldest\n",
            ),
        ),
        "a volume that was put right is reverted to what the failover wrote",
        _one("mode", "newer", "volume-attachment", mishaps=1, others=True),
    ),
    Mutant(
        12,
        "nobody looks where the volume is before its snapshot goes",
        "failed_execution_cleanup.appliance.perform",
        (("if volume is None or volume.vm_id not in (None, self._subject.oma_vm_id):", "if volume is None:"),),
        "a snapshot is deleted while a VM writes to its volume",
        ("tests/model/test_replay.py::test_a_snapshot_is_kept_when_its_volume_left_the_appliance_before_the_request",),
    ),
    Mutant(
        13,
        "a snapshot of what the failover wrote counts as a restore point",
        f"{CORE}.restore_points",
        (("return None if written_before(oldest, records, incident, volume) else oldest", "return oldest"),),
        "modified data is handed back as a replica",
        _one("mode", "newer", "volume-attachment", mishaps=1, others=True),
    ),
    Mutant(
        12,
        "an old owner's number passes",
        "failed_execution_cleanup.appliance.database.claims",
        (
            (
                "    if (stored.envelope.number, stored.envelope.owner) != (claim.number, claim.owner):\n",
                "    if stored.envelope is None:\n",
            ),
        ),
        "two owners act at once",
        (_DATABASE,),
    ),
    Mutant(
        13,
        "missing steps count as no steps",
        f"{CORE}.incident",
        (
            ("        if started is None or started:\n", "        if started:\n"),
            ("os_disk and (injected is None or injected)", "os_disk and bool(injected)"),
        ),
        "modified data is handed back as a replica",
        _one("mode nobody", "none", "unknown", vms=("none",)),
    ),
    Mutant(
        13,
        "a VM that a person started wrote nothing",
        f"{CORE}.restore_points",
        ((" or _was_running(world, volume, memory)", ""),),
        "modified data is handed back as a replica",
        _two("vm", "none one", "volume-attachment", mishaps=1, others=True),
    ),
    Mutant(
        13,
        "bad reverts of the product are believed",
        f"{CORE}.restore_points",
        (
            (
                "        return Evidence.BAD if _revert_problem(row) or step.status",
                "        return Evidence.BAD if step.status",
            ),
        ),
        "modified data is handed back as a replica",
        _one(
            "mode",
            "removed",
            "vm-startup-and-validation",
            endings=("completed",),
            sequels=("rollback bad",),
            vms=("none",),
        ),
    ),
    Mutant(
        14,
        "a VM goes before its volumes are home",
        f"{CORE}.decide",
        (
            (
                "        removable = step.kind is not Kind.STOP_VM and home and vm.id not in holding\n",
                "        removable = step.kind is not Kind.STOP_VM\n",
            ),
        ),
        "the volumes go with it",
        _PLAIN,
    ),
    Mutant(
        15,
        "volumes are taken off a running VM",
        f"{CORE}.decide",
        (
            (
                '        return vm.state in SETTLED_DETACH_STATES or vm.state == "Error"\n',
                "        return vm is not None\n",
            ),
        ),
        "the guest's writes are cut off in the middle",
        _one("vm", "one", "vm-startup-and-validation", vms=("Running",)),
    ),
    Mutant(
        15,
        "every stop is forced",
        f"{CORE}.plan",
        (("            forced = wish.settings.force_stop and", "            forced = wish.settings.force_stop or"),),
        "a guest is cut off that would have stopped",
        _one("vm", "one", "vm-startup-and-validation", vms=("Running",), mishaps=1),
    ),
    Mutant(
        16,
        "running steps are left behind",
        f"{CORE}.plan",
        (('for step in row.steps if step.status == "running")', 'for step in row.steps if step.status == "open")'),),
        "the product's screens show the job as running for ever",
        _PLAIN,
    ),
    Mutant(
        16,
        "the incident is closed before the rest is done",
        f"{CORE}.decide",
        (("        if closing is not None and len(assessment.steps) == 1 and", "        if closing is not None and"),),
        "replication starts while volumes are away",
        _PLAIN,
    ),
    Mutant(
        16,
        "newer jobs do not abort the last transaction",
        "failed_execution_cleanup.appliance.database.closing",
        (("    if newest != closing.newest_failover:\n", "    if newest is None:\n"),),
        "a failover that just began is declared failed",
        (_DATABASE,),
    ),
    Mutant(
        17,
        "a failed replication is overlooked",
        f"{CORE}.plan",
        (("    if newest is not None and newest.status not in COMPLETED_REPLICATION:\n", "    if newest is None:\n"),),
        "a torn replica is declared ready",
        _one("mode", "one", "virtio-driver-injection", vms=("none",), replicas=("failed since",)),
    ),
    Mutant(
        17,
        "no replication is needed",
        f"{CORE}.plan",
        (("    if not succeeded:\n", "    if succeeded is None:\n"),),
        "an empty volume is declared ready",
        _one("mode", "one", "virtio-driver-injection", vms=("none",), replicas=("never",)),
    ),
    Mutant(
        18,
        "exports do not belong to the goal",
        f"{CORE}.plan",
        (("        if not volume.exported:\n", "        if volume.exported is None:\n"),),
        "it calls itself clean, and replication has nowhere to write to",
        _one("unexported", "none", "multi-volume-snapshot-creation", vms=("none",)),
    ),
    Mutant(
        18,
        "a finished cleanup begins anew",
        "failed_execution_cleanup.run.cleanup",
        (
            (
                "        if memory.finished and memory.handled_request == order.requested_at and",
                "        if memory.finished == order.vm_name and",
            ),
        ),
        "what drifted long after is changed without anybody asking",
        ("tests/model/test_replay.py::test_drift_after_the_end_is_left_alone",),
    ),
    Mutant(
        19,
        "nothing is brought home before a stop",
        f"{CORE}.decide",
        (("    if v.holder is not Holder.NOBODY or unreverted:\n", "    if v.holder is not None or unreverted:\n"),),
        "a suspended cleanup leaves the replica detached",
        _OTHERS,
    ),
    Mutant(
        19,
        "a person's guard waits",
        f"{CORE}.reasons",
        (("    return reason not in SUCCESSES and reason not in WAITS\n", "    return reason in SUCCESSES\n"),),
        "nobody is told that help is needed",
        _one("mode", "none", "virtio-driver-injection", vms=("none",)),
    ),
    Mutant(
        19,
        "a failed attempt is repeated for ever",
        f"{CORE}.guards",
        (("        if len(failures) >= tries and any(", "        if len(failures) >= 99 and any("),),
        "an attach that cannot work is tried without end, and nobody is told",
        ("tests/model/test_exploration.py::test_an_attach_that_never_works_ends_in_a_stop",),
    ),
)
