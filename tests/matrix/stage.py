"""The stage of one case: an appliance with the VM in question, and bystanders that nobody may touch.

Bystanders are a VM whose name begins like ours and that failed over well, with snapshots named as the product names them; a VM named as a
test VM of ours but for another time; a VM with the source's own name, as a live failover would make one; and a snapshot that a person took
of our OS disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, TypeAlias

from sqlalchemy import select, text

from appliance_simulator import SimulatedAppliance, schema, simulator
from appliance_simulator.appliance import Built
from appliance_simulator.journal import Request
from failed_execution_cleanup.appliance.database import OMADatabase
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Refuse, Wait
from failed_execution_cleanup.recovery.goals import Settings, Waiver
from failed_execution_cleanup.recovery.reasons import SUCCESSES, Reason
from failed_execution_cleanup.run.cleanup import Cleanup, Limits
from failed_execution_cleanup.run.order import Order, Progress
from tests.matrix.expected import Case, Outcome, Requests, Way
from tests.unit.run.engine import Asker

Rows: TypeAlias = dict[str, dict[tuple[Any, ...], dict[str, Any]]]
"""Every row of the database, by table and primary key."""

SETTINGS: Final = Settings(
    quiet=timedelta(seconds=0.3),
    revert_quiet=timedelta(seconds=1),
    revert_bytes_per_second=2**62,
    retry=timedelta(seconds=0.1),
)
"""Times of the appliance under test: what takes minutes in production takes a moment."""
LIMITS: Final = Limits(http_seconds=5.0, expiry_seconds=6.0)
WORK_SECONDS: Final = {
    "detachVolume": 0.03,
    "attachVolume": 0.03,
    "revertSnapshot": 0.06,
    "deleteSnapshot": 0.03,
    "stopVirtualMachine": 0.03,
    "destroyVirtualMachine": 0.03,
    "expungeVirtualMachine": 0.03,
}
"""Long enough for two requests on one volume to overlap if they were ever sent at once."""

AUDIT: Final = "audit_torn_snapshot_rows"


@dataclass
class Stage:
    """One appliance, set for one case.

    Attributes:
        replication_id: the replication an arrangement added.
        found: what was found before the first run.
        stack: closes what arrangements opened.
    """

    case: Case
    appliance: SimulatedAppliance
    doors: Doors
    built: Built
    stack: contextlib.AsyncExitStack
    settings: Settings = SETTINGS
    replication_id: str | None = None
    found: Found = field(init=False)

    @property
    def volume_ids(self) -> tuple[str, ...]:
        """Our volumes, the OS disk first."""
        return self.built.volume_ids

    async def watch(self) -> None:
        """Take everything as found: from here on each change is held against the run."""
        await _audit_snapshot_rows(self.appliance)
        self.found = await self.look()

    async def look(self) -> Found:
        """Everything as it is now."""
        return Found(
            rows=await read_rows(self.appliance),
            cloud=_cloud(self.appliance),
            contents=self.appliance.contents(self.case.vm_name),
            holders={v: self.appliance.cloud.volumes[v].virtualmachineid for v in self.volume_ids},
            entries=len(self.appliance.journal.entries),
        )

    def forgive(self, before: Found, after: Found) -> None:
        """Take the tables a person changed between two looks as found."""
        for table, rows in after.rows.items():
            if before.rows[table] != rows:
                self.found.rows[table] = rows

    def order(self, way: Way | None) -> Order:
        """What the person asks for, with the words of the way out."""
        waive = (*self.case.waive, *(way.waive if way else ()))
        named = self.case.vcenter or (way is not None and way.vcenter)
        return Order(
            self.case.vm_name,
            vcenter_host=self.built.vm.vcenter_host if named else None,
            job_id=self.built.failover_job_id if waive else None,
            asker="matrix",
            requested_at="again" if way is not None and way.again else None,
            waivers=frozenset(Waiver(reason, self._object(name)) for reason, name in waive),
        )

    def _object(self, name: str) -> str:
        if name.startswith("disk-"):
            return self.volume_ids[int(name.removeprefix("disk-"))]
        return self.replication_id or name if name == "replication" else name

    async def run(self, way: Way | None = None, *, owner: str = "operator-1") -> Ended:
        """Run as the queue does, until there is an end or a wait for something that others must bring about."""
        started = time.monotonic()
        first = len(self.appliance.journal.entries)
        asker = Asker(self.order(way))
        async with asyncio.timeout(50):
            while True:
                progress = await Cleanup(self.doors, self.settings, owner, asker, LIMITS).run()
                decision = progress.decision
                if not (isinstance(decision, Wait) and decision.reason in _OURS):
                    break
                await asyncio.sleep(min(decision.after.total_seconds(), 0.5))
        entries = self.appliance.journal.entries[first:]
        sent = tuple(e for e in entries if isinstance(e, Request) and e.caller == "client")
        return Ended(progress, sent, _counted(sent, self), time.monotonic() - started)

    @property
    def snapshots(self) -> dict[str, str]:
        """Volume of every snapshot of our volumes, gone ones included."""
        ours = set(self.volume_ids)
        return {s.id: s.volume_id for s in self.appliance.cloud.snapshots.values() if s.volume_id in ours}


_OURS: Final = frozenset({None, Reason.QUIET_TIME})
"""Waits for our own doing; the queue comes back by itself."""


@dataclass(frozen=True)
class Found:
    """One look at everything.

    Attributes:
        cloud: VMs, volumes and snapshots as plain values, by id.
        entries: length of the journal.
    """

    rows: Rows
    cloud: dict[str, dict[str, Any]]
    contents: dict[str, str]
    holders: dict[str, str | None]
    entries: int


@dataclass(frozen=True)
class Ended:
    """How one run ended.

    Attributes:
        sent: the mutating requests, in order of arrival.
        requests: the same by disk.
    """

    progress: Progress
    sent: tuple[Request, ...]
    requests: Requests
    seconds: float

    @property
    def decision(self) -> Decision:
        """The last word of the core."""
        return self.progress.decision

    @property
    def reason(self) -> str:
        """Its reason, or the kind of decision that has none."""
        reason = getattr(self.decision, "reason", None)
        return str(reason.value) if reason is not None else type(self.decision).__name__

    @property
    def outcome(self) -> Outcome | None:
        """What it means; None where no end is of that kind."""
        match self.decision:
            case Done(reason=Reason.CLEANED):
                return Outcome.RECOVERED
            case Done(reason=reason) if reason in SUCCESSES:
                return Outcome.NOTHING_TO_DO
            case Done():
                return Outcome.STALLED
            case Refuse():
                return Outcome.REFUSED if self.requests == Requests() else Outcome.STALLED
            case Wait() if self.requests == Requests():
                return Outcome.WAITING
        return None

    @property
    def leftovers(self) -> int:
        """Snapshots it says it leaves behind."""
        if isinstance(self.decision, Act):
            return 0
        return sum(item.kind == "Snapshot" for item in self.decision.assessment.leftovers)


def _counted(sent: Iterable[Request], stage: Stage) -> Requests:
    """The requests by disk.

    Raises:
        AssertionError: a request this software never sends, or one about an object that is not of the incident.
    """
    disks: dict[str, list[int]] = {"detach": [], "attach": [], "revertSnapshot": [], "deleteSnapshot": []}
    counts = {"stopVirtualMachine": 0, "destroyVirtualMachine": 0, "expungeVirtualMachine": 0}
    for request in sent:
        about = request.object_ids[0]
        if request.command in counts:
            assert about == stage.built.destination_vm_id, f"{request.command} of foreign VM {about}"
            assert "volumeids" not in request.parameters
            counts[request.command] += 1
            continue
        assert request.command in disks, f"{request.command} must never be sent"
        volume_id = stage.snapshots.get(about, about)
        assert volume_id in stage.volume_ids, f"{request.command} of foreign object {about}"
        disks[request.command].append(stage.volume_ids.index(volume_id))
    return Requests(
        counts["stopVirtualMachine"],
        tuple(sorted(disks["detach"])),
        tuple(sorted(disks["revertSnapshot"])),
        tuple(sorted(disks["deleteSnapshot"])),
        tuple(sorted(disks["attach"])),
        counts["destroyVirtualMachine"],
        counts["expungeVirtualMachine"],
    )


@contextlib.asynccontextmanager
async def staged(case: Case, database_url: str, *, disks: int = 3) -> AsyncIterator[Stage]:
    """The stage of a case, before anything is arranged."""
    async with contextlib.AsyncExitStack() as stack:
        appliance = await stack.enter_async_context(simulator(database_url))
        await _bystanders(appliance, case)
        built = await appliance.build(
            case.row, vm_name=case.vm_name, disks=disks, age_seconds=case.age_seconds, kind=case.kind
        )
        _take_by_hand(appliance, built, case.age_seconds)
        for command, seconds in WORK_SECONDS.items():
            appliance.latencies.set(command, seconds)
        doors = Doors(
            OMADatabase.open(appliance.database_url, timeout=5.0),
            VolumeDaemonClient(appliance.daemon_url, timeout_seconds=LIMITS.http_seconds),
            OSSEAClient(
                appliance.ossea_url, appliance.api_key, appliance.secret_key, timeout_seconds=LIMITS.http_seconds
            ),
        )
        stack.push_async_callback(doors.close)
        settings = replace(
            SETTINGS, force_stop=case.force_stop, operation_limit=timedelta(seconds=case.operation_limit_seconds)
        )
        yield Stage(case, appliance, doors, built, stack, settings)


async def _bystanders(appliance: SimulatedAppliance, case: Case) -> None:
    await appliance.build("F30", vm_name=f"{case.vm_name}0", age_seconds=case.age_seconds, disks=2)
    cloud = appliance.cloud
    earlier = int(time.time() - case.age_seconds) - 40 * 86400
    cloud.add_vm("other-test", f"{case.vm_name}-test-{earlier}")
    cloud.add_vm("namesake", case.vm_name, state="Running")


def _take_by_hand(appliance: SimulatedAppliance, built: Built, age_seconds: float) -> None:
    """A person's snapshot of our OS disk, between its sync and the failover; a volume that is lost has none."""
    volume = appliance.cloud.volumes[built.volume_ids[0]]
    if not volume.removed:
        taken = appliance.cloud.add_snapshot(volume, "before-the-upgrade", created=time.time() - age_seconds - 1800)
        taken.content = "replica:1"


