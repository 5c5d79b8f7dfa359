"""From view models to answers: templates, and the headers of pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from failed_execution_cleanup import __version__
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.pages.live import Live, Part, changed
from failed_execution_cleanup.console.pages.session import Cookie, form_token

__all__ = ["STATIC", "HtmxMissing", "StaticAssets", "check_assets", "fragment", "joined", "live_answer", "page", "part"]

STATIC: Final = Path(__file__).resolve().parent.parent / "static"
_HTMX: Final = STATIC / "htmx.min.js"
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With `no-referrer` a browser would name no origin with a form, and every form would be refused.
    "Referrer-Policy": "same-origin",
}


class HtmxMissing(RuntimeError):  # noqa: N818 - named for what happened
    """A checkout without htmx, which is not kept in the repository."""


def check_assets() -> None:
    """Make sure that all the pages need is there.

    Raises:
        HtmxMissing: htmx is not.
    """
    if not _HTMX.is_file():
        raise HtmxMissing(f"{_HTMX} is missing, which the pages need. In a checkout `make install` puts it there.")


class StaticAssets(StaticFiles):
    """Style and scripts. Their addresses carry a digest of the content, so browsers keep them for ever."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """The file of a path."""
        response = await super().get_response(path, scope)
        if response.status_code == 200:
            response.headers["Cache-Control"] = _FOR_EVER
        return response


def page(request: Request, template: str, *, status: int = 200, live: Live | None = None, **shown: Any) -> Response:
    """A whole page.

    Args:
        request: what is answered.
        template: its file.
        status: HTTP status.
        live: what the page asks again and again.
        shown: what the template needs.
    """
    text = _ENVIRONMENT.get_template(template).render(**_surroundings(request), live=live, **shown)
    return HTMLResponse(text, status, _HEADERS)


def fragment(request: Request, template: str, **shown: Any) -> Response:
    """A piece for a page that is there already."""
    text = _ENVIRONMENT.get_template(template).render(**_surroundings(request), **shown)
    return HTMLResponse(text, 200, _HEADERS)


def part(request: Request, id_: str, template: str, **shown: Any) -> Part:
    """The content of one element that stays current."""
    text = _ENVIRONMENT.get_template(template).render(**_surroundings(request), **shown)
    return Part(id_, Markup(text))  # noqa: S704 - made by a template that escapes


def live_answer(live: Live, seen: Mapping[str, str]) -> Response:
    """The parts that changed since a page asked last; 204 where none did.

    Args:
        live: the parts as they are, and what is asked next.
        seen: digests of the parts the page shows.
    """
    differing = changed(live.parts, seen)
    if not differing:
        return Response(status_code=204)
    text = _ENVIRONMENT.get_template("live.html").render(live=live, parts=differing)
    return HTMLResponse(text, 200, _HEADERS)


def _surroundings(request: Request) -> dict[str, Any]:
    """What every template may use."""
    caller: Caller | None = getattr(request.state, "caller", None)
    secret = Cookie.SESSION.read(request)
    return {
        "path": request.url.path,
        "user": caller.user.name if caller is not None else None,
        "csrf": form_token(secret) if secret is not None else "",
        "clustered": request.app.state.services.in_the_name_of is not None,
    }


@cache
def _asset(name: str) -> str:
    """The address of a static file."""
    digest = hashlib.sha256((STATIC / name).read_bytes()).hexdigest()[:12]
    return f"/static/{name}?{digest}"


def _iso(moment: datetime) -> str:
    """A moment as scripts read it."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _spelled(moment: datetime) -> str:
    """A moment for people, until the browser spells it in theirs."""
    utc = moment.astimezone(UTC)
    return f"{utc.day} {utc:%b %Y, %H:%M} UTC"


def _lasted(seconds: float) -> str:
    """A duration, such as `3 min 20 s`."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    if hours:
        return f"{hours} h {minutes} min"
    if minutes:
        return f"{minutes} min {rest} s"
    return f"{rest} s" if rest else "less than 1 s"


def _plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def _sentence(text: str) -> str:
    """A text with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("failed_execution_cleanup.console.pages", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {"asset": _asset, "plural": _plural, "version": __version__}
    environment.filters |= {"iso": _iso, "spelled": _spelled, "lasted": _lasted, "sentence": _sentence}
    return environment


_ENVIRONMENT: Final = _environment()


def joined(parts: Sequence[Part]) -> dict[str, Part]:
    """Parts by their ids, for a template."""
    return {each.id: each for each in parts}
