"""The VMs: their list, one of them, and the dialog that has it cleaned up."""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from pydantic import StringConstraints
from starlette.responses import RedirectResponse, Response

from failed_execution_cleanup.console.access_review import see_plans, use_appliance
from failed_execution_cleanup.console.cards import Card, CardState
from failed_execution_cleanup.console.catalogue import UnknownVM
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.cards_view import CardView, Filter, VMList, card_id, card_view, vm_list
from failed_execution_cleanup.console.pages.dialog_view import DialogView, Posted
from failed_execution_cleanup.console.pages.executing import execute
from failed_execution_cleanup.console.pages.lists_view import CleanupFilter, cleanup_list
from failed_execution_cleanup.console.pages.live import Live, Part, seen_parts
from failed_execution_cleanup.console.pages.looking import Seen as SeenVMs
from failed_execution_cleanup.console.pages.looking import dialog_of, look, planned
from failed_execution_cleanup.console.pages.rendering import fragment, joined, live_answer, page, part
from failed_execution_cleanup.console.pages.requests import Appliance, ContextID, Looking, Posting, Seen, Text
from failed_execution_cleanup.console.requests import ApplianceName, Cursor, Offered
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.reasons import Waiver as WaiverReason

logger = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_SECONDS: Final = 2
"""Pause between two looks at a list."""

WaiverText = Annotated[
    str, StringConstraints(pattern=rf"^({'|'.join(map(re.escape, WaiverReason))})=.{{1,255}}$", max_length=300)
]


def _filter(
    state: Annotated[str, Query(pattern=rf"^({'|'.join(CardState)})?$")] = "",
    q: Text = "",
    appliance: ApplianceName = None,
    cursor: Cursor = None,
) -> Filter:
    return Filter(CardState(state) if state else None, q, appliance, cursor)


Wanted = Annotated[Filter, Depends(_filter)]


@router.get("/vms")
async def vms(request: Request, services: Offered, caller: Looking, wanted: Wanted) -> Response:
    """The list; for a search as it is typed only what depends on it."""
    found = await look(services, caller, wanted.appliance)
    shown = vm_list(found.cards, wanted, found.cleanable, found.problems)
    live = _live_list(request, wanted, shown, found)
    if "hx-request" in request.headers:
        answer = fragment(request, "vms_found.html", live=live, parts=joined(live.parts), shown=shown, wanted=wanted)
        answer.headers["HX-Replace-Url"] = wanted.address()
        return answer
    return page(request, "vms.html", live=live, parts=joined(live.parts), shown=shown, wanted=wanted)


@router.get("/live/vms")
async def live_vms(request: Request, services: Offered, caller: Looking, wanted: Wanted, seen: Seen = "") -> Response:
    """What changed on the cards that a page shows. Their order is the page's own, so that nothing moves under anybody's hand."""
    known = seen_parts(seen)
    found = await look(services, caller, wanted.appliance)
    shown = vm_list(found.cards, wanted, found.cleanable, found.problems)
    held = [id_ for id_ in known if id_.startswith("vm-")]
    moved = held != [card.id for card in shown.cards]
    return live_answer(_live_list(request, wanted, shown, found, held=held, moved=moved), known)


def _live_list(
    request: Request,
    wanted: Filter,
    shown: VMList,
    found: SeenVMs,
    *,
    held: list[str] | None = None,
    moved: bool = False,
) -> Live:
    """The parts of a list.

    Args:
        request: what is answered.
        wanted: the filter.
        shown: the page of the list as it is now.
        found: all VMs.
        held: ids of the cards that a page shows; those of `shown` where it is made just now.
        moved: the page's cards are not those of `shown`.
    """
    cards = {card.id: card for card in shown.cards}
    if held is not None:
        every = {card_id(card.appliance, card.context_id): card for card in found.cards}
        cards = {id_: card_view(every[id_], found.cleanable) for id_ in held if id_ in every}
    parts = [
        part(request, "news", "parts/news.html", shown=shown, wanted=wanted, moved=moved),
        *(part(request, f"count-{c.value or 'all'}", "parts/count.html", count=c.count) for c in shown.choices),
        *(part(request, id_, "parts/card.html", card=card) for id_, card in cards.items()),
    ]
    return Live("/live/vms", wanted.query(), _SECONDS, tuple(parts))


# -- one VM ------------------------------------------------------------------------------------------------------------


@router.get("/vms/{appliance}/{context_id}")
async def vm(
    request: Request, services: Offered, caller: Looking, appliance: Appliance, context_id: ContextID
) -> Response:
    """One VM, with its cleanups."""
    return await _vm_page(request, services, caller, appliance, context_id, None)


@router.get("/live/vms/{appliance}/{context_id}")
async def live_vm(
    request: Request, services: Offered, caller: Looking, appliance: Appliance, context_id: ContextID, seen: Seen = ""
) -> Response:
    """What changed on the page of a VM."""
    _, live = await _live_vm(request, services, caller, appliance, context_id)
    return live_answer(live, seen_parts(seen))


