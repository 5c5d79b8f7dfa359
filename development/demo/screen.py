"""What the demo shows while it runs: a live table on a terminal, elsewhere a line whenever something changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from rich import box
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from development.demo.progress import GOALS, PHASES, Progress
from development.demo.scene import ProtectedVM

_PHASE_SYMBOLS: Final = {
    "Pending": Text("·", style="dim"),
    "Running": Text("◐", style="bold yellow"),
    "Completed": Text("●", style="green"),
    "Skipped": Text("-", style="green"),
    "Failed": Text("✗", style="bold red"),
}
_GOAL_SYMBOLS: Final = {
    "True": Text("✓", style="green"),
    "False": Text("○", style="yellow"),
    "Unknown": Text("·", style="dim"),
}
_LONGEST_REASON: Final = len("NothingFailed")
_LEGEND: Final = (
    "Phases: detach, snapshots, reattach, test VM, database;  · to come  ◐ runs  ● done  - not needed\n"
    "Goals: volumes attached, snapshots removed, test VM removed, context ready"
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What the live table showed at one moment.

    Attributes:
        seconds: since the cleanups were applied.
        progress: of each VM, in the order of the scene.
    """

    seconds: float
    progress: tuple[Progress, ...]

    @property
    def variety(self) -> tuple[int, int]:
        """How much there is to see: the more VMs are at work and the more they differ, the better."""
        return sum(bool(one.running) for one in self.progress), len({one.phases for one in self.progress})


class Screen:
    """The demo's output; a context manager, inside of which the table is live.

    Attributes:
        frames: one for each change that was shown.
    """

    def __init__(self, console: Console, vms: Sequence[ProtectedVM]) -> None:
        """Prepare.

        Args:
            console: where to show things.
            vms: one row each.
        """
        self.frames: list[Frame] = []
        self._console = console
        self._vms = vms
        self._live = Live(console=console, refresh_per_second=8) if console.is_terminal else None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        if self._live is not None:
            self._stack.enter_context(self._live)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """Print a line, above the table if there is one."""
        self._console.print(text, soft_wrap=True, highlight=False)

    def show(self, seconds: float, progress: Mapping[str, Progress]) -> None:
        """Show how far the cleanups are.

        Args:
            seconds: since they were applied.
            progress: by name of the cleanup.
        """
        frame = Frame(seconds, tuple(progress[vm.cleanup] for vm in self._vms))
        if self._live is not None:
            self._live.update(table(self._vms, frame))
        before = self.frames[-1].progress if self.frames else None
        if frame.progress == before:
            return
        self.frames.append(frame)
        if self._live is None:
            for number, (vm, now) in enumerate(zip(self._vms, frame.progress, strict=True)):
                if now.reason and (before is None or _line(now) != _line(before[number])):
                    self.say(f"{seconds:5.1f} s  {vm.vm_name:<20}{_line(now)}")


def table(vms: Sequence[ProtectedVM], frame: Frame) -> RenderableType:
    """The table of one moment."""
    shown = Table(box=box.SIMPLE_HEAD, title=f"after {frame.seconds:.0f} s", caption=_LEGEND, expand=True)
    shown.title_justify = shown.caption_justify = "left"
    shown.add_column("VM", no_wrap=True)
    shown.add_column("phases", no_wrap=True, min_width=2 * len(PHASES) - 1)
    shown.add_column("goals", no_wrap=True, min_width=2 * len(GOALS) - 1)
    shown.add_column("now", no_wrap=True, ratio=1)
    shown.add_column("reason", no_wrap=True, min_width=_LONGEST_REASON)
    for vm, now in zip(vms, frame.progress, strict=True):
        shown.add_row(
            Text(vm.vm_name),
            _symbols(now.phases, _PHASE_SYMBOLS),
            _symbols(now.goals, _GOAL_SYMBOLS),
            Text(now.running),
            Text(now.reason, style="green" if now.ready == "True" else "red" if now.stalled else ""),
        )
    return shown


def _symbols(states: Sequence[str], symbols: Mapping[str, Text]) -> Text:
    return Text(" ").join(symbols[state] for state in states)


def _line(now: Progress) -> str:
    phases, goals = _symbols(now.phases, _PHASE_SYMBOLS), _symbols(now.goals, _GOAL_SYMBOLS)
    return f"{phases.plain}   {goals.plain}   {now.reason:<14}{now.running}".rstrip()
