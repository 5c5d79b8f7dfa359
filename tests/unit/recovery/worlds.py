"""A small pretend appliance for the pure core: leftovers by their catalogue id, and an executor that always succeeds.

`Scene` is what is really there, contents of volumes included; `Scene.world()` is how an observation shows it;
`Scene.perform` does what an action asks and settles its request.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from failed_execution_cleanup.recovery.actions import Action, Closing, Kind, System
from failed_execution_cleanup.recovery.decide import Act, Decision, Wait, decide
from failed_execution_cleanup.recovery.goals import Settings, Waiver, Wish
from failed_execution_cleanup.recovery.memory import Memory, Outcome
from failed_execution_cleanup.recovery.world import (
    Clock,
    Cloud,
    CloudSnapshot,
    CloudVM,
    CloudVolume,
    ContextRow,
    DiskRow,
    FailoverRow,
    LogRow,
    MappingRow,
    OperationRow,
    OwnClaimRow,
    Records,
    ReplicationRow,
    StepRow,
    SyncRow,
    TrackingRow,
    VMSnapshot,
    VolumeRow,
    World,
)

OFFSET = timedelta(hours=2)
"""Local digits minus UTC digits."""
NOW = datetime(2025, 10, 6, 12, 0, 0)  # noqa: DTZ001 - UTC digits, as the database gives them
JOB_AGE = timedelta(hours=2)
OMA = "vm-oma"
TVM = "vm-test"
STRANGER = "vm-stranger"
JOB = "job-1"
CTX = "ctx-pgtest1"
OS = "vol-os"
DATA = "vol-data"
GIB = 1024**3

STEPS = (
    "validation",
    "multi-volume-snapshot-creation",
    "virtio-driver-injection",
    "vm-creation",
    "volume-attachment",
    "vm-startup-and-validation",
)
QUICK = Settings(quiet=timedelta(seconds=10), revert_quiet=timedelta(seconds=60))


def local(age: timedelta, now: datetime = NOW) -> datetime:
    """Digits the OMA API wrote this long ago."""
    return now + OFFSET - age


@dataclass
class Disk:
    """One disk of the source VM and the volume it is replicated to."""

    id: str
    number: int
    holder: str | None = OMA
    device_id: int | None = None
    state: str = "Ready"
    mapping: MappingRow | None = None
    exported: bool = True
    snapshots: list[CloudSnapshot] = field(default_factory=list)
    recorded: str | None = None
    recorded_at: datetime | None = None
    recorded_status: str | None = "none"
    content: str = "replica"
    gone: bool = False

    def map_to_oma(self, mode: str = "oma") -> None:
        """What the daemon writes when it attaches to the OMA."""
        path = f"/dev/disk/by-id/virtio-{self.number:020x}"
        self.mapping = MappingRow(self.id, OMA, mode, path, None)
        self.exported = True

    def detach(self) -> None:
        """What the daemon does at a detach: the mapping row and its exports go."""
        self.holder, self.device_id, self.mapping, self.exported = None, None, None, False

    def move_to(self, vm_id: str, *, mapped: bool = True) -> None:
        """Attached to another VM, as the failover engine does it."""
        self.detach()
        self.holder, self.device_id = vm_id, self.number
        if mapped:
            self.mapping = MappingRow(self.id, vm_id, "failover", f"remote-vm-{vm_id}-{self.number}", None)


@dataclass
class Scene:
    """All there is."""

    now: datetime = NOW
    context_status: str = "failed_over_test"
    vm_name: str = "pgtest1"
    oma_vm_ids: tuple[str, ...] = (OMA,)
    shifted: bool = False
    last_successful_job: str | None = "repl-1"
    current_job: str | None = None
    disks: list[Disk] = field(default_factory=list)
    jobs: list[FailoverRow] = field(default_factory=list)
    tracking: list[TrackingRow] = field(default_factory=list)
    replications: list[ReplicationRow] = field(default_factory=list)
    syncs: list[SyncRow] = field(default_factory=list)
    operations: list[OperationRow] = field(default_factory=list)
    claims: list[OwnClaimRow] = field(default_factory=list)
    vms: dict[str, CloudVM] = field(default_factory=dict)
    other_volumes: dict[str, CloudVolume] = field(default_factory=dict)
    vm_snapshots: list[VMSnapshot] = field(default_factory=list)
    contents: dict[str, str] = field(default_factory=dict)
    """What each snapshot holds."""
    reverted: dict[str, set[int]] = field(default_factory=dict)
    """Claim numbers under which a volume was reverted with jobstatus 1."""
    copying_until: dict[str, datetime] = field(default_factory=dict)
    """Until when a revert that was given up may still be writing to a volume."""

    def disk(self, volume_id: str) -> Disk:
        """The disk behind a volume."""
        return next(disk for disk in self.disks if disk.id == volume_id)

    def world(self) -> World:
        """One observation."""
        return World(self.records(), self.cloud())

    def records(self) -> Records:
        """What the database says."""
        return Records(
            clock=Clock(self.now + OFFSET, self.now, self.shifted),
            oma_vm_ids=self.oma_vm_ids,
            context=ContextRow(
                CTX, self.vm_name, "vc01", "4210", self.context_status, self.current_job, self.last_successful_job
            ),
            failovers=tuple(sorted(self.jobs, key=lambda job: -job.row_id)),
            tracking=tuple(self.tracking),
            replications=tuple(self.replications),
            syncs=tuple(self.syncs),
            disks=tuple(DiskRow(f"disk-{2000 + d.number}", 100 + d.number, "52 de") for d in self.disks),
            volumes=tuple(
                VolumeRow(
                    row_id=100 + d.number,
                    volume_id=d.id,
                    name=f"pgtest1-disk-{d.number}",
                    size_gb=10,
                    status="attached",
                    device_path=None,
                    snapshot_id=d.recorded,
                    snapshot_created_at=d.recorded_at,
                    snapshot_status=d.recorded_status,
                )
                for d in self.disks
            ),
            mappings=tuple(d.mapping for d in self.disks if d.mapping is not None),
            operations=tuple(self.operations),
            exports=frozenset(d.id for d in self.disks if d.exported),
            claims=tuple(self.claims),
        )

    def cloud(self) -> Cloud:
        """What OSSEA shows."""
        volumes = {
            d.id: CloudVolume(
                id=d.id,
                name=f"pgtest1-disk-{d.number}",
                type="ROOT" if d.holder == TVM and d.device_id == 0 else "DATADISK",
                state=d.state,
                size=10 * GIB,
                vm_id=d.holder,
                device_id=d.device_id,
            )
            for d in self.disks
            if not d.gone
        }
        return Cloud(
            vms=dict(self.vms),
            volumes=volumes | self.other_volumes,
            snapshots={d.id: tuple(d.snapshots) for d in self.disks},
            vm_snapshots=tuple(self.vm_snapshots),
        )

    def snapshot(
        self,
        volume_id: str,
        *,
        age: timedelta = timedelta(minutes=110),
        state: str = "BackedUp",
        content: str = "replica",
        recorded: bool = True,
        name: str | None = None,
        revertable: bool | None = True,
    ) -> CloudSnapshot:
        """A snapshot the product took this long ago; recorded in the volume's row unless told otherwise."""
        disk = self.disk(volume_id)
        taken = (NOW - age).replace(tzinfo=UTC)
        made = CloudSnapshot(
            id=f"snap-{volume_id}-{len(self.contents)}",
            name=name or f"multi-test-failover-disk-{2000 + disk.number}-{int(taken.timestamp())}",
            volume_id=volume_id,
            state=state,
            created=taken,
            revertable=revertable,
        )
        disk.snapshots.append(made)
        self.contents[made.id] = content
        if recorded:
            disk.recorded, disk.recorded_at, disk.recorded_status = made.id, local(age), "ready"
        return made

    def job(
        self,
        *,
        job_id: str = JOB,
        row_id: int = 1,
        live: bool = False,
        status: str = "pending",
        age: timedelta = JOB_AGE,
        destination: str | None = None,
    ) -> FailoverRow:
        """A `failover_jobs` row."""
        made = FailoverRow(
            row_id=row_id,
            job_id=job_id,
            job_type="live" if live else "test",
            status=status,
            source_vm_name=self.vm_name,
            destination_vm_id=destination,
            legacy_snapshot_id=None,
            created_at=local(age),
            completed_at=None,
        )
        self.jobs.append(made)
        return made

    def tracked(
        self,
        *,
        row_id: str = JOB,
        job_type: str = "failover",
        operation: str = "unified-test-failover",
        status: str | None = "running",
        steps: tuple[tuple[str, str], ...] = (),
        age: timedelta = JOB_AGE,
        error: str | None = None,
        context_id: str | None = CTX,
        problems: tuple[str, ...] = (),
    ) -> TrackingRow:
        """A `job_tracking` row whose steps, (name, status), took four minutes each."""
        rows = tuple(
            StepRow(
                row_id=len(self.tracking) * 100 + seq,
                seq=seq,
                name=name,
                status=step_status,
                started_at=local(age - 4 * timedelta(minutes=seq)),
                completed_at=None if step_status == "running" else local(age - 4 * timedelta(minutes=seq + 1)),
                error=error if step_status == "failed" else None,
            )
            for seq, (name, step_status) in enumerate(steps, 1)
        )
        made = TrackingRow(
            id=row_id,
            job_type=job_type,
            operation=operation,
            status=status,
            context_id=context_id,
            external_id=None,
            error=error,
            started_at=local(age),
            completed_at=None,
            steps=rows,
            problems=tuple(LogRow(n, "ERROR", text, local(age)) for n, text in enumerate(problems)),
        )
        self.tracking.append(made)
        return made

    def died_at(self, step: str, how: str = "running") -> None:
        """The job's tracking row: every step before this one completed, this one left `running` or `failed`."""
        before = tuple((name, "completed") for name in STEPS[: STEPS.index(step)])
        self.tracked(status=how, steps=(*before, (step, how)), error="it broke" if how == "failed" else None)

    def test_vm(self, state: str = "Stopped", *, vm_id: str = TVM, own_root: bool = False) -> CloudVM:
        """The VM the product made for the job."""
        created = (NOW - JOB_AGE).replace(tzinfo=UTC)
        display = f"{self.vm_name}-test-{int(created.timestamp())}"
        self.vms[vm_id] = CloudVM(vm_id, display, display, state, created + timedelta(minutes=5))
        if own_root:
            self.other_volumes["root"] = CloudVolume("root", "ROOT-77", "ROOT", "Ready", GIB, vm_id=vm_id, device_id=0)
        return self.vms[vm_id]

    def perform(self, action: Action, memory: Memory) -> Memory:
        """Do what the action asks; returns the memory with its request settled, as the engine would leave it."""
        if action.system is System.DATABASE:
            self._effect(action, memory)
            return memory
        memory, request = memory.write_ahead(action, self.now)
        self.now += timedelta(seconds=1)
        self._effect(action, memory)
        return memory.with_request(replace(request, outcome=Outcome.EFFECT, settled_at=self.now))

    def _effect(self, action: Action, memory: Memory) -> None:
        if action.volume_id is not None:
            self._volume_effect(action, self.disk(action.volume_id), memory)
            return
        match action.kind:
            case Kind.MARK_CONTEXT:
                self.context_status = "cleanup_required"
            case Kind.STOP_VM:
                self.vms[action.object] = replace(self.vms[action.object], state="Stopped")
            case Kind.DESTROY_VM | Kind.EXPUNGE_VM:
                del self.vms[action.object]
                self.other_volumes = {i: v for i, v in self.other_volumes.items() if v.vm_id != action.object}
                for disk in self.disks:
                    disk.gone = disk.gone or disk.holder == action.object
            case Kind.CLOSE_INCIDENT:
                assert action.closing is not None
                self._close(action.closing)

    def _volume_effect(self, action: Action, disk: Disk, memory: Memory) -> None:
        match action.kind:
            case Kind.DETACH:
                disk.detach()
            case Kind.REVERT:
                disk.content = self.contents[action.object]
                self.reverted.setdefault(disk.id, set()).add(memory.number)
            case Kind.MARK_REVERTED:
                disk.recorded_status = "rollback_complete"
            case Kind.DELETE_SNAPSHOT:
                disk.snapshots = [s for s in disk.snapshots if s.id != action.object]
            case Kind.CLEAR_SNAPSHOT:
                disk.recorded, disk.recorded_at, disk.recorded_status = None, None, "none"
            case Kind.REMOVE_MAPPING:
                disk.mapping, disk.exported = None, False
            case Kind.ATTACH:
                disk.holder = OMA
                disk.map_to_oma()
            case Kind.SET_MODE:
                assert disk.mapping is not None
                disk.mapping = replace(disk.mapping, operation_mode="oma")
            case Kind.CREATE_EXPORT:
                disk.exported = True

    def _close(self, closing: Closing) -> None:
        assert self.context_status in closing.context_from
        seen = {(job.row_id, job.status) for job in self.jobs}
        assert seen.issuperset(closing.failovers)
        closed = {row_id for row_id, _ in closing.failovers}
        self.jobs = [replace(job, status="failed") if job.row_id in closed else job for job in self.jobs]
        ended = {row_id for row_id, _ in closing.tracking}
        self.tracking = [
            replace(
                row,
                status="failed" if row.id in ended else row.status,
                completed_at=self.now + OFFSET if row.id in ended else row.completed_at,
                steps=tuple(
                    replace(s, status="failed", completed_at=self.now + OFFSET) if s.row_id in closing.steps else s
                    for s in row.steps
                ),
            )
            for row in self.tracking
        ]
        self.context_status = closing.context_to


