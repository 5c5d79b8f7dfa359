"""The login of the pages: cookies, tokens of forms, and the way back."""

from __future__ import annotations

import pytest
from starlette.requests import Request
from starlette.responses import Response

from failed_execution_cleanup.console.pages.session import (
    Cookie,
    ForeignForm,
    check_form,
    form_token,
    local_path,
    nonce,
    page_before,
)

OURS = {"origin": "https://fec.example.com", "sec-fetch-site": "same-origin"}


def request(
    path: str = "/vms", *, method: str = "POST", scheme: str = "https", host: str = "fec.example.com", **headers: str
) -> Request:
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    path, _, query = path.partition("?")
    return Request(
        {
            "type": "http",
            "method": method,
            "scheme": scheme,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.encode(), value.encode()) for name, value in sent.items()],
            "server": (host, 443),
        }
    )


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/vms?q=a%20b&state=stuck", "/vms?q=a%20b&state=stuck"),
        ("/cleanups/dr/pgtest1-0a1b2c3d", "/cleanups/dr/pgtest1-0a1b2c3d"),
        (None, "/"),
        ("", "/"),
        ("vms", "/"),
        ("//elsewhere.example.com/vms", "/"),
        ("/\\elsewhere.example.com", "/"),
        ("https://elsewhere.example.com/vms", "/"),
        ("javascript:alert(1)", "/"),
        ("/vms\r\nSet-Cookie: a=b", "/"),
        ("/vms bad", "/"),
        ("/login?next=/vms", "/"),
        ("/logout", "/"),
    ],
)
def test_only_a_path_of_ours_is_led_back_to(text: str | None, path: str) -> None:
    assert local_path(text) == path


@pytest.mark.parametrize(
    ("scheme", "host", "secure"),
    [
        ("https", "fec.example.com", True),
        ("https", "localhost:8443", True),
        # Something else ends TLS: the browser's own connection is HTTPS.
        ("http", "fec.example.com", True),
        ("http", "10.0.0.1:8443", True),
        ("http", "localhost:8443", False),
        ("http", "127.0.0.1:8443", False),
        ("http", "[::1]:8443", False),
    ],
)
def test_a_cookie_is_kept_to_tls_unless_the_console_is_on_the_browsers_own_machine(
    scheme: str, host: str, secure: bool
) -> None:
    asked, response = request(scheme=scheme, host=host), Response()
    Cookie.SESSION.write(asked, response, "token-of-alice")
    kept = response.headers["set-cookie"]
    assert ("Secure" in kept, kept.startswith("__Host-fec-session=")) == (secure, secure)
    assert all(word in kept for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    assert all(word not in kept for word in ("Max-Age", "expires", "Domain"))
    name = kept.partition("=")[0]
    assert Cookie.SESSION.read(request(scheme=scheme, host=host, cookie=f"{name}=token-of-alice")) == "token-of-alice"


def test_an_insecure_cookie_is_no_login_where_a_secure_one_is_kept() -> None:
    assert Cookie.SESSION.read(request(cookie="fec-session=token-of-alice")) is None


def test_a_form_of_ours_is_accepted() -> None:
    check_form(request(**OURS), "secret", form_token("secret"))


@pytest.mark.parametrize(
    ("headers", "secret", "sent"),
    [
        ({}, "secret", form_token("secret")),
        ({"origin": "null"}, "secret", form_token("secret")),
        ({"origin": "https://elsewhere.example.com"}, "secret", form_token("secret")),
        ({"origin": "https://fec.example.com.elsewhere.example.com"}, "secret", form_token("secret")),
        ({"origin": "https://fec.example.com:8443"}, "secret", form_token("secret")),
        ({**OURS, "sec-fetch-site": "cross-site"}, "secret", form_token("secret")),
        ({**OURS, "sec-fetch-site": "same-site"}, "secret", form_token("secret")),
        ({**OURS, "sec-fetch-site": "none"}, "secret", form_token("secret")),
        (OURS, "secret", ""),
        (OURS, "secret", form_token("another")),
        (OURS, "secret", "\N{LATIN SMALL LETTER E WITH ACUTE}"),
        (OURS, None, form_token("")),
    ],
)
def test_any_other_form_is_refused(headers: dict[str, str], secret: str | None, sent: str) -> None:
    with pytest.raises(ForeignForm):
        check_form(request(**headers), secret, sent)


def test_the_token_of_a_form_tells_nothing_of_the_login() -> None:
    assert "secret" not in form_token("secret")
    assert form_token("secret") == form_token("secret")
    assert len({nonce() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("asked", "before"),
    [
        (request("/vms?q=a", method="GET"), "/vms?q=a"),
        (
            request(
                "/live/vms?seen=x", method="GET", hx_request="true", hx_current_url="https://fec.example.com/vms?q=a"
            ),
            "/vms?q=a",
        ),
        (request("/stuck", referer="https://fec.example.com/stuck?appliance=oma"), "/stuck?appliance=oma"),
        (request("/stuck", referer="https://elsewhere.example.com/stuck"), "/"),
        (request("/stuck"), "/"),
    ],
)
def test_the_page_that_was_looked_at_is_known(asked: Request, before: str) -> None:
    assert page_before(asked) == before
