"""A way through the model, taken again on the simulated appliance: the same leftover and mishaps, and the end both come to."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Final

from appliance_simulator.faults import FaultKind
from failed_execution_cleanup.recovery.actions import Action, Kind
from failed_execution_cleanup.recovery.decide import Act, Wait, decide
from failed_execution_cleanup.recovery.memory import Memory
from tests.matrix.expected import Case, refused
from tests.matrix.stage import Found, Stage
from tests.model.exploration import HOLDING, is_end
from tests.model.node import JOB_WAIVERS, Node, later
from tests.model.others import MOVES, move
from tests.model.performing import Fate, land, perform
from tests.unit.recovery.worlds import DATA, JOB, LEFTOVERS, OMA, OS, TVM, Scene, leftover

ROWS: Final = tuple(sorted(LEFTOVERS.keys() - {"F10", "R06"}))
"""Leftovers that both worlds know by these names. Of two the model assumes worse contents than the simulator has: nobody can know."""
DISKS: Final = (OS, DATA)

FAULTS: Final[dict[tuple[Kind, Fate], tuple[FaultKind, str]]] = {
    (Kind.DETACH, Fate.FAILS): (FaultKind.JOB_FAILS, "detachVolume"),
    (Kind.DETACH, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "detach"),
    (Kind.DETACH, Fate.LOST): (FaultKind.RESPONSE_LOST_BEFORE, "detach"),
    (Kind.REVERT, Fate.FAILS): (FaultKind.REVERT_HALF_WAY, "revertSnapshot"),
    (Kind.REVERT, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "revertSnapshot"),
    (Kind.DELETE_SNAPSHOT, Fate.FAILS): (FaultKind.JOB_FAILS, "deleteSnapshot"),
    (Kind.DELETE_SNAPSHOT, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "deleteSnapshot"),
    (Kind.ATTACH, Fate.FAILS): (FaultKind.DEVICE_LINK_LATE, "attach"),
    (Kind.ATTACH, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "attach"),
    (Kind.ATTACH, Fate.LOST): (FaultKind.RESPONSE_LOST_BEFORE, "attach"),
    (Kind.STOP_VM, Fate.FAILS): (FaultKind.JOB_FAILS, "stopVirtualMachine"),
    (Kind.STOP_VM, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "stopVirtualMachine"),
    (Kind.DESTROY_VM, Fate.FAILS): (FaultKind.JOB_FAILS, "destroyVirtualMachine"),
    (Kind.DESTROY_VM, Fate.CUT_OFF): (FaultKind.RESPONSE_LOST_AFTER, "destroyVirtualMachine"),
}
"""What the simulator is armed with for what the model says becomes of an action."""
OPENINGS: Final = (
    None,
    None,
    "the engine writes a step",
    "a replication starts",
    "a person starts the VM",
    "a restore point is removed by hand",
)
"""What somebody else may have done just before the run."""


@dataclass(frozen=True, slots=True)
class Mishap:
    """A request that goes wrong.

    Attributes:
        disk: number of the disk; None for a request to the VM.
        times: how many attempts in a row.
    """

    kind: Kind
    fate: Fate
    disk: int | None
    times: int

    def __str__(self) -> str:
        about = "the VM" if self.disk is None else f"disk {self.disk}"
        return f"{self.kind} of {about} {self.fate}, {self.times}x"


@dataclass(frozen=True, slots=True)
class Script:
    """A way through both worlds."""

    row: str
    opening: str | None
    mishaps: tuple[Mishap, ...]

    def __str__(self) -> str:
        return ", ".join((self.row, self.opening or "nobody else", *map(str, self.mishaps)))


@dataclass(frozen=True, slots=True)
class Picture:
    """What can be compared of the two worlds, by disk number."""

    holders: tuple[str, ...]
    replicas: tuple[bool, ...]
    context: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """How it ended.

    Attributes:
        hit: what the mishaps struck; only the model tells.
    """

    reason: str
    picture: Picture
    hit: frozenset[tuple[Kind, int | None]] = field(default=frozenset(), compare=False)


def scripts(seed: int, count: int) -> list[Script]:
    """Ways drawn from those on which every mishap strikes, no two alike."""
    chance = random.Random(seed)  # noqa: S311 - a sample, not a secret
    found: list[Script] = []
    while len(found) < count:
        mishaps = tuple(_mishap(chance) for _ in range(chance.randrange(3)))
        script = Script(chance.choice(ROWS), chance.choice(OPENINGS), mishaps)
        if (
            script not in found
            and _can_open(script)
            and in_the_model(script).hit == {(m.kind, m.disk) for m in mishaps}
        ):
            found.append(script)
    return found


def _mishap(chance: random.Random) -> Mishap:
    kind, fate = chance.choice(sorted(FAULTS))
    disk = None if kind in {Kind.STOP_VM, Kind.DESTROY_VM} else chance.randrange(len(DISKS))
    return Mishap(kind, fate, disk, chance.choice((1, 2)) if fate is Fate.FAILS else 1)


def start_of(row: str) -> Node:
    """The model's picture of a leftover, with every waiver for the job."""
    return Node(scene=leftover(row), memory=Memory(JOB), waivers=JOB_WAIVERS)


