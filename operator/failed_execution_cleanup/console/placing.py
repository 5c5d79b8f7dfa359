"""Cleanups placed in a caller's name, and waited for. A wait that ends early never ends the cleanup."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

from failed_execution_cleanup.client import CleanupClient, EndingState, NotEnded, Order, ending
from failed_execution_cleanup.console.catalogue import ProtectedVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.streams import while_wanted
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup, WaiverGrant
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason
from failed_execution_cleanup.run.order import Order as LocalOrder

__all__ = ["InTheNameOf", "local_order_for", "order_for", "place", "waited"]

logger = logging.getLogger(__name__)

_AGAIN = frozenset({EndingState.CLEAN, EndingState.NEEDS_PERSON, EndingState.AWAITING_APPROVAL})
"""States in which a cleanup does nothing more by itself, so that to order it once more means one more run."""


@dataclass(frozen=True, slots=True)
class InTheNameOf:
    """Opens clients that act with a caller's own token: RBAC and the admission policies judge the caller."""

    api: KubernetesApi

    @asynccontextmanager
    async def caller(self, caller: Caller, namespace: str) -> AsyncIterator[CleanupClient]:
        """A client for the cleanups of a namespace."""
        async with self.api.as_bearer(caller.token) as theirs:
            yield CleanupClient(theirs, namespace)


def order_for(
    vm: ProtectedVM,
    caller: Caller,
    job_id: str | None,
    *,
    waivers: Iterable[Waiver] = (),
    note: str | None = None,
    approved_plan: str | None = None,
) -> Order:
    """The order for a VM that a caller named.

    Args:
        vm: the VM.
        caller: who asks.
        job_id: the failed job; None: the newest.
        waivers: stops he takes responsibility for.
        note: why, for people.
        approved_plan: digest of the plan he read; what is not in it is not done.
    """
    return Order(
        vm_name=vm.context.vm_name,
        appliance=vm.appliance.metadata.name,
        vcenter_host=vm.context.vcenter_host or None,
        failover_job_id=job_id,
        waivers=tuple(WaiverGrant(reason=WaiverReason(each.reason), object=each.object) for each in waivers),
        note=note,
        requested_by=caller.user.name,
        approved_plan=approved_plan,
    )


def local_order_for(
    vm: ProtectedVM,
    job_id: str | None,
    *,
    waivers: Iterable[Waiver] = (),
    note: str | None = None,
    approved_plan: str | None = None,
) -> LocalOrder:
    """The same where this process cleans up itself."""
    return LocalOrder(
        vm.context.vm_name,
        vcenter_host=vm.context.vcenter_host or None,
        job_id=job_id,
        waivers=frozenset(waivers),
        approved_plan=approved_plan,
        note=note,
    )


async def place(client: CleanupClient, order: Order) -> FailedExecutionCleanup:
    """Make sure that a cleanup for an order is under way; one that has ended is asked for one more run.

    Raises:
        ClientError: it was not placed.
    """
    placed = await client.place(order)
    cleanup = placed.cleanup
    if not placed.created and ending(cleanup).state in _AGAIN:
        cleanup = await client.rerun(cleanup.metadata.name)
    told = {"cleanup": f"{client.namespace}/{cleanup.metadata.name}", "user": order.requested_by, "vm": order.vm_name}
    logger.info("Cleanup placed" if placed.created else "Cleanup asked for", extra=told)
    return cleanup


async def waited(
    client: CleanupClient, placed: FailedExecutionCleanup, seconds: float, gone: asyncio.Event
) -> FailedExecutionCleanup | None:
    """The cleanup as it ended.

    Args:
        client: in the caller's name.
        placed: the cleanup.
        seconds: the longest wait.
        gone: set when nobody waits any more.

    Returns:
        None if `gone` was set before.

    Raises:
        NotEnded: the time was over first.
        ClientError: it cannot be followed, or it was deleted.
    """
    name = placed.metadata.name
    last = placed
    try:
        async with asyncio.timeout(seconds), aclosing(while_wanted(client.follow(name), gone)) as changes:
            async for change in changes:
                last = change
    except TimeoutError:
        raise NotEnded(
            f"the cleanup did not end within {seconds:g} s and goes on: {ending(last).message}",
            last,
            remedy="It goes on; ask for its status later.",
        ) from None
    return last if ending(last).over else None
