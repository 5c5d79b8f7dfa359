"""Following cleanups to their end, before somebody's eyes; Ctrl-C ends the watching and nothing else."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from failed_execution_cleanup.client import CleanupClient, NotEnded, ending
from failed_execution_cleanup.commands.connection import Target
from failed_execution_cleanup.commands.output import complain
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local import wording
from failed_execution_cleanup.local.screen import Lines, Picture, Screen
from failed_execution_cleanup.local.wording import Shown
from failed_execution_cleanup.resources.cleanup import CleanupStatus, FailedExecutionCleanup
from failed_execution_cleanup.resources.conditions import Condition, get_condition
from failed_execution_cleanup.resources.reasons import ConditionType

Stop = Callable[[FailedExecutionCleanup], bool]
"""Whether enough was seen although it is not over."""

UNANSWERED_SECONDS: Final = 20.0
"""After this long without a first look, somebody should see whether an operator runs at all."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Implements `local.wording.Shown` for a resource of the cluster."""

    cleanup: FailedExecutionCleanup

    @property
    def status(self) -> CleanupStatus:
        """How far it is."""
        return self.cleanup.status

    @property
    def ready(self) -> Condition | None:
        """The verdict; None before the first look."""
        return get_condition(self.status.conditions, ConditionType.READY)

    @property
    def remedy(self) -> str:
        """What a person does next, where one has to."""
        return ending(self.cleanup).remedy


def followed(
    target: Target,
    cleanups: Sequence[FailedExecutionCleanup],
    *,
    timeout_seconds: float | None,
    quiet: bool,
    enough: Stop = lambda _: False,
) -> list[FailedExecutionCleanup]:
    """Follow cleanups of one namespace until all are over, and return them as they are then.

    Args:
        target: where they are.
        cleanups: as they are now.
        timeout_seconds: how long at most; None: no limit.
        quiet: tell on standard error, because standard output is for programs.
        enough: stop following one when this is true of it.

    Raises:
        typer.Exit: it was interrupted, the time was over, or the cluster failed.
    """
    latest = {cleanup.metadata.name: cleanup for cleanup in cleanups}
    screen = _screen(quiet=quiet, single=len(cleanups) == 1)

    def see(cleanup: FailedExecutionCleanup) -> None:
        before = latest[cleanup.metadata.name]
        latest[cleanup.metadata.name] = cleanup
        screen.show(Seen(before), Seen(cleanup))

    async def work(client: CleanupClient) -> None:
        try:
            async with asyncio.timeout(timeout_seconds):
                await _all([_follow(client, name, see, screen, enough) for name in latest])
        except TimeoutError:
            waiting = [c for c in latest.values() if not ending(c).over]
            raise NotEnded(
                f"not at the end after {timeout_seconds:g} s: "
                + "; ".join(f"{c.metadata.name}: {ending(c).message}" for c in waiting),
                waiting[0] if waiting else next(iter(latest.values())),
                remedy=f"It goes on; look with: fec status {next(iter(latest))}",
            ) from None

    try:
        target.ask(work)
    except KeyboardInterrupt:
        screen.close()
        _told_to_go_on(list(latest.values()))
        raise typer.Exit(ExitCode.WAITING) from None
    finally:
        screen.close()
    return list(latest.values())


async def _all(works: Sequence[Awaitable[None]]) -> None:
    """Wait for all; the first error ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _follow(
    client: CleanupClient, name: str, see: Callable[[FailedExecutionCleanup], None], screen: Screen, enough: Stop
) -> None:
    reminder = asyncio.create_task(_remind(screen, name))
    try:
        async with aclosing(client.follow(name)) as changes:
            async for cleanup in changes:
                if cleanup.status.observed_generation >= 0:
                    reminder.cancel()
                see(cleanup)
                if enough(cleanup):
                    return
    finally:
        reminder.cancel()


async def _remind(screen: Screen, name: str) -> None:
    await asyncio.sleep(UNANSWERED_SECONDS)
    screen.say(
        [
            f"{name}: no operator has looked at it for {UNANSWERED_SECONDS:g} s. Is one running, and does it watch this namespace?"
        ]
    )


def _told_to_go_on(cleanups: Sequence[FailedExecutionCleanup]) -> None:
    going = [cleanup for cleanup in cleanups if not ending(cleanup).over] or list(cleanups)
    name = going[0].metadata.name
    in_namespace = ["-n", going[0].metadata.namespace or ""]
    many = f"{len(going)} cleanups go on" if len(going) > 1 else f"the cleanup {name} goes on"
    again, stop = (shlex.join(["fec", verb, name, *in_namespace]) for verb in ("status", "suspend"))
    complain(f"stopped watching; {many}.", f"Look again with: {again}    stop it with: {stop}")


class _Overview:
    """One line for each of several cleanups, redrawn in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, auto_refresh=False)
        self._seen: dict[str, Shown] = {}

    def show(self, before: Shown, after: Shown) -> None:
        """Draw the table anew."""
        del before
        self._seen[after.cleanup.metadata.name] = after
        drawn = Table("VM", "state", "reason", "phases", box=None, pad_edge=False, header_style="bold dim", expand=True)
        drawn.add_column("", no_wrap=True, overflow="ellipsis", ratio=1)
        for report in self._seen.values():
            found = ending(report.cleanup)
            cells = (report.cleanup.spec.vm_name, found.state.value, found.reason, report.status.phase_summary or "")
            drawn.add_row(*(Text(wording.printable(cell)) for cell in (*cells, found.message)))
        if not self._live.is_started:
            self._live.start()
        self._live.update(drawn, refresh=True)

    def say(self, lines: Iterable[str]) -> None:
        """Write lines above the table."""
        for line in lines:
            self._console.print(Text(wording.printable(line)))

    def close(self) -> None:
        """Leave the table as it is."""
        self._live.stop()


class _NamedLines(Lines):
    """Plain lines that say whose they are."""

    def show(self, before: Shown, after: Shown) -> None:
        """Write what changed."""
        vm = after.cleanup.spec.vm_name
        self.say(f"{datetime.now(UTC):%H:%M:%S} {vm}: {line}" for line in wording.changes(before, after))


def _screen(*, quiet: bool, single: bool) -> Screen:
    console = Console()
    if not quiet and console.is_terminal and not console.is_dumb_terminal:
        return Picture(console) if single else _Overview(console)
    stream = sys.stderr if quiet else sys.stdout
    return Lines(stream) if single else _NamedLines(stream)