def healthy_start() -> Scene:
    """A replicated VM with two disks, before anything failed."""
    scene = Scene(disks=[Disk(OS, 0), Disk(DATA, 1)], vms={OMA: CloudVM(OMA, "oma", "oma", "Running")})
    for disk in scene.disks:
        disk.map_to_oma()
        scene.syncs.append(
            SyncRow(f"disk-{2000 + disk.number}", "incremental", True, "52 de", local(timedelta(hours=6)))
        )
    scene.replications.append(
        ReplicationRow(
            id="repl-1",
            status="completed",
            created_at=local(timedelta(hours=7)),
            started_at=local(timedelta(hours=7)),
            updated_at=local(timedelta(hours=6)),
            completed_at=local(timedelta(hours=6)),
            last_poll_at=local(timedelta(hours=6)),
            bytes_transferred=1000,
        )
    )
    return scene


def _with_snapshots(step: str, how: str, *, destination: str | None = None) -> Scene:
    scene = healthy_start()
    scene.job(destination=destination)
    for disk in scene.disks:
        scene.snapshot(disk.id)
        assert disk.mapping is not None
        disk.mapping = replace(disk.mapping, operation_mode="failover")
    if step != "multi-volume-snapshot-creation":
        scene.disk(OS).content = "dirty"
    scene.died_at(step, how)
    return scene


