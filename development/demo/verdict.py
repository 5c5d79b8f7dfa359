"""How the demo ended, judged by what cloud, database and call log say, never by the operator's own status."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from rich import box
from rich.table import Table
from rich.text import Text

from development.demo.appliance import Appliance, Built, Recorded
from development.demo.progress import Progress

_REPLICA: Final = "replica:1"
_READY: Final = "ready_for_failover"
_GONE: Final = frozenset({"Expunging", "Expunged"})
_BLIND: Final = (
    "A blind cleanup, such as the product's own, detaches whatever has a mapping, reverts\n"
    "and deletes every recorded snapshot and attaches all volumes, needed or not."
)


@dataclass(frozen=True, slots=True)
class Situation:
    """What is true of one VM at one moment.

    Attributes:
        recorded: what the database says.
        holders: which VM holds each volume, by volume id; None when detached.
        contents: what the volumes hold, by volume id.
        snapshots: snapshots of its volumes that the cloud still has.
        test_vm: state of the VM that its failover made; None if it made none.
    """

    recorded: Recorded
    holders: Mapping[str, str | None]
    contents: Mapping[str, str]
    snapshots: frozenset[str]
    test_vm: str | None


@dataclass(frozen=True, slots=True)
class Ending:
    """One VM at the end.

    Attributes:
        before: when its failover was stuck.
        after: when its cleanup was finished.
        progress: what its cleanup said in the end.
        calls: mutating calls that were made about it, by command.
        oma_vm_id: the appliance's own VM.
    """

    built: Built
    before: Situation
    after: Situation
    progress: Progress
    calls: Sequence[str]
    oma_vm_id: str

    @property
    def at_home(self) -> int:
        """Volumes that are on the appliance."""
        return sum(holder == self.oma_vm_id for holder in self.after.holders.values())

    @property
    def is_replica(self) -> bool:
        """Whether every volume holds exactly what replication stored."""
        return set(self.after.contents.values()) == {_REPLICA}

    @property
    def test_vm_gone(self) -> bool:
        """Whether no VM of the failover is left."""
        return self.after.test_vm in (None, *_GONE)

    @property
    def cleaned(self) -> bool:
        """Whether everything is as it has to be after a cleanup."""
        return (
            self.after.recorded.context_status == _READY
            and not self.after.snapshots
            and self.at_home == len(self.after.holders)
            and self.is_replica
            and self.test_vm_gone
            and not (self.built.vm.rows_only and self.calls)
        )

    @property
    def refused(self) -> bool:
        """Whether the cleanup was refused for the right reason and nothing was touched."""
        right = self.progress.stalled and self.progress.reason == self.built.vm.refused_for
        return right and self.before == self.after and not self.calls

    @property
    def right(self) -> bool:
        """Whether it ended as it had to."""
        return self.refused if self.built.vm.refused_for else self.cleaned

    @property
    def blind_calls(self) -> int:
        """Calls a blind cleanup would make if nothing stopped it (appliance facts 3.1)."""
        return len(self.before.recorded.mapped) + 2 * len(self.before.recorded.snapshots) + len(self.before.holders)

    @property
    def blind_outcome(self) -> str:
        """What a blind cleanup would do, and what would be wrong with it; 431 is its error for a wrong location."""
        holders, mapped = self.before.holders, self.before.recorded.mapped
        calls = f"{self.blind_calls} calls"
        if any(holders[volume] is None for volume in mapped):
            return f"{calls}, stops at once: 431"
        if any(holder is not None and volume not in mapped for volume, holder in holders.items()):
            return f"{calls}, stops half-way: 431"
        if not self.before.snapshots and set(holders.values()) == {self.oma_vm_id}:
            return f"{calls}, all for nothing"
        return calls


def situation(appliance: Appliance, built: Built) -> Situation:
    """Look at one VM."""
    cloud = appliance.cloud()
    volumes = {volume: cloud["volumes"][volume] for volume in built.volume_ids}
    left = {
        found["id"]
        for found in cloud["snapshots"].values()
        if found["volume_id"] in volumes and found["state"] != "Destroyed"
    }
    return Situation(
        appliance.recorded(built),
        {volume: found["virtualmachineid"] for volume, found in volumes.items()},
        {volume: found["content"] for volume, found in volumes.items()},
        frozenset(left),
        _state_of_test_vm(cloud, built),
    )


def table_of_cleaned(endings: Sequence[Ending]) -> Table:
    """The verdict on VMs that had to be cleaned."""
    shown = Table(box=box.SIMPLE_HEAD, title="\nVerdict", title_justify="left", caption=_BLIND, show_footer=True)
    shown.caption_justify = "left"
    left = sum(len(one.after.snapshots) for one in endings)
    at_home, volumes = sum(one.at_home for one in endings), sum(len(one.after.holders) for one in endings)
    shown.add_column("VM", "all", no_wrap=True)
    shown.add_column("context in\ndatabase", no_wrap=True)
    shown.add_column("orphan\nsnaps", str(left), justify="right")
    shown.add_column("volumes\non OMA", f"{at_home}/{volumes}", justify="right")
    shown.add_column("equal to\nreplica")
    shown.add_column("calls\nmade", str(sum(len(one.calls) for one in endings)), justify="right")
    shown.add_column("a blind\ncleanup", f"{sum(one.blind_calls for one in endings)} calls")
    for one in endings:
        shown.add_row(
            Text(one.built.vm.vm_name, style="green" if one.right else "bold red"),
            one.after.recorded.context_status,
            str(len(one.after.snapshots)),
            f"{one.at_home}/{len(one.after.holders)}",
            _yes(one.is_replica),
            str(len(one.calls)),
            one.blind_outcome,
        )
    return shown


def table_of_refused(endings: Sequence[Ending]) -> Table:
    """The verdict on VMs whose cleanup had to be refused."""
    shown = Table(box=box.SIMPLE_HEAD, title="\nVerdict", title_justify="left", show_lines=True)
    shown.add_column("VM", no_wrap=True)
    shown.add_column("refused for", no_wrap=True)
    shown.add_column("calls\nmade", justify="right")
    shown.add_column("untouched")
    shown.add_column("what it says", overflow="fold")
    for one in endings:
        shown.add_row(
            Text(one.built.vm.vm_name, style="green" if one.right else "bold red"),
            one.progress.reason,
            str(len(one.calls)),
            _yes(one.before == one.after),
            Text(one.progress.message),
        )
    return shown


def _state_of_test_vm(cloud: Mapping[str, Any], built: Built) -> str | None:
    if built.destination_vm_id is None:
        return None
    found = cloud["virtual_machines"][built.destination_vm_id]
    return "Expunged" if found["removed"] else str(found["state"])


def _yes(true: bool) -> Text:
    return Text("yes", style="green") if true else Text("NO", style="bold red")
