"""The dimensions of the abstract world and their values, and which of their products are explored: data only.

A start is one value of every dimension, and one `VolumeStart` for each volume. `starts.build` tells it as a `Scene` and leaves out what
cannot be (a volume on a VM that does not exist).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

PLACES: Final = {
    "oma": "on the appliance, mapped, exported",
    "mode": "on the appliance, operation mode `failover`",
    "unmapped": "on the appliance, without mapping and export",
    "unexported": "on the appliance, mapped, without export",
    "nobody": "detached",
    "stale": "detached, the mapping says the appliance",
    "vm": "on the test VM, mapped",
    "vm-unmapped": "on the test VM, without mapping",
    "stranger": "on a VM of somebody else",
    "missing": "not shown by OSSEA",
}
POINTS: Final = {
    "none": "no snapshot was ever taken",
    "one": "one good restore point, recorded",
    "unrecorded": "one good restore point, not recorded",
    "newer": "a good restore point, and a newer one with what the failover wrote, recorded",
    "obsolete": "recorded, older than the disk's last stored sync",
    "error": "a snapshot that ended in Error",
    "unfinished": "a snapshot that never became BackedUp",
    "gone": "recorded, not in OSSEA, nothing explains it",
    "removed": "removed by the product itself (see sequels)",
    "irrevertable": "a restore point of which OSSEA says that it cannot be reverted",
}
VOLUME_STATES: Final = {
    "Ready": "as it should be",
    "Attaching": "somebody's request is at work",
    "RevertSnapshotting": "left behind by a restart of OSSEA",
}
STEPS: Final = {
    "validation": "died before its first storage step",
    "multi-volume-snapshot-creation": "died before it wrote to any volume",
    "virtio-driver-injection": "may have written to the OS disk",
    "volume-attachment": "died while volumes moved to the test VM",
    "vm-startup-and-validation": "the VM was started: every volume is modified",
    "unknown": "its step rows are missing",
}
ENDINGS: Final = {
    "hangs": "row and step are running; the engine may wake up",
    "failed": "the engine ended it itself",
    "by hand": "the rows were ended by somebody, the engine may wake up",
    "completed": "the failover went well",
}
SEQUELS: Final = {
    "none": "nothing was tried since",
    "rollback good": "the product rolled back and removed the snapshots",
    "rollback bad": "the same, but a log line says that a revert went wrong",
    "rollback died": "a rollback that died before any revert",
    "cleanup good": "the product's own cleanup reverted and removed the snapshots",
    "cleanup bad": "the same, but a revert went wrong",
    "cleanup died": "the product's own cleanup died before any revert",
}
KINDS: Final = {"test": "a test failover", "live": "a live failover"}
VM_STATES: Final = ("none", "Stopped", "Running", "Destroyed", "Error", "Starting", "Expunging")
RECORDED: Final = {"recorded": "the job's row names the VM", "unrecorded": "only its display name tells"}
REPLICAS: Final = {
    "good": "the newest replication completed",
    "failed since": "a newer one wrote and failed",
    "never": "none ever succeeded",
    "dead": "a newer one is `replicating` and dead",
}
WAIVERS: Final = {
    "none": "no waiver",
    "job": "RunningTestVM, LiveFailover and EngineMayWake for the job",
    "content": "those, and AcceptContent for every volume",
}


@dataclass(frozen=True, slots=True)
class VolumeStart:
    """How one volume is found."""

    place: str
    points: str
    state: str = "Ready"


@dataclass(frozen=True, slots=True)
class Start:
    """How everything is found."""

    volumes: tuple[VolumeStart, ...]
    step: str = "virtio-driver-injection"
    ending: str = "hangs"
    sequel: str = "none"
    kind: str = "test"
    vm: str = "none"
    recorded: str = "recorded"
    replica: str = "good"
    waivers: str = "job"

    def __str__(self) -> str:
        volumes = " + ".join(
            f"{v.place}/{v.points}" + ("" if v.state == "Ready" else f"/{v.state}") for v in self.volumes
        )
        defaults = {f.name: f.default for f in fields(self)}
        rest = [f"{name} {getattr(self, name)}" for name in defaults if name != "volumes"]
        return f"{volumes}; " + ", ".join(rest)


@dataclass(frozen=True, slots=True)
class Product:
    """A product of values that is explored whole.

    Attributes:
        mishaps: how often a request goes wrong, an owner dies or somebody else acts, in one run.
        others: whether somebody else acts, also between a decision and its requests.
    """

    name: str
    volumes: int
    places: tuple[str, ...]
    points: tuple[str, ...]
    steps: tuple[str, ...]
    states: tuple[str, ...] = ("Ready",)
    endings: tuple[str, ...] = ("hangs", "failed")
    sequels: tuple[str, ...] = ("none",)
    kinds: tuple[str, ...] = ("test",)
    vms: tuple[str, ...] = ("none",)
    recorded: tuple[str, ...] = ("recorded",)
    replicas: tuple[str, ...] = ("good",)
    waivers: tuple[str, ...] = ("job",)
    mishaps: int = 1
    others: bool = False


_PLACES = tuple(PLACES)
_POINTS = tuple(POINTS)
_STEPS = tuple(STEPS)
_SEQUELS = tuple(SEQUELS)
_STUCK = ("hangs", "failed", "by hand")

QUICK: Final = (
    Product(
        "one volume, wherever it is",
        1,
        _PLACES,
        tuple(p for p in _POINTS if p != "removed"),
        _STEPS,
        endings=_STUCK,
        vms=("none", "Stopped"),
        mishaps=0,
    ),
    Product(
        "one volume, every fault",
        1,
        ("mode", "nobody", "stale", "vm"),
        ("none", "one", "newer"),
        ("virtio-driver-injection", "vm-startup-and-validation"),
        vms=("none", "Stopped"),
    ),
    Product(
        "one volume, others",
        1,
        ("mode", "vm"),
        ("one", "newer"),
        ("volume-attachment",),
        vms=("Stopped",),
        others=True,
    ),
    Product(
        "two volumes, faults",
        2,
        ("mode", "vm"),
        ("none", "one"),
        ("virtio-driver-injection", "volume-attachment"),
        endings=("hangs",),
        vms=("none", "Stopped"),
    ),
)
"""What `make check` explores."""

WHOLE: Final = (
    Product(
        "one volume, every leftover",
        1,
        _PLACES,
        _POINTS,
        _STEPS,
        endings=_STUCK,
        vms=VM_STATES,
        waivers=tuple(WAIVERS),
        mishaps=0,
    ),
    Product(
        "one volume, every sequel",
        1,
        _PLACES,
        _POINTS,
        _STEPS,
        endings=tuple(ENDINGS),
        sequels=_SEQUELS,
        vms=("none", "Stopped", "Running"),
        mishaps=0,
    ),
    Product(
        "one volume, live or test, named or not",
        1,
        ("mode", "nobody", "vm"),
        ("none", "one"),
        _STEPS,
        endings=tuple(ENDINGS),
        kinds=tuple(KINDS),
        vms=("none", "Stopped", "Running", "Destroyed"),
        recorded=tuple(RECORDED),
        waivers=tuple(WAIVERS),
        mishaps=0,
    ),
    Product(
        "one volume, odd states and replicas",
        1,
        _PLACES,
        ("none", "one", "obsolete"),
        ("virtio-driver-injection", "vm-startup-and-validation"),
        states=tuple(VOLUME_STATES),
        replicas=tuple(REPLICAS),
        vms=("none", "Stopped"),
        mishaps=0,
    ),
    Product(
        "one volume, every fault",
        1,
        ("oma", "mode", "unmapped", "nobody", "stale", "vm", "vm-unmapped"),
        ("none", "one", "newer", "error"),
        ("virtio-driver-injection", "vm-startup-and-validation"),
        endings=_STUCK,
        vms=("none", "Stopped", "Running"),
    ),
    Product(
        "one volume, every two faults",
        1,
        ("mode", "vm"),
        ("one", "newer"),
        ("virtio-driver-injection", "volume-attachment"),
        vms=("none", "Stopped"),
        mishaps=2,
    ),
    Product(
        "one volume, others",
        1,
        ("mode", "nobody", "vm"),
        ("none", "one", "newer"),
        ("virtio-driver-injection", "volume-attachment"),
        endings=_STUCK,
        vms=("none", "Stopped"),
        waivers=("none", "content"),
        others=True,
    ),
    Product(
        "one volume, others and faults",
        1,
        ("vm",),
        ("one",),
        ("volume-attachment",),
        endings=("hangs",),
        vms=("Stopped",),
        mishaps=2,
        others=True,
    ),
    Product(
        "two volumes, wherever they are",
        2,
        ("oma", "mode", "nobody", "stale", "vm", "vm-unmapped", "stranger"),
        ("none", "one", "newer", "obsolete", "gone"),
        ("virtio-driver-injection", "vm-startup-and-validation"),
        vms=("none", "Stopped", "Running"),
        mishaps=0,
    ),
    Product(
        "two volumes, faults",
        2,
        ("mode", "nobody", "vm"),
        ("none", "one", "newer"),
        ("multi-volume-snapshot-creation", "virtio-driver-injection", "vm-startup-and-validation"),
        vms=("none", "Stopped"),
    ),
    Product(
        "two volumes, others",
        2,
        ("mode", "vm"),
        ("one", "none"),
        ("volume-attachment",),
        vms=("none", "Stopped"),
        others=True,
    ),
)
"""What `make test` explores."""

SAMPLED: Final = Product(
    "three volumes",
    3,
    ("mode", *_PLACES[:-2]),
    ("one", *(p for p in _POINTS if p not in {"gone", "irrevertable"})),
    ("virtio-driver-injection", *_STEPS),
    endings=tuple(ENDINGS),
    sequels=_SEQUELS,
    kinds=tuple(KINDS),
    vms=("Stopped", *VM_STATES),
    recorded=tuple(RECORDED),
    replicas=tuple(REPLICAS),
    waivers=("job", *WAIVERS),
    mishaps=4,
    others=True,
)
"""What is sampled by random walks; the first value of each dimension half the time."""
