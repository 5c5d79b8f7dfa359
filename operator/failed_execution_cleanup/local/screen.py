"""Where a person reads along: a picture that is redrawn on a terminal, plain lines anywhere else.

A terminal that goes away in the middle (a lost connection, a closed pager) must not end a cleanup: what cannot be written is dropped.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Protocol, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from failed_execution_cleanup.local import wording
from failed_execution_cleanup.local.wording import Shown
from failed_execution_cleanup.resources.cleanup import Holder, PhaseState

_COLOURS = {
    PhaseState.COMPLETED: "green",
    PhaseState.RUNNING: "yellow",
    PhaseState.FAILED: "red",
    PhaseState.SKIPPED: "dim",
    PhaseState.PENDING: "dim",
}


class Screen(Protocol):
    """Shows how a cleanup goes; never raises for trouble of its own."""

    def show(self, before: Shown, after: Shown) -> None:
        """Something changed, or nothing did."""
        ...

    def say(self, lines: Iterable[str]) -> None:
        """Add lines that stay."""
        ...

    def close(self) -> None:
        """Nothing is shown any more, but what was said stays."""
        ...


class Lines:
    """Plain lines with the time, for logs and pipes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, before: Shown, after: Shown) -> None:
        """Write what changed."""
        self.say(f"{datetime.now(UTC):%H:%M:%S} {line}" for line in wording.changes(before, after))

    def say(self, lines: Iterable[str]) -> None:
        """Write lines."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: the stream is closed
            for line in lines:
                self._stream.write(wording.printable(line) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Lines stay."""


class Picture:
    """Phases and volumes of the cleanup, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    def show(self, before: Shown, after: Shown) -> None:
        """Draw the picture anew."""
        del before
        with contextlib.suppress(OSError, ValueError):
            if not self._live.is_started:
                self._live.start()
            self._live.update(_drawn(after), refresh=True)

    def say(self, lines: Iterable[str]) -> None:
        """Write lines above the picture."""
        with contextlib.suppress(OSError, ValueError):
            for line in lines:
                self._console.print(Text(wording.printable(line)))

    def close(self) -> None:
        """Leave the picture as it is."""
        with contextlib.suppress(OSError, ValueError):
            self._live.stop()


def _drawn(report: Shown) -> Group:
    status, ready = report.status, report.ready
    phases = Table("phase", "state", "done", box=None, pad_edge=False, expand=True)
    phases.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
    for phase in status.phases:
        count = f"{phase.done}/{phase.total}" if phase.total and phase.done is not None else ""
        state = Text(phase.state.value, style=_COLOURS[phase.state])
        phases.add_row(phase.name.value, state, count, _text(phase.message))
    volumes = Table("volume", "holder", "state", "snapshots", "last step", box=None, pad_edge=False)
    for volume in status.volumes:
        holder = Text(volume.holder.value, style="green" if volume.holder is Holder.OMA else "yellow")
        left = str(volume.snapshots or "")
        volumes.add_row(_text(volume.disk or volume.id), holder, _text(volume.state), left, _text(volume.step))
    head = f"{report.cleanup.spec.vm_name}: {wording.job_line(status) or ''}"
    verdict = f"{ready.reason}: {ready.message}" if ready is not None else ""
    return Group(Text(wording.printable(head), style="bold"), phases, volumes, _text(verdict))


def _text(text: str | None) -> Text:
    """Text as it is: what looks like rich's markup in a name is no markup."""
    return Text(wording.printable(text or ""))