def _on_test_vm(state: str, how: str = "failed") -> Scene:
    scene = _with_snapshots("vm-startup-and-validation", how, destination=TVM)
    scene.test_vm(state)
    for disk in scene.disks:
        disk.move_to(TVM)
        disk.content = "dirty"
    return scene


def _rolled_back(*, steps: tuple[tuple[str, str], ...], status: str = "completed", removed: bool = True) -> Scene:
    """A failover that worked, and a rollback that did not."""
    scene = _on_test_vm("Stopped", "completed")
    scene.jobs = [replace(job, status="completed") for job in scene.jobs]
    for disk in scene.disks if removed else ():
        disk.snapshots.clear()
        disk.recorded, disk.recorded_at, disk.recorded_status = None, None, "none"
        disk.content = "replica"
    scene.tracked(
        row_id="rollback-1",
        job_type="cleanup",
        operation="enhanced-test-failover-rollback",
        status=status,
        steps=steps,
        age=timedelta(minutes=80),
    )
    return scene


CLEANED_STEP = ("multi-volume-snapshot-cleanup", "completed")


def _f01() -> Scene:
    scene = healthy_start()
    scene.context_status = "ready_for_failover"
    scene.tracked(steps=(("validation", "running"),))
    return scene


def _f06() -> Scene:
    scene = healthy_start()
    scene.job()
    scene.tracked(status="failed", steps=(("validation", "completed"), ("volume-mode-switch-failover", "failed")))
    disk = scene.disk(DATA)
    assert disk.mapping is not None
    disk.mapping = replace(disk.mapping, operation_mode="failover")
    return scene


