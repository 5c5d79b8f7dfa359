"""The signature of a CloudStack API request (CloudStack facts 1.1).

Parameter names are lower case throughout: the server sorts the names as they were sent, before it lower-cases the
string, so mixed case would sort differently here and there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

LIFETIME = timedelta(minutes=10)
"""How long a signed request stays valid. Servers that enforce it allow at most 15 minutes (CloudStack facts 1.1)."""


def encode(value: str) -> str:
    """Encode a value as the server does before it checks: like a form, but a space is `%20` and `~` is `%7E`."""
    return quote(value, safe="*").replace("~", "%7E")


def signature(parameters: Mapping[str, str], secret_key: str) -> str:
    """Sign every parameter but `signature` itself.

    Args:
        parameters: names in lower case, `apikey` included; values as they will be sent, not encoded.
        secret_key: the account's secret key.

    Returns:
        The Base64 text of the HMAC-SHA1, not URL-encoded.
    """
    text = "&".join(f"{name}={encode(value)}" for name, value in sorted(parameters.items()))
    digest = hmac.new(secret_key.encode(), text.lower().encode(), hashlib.sha1)
    return base64.b64encode(digest.digest()).decode("ascii")


def signed(parameters: Mapping[str, str], *, api_key: str, secret_key: str, now: datetime) -> dict[str, str]:
    """Complete the parameters of one request: JSON answer, identity, expiry and signature.

    Args:
        parameters: `command` and its parameters, names in lower case.
        api_key: the account's API key.
        secret_key: the account's secret key.
        now: the current time, with its zone.

    Returns:
        The form to send. It holds the API key and a signature: never log it.
    """
    expires = (now.astimezone(UTC) + LIFETIME).strftime("%Y-%m-%dT%H:%M:%S+0000")
    form = {**parameters, "response": "json", "apikey": api_key, "signatureversion": "3", "expires": expires}
    return {**form, "signature": signature(form, secret_key)}
