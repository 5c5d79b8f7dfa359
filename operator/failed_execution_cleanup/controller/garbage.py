"""When Python looks for garbage that refers to itself.

It looks at everything that lives each time that grew by a quarter; with ten thousand cleanups known, this stops the loop for a third of
a second. What has survived is exempt from that, and only every few minutes everything is looked at. What is young is looked at less
often than by default: one page of a list is thousands of objects, which made it look at all that is not exempt, page after page.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final, NoReturn

_LISTING: Final = 30
"""Seconds in which what exists at the start has been listed. What survives one of them is exempt from then on: to look at all of it
again and again took a fifth of the start's time."""
_PAUSE_SECONDS: Final = 600.0
_YOUNG: Final = 10_000
"""Objects made, less those gone, between two looks at the young; Python's own 700 is a tenth of a page."""


def spare_survivors() -> None:
    """Collect all garbage there is, and exempt what is left from collections until the next call."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def keep_sparing_survivors() -> NoReturn:
    """Do it now, each second for what the start reads, and then now and then, so that nothing is exempt for ever."""
    gc.set_threshold(_YOUNG, *gc.get_threshold()[1:])
    spare_survivors()
    for _ in range(_LISTING):
        await asyncio.sleep(1)
        gc.collect()
        gc.freeze()
    while True:
        spare_survivors()
        await asyncio.sleep(_PAUSE_SECONDS)
