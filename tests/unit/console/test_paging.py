"""Pages stay right while the list changes, and a cursor of somewhere else is refused."""

from __future__ import annotations

import base64

import pytest

from failed_execution_cleanup.console.paging import InvalidCursor, Place, page


def place(item: str) -> Place:
    return (item,)


def test_pages_cover_the_list_once() -> None:
    items = [f"vm{number:02}" for number in range(7)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        part = page(items, place, limit=3, cursor=cursor)
        seen += part.items
        cursor = part.cursor
        if cursor is None:
            break
    assert seen == items


def test_what_changes_before_the_cursor_moves_nothing() -> None:
    first = page(["b", "d", "f"], place, limit=2, cursor=None)
    assert page(["a", "b", "c", "f"], place, limit=2, cursor=first.cursor).items == ("f",)


@pytest.mark.parametrize(
    "cursor",
    ["?", "AAAA", base64.urlsafe_b64encode(b'{"a":1}').decode(), base64.urlsafe_b64encode(b"[1]").decode(), "W" * 999],
)
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        page(["a"], place, limit=1, cursor=cursor)
