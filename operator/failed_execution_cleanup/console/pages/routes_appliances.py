"""The appliances and how they are."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from failed_execution_cleanup.console.access_review import see_plans
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.lists_view import appliance_view
from failed_execution_cleanup.console.pages.live import Live, seen_parts
from failed_execution_cleanup.console.pages.rendering import joined, live_answer, page, part
from failed_execution_cleanup.console.pages.requests import Looking, Seen
from failed_execution_cleanup.console.requests import Offered
from failed_execution_cleanup.console.services import Services

router = APIRouter(include_in_schema=False)

_SECONDS: Final = 5


@router.get("/appliances")
async def appliances(request: Request, services: Offered, caller: Looking) -> Response:
    """The appliances whose VMs the caller may see."""
    live = await _live(request, services, caller)
    return page(request, "appliances.html", live=live, parts=joined(live.parts))


@router.get("/live/appliances")
async def live_appliances(request: Request, services: Offered, caller: Looking, seen: Seen = "") -> Response:
    """What changed on the page."""
    return live_answer(await _live(request, services, caller), seen_parts(seen))


async def _live(request: Request, services: Services, caller: Caller) -> Live:
    cleanups = await services.visible_cleanups(caller)
    views = [
        appliance_view(appliance, cleanups) for appliance in await services.catalogue.allowed(caller, see_plans, None)
    ]
    parts = tuple(part(request, view.id, "parts/appliance.html", shown=view) for view in views)
    return Live("/live/appliances", {}, _SECONDS, parts)