def _f07() -> Scene:
    scene = healthy_start()
    scene.job()
    scene.snapshot(OS)
    scene.snapshot(DATA, state="Allocated", recorded=False)
    scene.died_at("multi-volume-snapshot-creation")
    return scene


def _f09() -> Scene:
    scene = healthy_start()
    scene.job()
    for disk in scene.disks:
        scene.snapshot(disk.id, state="Error", recorded=False)
    scene.died_at("multi-volume-snapshot-creation", "failed")
    return scene


def _f10() -> Scene:
    scene = _with_snapshots("virtio-driver-injection", "running")
    for disk in scene.disks:
        disk.recorded, disk.recorded_at, disk.recorded_status = None, None, "none"
    return scene


def _f12b() -> Scene:
    return _with_snapshots("virtio-driver-injection", "completed")


def _f15() -> Scene:
    scene = _with_snapshots("vm-creation", "failed")
    scene.test_vm("Stopped", own_root=True)
    return scene


def _f19() -> Scene:
    scene = _with_snapshots("volume-attachment", "running", destination=TVM)
    scene.test_vm()
    scene.disk(OS).detach()
    return scene


def _f20() -> Scene:
    scene = _with_snapshots("volume-attachment", "failed", destination=TVM)
    scene.test_vm()
    scene.disk(OS).map_to_oma("oma")
    return scene


