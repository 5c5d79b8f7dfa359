"""What survived is exempt from collections, and nothing for ever."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from failed_execution_cleanup.controller.garbage import keep_sparing_survivors, spare_survivors


class Ring:
    """Refers to itself, so only the collector can end it."""

    def __init__(self) -> None:
        self.ring = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The collector of this process is that of all its tests."""
    usual = gc.get_threshold()
    yield
    gc.set_threshold(*usual)
    gc.freeze()


def test_what_lives_is_exempt_and_what_is_garbage_is_gone() -> None:
    kept, lost = Ring(), weakref.ref(Ring())
    gc.unfreeze()
    spare_survivors()
    assert lost() is None
    assert gc.get_freeze_count() > 0
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is not None, "it was exempt"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_what_the_start_reads_is_exempt_after_a_second() -> None:
    sparing = asyncio.create_task(keep_sparing_survivors())
    await asyncio.sleep(0.5)
    kept, lost = Ring(), weakref.ref(Ring())
    await asyncio.sleep(1)
    sparing.cancel()
    assert lost() is None
    gone = weakref.ref(kept)
    del kept
    gc.collect()
    assert gone() is not None, "it was exempt"


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_many_young_objects_do_not_make_it_look_at_everything() -> None:
    sparing = asyncio.create_task(keep_sparing_survivors())
    await asyncio.sleep(0.5)
    before = gc.get_stats()[2]["collections"]
    page = [{"metadata": {"labels": {}, "annotations": {}, "owner": [number]}} for number in range(20_000)]
    assert gc.get_stats()[2]["collections"] == before, len(page)
    sparing.cancel()


@pytest.mark.asyncio
@pytest.mark.looptime
async def test_nothing_is_exempt_for_ever() -> None:
    sparing = asyncio.create_task(keep_sparing_survivors())
    ring = Ring()
    gone = weakref.ref(ring)
    await asyncio.sleep(31)
    del ring
    gc.collect()
    assert gone() is not None, "it was exempt"
    await asyncio.sleep(600)
    sparing.cancel()
    assert gone() is None
