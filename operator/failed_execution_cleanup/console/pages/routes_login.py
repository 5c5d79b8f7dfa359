"""Log in with a token, and out."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from starlette.responses import RedirectResponse, Response

from failed_execution_cleanup.console.identity import Unauthenticated
from failed_execution_cleanup.console.limits import TooMany
from failed_execution_cleanup.console.pages.rendering import page
from failed_execution_cleanup.console.pages.requests import FormToken, Posting
from failed_execution_cleanup.console.pages.session import (
    LONGEST_TOKEN,
    Cookie,
    ForeignForm,
    check_form,
    form_token,
    local_path,
    nonce,
)
from failed_execution_cleanup.console.requests import Offered

router = APIRouter(include_in_schema=False)

Next = Annotated[str, Query(max_length=4096)]


@router.get("/")
async def start() -> Response:
    """The list of VMs is where people begin."""
    return RedirectResponse("/vms", 303)


@router.get("/login")
async def login_page(request: Request, next: Next = "/", expired: bool = False) -> Response:  # noqa: A002 - part of the address
    """The form for a token."""
    why = (
        "Your login is not valid any more. Log in to go on where you were; cleanups go on meanwhile." if expired else ""
    )
    return _form(request, local_path(next), why)


@router.post("/login")
async def login(
    request: Request,
    services: Offered,
    token: Annotated[str, Form(max_length=16_384)] = "",
    next: Annotated[str, Form(max_length=4096)] = "/",  # noqa: A002 - part of the form
    csrf: FormToken = "",
) -> Response:
    """Keep a token in the browser, if the API server knows whose it is."""
    onward = local_path(next)
    try:
        check_form(request, Cookie.LOGIN.read(request), csrf)
    except ForeignForm as error:
        return _form(request, onward, f"Nobody was logged in: {error} Try again.", status=403)
    given = token.strip()
    if len(given) > LONGEST_TOKEN:
        return _form(request, onward, f"A browser keeps tokens of up to {LONGEST_TOKEN:,} characters only.", status=422)
    address = request.client.host if request.client is not None else ""
    try:
        caller = await services.caller(given, address)
    except Unauthenticated:
        return _form(request, onward, "The token is not accepted: it is wrong, or has expired.", status=401)
    except TooMany as error:
        return _form(request, onward, f"Try again in {error.retry_after_seconds} s: {error}", status=429)
    request.state.user = caller.user.name
    response = RedirectResponse(onward, 303)
    Cookie.SESSION.write(request, response, given)
    Cookie.LOGIN.erase(request, response)
    return response


@router.post("/logout")
async def logout(request: Request, caller: Posting) -> Response:
    """Have the browser forget the token; what it may do elsewhere ends when it expires."""
    del caller
    response = RedirectResponse("/login", 303)
    Cookie.SESSION.erase(request, response)
    return response


def _form(request: Request, onward: str, why: str, *, status: int = 200) -> Response:
    secret = Cookie.LOGIN.read(request)
    made = secret or nonce()
    response = page(request, "login.html", status=status, onward=onward, why=why, login_csrf=form_token(made))
    if secret is None:
        Cookie.LOGIN.write(request, response, made)
    return response
