"""What every page takes from a request: who looks, and whether a form is one of ours."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Form, Path, Query, Request

from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.session import Cookie, check_form
from failed_execution_cleanup.console.requests import Offered

__all__ = ["Appliance", "ContextID", "FormToken", "Looking", "Name", "Namespace", "Posting", "Seen", "Text"]

_LABEL = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
_SUBDOMAIN = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"

Appliance = Annotated[str, Path(max_length=253, pattern=_SUBDOMAIN)]
ContextID = Annotated[str, Path(min_length=1, max_length=255)]
Namespace = Annotated[str, Path(max_length=63, pattern=_LABEL)]
Name = Annotated[str, Path(max_length=253, pattern=_SUBDOMAIN)]
Seen = Annotated[str, Query(max_length=6_000)]
Text = Annotated[str, Query(max_length=255)]
FormToken = Annotated[str, Form(max_length=128)]


async def _looking(request: Request, services: Offered) -> Caller:
    """Who looks, by the cookie."""
    address = request.client.host if request.client is not None else ""
    caller = await services.caller(Cookie.SESSION.read(request), address)
    request.state.user = caller.user.name
    request.state.caller = caller
    return caller


Looking = Annotated[Caller, Depends(_looking)]


async def _posting(request: Request, caller: Looking, csrf: FormToken = "") -> Caller:
    """Who sent a form of ours."""
    check_form(request, Cookie.SESSION.read(request), csrf)
    return caller


Posting = Annotated[Caller, Depends(_posting)]
