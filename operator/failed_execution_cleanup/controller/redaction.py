"""Takes secrets out of what is to be handed on: values that are known to be secret, in every spelling, and what looks like one."""

from __future__ import annotations

import base64
import re
from typing import Any, Final
from urllib.parse import quote, quote_plus

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

__all__ = ["HIDDEN", "Redactor"]

HIDDEN: Final = "***"
"""What stands in place of a secret."""

_SHORTEST: Final = 4
"""Shorter values are no secret worth the name, and would tear holes into every text."""

_LOOKS_SECRET: Final = (
    (re.compile(r"(?<=://)[^/\s:@]*:[^/\s@]+(?=@)"), HIDDEN),
    (
        re.compile(
            r"(?i)((?:api[_-]?key|secret[_-]?key|password|passwd|signature|token)[\"']?\s*[=:]\s*[\"']?)[^\s\"'&,;]+"
        ),
        rf"\1{HIDDEN}",
    ),
)


class Redactor:
    """Knows secrets, and takes them out of data."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def know(self, value: bytes | str) -> None:
        """Take a value, and the password of a URL, for secret from now on."""
        raw = value if isinstance(value, bytes) else value.encode()
        text = raw.decode(errors="replace").strip()
        try:
            password = make_url(text).password
        except (ArgumentError, ValueError):
            password = None
        for secret in filter(None, (text, str(password) if password is not None else None)):
            if len(secret) >= _SHORTEST:
                encoded = base64.b64encode(secret.encode()).decode()
                self._known |= {secret, quote(secret, safe=""), quote_plus(secret), encoded}

    def redact(self, data: Any) -> Any:
        """Return plain data (of dicts, lists and scalars) without secrets; keys are taken as they are."""
        match data:
            case str():
                return self._text(data)
            case dict():
                return {key: self.redact(value) for key, value in data.items()}
            case list() | tuple():
                return [self.redact(value) for value in data]
        return data

    def _text(self, text: str) -> str:
        for secret in sorted(self._known, key=len, reverse=True):  # the whole before its parts
            text = text.replace(secret, HIDDEN)
        for pattern, replacement in _LOOKS_SECRET:
            text = pattern.sub(replacement, text)
        return text
