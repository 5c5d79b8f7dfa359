"""A problem as a page, for people; and the way back to where one was once one has logged in again."""

from __future__ import annotations

from urllib.parse import urlencode

from fastapi import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from failed_execution_cleanup.console.pages.rendering import page
from failed_execution_cleanup.console.pages.session import Cookie, page_before
from failed_execution_cleanup.console.problems import Problem

__all__ = ["problem_page"]


def problem_page(request: Request, problem: Problem) -> Response:
    """What a person sees when something did not succeed; who is not logged in is asked to, and comes back afterwards."""
    fragment = "hx-request" in request.headers
    if problem.status == 401:
        return _to_login(request, fragment=fragment)
    if fragment:
        return PlainTextResponse(problem.error, problem.status, dict(problem.headers))
    answer = page(request, "problem.html", status=problem.status, problem=problem, back=page_before(request))
    answer.headers.update({name: value for name, value in problem.headers.items() if name != "WWW-Authenticate"})
    return answer


def _to_login(request: Request, *, fragment: bool) -> Response:
    expired = Cookie.SESSION.read(request) is not None
    query = {"next": page_before(request), **({"expired": "true"} if expired else {})}
    address = f"/login?{urlencode(query)}"
    # htmx follows this header whatever the status is.
    answer = Response(status_code=401, headers={"HX-Redirect": address}) if fragment else RedirectResponse(address, 303)
    if expired:
        Cookie.SESSION.erase(request, answer)
    return answer
