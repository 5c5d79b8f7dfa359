"""The FastAPI application: routes, what holds for all of them, and errors as answers."""

from __future__ import annotations

from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware import Middleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from failed_execution_cleanup import __version__
from failed_execution_cleanup.console import routes_cleanups, routes_contract, routes_vms
from failed_execution_cleanup.console.answers import ProblemAnswer
from failed_execution_cleanup.console.middleware import RequestBounds, RequestRecord, SecurityHeaders
from failed_execution_cleanup.console.pages import (
    routes_appliances,
    routes_login,
    routes_stuck,
)
from failed_execution_cleanup.console.pages import routes_cleanups as cleanup_pages
from failed_execution_cleanup.console.pages import routes_vms as vm_pages
from failed_execution_cleanup.console.pages.problem_page import problem_page
from failed_execution_cleanup.console.pages.rendering import STATIC, StaticAssets
from failed_execution_cleanup.console.pages.session import ForeignForm
from failed_execution_cleanup.console.paging import InvalidCursor
from failed_execution_cleanup.console.problems import HANDLED, Problem, problem_of
from failed_execution_cleanup.console.requests import PREFIX
from failed_execution_cleanup.console.services import Services

__all__ = ["API_ROUTERS", "create_application"]

API_ROUTERS: Final = (routes_contract.router, routes_vms.router, routes_cleanups.router)
"""What the OpenAPI document tells of."""

_PAGES: Final = (routes_login, vm_pages, cleanup_pages, routes_stuck, routes_appliances)
_API: Final = PREFIX.rsplit("/", 1)[0]
"""What is below is for programs, whatever its version."""
_REASONS: Final = {404: "NotFound", 405: "MethodNotAllowed"}
_REMEDIES: Final = {
    404: f"See {PREFIX}/openapi.json for what there is.",
    405: f"See {PREFIX}/openapi.json for what there is.",
}


def create_application(services: Services) -> FastAPI:
    """The application on its services; nothing is sent or opened.

    Interactive documentation is off: it would load scripts from foreign hosts. The OpenAPI document itself is served.
    """
    settings = services.settings
    application = FastAPI(
        title="Failed execution cleanup",
        version=__version__,
        summary="Repairs half-dead disaster-recovery failovers without losing replicated data.",
        openapi_url=f"{PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[
            Middleware(RequestRecord, metrics=services.metrics),
            Middleware(SecurityHeaders),
            Middleware(
                RequestBounds,
                url_bytes=settings.url_bytes,
                header_bytes=settings.header_bytes,
                body_bytes=settings.body_bytes,
                body_seconds=settings.body_seconds,
            ),
        ],
    )
    application.state.services = services
    for router in API_ROUTERS:
        application.include_router(router)
    for pages in _PAGES:
        application.include_router(pages.router)
    application.mount("/static", StaticAssets(directory=STATIC), name="static")
    for handled in HANDLED:
        application.add_exception_handler(handled, _known)
    application.add_exception_handler(RequestValidationError, _invalid)
    application.add_exception_handler(InvalidCursor, _invalid_cursor)
    application.add_exception_handler(ForeignForm, _foreign_form)
    application.add_exception_handler(HTTPException, _of_http)
    application.add_exception_handler(Exception, _defect)
    return application


def _answer(request: Request, problem: Problem) -> Response:
    """For programs as JSON, for people as a page."""
    if not request.url.path.startswith(f"{_API}/"):
        return problem_page(request, problem)
    told = ProblemAnswer.of(problem, request.path_params.get("vm_name"))
    return JSONResponse(told.model_dump(mode="json"), status_code=problem.status, headers={**problem.headers})


async def _known(request: Request, error: Exception) -> Response:
    return _answer(request, problem_of(error))


async def _invalid(request: Request, error: Exception) -> Response:
    """What does not fit; the values themselves are not repeated."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    places = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in found)
    return _answer(
        request, Problem(422, "InvalidRequest", f"the request does not fit: {places}.", "Correct what is named.")
    )


async def _invalid_cursor(request: Request, error: Exception) -> Response:
    return _answer(request, Problem(422, "InvalidRequest", f"{error}.", "Begin again without cursor."))


async def _foreign_form(request: Request, error: Exception) -> Response:
    return _answer(
        request,
        Problem(403, "ForeignForm", f"nothing was done: {error}", "Go back, load the page again, and send its form."),
    )


async def _of_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself."""
    status, headers, said = 500, {}, ""
    if isinstance(error, HTTPException):
        status, headers, said = error.status_code, {**(error.headers or {})}, str(error.detail)
    if status == 400:  # a body that is no text, which is answered as any other that does not fit
        status = 422
    reason, remedy = _REASONS.get(status, "InvalidRequest"), _REMEDIES.get(status, "Correct the request.")
    return _answer(request, Problem(status, reason, said or "the request cannot be served.", remedy, headers))


async def _defect(request: Request, _: Exception) -> Response:
    """Anything nobody planned for; the log has it."""
    remedy = "Try again; if it stays, hand the console's log to the maintainers."
    return _answer(request, Problem(500, "InternalError", "the console failed: this is a defect.", remedy))