def _f22() -> Scene:
    scene = _with_snapshots("volume-attachment", "failed", destination=TVM)
    scene.test_vm()
    scene.disk(OS).move_to(TVM, mapped=False)
    return scene


def _f24() -> Scene:
    scene = _with_snapshots("volume-attachment", "failed", destination=TVM)
    scene.test_vm()
    scene.disk(OS).move_to(TVM)
    return scene


def _f26() -> Scene:
    scene = _f24()
    scene.disk(DATA).move_to(TVM, mapped=False)
    return scene


def _r04() -> Scene:
    scene = _rolled_back(steps=(("test-vm-shutdown", "completed"), ("volume-detachment", "failed")), removed=False)
    scene.disk(OS).detach()
    return scene


def _r06() -> Scene:
    scene = _rolled_back(steps=(CLEANED_STEP, ("volume-reattachment-to-oma", "completed")))
    scene.tracking[-1] = replace(
        scene.tracking[-1], problems=(LogRow(1, "ERROR", "failed to revert volume", local(timedelta(minutes=70))),)
    )
    del scene.vms[TVM]
    scene.context_status = "ready_for_failover"
    for disk in scene.disks:
        disk.content = "dirty"
        disk.holder = OMA
        disk.map_to_oma()
    return scene


def _r07() -> Scene:
    scene = _rolled_back(steps=(CLEANED_STEP, ("volume-mode-switch-oma", "running")), status="running")
    for disk in scene.disks:
        disk.detach()
    return scene


def _r08() -> Scene:
    scene = _rolled_back(steps=(CLEANED_STEP, ("volume-reattachment-to-oma", "failed")))
    scene.disk(OS).detach()
    scene.disk(DATA).detach()
    scene.disk(DATA).holder = OMA
    return scene


def _r09() -> Scene:
    scene = _rolled_back(steps=(CLEANED_STEP, ("test-vm-deletion", "failed")))
    for disk in scene.disks:
        disk.holder = OMA
        disk.map_to_oma()
    return scene


def _product_cleanup(scene: Scene, status: str, step: tuple[str, str], error: str | None) -> None:
    scene.tracked(
        row_id="product-cleanup",
        job_type="cleanup",
        operation="failed-execution-cleanup",
        status=status,
        steps=(("analyze-volume-state", "completed"), step),
        error=error,
        context_id=None,
        age=timedelta(minutes=80),
    )


