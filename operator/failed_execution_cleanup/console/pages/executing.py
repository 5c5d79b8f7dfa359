"""From a dialog that was answered to a cleanup that is under way."""

from __future__ import annotations

import asyncio

from failed_execution_cleanup.console.catalogue import ProtectedVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.cards_view import cleanup_address, vm_address
from failed_execution_cleanup.console.pages.dialog_view import Posted
from failed_execution_cleanup.console.placing import local_order_for, order_for, place
from failed_execution_cleanup.console.plans import Plan
from failed_execution_cleanup.console.problems import NoCluster
from failed_execution_cleanup.console.services import Services

__all__ = ["execute"]


async def execute(
    services: Services, caller: Caller, vm: ProtectedVM, plan: Plan, posted: Posted, namespace: str
) -> str:
    """Have a VM cleaned up exactly as it was shown: the plan is approved with the order, so the operator does nothing that is not in it.

    Args:
        services: the console's.
        caller: in whose name.
        vm: the VM.
        plan: that was shown.
        posted: waivers and note.
        namespace: where the cleanup is placed; does not count where there is no cluster.

    Returns:
        Address of the page that shows how it goes on.

    Raises:
        ClientError: it was not placed.
    """
    job_id = plan.job.id if plan.job is not None else None
    note = posted.note.strip() or None
    if services.in_the_name_of is None:
        return await _by_this_process(services, caller, vm, plan, posted, note)
    order = order_for(vm, caller, job_id, waivers=posted.waivers, note=note, approved_plan=plan.digest)
    async with services.in_the_name_of.caller(caller, namespace) as client:
        placed = await place(client, order)
    services.lists.forget()
    return cleanup_address(namespace, placed.metadata.name)


async def _by_this_process(
    services: Services, caller: Caller, vm: ProtectedVM, plan: Plan, posted: Posted, note: str | None
) -> str:
    if services.runs is None:
        raise NoCluster
    job_id = plan.job.id if plan.job is not None else None
    order = local_order_for(vm, job_id, waivers=posted.waivers, note=note, approved_plan=plan.digest)
    # Nobody waits: it goes on in this process, and the card shows how it goes.
    await services.runs.cleaned(vm.appliance, vm.context.context_id, order, caller, 0.0, asyncio.Event())
    return vm_address(plan.appliance, vm.context.context_id)