def _cloud(appliance: SimulatedAppliance) -> dict[str, dict[str, Any]]:
    cloud = appliance.cloud
    objects = cloud.vms | cloud.volumes | cloud.snapshots | cloud.vm_snapshots
    return {object_id: asdict(thing) for object_id, thing in objects.items()}


async def read_rows(appliance: SimulatedAppliance) -> Rows:
    """Every row of every table of the product."""
    found: Rows = {}
    async with appliance.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            keys = [column.name for column in table.primary_key]
            rows = (await connection.execute(select(table))).mappings()
            found[table.name] = {tuple(row[key] for key in keys): dict(row) for row in rows}
    return found


async def torn_snapshot_rows(appliance: SimulatedAppliance) -> list[str]:
    """Volumes whose row had a snapshot id without status or time at any moment, as the database itself saw it."""
    async with appliance.engine.connect() as connection:
        return list((await connection.execute(text(f"SELECT volume_id FROM {AUDIT}"))).scalars())  # noqa: S608


async def _audit_snapshot_rows(appliance: SimulatedAppliance) -> None:
    """From now on the database notes every row that is torn by an update; one that was found torn is no news."""
    new, old = (
        f"COALESCE({row}.snapshot_id, '') <> '' AND ({row}.snapshot_status IS NULL OR {row}.snapshot_created_at IS NULL)"
        for row in ("NEW", "OLD")
    )
    torn = f"({new}) AND NOT ({old})"
    note = f"INSERT INTO {AUDIT} (volume_id) VALUES (NEW.volume_id)"  # noqa: S608
    if appliance.engine.dialect.name == "sqlite":
        trigger = f"CREATE TRIGGER audit_ossea_volumes AFTER UPDATE ON ossea_volumes WHEN {torn} BEGIN {note}; END"
    else:
        trigger = f"CREATE TRIGGER audit_ossea_volumes AFTER UPDATE ON ossea_volumes FOR EACH ROW IF {torn} THEN {note}; END IF"
    async with appliance.engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {AUDIT} (volume_id VARCHAR(64))"))
        await connection.execute(text(trigger))