def _c01() -> Scene:
    scene = _with_snapshots("virtio-driver-injection", "failed")
    for disk in scene.disks:
        stale = disk.mapping
        disk.detach()
        disk.mapping = stale
    _product_cleanup(scene, "failed", ("detach-attached-volumes", "failed"), "431: not attached")
    return scene


def _c03() -> Scene:
    """Both volumes reverted; the first snapshot deleted, its id still recorded, the second refused to go."""
    scene = _with_snapshots("virtio-driver-injection", "failed")
    for disk in scene.disks:
        disk.detach()
        disk.content = "replica"
    refused = scene.disk(DATA).snapshots[0].id
    scene.disk(OS).snapshots.clear()
    _product_cleanup(scene, "failed", ("cleanup-snapshots", "failed"), f"failed to delete snapshot {refused}: 530")
    return scene


def _c06() -> Scene:
    scene = _with_snapshots("virtio-driver-injection", "failed")
    scene.jobs = [replace(job, status="failed") for job in scene.jobs]
    scene.context_status = "ready_for_failover"
    for disk in scene.disks:
        disk.snapshots.clear()
        disk.recorded, disk.recorded_at, disk.recorded_status = None, None, "none"
        disk.content = "replica"
        disk.map_to_oma()
    _product_cleanup(scene, "completed", ("cleanup-snapshots", "completed"), None)
    scene.test_vm("Stopped", own_root=True)
    return scene


LEFTOVERS: dict[str, Callable[[], Scene]] = {
    "F01": _f01,
    "F06": _f06,
    "F07": _f07,
    "F09": _f09,
    "F10": _f10,
    "F11": lambda: _with_snapshots("virtio-driver-injection", "running"),
    "F12": lambda: _with_snapshots("virtio-driver-injection", "failed"),
    "F12b": _f12b,
    "F15": _f15,
    "F19": _f19,
    "F20": _f20,
    "F22": _f22,
    "F24": _f24,
    "F26": _f26,
    "F27": lambda: _on_test_vm("Stopped"),
    "F28": lambda: _on_test_vm("Running", "running"),
    "R04": _r04,
    "R06": _r06,
    "R07": _r07,
    "R08": _r08,
    "R09": _r09,
    "C01": _c01,
    "C03": _c03,
    "C06": _c06,
}
RUNNING_WAIVED = Wish(JOB, frozenset({Waiver("RunningTestVM", "job")}), settings=QUICK)


def leftover(code: str) -> Scene:
    """The state a failure leaves behind, by its id in the catalogue of leftovers."""
    return LEFTOVERS[code]()


def claimed(scene: Scene, number: int = 1) -> Memory:
    """Memory of a claim taken just now."""
    return Memory(JOB, number=number, started_at=scene.now)


def look(scene: Scene, wish: Wish | None = None, memory: Memory | None = None) -> Decision:
    """What is decided about a scene."""
    return decide(scene.world(), wish or Wish(JOB, settings=QUICK), memory or Memory(JOB))


def work(
    scene: Scene,
    wish: Wish | None = None,
    memory: Memory | None = None,
    *,
    rounds: int = 80,
    watch: Callable[[Scene, Act, Memory], None] | None = None,
) -> tuple[Decision, Memory]:
    """Decide and perform until nothing more is enabled and no wait ends by itself.

    Args:
        scene: changed in place.
        wish: what is wanted.
        memory: what is remembered; a fresh claim if None.
        rounds: decisions after which it counts as not converging.
        watch: called before the actions of a round are performed.
    """
    wish = wish or Wish(JOB, settings=QUICK)
    memory = memory or claimed(scene)
    for _ in range(rounds):
        match decision := decide(scene.world(), wish, memory):
            case Act(actions=actions):
                if watch is not None:
                    watch(scene, decision, memory)
                for action in actions:
                    memory = scene.perform(action, memory)
                scene.now += timedelta(seconds=1)
            case Wait(after=after):
                scene.now += after
            case _:
                return decision, memory
    raise AssertionError(f"no end after {rounds} rounds")
