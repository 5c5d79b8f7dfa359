"""A login, without anything kept in this process: the caller's token in a cookie that only the browser and we can read.

Any store of sessions would have to be shared by all replicas, and would hold the tokens of many people in one place; to encrypt the cookie
would take a key shared by all replicas, and protect it from nobody who can read a browser's cookies. So the cookie is the token itself:
HttpOnly (no script reads it), SameSite=Strict (no other site sends it), `__Host-` and Secure (this host only, only over TLS), until the
browser is closed. How long it is good for is the API server's word alone.

The token of a form is an HMAC under the cookie: only who knows the cookie can make it, and whichever replica is asked can check it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from enum import StrEnum
from typing import Final
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["LONGEST_TOKEN", "Cookie", "ForeignForm", "check_form", "form_token", "local_path", "nonce", "page_before"]

LONGEST_TOKEN: Final = 3_800
"""Characters of a token that fit into a cookie: browsers keep 4,096 bytes with name and attributes."""

_PURPOSE: Final = b"forms of the failed-execution-cleanup console"
_OWN_MACHINE: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_LOCAL_PATH: Final = re.compile(r"^/(?![/\\])[\x21-\x5b\x5d-\x7e]*$")


class ForeignForm(Exception):  # noqa: N818 - named for what happened
    """What was sent does not come from a page of ours."""


class Cookie(StrEnum):
    """The two cookies."""

    LOGIN = "fec-login"
    """A random value while nobody is logged in, so that the login form has a token too."""

    SESSION = "fec-session"
    """The caller's token."""

    def read(self, request: Request) -> str | None:
        """Its value; None if the browser sent none."""
        return request.cookies.get(self._named(request)) or None

    def write(self, request: Request, response: Response, value: str) -> None:
        """Have the browser keep a value until it is closed."""
        secure = _secure(request)
        response.set_cookie(self._named(request), value, path="/", secure=secure, httponly=True, samesite="strict")

    def erase(self, request: Request, response: Response) -> None:
        """Have the browser forget it."""
        secure = _secure(request)
        response.delete_cookie(self._named(request), path="/", secure=secure, httponly=True, samesite="strict")

    def _named(self, request: Request) -> str:
        return f"__Host-{self.value}" if _secure(request) else self.value


def nonce() -> str:
    """A value for the cookie of the login form."""
    return secrets.token_urlsafe(32)


def form_token(secret: str) -> str:
    """The token that forms carry while a cookie has this value; it tells nothing of the value."""
    return hmac.new(secret.encode(), _PURPOSE, hashlib.sha256).hexdigest()


def check_form(request: Request, secret: str | None, sent: str) -> None:
    """Make sure that a form was sent by a page of ours.

    Args:
        request: as it arrived.
        secret: value of the cookie that the form's token was made with.
        sent: the form's token.

    Raises:
        ForeignForm: it was not, or nothing proves it.
    """
    origin = request.headers.get("origin", "")
    if urlsplit(origin).netloc.casefold() != request.url.netloc.casefold():
        raise ForeignForm("the request does not say that it comes from a page of this console.")
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise ForeignForm("the request was made by another site.")
    if secret is None or not hmac.compare_digest(form_token(secret).encode(), sent.encode()):
        raise ForeignForm("the form belongs to another login, or the browser keeps no cookie of this console.")


def local_path(text: str | None) -> str:
    """A path of this console with its query, as it was named; the start page where it is anything else."""
    if text is None or not _LOCAL_PATH.match(text) or urlsplit(text).path in {"/login", "/logout"}:
        return "/"
    return text


def page_before(request: Request) -> str:
    """The page that a person looks at: the requested one, or the one that a form or a fragment was asked from."""
    if request.method == "GET" and "hx-request" not in request.headers:
        return local_path(request.url.path + _query(request.url.query))
    named = urlsplit(request.headers.get("hx-current-url") or request.headers.get("referer") or "")
    if named.netloc.casefold() != request.url.netloc.casefold():
        return "/"
    return local_path(named.path + _query(named.query))


def _query(text: str) -> str:
    return f"?{text}" if text else ""


def _secure(request: Request) -> bool:
    """Whether cookies are kept to TLS: always, but where a browser opens a console of its own machine by plain HTTP.

    Where something else ends TLS, we are asked by HTTP for a name that is not this machine's, and the browser by HTTPS.
    """
    return not (request.url.scheme == "http" and request.url.hostname in _OWN_MACHINE)
