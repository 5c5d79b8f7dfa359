"""All stuck VMs in one dialog: each with its plan, and one order for all that are ticked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Form, Request
from pydantic import StringConstraints
from starlette.responses import RedirectResponse, Response

from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.client import ClientError
from failed_execution_cleanup.console.access_review import see_plans, use_appliance
from failed_execution_cleanup.console.cards import Card, CardState
from failed_execution_cleanup.console.catalogue import UnknownVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.cards_view import CardView, card_view
from failed_execution_cleanup.console.pages.dialog_view import DialogView, Posted
from failed_execution_cleanup.console.pages.executing import execute
from failed_execution_cleanup.console.pages.lists_view import CleanupFilter
from failed_execution_cleanup.console.pages.looking import look, planned
from failed_execution_cleanup.console.pages.rendering import page
from failed_execution_cleanup.console.pages.requests import Looking, Posting
from failed_execution_cleanup.console.requests import ApplianceName, Offered
from failed_execution_cleanup.console.services import Services

logger = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

MOST: Final = 50
"""VMs in one dialog: each plan is an observation of its own."""
_AT_ONCE: Final = 4
_LONGEST_ADDRESS: Final = 6_000

Ticked = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}:[^/]{1,253}/.{1,255}$")]
"""Digest of the plan that was shown, Appliance and context."""


@dataclass(frozen=True, slots=True)
class StuckRow:
    """A stuck VM.

    Attributes:
        plan: what would be done; None where nobody knows.
        problem: why it cannot be ticked, or was not ordered; empty if it can.
        ticked: from the beginning.
    """

    card: CardView
    plan: DialogView | None
    problem: str
    ticked: bool

    @property
    def value(self) -> str:
        """What its tick box sends; empty where there is none."""
        plan = self.plan
        if plan is None or not plan.executable:
            return ""
        return f"{plan.plan_hash}:{plan.appliance}/{plan.context_id}"


@router.get("/stuck")
async def stuck(request: Request, services: Offered, caller: Looking, appliance: ApplianceName = None) -> Response:
    """Every stuck VM with its plan. Only looks."""
    return await _dialog(request, services, caller, appliance)


@router.post("/stuck")
async def clean_up(
    request: Request,
    services: Offered,
    caller: Posting,
    vm: Annotated[tuple[Ticked, ...], Form(max_length=MOST)] = (),
    note: Annotated[str, Form(max_length=1024)] = "",
) -> Response:
    """Have the ticked VMs cleaned up, each as it was shown; those that changed meanwhile come again and are left alone."""
    if not vm:
        return await _dialog(
            request, services, caller, None, problem="Nothing was done: tick at least one VM.", status=422
        )
    turns = asyncio.Semaphore(_AT_ONCE)
    outcomes = await asyncio.gather(*(_order(services, caller, each, note, turns) for each in vm))
    placed = tuple(outcome.address for outcome in outcomes if outcome.address)
    refused = {outcome.vm: outcome.problem for outcome in outcomes if outcome.problem}
    if not refused:
        return RedirectResponse(_where(placed), 303)
    problem = f"{len(refused)} of {len(vm)} VMs were left alone; their rows say why."
    return await _dialog(
        request, services, caller, None, problem=problem, refused=refused, placed=_where(placed), status=409
    )


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one tick: the address of a cleanup's page, or why there is none."""

    vm: tuple[str, str]
    address: str = ""
    problem: str = ""


async def _order(services: Services, caller: Caller, ticked: str, note: str, turns: asyncio.Semaphore) -> _Outcome:
    plan_hash, _, place = ticked.partition(":")
    appliance, _, context_id = place.partition("/")
    vm = (appliance, context_id)
    async with turns:
        try:
            found = await services.catalogue.vm_of_context(caller, use_appliance, appliance, context_id)
            await services.reviews.require(caller, see_plans(appliance))
            posted = Posted(note=note)
            made, view = await planned(services, caller, found, posted)
            if view.plan_hash != plan_hash:
                return _Outcome(vm, problem="It changed since its plan was shown. Nothing was done.")
            if not view.executable:
                return _Outcome(vm, problem=f"Nothing was done. {view.verdict}")
            home = view.answerable.homes[0] if view.answerable.homes else ""
            address = await execute(services, caller, found, made, posted, home)
        except (ApplianceError, UnknownVM, ClientError) as error:
            return _Outcome(vm, problem=f"Nothing was done. {error}")
    logger.info("Cleanup ordered on a page", extra={"vm": found.context.vm_name, "user": caller.user.name})
    return _Outcome(vm, address=address)


def _where(placed: Collection[str]) -> str:
    """The page that shows how the cleanups go on; empty if there are none."""
    cleanups = tuple(address.removeprefix("/cleanups/") for address in placed if address.startswith("/cleanups/"))
    if not cleanups:
        return "/vms" if placed else ""
    address = CleanupFilter(only=cleanups).address()
    return address if len(address) <= _LONGEST_ADDRESS else "/history"


async def _dialog(
    request: Request,
    services: Services,
    caller: Caller,
    appliance: str | None,
    *,
    problem: str = "",
    refused: Mapping[tuple[str, str], str] | None = None,
    placed: str = "",
    status: int = 200,
) -> Response:
    found = await look(services, caller, appliance)
    every = [card for card in found.cards if card.state is CardState.STUCK]
    turns = asyncio.Semaphore(_AT_ONCE)
    rows = await asyncio.gather(
        *(_row(services, caller, card, found.cleanable, refused or {}, turns) for card in every[:MOST])
    )
    return page(
        request,
        "stuck.html",
        status=status,
        rows=rows,
        beyond=len(every) - len(rows),
        cleanable=any(row.value for row in rows),
        problems=found.problems,
        problem=problem,
        placed=placed,
    )


async def _row(
    services: Services,
    caller: Caller,
    card: Card,
    cleanable: Collection[str],
    refused: Mapping[tuple[str, str], str],
    turns: asyncio.Semaphore,
) -> StuckRow:
    view = card_view(card, cleanable)
    async with turns:
        try:
            vm = await services.catalogue.vm_of_context(caller, see_plans, card.appliance, card.context_id)
            _, plan = await planned(services, caller, vm, Posted())
        except (ApplianceError, UnknownVM) as error:
            return StuckRow(view, None, f"Nobody knows what would be done: {error}", ticked=False)
    left = refused.get((card.appliance, card.context_id), "")
    why = left or ("" if plan.executable else plan.verdict)
    return StuckRow(view, plan, why, ticked=plan.executable and not plan.waits and not left)
