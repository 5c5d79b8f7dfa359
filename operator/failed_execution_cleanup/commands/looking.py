"""`fec stuck`, `status`, `history` and `report`: they only read."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from failed_execution_cleanup.client import CleanupClient, EndingState, stuck_of
from failed_execution_cleanup.commands import details, options, summary
from failed_execution_cleanup.commands.connection import Target
from failed_execution_cleanup.commands.finding import find
from failed_execution_cleanup.commands.options import Output, ReportForm
from failed_execution_cleanup.commands.output import complain, data, say, table
from failed_execution_cleanup.reports import as_html, as_json, as_markdown, report_of
from failed_execution_cleanup.reports.layout import lasted, moment
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, Run
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import ConditionType

app = typer.Typer(rich_markup_mode=None)

_HISTORY_HEAD = ("CLEANUP", "RUN", "BEGAN", "ENDED", "TOOK", "RESULT", "MESSAGE")


@app.command()
def stuck(
    appliance: Annotated[str | None, typer.Option("--appliance", "-a", help="Only of this Appliance.")] = None,
    output: options.Form = Output.TABLE,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the VMs whose failover hangs, as the last scans found them."""

    async def work(client: CleanupClient) -> list[Appliance]:
        return [await client.appliance(appliance)] if appliance is not None else await client.appliances()

    appliances = Target(kubeconfig, context).ask(work)
    found = stuck_of(appliances)
    if output is not Output.TABLE:
        data([summary.stuck_document(vm) for vm in found], as_yaml=output is Output.YAML)
        return
    if found:
        table(summary.STUCK_HEAD, [summary.stuck_row(vm) for vm in found], one_line=True)
    else:
        say("No VM is stuck." if appliances else "There is no Appliance.")
    for each in appliances:
        _tell_scan(each)


def _tell_scan(appliance: Appliance) -> None:
    """Say where the list may not be the whole truth."""
    name, status = appliance.metadata.name, appliance.status
    scanned = get_condition(status.conditions, ConditionType.SCANNED)
    if status.last_scan_time is None:
        complain(f"Appliance {name} was not scanned yet.", "Is an operator running?")
    elif scanned is not None and scanned.status != "True":
        complain(f"the last scan of Appliance {name} was not complete: {scanned.message}")
    if (status.stuck_vms or 0) > len(status.stuck):
        complain(f"Appliance {name} has {status.stuck_vms} stuck VMs; its status lists the first {len(status.stuck)}.")


@app.command()
def status(
    name: Annotated[
        str | None,
        typer.Argument(metavar="NAME", help="One cleanup, or its VM.", autocompletion=options.vms_and_names),
    ] = None,
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces.")] = False,
    appliance: Annotated[str | None, typer.Option("--appliance", "-a", help="Only of this Appliance.")] = None,
    state: Annotated[
        list[EndingState] | None, typer.Option("--state", help="Only in this state; may be repeated.")
    ] = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the cleanups, or show one in full."""
    target = Target(kubeconfig, context, namespace)
    if name is not None:
        _show_one(target.ask(lambda client: find(client, name)), output)
        return
    found = target.ask(
        lambda client: client.list_cleanups(
            appliance=appliance, states=tuple(state or ()), all_namespaces=all_namespaces
        )
    )
    if output is not Output.TABLE:
        data([summary.document(each) for each in found], as_yaml=output is Output.YAML)
    elif found:
        table(summary.CLEANUP_HEAD, [summary.row(each, with_namespace=all_namespaces) for each in found], one_line=True)
    else:
        say("There is no such cleanup." if appliance or state else "There is no cleanup.")


def _show_one(cleanup: FailedExecutionCleanup, output: Output) -> None:
    if output is Output.TABLE:
        details.show_cleanup(cleanup)
    else:
        data(summary.document(cleanup), as_yaml=output is Output.YAML)


@app.command()
def history(
    name: options.Name,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """List the runs of a cleanup, or of all cleanups of a VM, newest first."""

    async def work(client: CleanupClient) -> list[FailedExecutionCleanup]:
        named = await find(client, name)
        return [named] if named.metadata.name == name else await client.list_cleanups(vm_name=name)

    cleanups = Target(kubeconfig, context, namespace).ask(work)
    runs = [(cleanup, run) for cleanup in cleanups for run in cleanup.status.history]
    if output is not Output.TABLE:
        data([_run_document(*each) for each in runs], as_yaml=output is Output.YAML)
    elif runs:
        table(_HISTORY_HEAD, [_run_row(*each) for each in runs])
    else:
        say("No run ended yet.")


def _run_row(cleanup: FailedExecutionCleanup, run: Run) -> tuple[str, ...]:
    took = run.completed_at - run.started_at if run.started_at and run.completed_at else None
    times = (moment(run.started_at), moment(run.completed_at), lasted(took))
    return (cleanup.metadata.name, str(run.run), *times, run.result, run.message or "")


def _run_document(cleanup: FailedExecutionCleanup, run: Run) -> dict[str, Any]:
    return {"cleanup": cleanup.metadata.name, "vmName": cleanup.spec.vm_name, **run.to_kubernetes()}


@app.command()
def report(
    name: options.Name,
    output: Annotated[ReportForm, typer.Option("--output", "-o", help="Form of the report.")] = ReportForm.MARKDOWN,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Write the report of a cleanup: who, why, what was found, what was done, how it ended."""
    cleanup = Target(kubeconfig, context, namespace).ask(lambda client: find(client, name))
    written = {ReportForm.MARKDOWN: as_markdown, ReportForm.JSON: as_json, ReportForm.HTML: as_html}[output]
    typer.echo(written(report_of(cleanup)), nl=False)
