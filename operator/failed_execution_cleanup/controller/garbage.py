"""When Python looks for garbage that refers to itself.

It looks at everything that lives each time that grew by a quarter; with ten thousand cleanups known, this stops the loop for a third of
a second. What has survived is exempt from that, and only every few minutes everything is looked at.
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final, NoReturn

_FIRST_SECONDS: Final = 30.0
"""By then what existed at the start has been listed."""
_PAUSE_SECONDS: Final = 600.0


def spare_survivors() -> None:
    """Collect all garbage there is, and exempt what is left from collections until the next call."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()


async def keep_sparing_survivors() -> NoReturn:
    """Do it now, once more when the first list is over, and then now and then, so that nothing is exempt for ever."""
    spare_survivors()
    await asyncio.sleep(_FIRST_SECONDS)
    while True:
        spare_survivors()
        await asyncio.sleep(_PAUSE_SECONDS)
