"""What a log record is about, without every caller passing it along: resource, VM, job, claim.

Set once where a run begins; every record logged there and in the tasks that come from it carries the fields.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Final

__all__ = ["Attribution", "about"]

_FIELDS: Final[ContextVar[Mapping[str, str]]] = ContextVar("attribution", default=MappingProxyType({}))


@contextmanager
def about(**fields: str | None) -> Iterator[None]:
    """Attribute all records of the block, and of the tasks begun in it, to these; None leaves a field as it was."""
    token = _FIELDS.set({**_FIELDS.get(), **{name: value for name, value in fields.items() if value is not None}})
    try:
        yield
    finally:
        _FIELDS.reset(token)


class Attribution(logging.Filter):
    """Adds the fields to each record that passes; a field the record has already stays."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record through."""
        for name, value in _FIELDS.get().items():
            record.__dict__.setdefault(name, value)
        return True
