"""`fec local plan` and `fec local cleanup`: arguments, consent, signals and exit codes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn, TextIO

import typer
from rich.console import Console

from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local import wording
from failed_execution_cleanup.local.appliance_file import ApplianceFile, UnusableFileError, read_appliance_file
from failed_execution_cleanup.local.arguments import Arguments, Prepared, UsageError
from failed_execution_cleanup.local.report import Report
from failed_execution_cleanup.local.screen import Lines, Picture, Screen
from failed_execution_cleanup.run.order import Progress

app = typer.Typer(
    name="local",
    help="Break-glass: plan or clean up without Kubernetes, under the same claim in the appliance's database.",
    no_args_is_help=True,
)

_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals of a person or of a lost terminal."""


class Output(StrEnum):
    """Form of the result on standard output."""

    TEXT = "text"
    JSON = "json"


VM = Annotated[str, typer.Argument(help="Name of the VM exactly as in vCenter; spaces and capitals count.")]
File = Annotated[
    Path,
    typer.Option("--appliance", help="YAML file with the Appliance, as for kubectl; its Secrets may stand beside it."),
]
SecretsDirectory = Annotated[
    Path | None,
    typer.Option("--secrets-dir", help="Directory with the Secrets as files NAME/KEY. Otherwise FEC_SECRET_NAME_KEY."),
]
VCenter = Annotated[str | None, typer.Option("--vcenter-host", help="vCenter, where several VMs have that name.")]
Job = Annotated[str | None, typer.Option("--job", help="Failover job to clean up after. Default: the newest.")]
Waive = Annotated[
    list[str] | None,
    typer.Option("--waive", metavar="REASON=OBJECT", help="A stop you take responsibility for; needs --job."),
]
Form = Annotated[Output, typer.Option("--output", "-o", help="Form of the result.")]


@app.command()
def plan(
    vm: VM,
    appliance: File,
    secrets_dir: SecretsDirectory = None,
    vcenter_host: VCenter = None,
    job: Job = None,
    waive: Waive = None,
    output: Form = Output.TEXT,
) -> None:
    """Show what a cleanup would do and why; touches nothing."""
    asked = Arguments(vm, appliance, secrets_dir, vcenter_host, job, tuple(waive or ()))
    _end(_planned(asked, _read(appliance), output), output)


@app.command()
def cleanup(
    vm: VM,
    appliance: File,
    secrets_dir: SecretsDirectory = None,
    vcenter_host: VCenter = None,
    job: Job = None,
    waive: Waive = None,
    note: Annotated[str | None, typer.Option(help="For the appliance's job log, such as a ticket.")] = None,
    approve: Annotated[
        str | None, typer.Option(metavar="HASH", help="Do the plan of this hash and nothing else.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    wait: Annotated[
        float,
        typer.Option(min=0, metavar="SECONDS", help="Longest wait for what clears itself, such as another's claim."),
    ] = 600.0,
    output: Form = Output.TEXT,
) -> None:
    """Clean up, and follow it to its end. Ctrl-C hands the claim over: the operator, or the same command, goes on."""
    asked = Arguments(vm, appliance, secrets_dir, vcenter_host, job, tuple(waive or ()), note, approve)
    file = _read(appliance)  # once: it may be a pipe
    if not yes and approve is None:
        asked = _consented(asked, file, output)
    prepared = _prepared(asked, file, planned=False)
    # What a log would tell is told by the screen, which a line of a log would tear.
    logging.basicConfig(level=logging.ERROR)
    screen = _screen(output)
    try:
        report = asyncio.run(_followed(prepared, screen, wait))
    finally:
        screen.close()
    if output is Output.TEXT:
        Lines(sys.stdout).say(wording.result(report))
    _end(report, output)


def _read(path: Path) -> ApplianceFile:
    try:
        return read_appliance_file(path)
    except UnusableFileError as error:
        _give_up(str(error), ExitCode.USAGE)


def _prepared(asked: Arguments, file: ApplianceFile, *, planned: bool) -> Prepared:
    try:
        return Prepared.of(asked, file, planned=planned)
    except UsageError as error:
        _give_up(str(error), ExitCode.USAGE)


def _planned(asked: Arguments, file: ApplianceFile, output: Output) -> Report:
    """Make the plan and show it, beside the result where that is JSON."""
    prepared = _prepared(asked, file, planned=True)
    try:
        progress = asyncio.run(prepared.session(lambda _: None).plan())
    except KeyboardInterrupt:
        _give_up("interrupted; nothing was touched.", ExitCode.WAITING)
    report = prepared.report.after(progress)
    job = report.status.failed_job
    Lines(_beside(output)).say(wording.plan(report, asked.again(job.id if job is not None else asked.job)))
    return report


def _consented(asked: Arguments, file: ApplianceFile, output: Output) -> Arguments:
    """Show the plan and ask; the command ends here where there is nothing to ask, or where the answer is no.

    Returns:
        The arguments, bound to the job that was shown.
    """
    if not sys.stdin.isatty():
        _give_up("nobody is there to ask: give --yes, or --approve with the hash of a plan.", ExitCode.USAGE)
    report = _planned(asked, file, output)
    if report.code not in (ExitCode.CLEAN, ExitCode.WAITING) or report.finished:
        _end(report, output)
    try:
        agreed = typer.confirm(f"Clean up {wording.printable(asked.vm)}?", err=True)
    except typer.Abort:
        agreed = False
    if not agreed:
        _give_up("nothing was touched.", ExitCode.WAITING)
    job = report.status.failed_job
    return replace(asked, job=job.id) if job is not None else asked


async def _followed(prepared: Prepared, screen: Screen, patience: float) -> Report:
    """Clean up; signals that end a process hand the claim over instead."""
    report = prepared.report

    def tell(progress: Progress) -> None:
        nonlocal report
        before, report = report, report.after(progress)
        screen.show(before, report)

    session = prepared.session(tell)

    def leave() -> None:
        session.leave()
        screen.say(["interrupted: what is in flight gets a few seconds, then the claim is handed over …"])

    loop = asyncio.get_running_loop()
    for number in _ENDING:
        loop.add_signal_handler(number, leave)
    try:
        progress = await session.cleanup(patience=patience)
    finally:
        for number in _ENDING:
            loop.remove_signal_handler(number)
    return report.after(progress)


def _screen(output: Output) -> Screen:
    console = Console()
    if output is Output.TEXT and console.is_terminal and not console.is_dumb_terminal:
        return Picture(console)
    return Lines(_beside(output))


def _beside(output: Output) -> TextIO:
    """Where to tell what is not the result itself."""
    return sys.stdout if output is Output.TEXT else sys.stderr


def _give_up(message: str, code: ExitCode) -> NoReturn:
    Lines(sys.stderr).say([f"fec: {message}"])
    raise typer.Exit(code)


def _end(report: Report, output: Output) -> NoReturn:
    if output is Output.JSON:
        with contextlib.suppress(OSError):
            sys.stdout.write(report.to_json() + "\n")
            sys.stdout.flush()
    raise typer.Exit(report.code)
