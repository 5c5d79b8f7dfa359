"""`fec plan` and `fec cleanup`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Annotated, Final, NoReturn

import typer

from failed_execution_cleanup.client import (
    CleanupClient,
    ClientError,
    EndingState,
    NotAllowed,
    Order,
    Placed,
    ending,
    is_current,
)
from failed_execution_cleanup.commands import details, options, summary
from failed_execution_cleanup.commands.connection import Target, give_up
from failed_execution_cleanup.commands.following import followed
from failed_execution_cleanup.commands.options import Output
from failed_execution_cleanup.commands.output import complain, data, say, table
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, Mode, WaiverGrant
from failed_execution_cleanup.resources.conditions import get_condition
from failed_execution_cleanup.resources.reasons import ConditionType, Waiver

app = typer.Typer(rich_markup_mode=None)

_BY_ID: Final = frozenset({Waiver.ACCEPT_CONTENT, Waiver.ZOMBIE_JOB})
"""Waivers for one volume or row, never for the whole job."""


@app.command()
def plan(
    vm: options.VM,
    appliance: options.Appliance = None,
    vcenter_host: options.VCenter = None,
    job: options.Job = None,
    note: options.Note = None,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Show what a cleanup would do and why, what is not needed, and what stands in the way; touches nothing."""
    target = Target(kubeconfig, context, namespace)
    order = Order(vm, appliance, vcenter_host, job, mode=Mode.PLAN, note=note)
    placed = target.ask(lambda client: _place_signed(client, order, again=_only_planned))
    if placed.cleanup.spec.mode is not Mode.PLAN:
        name = placed.cleanup.metadata.name
        complain(f"VM {vm} has the cleanup {name} already, which does not only plan: nothing was changed.")
        _end_with(placed.cleanup, output)
    cleanup = _planned(target, placed, timeout)
    if output is Output.TABLE:
        details.show_plan(cleanup)
    else:
        data(summary.plan_document(cleanup), as_yaml=output is Output.YAML)
    found = ending(cleanup)
    waits = found.state is EndingState.WAITING
    planned = found.state in {EndingState.AWAITING_APPROVAL, EndingState.CLEAN}
    raise typer.Exit(ExitCode.WAITING if waits else ExitCode.CLEAN if planned else summary.exit_code(found))