@router.get("/vms/{appliance}/{context_id}/cleanup")
async def dialog(
    request: Request,
    services: Offered,
    caller: Looking,
    appliance: Appliance,
    context_id: ContextID,
    waive: Annotated[tuple[WaiverText, ...], Query(max_length=64)] = (),
    note: Annotated[str, Query(max_length=1024)] = "",
    namespace: Annotated[str, Query(max_length=63)] = "",
) -> Response:
    """The dialog that has a VM cleaned up: what would be done now. Only looks."""
    found = await services.catalogue.vm_of_context(caller, see_plans, appliance, context_id)
    view = await dialog_of(services, caller, found, Posted(_waivers(waive), note, namespace))
    if "hx-request" in request.headers:
        return fragment(request, "dialog.html", dialog=view)
    return await _vm_page(request, services, caller, appliance, context_id, view)


@router.post("/vms/{appliance}/{context_id}/cleanup")
async def cleanup(
    request: Request,
    services: Offered,
    caller: Posting,
    appliance: Appliance,
    context_id: ContextID,
    plan: Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")],
    shown: Annotated[str, Form(max_length=60_000)] = "",
    waive: Annotated[tuple[WaiverText, ...], Form(max_length=64)] = (),
    note: Annotated[str, Form(max_length=1024)] = "",
    namespace: Annotated[str, Form(max_length=63)] = "",
) -> Response:
    """Have a VM cleaned up as the dialog showed it. Where anything is otherwise by now, the dialog comes again and nothing is done."""
    found = await services.catalogue.vm_of_context(caller, use_appliance, appliance, context_id)
    await services.reviews.require(caller, see_plans(appliance))
    posted = Posted(_waivers(waive), note, namespace, frozenset(shown.splitlines()) if shown else None)
    made, view = await planned(services, caller, found, posted)
    problem = _unfit(view, posted, plan)
    if problem is None:
        home = view.answerable.homes[0] if view.answerable.homes else ""
        answered = replace(posted, waivers=view.ticked)
        address = await execute(services, caller, found, made, answered, home)
        told = {"vm": found.context.vm_name, "user": caller.user.name, "plan": made.digest}
        logger.info("Cleanup ordered on a page", extra=told)
        return RedirectResponse(address, 303)
    view = await dialog_of(services, caller, found, posted, problem=problem)
    return await _vm_page(request, services, caller, appliance, context_id, view, status=409)


def _unfit(view: DialogView, posted: Posted, plan_hash: str) -> str | None:
    """Why an answered dialog is not executed; None if it is."""
    if view.plan_hash != plan_hash:
        return (
            "The VM changed since the plan was shown. Nothing was done: look at what is different, then decide again."
        )
    if not view.executable:
        return (
            f"Nothing was done. {view.verdict}" if view.verdict else "Nothing was done: a cleanup is under way already."
        )
    if view.ticked and not posted.note.strip():
        return "Nothing was done: whoever waives a stop says why, in the note."
    return None


def _waivers(texts: tuple[str, ...]) -> frozenset[Waiver]:
    return frozenset(Waiver(*text.split("=", 1)) for text in texts)


async def _card(services: Services, caller: Caller, appliance: str, context_id: str) -> tuple[Card, SeenVMs]:
    found = await look(services, caller, appliance)
    card = next((each for each in found.cards if each.context_id == context_id), None)
    if card is None:
        problem = next((why for _, why in found.problems), "")
        raise UnknownVM(
            f"Appliance {appliance} is not known to protect a VM with the context {context_id!r}. {problem}".strip(),
            "Look for the VM by its name; one that was removed and protected again has another context.",
        )
    return card, found


async def _live_vm(
    request: Request, services: Services, caller: Caller, appliance: str, context_id: str
) -> tuple[CardView, Live]:
    card, found = await _card(services, caller, appliance, context_id)
    view = card_view(card, found.cleanable)
    wanted = CleanupFilter(appliance=appliance)
    ours = [e for e in await services.visible_cleanups(caller) if e.is_of(card.vm_name, card.vcenter_host)]
    parts: tuple[Part, ...] = (
        part(request, view.id, "parts/card.html", card=view),
        part(request, "cleanups", "parts/vm_cleanups.html", shown=cleanup_list(ours, wanted)),
    )
    return view, Live(f"/live{view.href}", {}, _SECONDS, parts)


async def _vm_page(
    request: Request,
    services: Services,
    caller: Caller,
    appliance: str,
    context_id: str,
    dialog: DialogView | None,
    *,
    status: int = 200,
) -> Response:
    view, live = await _live_vm(request, services, caller, appliance, context_id)
    return page(request, "vm.html", status=status, live=live, parts=joined(live.parts), card=view, dialog=dialog)
