"""One performance of the demo: set the scene, apply the resources, show what happens, judge the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from rich.console import Console
from rich.markup import escape

from development.demo import samples
from development.demo.appliance import Appliance, Built, running_appliance
from development.demo.cluster import Cluster, running_cluster
from development.demo.operator_process import Operator
from development.demo.progress import Progress, progress_of
from development.demo.recording import record
from development.demo.scene import BRISK, GUARDED, REALISTIC, REQUESTED_AT, STUCK, ProtectedVM
from development.demo.screen import Screen
from development.demo.verdict import Ending, situation, table_of_cleaned, table_of_refused

_POLL_SECONDS: Final = 0.2
_DEAD_SECONDS: Final = 1.5
_PATIENCE_SECONDS: Final = 180.0
_LOG_LINES: Final = 30


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be shown.

    Attributes:
        slow: with latencies in the proportions of a real cloud.
        crash: kill the operator in the middle and start it again.
        refuse: the guards instead of the five stuck VMs.
        record: SVG file to draw the performance into.
    """

    slow: bool = False
    crash: bool = False
    refuse: bool = False
    record: Path | None = None

    @property
    def vms(self) -> Sequence[ProtectedVM]:
        """The VMs of the scene."""
        return GUARDED if self.refuse else STUCK


class Performance:
    """A performance on a stage that stands already."""

    def __init__(self, options: Options, console: Console, appliance: Appliance, cluster: Cluster) -> None:
        self._options = options
        self._console = console
        self._appliance = appliance
        self._cluster = cluster
        self._killed = False

    def run(self, directory: Path) -> bool:
        """Show everything and return whether it ended as it had to.

        Args:
            directory: for the operator's log.

        Raises:
            ProcessError: operator or simulator ended by itself.
            ClusterError: the cluster refused a resource.
        """
        built = [self._appliance.build(vm) for vm in self._options.vms]
        before = [situation(self._appliance, one) for one in built]
        self._appliance.set_latencies(REALISTIC if self._options.slow else BRISK)
        self._introduce()
        names, address = self._cluster.names, self._appliance.address
        self._cluster.create(samples.secrets(names, address))
        self._cluster.apply(samples.appliance(names, address))
        with Operator(self._cluster, directory) as operator, Screen(self._console, self._options.vms) as screen:
            began = time.monotonic()
            for vm in self._options.vms:
                self._cluster.apply(samples.cleanup(names, vm))
            progress = self._watch(operator, screen, began)
            log = operator.log_tail(_LOG_LINES)
        calls = self._calls(built)
        oma_vm_id = self._appliance.cloud()["oma_vm_id"]
        endings = [
            Ending(one, was, situation(self._appliance, one), progress[one.vm.cleanup], made, oma_vm_id)
            for one, was, made in zip(built, before, calls, strict=True)
        ]
        right = all(one.right for one in endings) and self._killed == self._options.crash
        verdict = table_of_refused(endings) if self._options.refuse else table_of_cleaned(endings)
        self._console.print(verdict)
        self._console.print(self._conclusion(right))
        if not right:
            self._console.print(f"The operator's last words:\n{escape(log)}", soft_wrap=True, highlight=False)
        if right and self._options.record is not None:
            record(self._options.record, self._options.vms, screen.frames, verdict)
        return right

    def _introduce(self) -> None:
        title = f"Five test failovers, stuck since {REQUESTED_AT:%Y-%m-%d}"
        if self._options.refuse:
            title = "Two cleanups that must be refused"
        self._console.print(f"\n[bold]{title}[/bold]\n")
        for vm in self._options.vms:
            self._console.print(f"  {vm.vm_name:<20}{vm.story}", soft_wrap=True, highlight=False)
        pace = "takes seconds where a real one takes up to minutes" if self._options.slow else "answers quickly"
        self._console.print(
            f"\nKubernetes API: {escape(self._cluster.what)}.\n"
            f"Appliance and cloud are a simulator over real HTTP; times are shortened: it {pace},\n"
            "and the operator waits 1 to 3 seconds where it waits minutes in production.\n",
            soft_wrap=True,
            highlight=False,
        )

    def _watch(self, operator: Operator, screen: Screen, began: float) -> dict[str, Progress]:
        """Show progress until nothing happens any more, and return the last of it."""
        while True:
            operator.ensure_running()
            self._appliance.process.ensure_running()
            now = time.monotonic() - began
            cleanups = self._cluster.cleanups()
            progress = {vm.cleanup: progress_of(cleanups.get(vm.cleanup, {})) for vm in self._options.vms}
            screen.show(now, progress)
            if all(one.finished for one in progress.values()) or now > _PATIENCE_SECONDS:
                return progress
            if self._options.crash and not self._killed and self._is_reverting():
                self._crash(operator, screen, now)
            time.sleep(_POLL_SECONDS)

    def _crash(self, operator: Operator, screen: Screen, now: float) -> None:
        screen.say(f"{now:5.1f} s  [bold red]SIGKILL[/bold red]: operator {operator.pid} dies while disks are reverted")
        operator.kill()
        self._killed = True
        time.sleep(_DEAD_SECONDS)
        operator.start()
        screen.say(
            f"{now + _DEAD_SECONDS:5.1f} s  operator {operator.pid} starts; it takes over once the claims expire"
        )

    def _is_reverting(self) -> bool:
        """Whether a revert was asked for and the cloud is still at work."""
        asked = any(call["command"] == "revertSnapshot" and call["executed"] for call in self._appliance.requests())
        return asked and bool(self._appliance.cloud()["pending_jobs"])

    def _calls(self, built: Sequence[Built]) -> list[list[str]]:
        """Mutating calls about each VM."""
        made = self._appliance.requests()
        return [[call["command"] for call in made if one.objects & set(call["object_ids"])] for one in built]

    def _conclusion(self, right: bool) -> str:
        if not right:
            return "[bold red]Not as it has to be.[/bold red]"
        if self._options.refuse:
            return "[bold green]Both refused, nothing touched, and each says what to do.[/bold green]"
        killed = ", with the operator killed in the middle" if self._options.crash else ""
        return f"[bold green]All five are ready for failover again, no replicated data lost{killed}.[/bold green]"


def perform(options: Options, console: Console, stack: ExitStack) -> bool:
    """Build the stage and give the performance.

    Args:
        options: what is to be shown.
        console: where to show it.
        stack: takes whatever is to be stopped and removed in the end.

    Returns:
        Whether everything ended as it had to.

    Raises:
        ProcessError: a part of the stage did not start, or ended by itself.
        ClusterError: the cluster cannot be used.
        MissingProgramError: something has to be installed.
    """
    directory = Path(stack.enter_context(TemporaryDirectory(prefix="fec-demo-")))
    appliance = stack.enter_context(running_appliance(directory))
    cluster = stack.enter_context(running_cluster(directory))
    return Performance(options, console, appliance, cluster).run(directory)