@app.command()
def cleanup(
    vm: Annotated[
        str | None,
        typer.Argument(metavar="VM", help="Name of the VM exactly as in vCenter.", autocompletion=options.stuck_vms),
    ] = None,
    all_stuck: Annotated[bool, typer.Option("--all-stuck", help="Clean up every VM that `fec stuck` lists.")] = False,
    appliance: options.Appliance = None,
    vcenter_host: options.VCenter = None,
    job: options.Job = None,
    waive: Annotated[
        list[str] | None,
        typer.Option(
            "--waive",
            metavar="REASON[=OBJECT]",
            help="A stop you take responsibility for, such as RunningTestVM; the object is the job unless it is named.",
        ),
    ] = None,
    note: options.Note = None,
    approve_plan: Annotated[
        bool, typer.Option("--approve-plan", help="Show the plan, ask, and do exactly that; nothing outside of it.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="With --approve-plan: do not ask.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Where there is a cleanup already, ask for one more run.")
    ] = False,
    wait: options.Wait = True,
    timeout: options.Timeout = None,
    output: options.Form = Output.TABLE,
    namespace: options.Namespace = None,
    kubeconfig: options.Kubeconfig = None,
    context: options.Context = None,
) -> None:
    """Clean up a VM, and follow it to its end. A planned cleanup is carried out. Ctrl-C ends the watching, not the cleanup."""
    target = Target(kubeconfig, context, namespace)
    waivers = tuple(_waiver(text) for text in waive or ())
    if (vm is None) is not all_stuck:
        _usage("name one VM, or give --all-stuck.")
    if all_stuck and (job is not None or vcenter_host is not None or approve_plan):
        _usage("--job, --vcenter-host and --approve-plan are for one VM.")
    if approve_plan and not yes and not sys.stdin.isatty():
        _usage("nobody is there to ask: give --yes, or approve the plan with `fec approve`.")
    order = Order(vm or "", appliance, vcenter_host, job, waivers=waivers, note=note)
    if all_stuck:
        _clean_up_all(target, order, again=again, wait=wait, timeout=timeout, output=output)
    if approve_plan:
        placed = _approved(target, order, timeout, output, asked=not yes)
    else:
        placed = target.ask(lambda client: _place_signed(client, order, again=lambda _: again))
    _tell_placed(placed, output)
    if not wait:
        if output is not Output.TABLE:
            data(summary.document(placed.cleanup), as_yaml=output is Output.YAML)
        raise typer.Exit(ExitCode.CLEAN)
    (ended,) = followed(target, [placed.cleanup], timeout_seconds=timeout, quiet=output is not Output.TABLE)
    if placed.created and ending(ended).wrong_input:
        _withdrawn(target, ended)
    _end_with(ended, output)


def _clean_up_all(
    target: Target, order: Order, *, again: bool, wait: bool, timeout: float | None, output: Output
) -> NoReturn:
    """Place an order for every stuck VM, and follow all of them."""

    async def work(client: CleanupClient) -> tuple[list[Placed], list[tuple[str, ClientError]]]:
        done: list[Placed] = []
        failed: list[tuple[str, ClientError]] = []
        signed = await _signed(client, order)
        for stuck in await client.stuck(order.appliance):
            one = replace(
                signed,
                vm_name=stuck.job.vm_name,
                appliance=stuck.appliance,
                vcenter_host=stuck.job.vcenter_host,
                failover_job_id=stuck.job.job_id,
            )
            try:
                done.append(await client.place(one, again=again))
            except ClientError as error:
                failed.append((stuck.job.vm_name, error))
        return done, failed

    placed, failed = target.ask(work)
    if not placed and not failed and output is Output.TABLE:
        say("No VM is stuck.")
    for each in placed:
        _tell_placed(each, output)
    for vm_name, error in failed:
        complain(f"{vm_name}: {error}", error.remedy)
    cleanups = [each.cleanup for each in placed]
    if wait and cleanups:
        cleanups = followed(target, cleanups, timeout_seconds=timeout, quiet=output is not Output.TABLE)
    if output is not Output.TABLE:
        data([summary.document(each) for each in cleanups], as_yaml=output is Output.YAML)
    elif cleanups:
        say("")
        table(summary.CLEANUP_HEAD, [summary.row(each) for each in cleanups], one_line=True)
    if failed:
        give_up(failed[0][1])
    codes = [summary.exit_code(ending(each)) for each in cleanups] if wait else []
    raise typer.Exit(max(codes, default=ExitCode.CLEAN))


def _approved(target: Target, order: Order, timeout: float | None, output: Output, *, asked: bool) -> Placed:
    """Plan, show, ask, approve."""
    planned = replace(order, mode=Mode.PLAN)
    placed = target.ask(lambda client: _place_signed(client, planned, again=_only_planned))
    if placed.cleanup.spec.mode is not Mode.PLAN:
        name = placed.cleanup.metadata.name
        _usage(
            f"VM {order.vm_name} has the cleanup {name} already, which does not only plan: there is nothing to approve."
        )
    cleanup = _planned(target, placed, timeout)
    plan_hash = cleanup.status.plan_hash
    if plan_hash is None or not cleanup.status.plan:
        _end_with(cleanup, output)
    if output is Output.TABLE:
        details.show_plan(cleanup)
    if asked:
        say("")
        try:
            agreed = typer.confirm("Do exactly this?", err=True)
        except typer.Abort:
            agreed = False
        if not agreed:
            complain("nothing was touched; the plan stays.")
            raise typer.Exit(ExitCode.WAITING)
    approved = target.ask(lambda client: client.approve(cleanup.metadata.name, plan_hash))
    return Placed(approved, placed.created)


def _planned(target: Target, placed: Placed, timeout: float | None) -> FailedExecutionCleanup:
    """Wait until there is a plan, or until it is clear that there will be none."""
    (cleanup,) = followed(target, [placed.cleanup], timeout_seconds=timeout, quiet=True, enough=_plan_is_there)
    if placed.created and ending(cleanup).wrong_input:
        _withdrawn(target, cleanup)
    return cleanup


def _only_planned(cleanup: FailedExecutionCleanup) -> bool:
    """A plan that is there already is made anew, because the world moved on."""
    return cleanup.spec.mode is Mode.PLAN and cleanup.approved_plan is None


def _plan_is_there(cleanup: FailedExecutionCleanup) -> bool:
    """What waits for something that clears itself has a plan as well."""
    return is_current(cleanup) and get_condition(cleanup.status.conditions, ConditionType.PLANNED) is not None


async def _place_signed(
    client: CleanupClient, order: Order, *, again: Callable[[FailedExecutionCleanup], bool]
) -> Placed:
    placed = await client.place(await _signed(client, order))
    if not placed.created and again(placed.cleanup):
        return Placed(await client.rerun(placed.cleanup.metadata.name), created=False)
    return placed


async def _signed(client: CleanupClient, order: Order) -> Order:
    """The order with the name of who asks, where the cluster tells it."""
    try:
        return replace(order, requested_by=(await client.user_name())[:512])
    except ClientError as error:
        if isinstance(error, NotAllowed) and error.role is None:
            raise
        return order


def _withdrawn(target: Target, cleanup: FailedExecutionCleanup) -> None:
    """A mistyped name leaves nothing behind: the operator claimed nothing for it."""

    async def work(client: CleanupClient) -> bool:
        try:
            await client.withdraw(cleanup)
        except ClientError:
            return False
        return True

    kept = not target.ask(work)
    name = cleanup.metadata.name
    complain(f"the cleanup {name} stays; delete it with kubectl." if kept else f"the cleanup {name} was removed again.")


def _tell_placed(placed: Placed, output: Output) -> None:
    cleanup, metadata = placed.cleanup, placed.cleanup.metadata
    what = "created" if placed.created else "is there already"
    line = (
        f"{metadata.namespace}/{metadata.name} {what}: VM {cleanup.spec.vm_name} on {cleanup.spec.appliance_ref.name}"
    )
    if output is Output.TABLE:
        say(line)


def _end_with(cleanup: FailedExecutionCleanup, output: Output) -> NoReturn:
    if output is Output.TABLE:
        details.show_end(cleanup)
    else:
        data(summary.document(cleanup), as_yaml=output is Output.YAML)
    raise typer.Exit(summary.exit_code(ending(cleanup)))


def _waiver(text: str) -> WaiverGrant:
    name, _, obj = text.partition("=")
    try:
        reason = Waiver(name)
    except ValueError:
        _usage(f"--waive {text}: the reason is one of {', '.join(waiver.value for waiver in Waiver)}.")
    if reason in _BY_ID and obj in ("", "job"):
        what = "a volume" if reason is Waiver.ACCEPT_CONTENT else "a row"
        _usage(f"--waive {text}: {reason.value} needs the id of {what}, as in {reason.value}=ID.")
    return WaiverGrant(reason=reason, object=obj or "job")


def _usage(message: str) -> NoReturn:
    complain(message)
    raise typer.Exit(ExitCode.USAGE)
