"""`fec suspend`, `resume`, `rerun`, `approve` and `waive`: one write each, and back at once unless it is followed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

import typer

from failed_execution_cleanup.client import CleanupClient, ending
from failed_execution_cleanup.commands import details, options, summary
from failed_execution_cleanup.commands.connection import Target
from failed_execution_cleanup.commands.finding import find
from failed_execution_cleanup.commands.following import followed
from failed_execution_cleanup.commands.options import Output
from failed_execution_cleanup.commands.output import data, say
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.resources.reasons import Waiver

app = typer.Typer(rich_markup_mode=None)

Ask = Callable[[CleanupClient, str], Awaitable[FailedExecutionCleanup]]


@app.command()
def suspend(
    name: options.Name,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Stop a cleanup after the action in flight; volumes that were reverted are still brought home."""
    target = Target(kubeconfig, context, namespace)
    _ask(target, name, lambda client, found: client.suspend(found), "suspended", output)


@app.command()
def resume(
    name: options.Name,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Let a suspended cleanup go on from what is observed then."""
    target = Target(kubeconfig, context, namespace)
    _ask(target, name, lambda client, found: client.resume(found), "resumed", output, wait=wait, timeout=timeout)


@app.command()
def rerun(
    name: options.Name,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Ask for one more run of a cleanup that ended or stopped."""
    target = Target(kubeconfig, context, namespace)
    done = "asked for one more run"
    _ask(target, name, lambda client, found: client.rerun(found), done, output, wait=wait, timeout=timeout)


@app.command()
def approve(
    name: options.Name,
    plan: Annotated[
        str | None, typer.Option("--plan", metavar="HASH", help="Hash of the plan you read. Default: the present one.")
    ] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Approve a plan: it is carried out, and nothing outside of it."""
    target = Target(kubeconfig, context, namespace)
    done = "approved"
    _ask(target, name, lambda client, found: client.approve(found, plan), done, output, wait=wait, timeout=timeout)


@app.command()
def waive(
    name: options.Name,
    reason: Annotated[Waiver, typer.Argument(help="The stop you take responsibility for.")],
    obj: Annotated[
        str, typer.Argument(metavar="OBJECT", help="The word job, or the id of a volume, a VM or a row.")
    ] = "job",
    note: Annotated[str | None, typer.Option("--note", help="Why; takes the place of the cleanup's note.")] = None,
    wait: options.Wait = False,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Take responsibility for one stop of a cleanup, so that it goes on."""
    target = Target(kubeconfig, context, namespace)

    async def ask(client: CleanupClient, found: str) -> FailedExecutionCleanup:
        return await client.waive(found, reason, obj, note=note)

    _ask(target, name, ask, f"{reason.value} is waived for {obj}", output, wait=wait, timeout=timeout)


def _ask(
    target: Target,
    name: str,
    ask: Ask,
    done: str,
    output: Output,
    *,
    wait: bool = False,
    timeout: float | None = None,
) -> None:
    """Write it, say so, and follow if that is wanted."""

    async def work(client: CleanupClient) -> FailedExecutionCleanup:
        return await ask(client, (await find(client, name)).metadata.name)

    cleanup = target.ask(work)
    metadata = cleanup.metadata
    if output is Output.TABLE:
        say(f"{metadata.namespace}/{metadata.name}: {done}")
    if wait:
        (cleanup,) = followed(target, [cleanup], timeout_seconds=timeout, quiet=output is not Output.TABLE)
    if output is not Output.TABLE:
        data(summary.document(cleanup), as_yaml=output is Output.YAML)
    elif wait:
        details.show_end(cleanup)
    raise typer.Exit(summary.exit_code(ending(cleanup)) if wait else ExitCode.CLEAN)
