"""One volume of the context, joined over the systems that know it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from .world import CloudSnapshot, CloudVolume, DiskRow, MappingRow, VolumeRow, World

OS_DISK = "disk-2000"
BY_ID = re.compile(r"^/dev/disk/by-id/virtio-[0-9a-f]{20}$")


class Holder(StrEnum):
    """Who holds a volume, by OSSEA's word."""

    OMA = "OMA"
    TEST_VM = "TestVM"
    NOBODY = "Detached"
    OTHER = "Other"
    MISSING = "Missing"


@dataclass(frozen=True, slots=True)
class Volume:
    """A volume of the context.

    Attributes:
        number: position for exports, from the disk id (`disk-2001` → 1) or the row order.
        cloud: None when OSSEA does not show it.
    """

    id: str
    number: int
    row: VolumeRow
    disk: DiskRow | None
    mapping: MappingRow | None
    cloud: CloudVolume | None
    snapshots: tuple[CloudSnapshot, ...]
    exported: bool

    @property
    def label(self) -> str:
        """Name for people."""
        return f"volume {self.row.name or self.id} ({self.id})"

    @property
    def disk_id(self) -> str | None:
        """`disk-2000`, … or None where no `vm_disks` row refers to it."""
        return self.disk.disk_id if self.disk else None

    @property
    def is_os_disk(self) -> bool:
        """Whether driver injection writes to it; a volume of no known disk counts as one."""
        return self.disk is None or self.disk.disk_id == OS_DISK

    def mapped_to(self, oma_vm_id: str) -> bool:
        """Whether the daemon has a usable mapping on the OMA; mode apart (one SQL update mends that)."""
        return (
            self.mapping is not None
            and self.mapping.vm_id == oma_vm_id
            and BY_ID.match(self.mapping.device_path) is not None
        )


def volumes_of(world: World) -> tuple[Volume, ...]:
    """Volumes of the context in disk order.

    `ossea_volumes` rows are the list; what only `vm_disks` or `device_mappings` know is found by `guards` as missing.
    """
    records = world.records
    disks = {disk.volume_row_id: disk for disk in records.disks if disk.volume_row_id is not None}
    mappings = {mapping.volume_id: mapping for mapping in records.mappings}
    rows = sorted(
        records.volumes, key=lambda row: (disks[row.row_id].disk_id if row.row_id in disks else "~", row.row_id)
    )
    return tuple(
        Volume(
            id=row.volume_id,
            number=number,
            row=row,
            disk=disks.get(row.row_id),
            mapping=mappings.get(row.volume_id),
            cloud=world.cloud.volumes.get(row.volume_id),
            snapshots=world.cloud.snapshots.get(row.volume_id, ()),
            exported=row.volume_id in records.exports,
        )
        for number, row in enumerate(rows)
    )
