"""Pages of a sorted list: a cursor is the place of the last item that was given, so pages stay right while the list changes."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

T = TypeVar("T")
Place = tuple[Any, ...]


class InvalidCursor(ValueError):  # noqa: N818 - named for what happened
    """It is none that a page of this list gave."""


class Page(NamedTuple, Generic[T]):
    """A part of a list.

    Attributes:
        cursor: asks for the next part; None when this is the last one.
    """

    items: tuple[T, ...]
    cursor: str | None


def page(items: Sequence[T], place: Callable[[T], Place], *, limit: int, cursor: str | None) -> Page[T]:
    """The items after a cursor.

    Args:
        items: sorted by `place`, which no two share.
        place: of texts and numbers.
        limit: at most so many.
        cursor: of an earlier page; None: from the beginning.

    Raises:
        InvalidCursor: it is not one.
    """
    if cursor is not None:
        after = _place(cursor)
        try:
            items = [item for item in items if place(item) > after]
        except TypeError:
            raise InvalidCursor("cursor is of another list") from None
    part = tuple(items[:limit])
    return Page(part, _cursor(place(part[-1])) if len(items) > limit else None)


def _cursor(place: Place) -> str:
    return base64.urlsafe_b64encode(json.dumps(place, separators=(",", ":")).encode()).decode().rstrip("=")


def _place(cursor: str) -> Place:
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        place = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError, RecursionError):
        raise InvalidCursor("cursor is not one that a page gave") from None
    if not isinstance(place, list):
        raise InvalidCursor("cursor is not one that a page gave")
    return tuple(place)
