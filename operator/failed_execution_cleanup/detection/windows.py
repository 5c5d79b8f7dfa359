"""The times in which the scan may create cleanups."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from failed_execution_cleanup.resources.appliance import Weekday, Window

_DAYS: Final = tuple(Weekday)


def any_open(windows: Collection[Window], now: datetime) -> bool:
    """Whether a window is open; always true where there is none.

    Args:
        windows: of the Appliance.
        now: this moment, with a time zone.

    Raises:
        ValueError: a window names a time zone that does not exist.
    """
    states = [_is_open(window, now) for window in windows]  # all, so that a wrong one is never passed over
    return not windows or any(states)


def _is_open(window: Window, now: datetime) -> bool:
    try:
        local = now.astimezone(ZoneInfo(window.time_zone))
    except (ZoneInfoNotFoundError, OSError):
        raise ValueError(f"window {window.name!r} names time zone {window.time_zone!r}, which does not exist") from None
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    clock = local.time()
    if start < end:
        return start <= clock < end and _begins_on(window, local)
    # It ends on the next day: the morning belongs to the day before.
    return (clock >= start and _begins_on(window, local)) or (
        clock < end and _begins_on(window, local - timedelta(days=1))
    )


def _begins_on(window: Window, day: datetime) -> bool:
    return window.days is None or _DAYS[day.weekday()] in window.days
