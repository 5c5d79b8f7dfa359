"""One state of the exploration: what is there, what is remembered, what is wished, and how much may still go wrong."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.goals import Settings, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome, Request
from failed_execution_cleanup.recovery.world import TrackingRow
from tests.model.dimensions import Start
from tests.model.starts import build
from tests.unit.recovery.worlds import GIB, JOB, OFFSET, Disk, Scene

SETTINGS: Final = Settings(
    stuck_after=timedelta(seconds=20),
    operation_limit=timedelta(seconds=20),
    quiet=timedelta(seconds=10),
    revert_quiet=timedelta(seconds=40),
    revert_bytes_per_second=10 * GIB // 60,
    retry=timedelta(seconds=5),
    tries=2,
)
"""A copy of a whole volume takes 60 s: longer than the quiet time that is set, so that only the larger of both is right (rule 11)."""
COPY_TIME: Final = timedelta(seconds=55)
TICK: Final = timedelta(microseconds=1)
"""Requests follow each other by a tick: enough for an order, too little to count as time."""
SECOND: Final = timedelta(seconds=1)
HORIZON: Final = 61
"""Age in seconds from which on no stamp of the memory makes a difference."""

JOB_WAIVERS: Final = frozenset({Waiver(r, "job") for r in ("RunningTestVM", "LiveFailover", "EngineMayWake")})


@dataclass(frozen=True, slots=True)
class Node:
    """One state.

    Attributes:
        scene: the truth; never changed in place once the node is made.
        claimed: a process holds the claim and sees what changes.
        hung: the engine of the failover may still wake up.
        signs: signs of life of others: the rule that forbids everything meanwhile, and when it was seen last.
        protected: volumes whose replicated data could be had at the start, by no other's doing lost since.
        landing: requests in flight that will still have their effect, by key and attempt; other open ones never arrived.
        mishaps: how often something may still go wrong.
    """

    scene: Scene
    memory: Memory
    waivers: frozenset[Waiver]
    stopping: bool = False
    overdue: bool = False
    claimed: bool = False
    hung: bool = False
    signs: tuple[tuple[int, datetime], ...] = ()
    protected: frozenset[str] = frozenset()
    landing: frozenset[tuple[str, int]] = frozenset()
    mishaps: int = 0

    @property
    def now(self) -> datetime:
        """UTC digits."""
        return self.scene.now

    @property
    def wish(self) -> Wish:
        """What is wanted, as the core is told."""
        deadline = timedelta(0) if self.overdue else timedelta(days=30)
        return Wish(JOB, self.waivers, stopping=self.stopping, deadline=deadline, settings=SETTINGS)

    @property
    def in_flight(self) -> tuple[Request, ...]:
        """Requests written ahead and not settled."""
        return tuple(request for request in self.memory.requests if request.open)

    def released(self) -> Node:
        """The run ended: whoever goes on breaks the claim."""
        return replace(self, claimed=False) if self.claimed else self

    def key(self) -> Hashable:
        """Equal for states from which the same can follow: times only as ages, and only as long as they matter."""
        return (
            _scene_key(self),
            _memory_key(self),
            self.waivers,
            self.stopping,
            self.overdue,
            self.claimed,
            self.hung,
            tuple((rule, _age(self.now, at, 21)) for rule, at in self.signs),
            self.protected,
            self.landing,
            self.mishaps,
        )


def first_node(start: Start, *, mishaps: int) -> Node:
    """The state in which a start is found: nothing was claimed yet."""
    scene = build(start)
    waivers = frozenset() if start.waivers == "none" else JOB_WAIVERS
    if start.waivers == "content":
        waivers |= {Waiver("AcceptContent", disk.id) for disk in scene.disks}
    return Node(
        scene=scene,
        memory=Memory(JOB),
        waivers=waivers,
        hung=start.ending in {"hangs", "by hand"},
        protected=frozenset(disk.id for disk in scene.disks if recoverable(scene, disk)),
        mishaps=mishaps,
    )


def recoverable(scene: Scene, disk: Disk) -> bool:
    """Whether the replicated data of a disk can be had: it is there, or a snapshot of the failover has it."""
    if disk.gone:
        return False
    return disk.content == "replica" or any(
        s.state == "BackedUp" and scene.contents[s.id] == "replica" for s in disk.snapshots
    )


def fork(scene: Scene) -> Scene:
    """A copy whose parts can be changed; rows and snapshots are frozen and shared."""
    copy = Scene.__new__(Scene)
    copy.__dict__.update(scene.__dict__)
    copy.disks = []
    for disk in scene.disks:
        twin = Disk.__new__(Disk)
        twin.__dict__.update(disk.__dict__)
        twin.snapshots = list(disk.snapshots)
        copy.disks.append(twin)
    for name in ("jobs", "tracking", "replications", "syncs", "operations", "claims", "vm_snapshots"):
        setattr(copy, name, list(getattr(scene, name)))
    copy.vms = dict(scene.vms)
    copy.other_volumes = dict(scene.other_volumes)
    copy.contents = dict(scene.contents)
    copy.reverted = {volume: set(numbers) for volume, numbers in scene.reverted.items()}
    copy.copying_until = dict(scene.copying_until)
    return copy


def later(node: Node, span: timedelta) -> Node:
    """The same, some time later: at the next whole second after the span, so that equal situations have equal ages."""
    scene = fork(node.scene)
    end = scene.now + span
    scene.now = end if end.microsecond == 0 else end.replace(microsecond=0) + SECOND
    return replace(node, scene=scene)


def _age(now: datetime, stamp: datetime | None, limit: int = HORIZON) -> int | None:
    if stamp is None:
        return None
    return min(limit, (now.replace(microsecond=0) - stamp.replace(microsecond=0)) // SECOND)


def _scene_key(node: Node) -> Hashable:
    scene = node.scene
    return (
        scene.context_status,
        scene.last_successful_job,
        tuple(_disk_key(node, disk) for disk in scene.disks),
        tuple((job.row_id, job.job_type, job.status, job.destination_vm_id) for job in scene.jobs),
        tuple(_row_key(node, row) for row in scene.tracking),
        tuple((row.id, row.status, _local_age(node, row.newest_activity)) for row in scene.replications),
        tuple((row.disk_id, row.sync_type, _place_among(node, row.created_at)) for row in scene.syncs),
        tuple((row.id, row.status, _age(node.now, row.created_at)) for row in scene.operations),
        tuple((vm.id, vm.state, vm.job_id, vm.host_state) for vm in scene.vms.values()),
        tuple(scene.other_volumes),
        len(scene.vm_snapshots),
    )


def _disk_key(node: Node, disk: Disk) -> Hashable:
    numbers = node.scene.reverted.get(disk.id, ())
    copying = node.scene.copying_until.get(disk.id)
    return (
        disk.id,
        disk.holder,
        disk.device_id,
        disk.state,
        disk.mapping,
        disk.exported,
        tuple((s.id, s.state, s.revertable, node.scene.contents[s.id]) for s in disk.snapshots),
        disk.recorded,
        disk.recorded_status,
        disk.content,
        disk.gone,
        node.memory.number in numbers,
        0 if copying is None or copying <= node.now else (copying - node.now) // SECOND,
    )


def _row_key(node: Node, row: TrackingRow) -> Hashable:
    steps = tuple((step.name, step.status) for step in row.steps)
    problems = tuple(problem.message for problem in row.problems)
    return (row.id, row.status, steps, problems, row.error, _local_age(node, row.newest_activity))


def _local_age(node: Node, stamp: datetime | None) -> int | None:
    return _age(node.now, stamp - OFFSET if stamp is not None else None, 21)


def _place_among(node: Node, stamp: datetime) -> int:
    return sum(request.sent_at < stamp - OFFSET for request in node.memory.requests)


_MATTERS: Final = {Kind.DETACH: 11}


def _memory_key(node: Node) -> Hashable:
    memory = node.memory
    # The order among requests of different volumes makes no difference.
    requests = sorted(memory.requests, key=lambda request: request.volume_id or "")
    return (
        memory.number > 0,
        _age(node.now, memory.started_at, 11),
        _age(node.now, memory.changed_at, 11),
        memory.marked_from,
        tuple(_request_key(node, request) for request in requests),
    )


def _request_key(node: Node, request: Request) -> Hashable:
    memory = node.memory
    limit = _MATTERS.get(request.kind, 0) if request.outcome is Outcome.EFFECT else HORIZON
    return (
        request.kind,
        request.object,
        request.attempt,
        request.number == memory.number,
        request.outcome,
        request.vm_id,
        _age(node.now, request.settled_at, limit),
        memory.tries_from is not None and request.sent_at >= memory.tries_from,
    )
