"""Windows for automatic cleanups: days, nights that end on the next day, time zones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from failed_execution_cleanup.detection.windows import any_open
from failed_execution_cleanup.resources.appliance import Weekday, Window

MONDAY_NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


def window(start: str, end: str, *days: Weekday, zone: str = "UTC") -> Window:
    return Window(name="w", days=days or None, start=start, end=end, time_zone=zone)


@pytest.mark.parametrize(
    ("shown", "at", "is_open"),
    [
        (window("11:00", "13:00"), (2, 12, 0), True),
        (window("11:00", "12:00"), (2, 12, 0), False),  # the end does not belong to it
        (window("12:00", "13:00"), (2, 12, 0), True),
        (window("11:00", "13:00", Weekday.TUESDAY), (2, 12, 0), False),
        (window("22:00", "05:00", Weekday.MONDAY), (2, 23, 0), True),
        (window("22:00", "05:00", Weekday.MONDAY), (3, 4, 59), True),  # Tuesday morning belongs to Monday
        (window("22:00", "05:00", Weekday.MONDAY), (3, 23, 0), False),
        (window("22:00", "05:00", Weekday.MONDAY), (2, 4, 0), False),
        (window("13:00", "14:00", zone="Europe/Berlin"), (2, 12, 30), True),
        (window("00:00", "01:00", Weekday.TUESDAY, zone="Europe/Berlin"), (2, 23, 30), True),
    ],
    ids=lambda value: f"{value.start}-{value.end}" if isinstance(value, Window) else None,
)
def test_window_is_open_at_its_times(shown: Window, at: tuple[int, int, int], is_open: bool) -> None:
    day, hour, minute = at
    assert any_open((shown,), datetime(2026, 3, day, hour, minute, tzinfo=UTC)) is is_open


def test_without_windows_it_is_always_time() -> None:
    assert any_open((), MONDAY_NOON)


def test_one_open_window_is_enough() -> None:
    assert any_open((window("01:00", "02:00"), window("11:00", "13:00")), MONDAY_NOON)


def test_unknown_time_zone_is_named_even_beside_an_open_window() -> None:
    with pytest.raises(ValueError, match="Europe/Atlantis"):
        any_open((window("11:00", "13:00"), window("11:00", "13:00", zone="Europe/Atlantis")), MONDAY_NOON)
