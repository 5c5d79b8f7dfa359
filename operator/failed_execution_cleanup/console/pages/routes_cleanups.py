"""The cleanups: all of them, and one with its progress, what can be asked of it, and its report."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from failed_execution_cleanup.client import CleanupClient, EndingState
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.cards_view import cleanup_address
from failed_execution_cleanup.console.pages.lists_view import CleanupFilter, CleanupList, cleanup_list
from failed_execution_cleanup.console.pages.live import Live, seen_parts
from failed_execution_cleanup.console.pages.offers import cleanup_offers
from failed_execution_cleanup.console.pages.progress_view import ProgressView, progress_view
from failed_execution_cleanup.console.pages.rendering import fragment, joined, live_answer, page, part
from failed_execution_cleanup.console.pages.requests import Looking, Name, Namespace, Posting, Seen, Text
from failed_execution_cleanup.console.problems import NoCluster
from failed_execution_cleanup.console.requests import ApplianceName, Cursor, Offered
from failed_execution_cleanup.console.routes_cleanups import ReportFormat, report_answer
from failed_execution_cleanup.console.services import Services

logger = logging.getLogger(__name__)

router = APIRouter(include_in_schema=False)

_LIST_SECONDS: Final = 2
_WORKING_SECONDS: Final = 1
_OVER_SECONDS: Final = 5


def _filter(
    state: Annotated[str, Query(pattern=rf"^({'|'.join(EndingState)})?$")] = "",
    q: Text = "",
    appliance: ApplianceName = None,
    only: Annotated[str, Query(max_length=6_000)] = "",
    cursor: Cursor = None,
) -> CleanupFilter:
    named = tuple(only.split(",")) if only else ()
    return CleanupFilter(EndingState(state) if state else None, q, appliance, named, cursor)


Wanted = Annotated[CleanupFilter, Depends(_filter)]


@router.get("/history")
async def history(request: Request, services: Offered, caller: Looking, wanted: Wanted) -> Response:
    """The cleanups that the caller may list, newest first."""
    found = await _list(services, caller, wanted)
    live = _live_list(request, found, wanted)
    parts = joined(live.parts)
    if "hx-request" in request.headers:
        answer = fragment(request, "history_found.html", live=live, parts=parts, shown=found, wanted=wanted)
        answer.headers["HX-Replace-Url"] = wanted.address()
        return answer
    return page(request, "history.html", live=live, parts=parts, shown=found, wanted=wanted)


@router.get("/live/history")
async def live_history(
    request: Request, services: Offered, caller: Looking, wanted: Wanted, seen: Seen = ""
) -> Response:
    """What changed in the list."""
    return live_answer(_live_list(request, await _list(services, caller, wanted), wanted), seen_parts(seen))


async def _list(services: Services, caller: Caller, wanted: CleanupFilter) -> CleanupList:
    if services.in_the_name_of is None:
        raise NoCluster
    return cleanup_list(await services.visible_cleanups(caller), wanted)


def _live_list(request: Request, shown: CleanupList, wanted: CleanupFilter) -> Live:
    parts = (
        part(request, "rows", "parts/history_rows.html", shown=shown, wanted=wanted),
        *(part(request, f"count-{c.value or 'all'}", "parts/count.html", count=c.count) for c in shown.choices),
    )
    return Live("/live/history", wanted.query(), _LIST_SECONDS, parts)


# -- one cleanup -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Named:
    """One cleanup, and a client that acts on it in the caller's name."""

    namespace: str
    name: str
    client: CleanupClient

    @property
    def address(self) -> str:
        """Its page."""
        return cleanup_address(self.namespace, self.name)


async def _named(services: Offered, caller: Looking, namespace: Namespace, name: Name) -> AsyncIterator[Named]:
    if services.in_the_name_of is None:
        raise NoCluster
    async with services.in_the_name_of.caller(caller, namespace) as client:
        yield Named(namespace, name, client)


OneCleanup = Annotated[Named, Depends(_named)]


@router.get("/cleanups/{namespace}/{name}")
async def cleanup(request: Request, services: Offered, caller: Looking, one: OneCleanup) -> Response:
    """One cleanup and how far it is."""
    view = await _view(services, caller, one)
    live = _live_cleanup(request, view)
    return page(request, "cleanup.html", live=live, parts=joined(live.parts), shown=view)


@router.get("/live/cleanups/{namespace}/{name}")
async def live_cleanup(
    request: Request, services: Offered, caller: Looking, one: OneCleanup, seen: Seen = ""
) -> Response:
    """What changed on the page of a cleanup."""
    return live_answer(_live_cleanup(request, await _view(services, caller, one)), seen_parts(seen))


async def _view(services: Services, caller: Caller, one: Named) -> ProgressView:
    read = await one.client.get(one.name)
    offers = await cleanup_offers(services, caller, one.namespace, read.spec.appliance_ref.name)
    return progress_view(read, offers, services.settings.docs_url)


def _live_cleanup(request: Request, view: ProgressView) -> Live:
    names = ("verdict", "asks", "phases", "volumes", "findings", "facts", "runs")
    parts = tuple(part(request, name, f"parts/cleanup_{name}.html", shown=view) for name in names)
    return Live(f"/live{view.address}", {}, _OVER_SECONDS if view.over else _WORKING_SECONDS, parts)


@router.post("/cleanups/{namespace}/{name}/suspend")
async def suspend(services: Offered, caller: Posting, one: OneCleanup) -> Response:
    """Stop after the action in flight."""
    await one.client.suspend(one.name)
    return _asked(services, caller, one, "suspend")


@router.post("/cleanups/{namespace}/{name}/resume")
async def resume(services: Offered, caller: Posting, one: OneCleanup) -> Response:
    """Go on from what is observed then."""
    await one.client.resume(one.name)
    return _asked(services, caller, one, "resume")


@router.post("/cleanups/{namespace}/{name}/rerun")
async def rerun(services: Offered, caller: Posting, one: OneCleanup) -> Response:
    """Ask for one more run."""
    await one.client.rerun(one.name)
    return _asked(services, caller, one, "rerun")


@router.post("/cleanups/{namespace}/{name}/approve")
async def approve(
    services: Offered, caller: Posting, one: OneCleanup, plan: Annotated[str, Form(pattern=r"^[0-9a-f]{32}$")]
) -> Response:
    """Approve the plan that was read; refused if it is another one by now."""
    await one.client.approve(one.name, plan)
    return _asked(services, caller, one, "approve")


@router.get("/cleanups/{namespace}/{name}/report")
async def report(
    caller: Looking, one: OneCleanup, format_: Annotated[ReportFormat, Query(alias="format")] = ReportFormat.HTML
) -> Response:
    """The report of a cleanup, as a file."""
    del caller
    return report_answer(await one.client.get(one.name), format_, download=format_ is not ReportFormat.HTML)


def _asked(services: Services, caller: Caller, one: Named, verb: str) -> Response:
    """Back to the page; lists show it at once."""
    services.lists.forget()
    about = {"cleanup": f"{one.namespace}/{one.name}", "user": caller.user.name, "verb": verb}
    logger.info("Cleanup changed by a person", extra=about)
    return RedirectResponse(one.address, 303)