def opened(script: Script) -> Node:
    """The model's state once somebody else did what the script begins with.

    Raises:
        ValueError: nobody can do that here.
    """
    node = start_of(script.row)
    if script.opening is None:
        return node
    what = next(what for what in MOVES if what.name == script.opening)
    node = replace(node, hung=any(row.id == JOB and row.status == "running" for row in node.scene.tracking))
    if not what.possible(node):
        raise ValueError(f"{script.opening} is not possible in {script.row}")
    return move(node, what)


def _can_open(script: Script) -> bool:
    try:
        opened(script)
    except ValueError:
        return False
    return True


def in_the_model(script: Script) -> Outcome:
    """Follow a script through the model, to its end or to a wait for others."""
    node = opened(script)
    left = {(m.kind, m.disk): m for m in script.mishaps}
    used: dict[tuple[Kind, int | None], int] = {}
    for _ in range(200):
        decision = decide(node.scene.world(), node.wish, node.memory)
        if is_end(decision) and not node.in_flight:
            return Outcome(_reason(decision), picture(node.scene), frozenset(used))
        if node.in_flight:
            node = land(node, node.in_flight[0])
            continue
        match decision:
            case Act(actions=actions):
                if not node.claimed:
                    memory = replace(node.memory, number=1, started_at=node.memory.started_at or node.now)
                    node = replace(node, claimed=True, memory=memory)
                    continue
                for action in actions:
                    node = perform(node, action, _fate(action, left, used))
            case Wait(reason=reason, after=after):
                node = later(node if reason in HOLDING else node.released(), after)
    raise AssertionError(f"no end: {script}")


def _fate(
    action: Action, left: dict[tuple[Kind, int | None], Mishap], used: dict[tuple[Kind, int | None], int]
) -> Fate:
    about = action.kind, DISKS.index(action.volume_id) if action.volume_id else None
    mishap = left.get(about)
    if mishap is None or used.get(about, 0) >= mishap.times:
        return Fate.WORKS
    used[about] = used.get(about, 0) + 1
    return mishap.fate


def _reason(decision: object) -> str:
    reason = getattr(decision, "reason", None)
    return str(reason.value) if reason is not None else type(decision).__name__


def picture(scene: Scene) -> Picture:
    """The model's world, as far as it can be compared."""
    names = {OMA: "OMA", TVM: "VM", None: "nobody"}
    return Picture(
        tuple(names.get(disk.holder, "other") for disk in scene.disks),
        tuple(disk.content == "replica" for disk in scene.disks),
        scene.context_status,
    )


def case_of(script: Script) -> Case:
    """The same leftover on the simulator."""
    waive = tuple((waiver.reason, waiver.object) for waiver in sorted(JOB_WAIVERS, key=lambda w: w.reason))
    return Case("replay", script.row, "taken again", refused("none"), waive=waive)


async def opening_on(stage: Stage, script: Script) -> None:
    """What somebody else did just before the run."""
    appliance, built = stage.appliance, stage.built
    match script.opening:
        case "the engine writes a step":
            await appliance.wake_engine(stage.case.vm_name)
        case "a replication starts":
            await appliance.add_running_replication(stage.case.vm_name)
        case "a person starts the VM":
            assert built.destination_vm_id is not None
            appliance.set_state(built.destination_vm_id, "Running")
        case "a restore point is removed by hand":
            appliance.set_state(built.snapshot_ids[stage.volume_ids[0]], "Destroyed")


def arm(stage: Stage, script: Script) -> None:
    """Let the same requests go wrong."""
    for mishap in script.mishaps:
        kind, command = FAULTS[mishap.kind, mishap.fate]
        stage.appliance.faults.arm(kind, command, object_id=_object(stage, mishap), times=mishap.times)


def _object(stage: Stage, mishap: Mishap) -> str | None:
    if mishap.disk is None:
        return stage.built.destination_vm_id
    volume_id = stage.volume_ids[mishap.disk]
    if mishap.kind in {Kind.REVERT, Kind.DELETE_SNAPSHOT}:
        return stage.built.snapshot_ids[volume_id]
    return volume_id


def pictured(stage: Stage, found: Found) -> Picture:
    """The simulator's world, as far as it can be compared."""
    names = {stage.appliance.oma_vm_id: "OMA", stage.built.destination_vm_id: "VM", None: "nobody"}
    context = found.rows["vm_replication_contexts"][(stage.built.vm.context_id,)]
    return Picture(
        tuple(names.get(found.holders[volume], "other") for volume in stage.volume_ids),
        tuple(found.contents[volume].startswith("replica") for volume in stage.volume_ids),
        str(context["current_status"]),
    )
