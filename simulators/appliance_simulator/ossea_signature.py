"""Signature of OSSEA requests, checked to the letter (OSSEA facts 1.1)."""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

LONGEST_EXPIRY = timedelta(minutes=15)


class UnauthorizedError(Exception):
    """The request is answered 401."""


@dataclass(frozen=True)
class Credentials:
    """Key pair of the one account; the secret stays out of `repr`."""

    api_key: str
    secret_key: str = field(repr=False)


def encode(value: str) -> str:
    """A value as the server encodes it: form-encoding with `%20` for a space; `~` is encoded, `*` is not."""
    return quote(value, safe="*").replace("~", "%7E")


def sign(parameters: Mapping[str, str], secret_key: str) -> str:
    """Base64 signature over every parameter but `signature`, sorted by the names as sent, then lower-cased."""
    text = "&".join(
        f"{name}={encode(parameters[name])}" for name in sorted(parameters) if name.lower() != "signature"
    ).lower()
    return base64.b64encode(hmac.new(secret_key.encode(), text.encode(), hashlib.sha1).digest()).decode()


def authenticate(
    parameters: Mapping[str, str], credentials: Credentials, now: datetime, *, enforce_expiry: bool = False
) -> None:
    """Check key, expiry and signature.

    Args:
        parameters: As sent, first value of each name.
        credentials: The account's key pair.
        now: Server time, with zone.
        enforce_expiry: `enforce.post.requests.and.timestamps`: version 3 is required, at most 15 minutes ahead.

    Raises:
        UnauthorizedError: Whatever is wrong.
    """
    by_lower_name = {name.lower(): value for name, value in parameters.items()}
    refusal = "unable to verify user credentials and/or request signature"
    signature = by_lower_name.get("signature")
    if by_lower_name.get("apikey") != credentials.api_key or signature is None:
        raise UnauthorizedError(refusal)
    third_version = by_lower_name.get("signatureversion") == "3"
    if enforce_expiry and not third_version:
        raise UnauthorizedError("signatureversion 3 is required")
    if third_version:
        expires = _parse_expires(by_lower_name.get("expires"))
        if expires < now:
            raise UnauthorizedError("request expired")
        if enforce_expiry and expires > now + LONGEST_EXPIRY:
            raise UnauthorizedError("expires is more than 15 minutes ahead")
    if not hmac.compare_digest(sign(parameters, credentials.secret_key).encode(), signature.encode()):
        raise UnauthorizedError(refusal)


def _parse_expires(text: str | None) -> datetime:
    if text is None:
        raise UnauthorizedError("missing expires")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UnauthorizedError("malformed expires") from None
    if moment.tzinfo is None:
        raise UnauthorizedError("expires without a zone")
    return moment.astimezone(UTC)
