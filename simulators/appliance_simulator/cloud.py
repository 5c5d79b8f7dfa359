"""State of the pretend cloud: VMs, volumes with their contents, snapshots, hosts.

The state itself follows no rule but bookkeeping; the rules of the real cloud are in `cloud_commands`. What a volume
*contains* is tracked as a value, so that a test can tell whether replicated data was lost:

* `replica:<n>`: what the n-th replication stored,
* `dirty:<why>`: modified since, by driver injection or by a VM that ran,
* `undefined`: a revert is under way, failed half-way, or had two writers.
"""

import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from appliance_simulator.journal import Journal

UNDEFINED: Final = "undefined"
GIB: Final = 1024**3


class CloudError(Exception):
    """OSSEA refuses or fails.

    Attributes:
        code: API error code, for example 431.
        text: Error text.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code
        self.text = text


def never_existed(parameter: str, value: str) -> CloudError:
    """The answer to an id that no object ever had."""
    return CloudError(
        431,
        f"Invalid parameter {parameter} value={value} due to incorrect long value format, or entity does not exist "
        "or due to incorrect parameter annotation for the field in api cmd class.",
    )


class VolumeType(StrEnum):
    """Type of a volume; it follows the last attachment (device 0 makes it ROOT)."""

    ROOT = "ROOT"
    DATADISK = "DATADISK"


def new_id() -> str:
    """A fresh lower-case UUID."""
    return str(uuid.uuid4())


@dataclass
class Host:
    """A hypervisor host; `state` is `Up` or for example `Down`."""

    name: str
    id: str = field(default_factory=new_id)
    state: str = "Up"


@dataclass
class VirtualMachine:
    """A VM. `removed` means expunged: its row answers no list any more."""

    name: str
    displayname: str
    id: str = field(default_factory=new_id)
    state: str = "Stopped"
    host_id: str | None = None
    created: float = field(default_factory=time.time)
    removed: bool = False
    has_backup_offering: bool = False


@dataclass
class Volume:
    """A volume.

    Attributes:
        name: Display name.
        size: Bytes.
        content: What it holds, see the module's text.
        generation: Number of the last replication that stored to it.
        attached: Unix time of the present attachment.
        copies_running: Reverts whose copy is still writing to it.
        copy_disturbed: Another writer or reader came in while a copy was running.
        still_written_by: A VM that was declared stopped while its unreachable host may go on running it.
    """

    name: str
    size: int
    id: str = field(default_factory=new_id)
    type: VolumeType = VolumeType.DATADISK
    state: str = "Ready"
    content: str = "empty"
    generation: int = 1
    created: float = field(default_factory=time.time)
    virtualmachineid: str | None = None
    deviceid: int | None = None
    attached: float | None = None
    removed: bool = False
    copies_running: int = 0
    copy_disturbed: bool = False
    still_written_by: str | None = None

    def store_replica(self, *, full: bool) -> None:
        """Replication stores its next generation; an incremental one repairs nothing."""
        self.generation += 1
        if full or self.content.startswith("replica:"):
            self.content = f"replica:{self.generation}"

    def dirty(self, why: str) -> None:
        """Somebody else than replication writes to it; what is undefined stays undefined."""
        if self.content != UNDEFINED:
            self.content = f"dirty:{why}"


@dataclass
class Snapshot:
    """A snapshot of a volume and the content it captured."""

    name: str
    volume_id: str
    content: str
    size: int
    id: str = field(default_factory=new_id)
    state: str = "BackedUp"
    revertable: bool = True
    created: float = field(default_factory=time.time)
    removed: bool = False


@dataclass
class VMSnapshot:
    """A snapshot of a whole VM; it blocks attach, detach and revert."""

    name: str
    virtualmachineid: str
    id: str = field(default_factory=new_id)
    state: str = "Ready"
    created: float = field(default_factory=time.time)


class Cloud:
    """All objects of the cloud by id, and the changes that are more than one assignment."""

    def __init__(self, journal: Journal, oma_vm_id: str | None = None) -> None:
        self.journal = journal
        self.zone_id = new_id()
        self.zone_name = "zone1"
        self.hosts: dict[str, Host] = {}
        self.vms: dict[str, VirtualMachine] = {}
        self.volumes: dict[str, Volume] = {}
        self.snapshots: dict[str, Snapshot] = {}
        self.vm_snapshots: dict[str, VMSnapshot] = {}
        host = self.add_host("host1")
        self.oma_vm_id = oma_vm_id or new_id()
        self.vms[self.oma_vm_id] = VirtualMachine(
            name="oma", displayname="oma", id=self.oma_vm_id, state="Running", host_id=host.id
        )
        self.place(self.add_volume("ROOT-oma", 40 * GIB, content="oma system"), self.oma_vm_id, 0)

    def add_host(self, name: str) -> Host:
        """A new host that is Up."""
        host = Host(name)
        self.hosts[host.id] = host
        return host

    def add_vm(
        self, name: str, displayname: str | None = None, *, state: str = "Stopped", root: bool = True
    ) -> VirtualMachine:
        """A new VM, by default with the root volume its template gave it."""
        vm = VirtualMachine(name=name, displayname=displayname or name, state=state)
        if state == "Running":
            vm.host_id = self.any_host().id
        self.vms[vm.id] = vm
        if root:
            self.place(self.add_volume(f"ROOT-{name}", 20 * GIB, content="template"), vm.id, 0)
        return vm

    def add_volume(self, name: str, size: int, *, content: str) -> Volume:
        """A new detached volume of `size` bytes."""
        volume = Volume(name=name, size=size, content=content)
        self.volumes[volume.id] = volume
        return volume

    def add_snapshot(
        self, volume: Volume, name: str, *, state: str = "BackedUp", created: float | None = None
    ) -> Snapshot:
        """A new snapshot of what the volume holds now."""
        snapshot = Snapshot(name=name, volume_id=volume.id, content=volume.content, size=volume.size, state=state)
        if created is not None:
            snapshot.created = created
        self.snapshots[snapshot.id] = snapshot
        return snapshot

    def add_vm_snapshot(self, vm_id: str, name: str) -> VMSnapshot:
        """A new snapshot of a whole VM."""
        snapshot = VMSnapshot(name=name, virtualmachineid=vm_id)
        self.vm_snapshots[snapshot.id] = snapshot
        return snapshot

    def any_host(self) -> Host:
        """A host that is Up.

        Raises:
            CloudError: 533, no host is Up.
        """
        for host in self.hosts.values():
            if host.state == "Up":
                return host
        raise CloudError(533, "Unable to find a host with sufficient capacity.")

    def volumes_of(self, vm_id: str) -> list[Volume]:
        """Volumes attached to a VM, by device id."""
        attached = [
            volume for volume in self.volumes.values() if volume.virtualmachineid == vm_id and not volume.removed
        ]
        return sorted(attached, key=lambda volume: volume.deviceid or 0)

    def snapshots_of(self, volume_id: str) -> list[Snapshot]:
        """Snapshots of a volume that a list shows, oldest first."""
        listed = [
            s for s in self.snapshots.values() if s.volume_id == volume_id and not s.removed and s.state != "Destroyed"
        ]
        return sorted(listed, key=lambda snapshot: snapshot.created)

    def has_vm_snapshots(self, vm_id: str) -> bool:
        """Whether a snapshot of the whole VM exists."""
        return any(snapshot.virtualmachineid == vm_id for snapshot in self.vm_snapshots.values())

    def free_device_ids(self, vm_id: str) -> Iterator[int]:
        """Device ids a data disk can get, lowest first; 3 is the CD drive's."""
        taken = {volume.deviceid for volume in self.volumes_of(vm_id)}
        device_id = 1
        while True:
            if device_id != 3 and device_id not in taken:
                yield device_id
            device_id += 1

    def place(self, volume: Volume, vm_id: str, device_id: int | None = None, *, attached: float | None = None) -> None:
        """Put a volume on a VM, since now or `attached`, without an effect entry: for scenes and for `attach`."""
        volume.virtualmachineid = vm_id
        volume.deviceid = next(self.free_device_ids(vm_id)) if device_id is None else device_id
        volume.type = VolumeType.ROOT if volume.deviceid == 0 else VolumeType.DATADISK
        volume.attached = time.time() if attached is None else attached
        volume.state = "Ready"
        if volume.copies_running:
            volume.copy_disturbed = True

    def lift(self, volume: Volume) -> None:
        """Take a volume off its VM without an effect entry: for scenes, and the core of `detach`."""
        volume.virtualmachineid = volume.deviceid = volume.attached = None
        volume.type = VolumeType.DATADISK

    def attach(self, volume: Volume, vm: VirtualMachine, device_id: int | None) -> None:
        """Attach; a running VM other than the OMA writes to what it gets."""
        self.place(volume, vm.id, device_id)
        if vm.state == "Running" and vm.id != self.oma_vm_id:
            volume.dirty(f"attached to running {vm.displayname}")
        self.journal.effect("attached", volume.id, virtualmachineid=vm.id, deviceid=str(volume.deviceid))

    def detach(self, volume: Volume, **details: str) -> None:
        """Detach from whoever holds it now; `details` go into the journal."""
        if volume.virtualmachineid is not None:
            holder = volume.virtualmachineid
            self.lift(volume)
            self.journal.effect("detached", volume.id, virtualmachineid=holder, **details)

    def discard(self, volume: Volume) -> None:
        """Remove a volume without an effect entry: for scenes, and the core of `destroy_volume`."""
        self.lift(volume)
        volume.state = "Expunged"
        volume.removed = True

    def destroy_volume(self, volume: Volume) -> None:
        """Destroy and expunge a volume: its content is lost."""
        self.discard(volume)
        self.journal.effect("volume-destroyed", volume.id, content=volume.content)

    def contents(self) -> dict[str, str]:
        """What every volume holds, by volume id; `destroyed` when it is gone."""
        return {volume.id: "destroyed" if volume.removed else volume.content for volume in self.volumes.values()}
