"""Addresses of pages, and names that stand for longer ones. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlencode

__all__ = ["DIGITS", "address", "digest"]

DIGITS: Final = 10
"""Hexadecimal digits of a digest: enough to tell the few elements of a page, and their contents, apart."""


def address(path: str, query: Mapping[str, str]) -> str:
    """A path with a query; what has no value is left out."""
    asked = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{asked}" if asked else path


def digest(text: str) -> str:
    """A short name of a text; another text has another one."""
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]
