"""The Kubernetes API in trouble: a cleanup goes on, its status follows later, and nothing is done twice."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.faults.installation import CLEANUPS, installed

pytestmark = pytest.mark.timeout(400)

REFUSALS: Final = {
    "409-on-status": ("PATCH", "/status", 409, 4),
    "429-on-status": ("PATCH", "/status", 429, 3),
    "500-on-status": ("PATCH", "/status", 500, 3),
    "409-on-the-finalizer": ("PATCH", "/pgtest1", 409, 3),
    "503-on-the-finalizer": ("PATCH", "/pgtest1", 503, 1),
    "503-on-reading": ("GET", "/pgtest1", 503, 2),
    "500-on-events": ("POST", "/events", 500, 3),
}


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_cleanup_comes_to_its_end_through_refusals(tmp_path: Path, refusal: str) -> None:
    method, ending, code, times = REFUSALS[refusal]
    async with installed(tmp_path) as here:
        await here.stuck("F11", "pgtest1")
        here.api.disturbances.refuse(method, ending, code, times=times, retry_after=1 if code == 429 else None)
        here.start_operator()
        here.create("pgtest1")

        await here.cleaned("pgtest1")

        assert sum(here.api.disturbances.refused.values()) == times
        assert here.executed_twice() == []


async def test_watch_that_ends_with_410_is_begun_anew(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        for vm_name in ("pgtest1", "pgtest2"):
            await here.stuck("F11", vm_name)
        here.start_operator(FEC_RESYNC_SECONDS="3600")
        here.create("pgtest1")
        await here.wait(lambda: here.appliance.journal.requests("revertSnapshot"), what="a revert was asked for")

        here.api.disturbances.expire_watches(CLEANUPS)
        here.create("pgtest2")

        await here.cleaned("pgtest1", "pgtest2")
        assert here.executed_twice() == []


async def test_connections_cut_in_mid_run_are_made_anew(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        for vm_name in ("pgtest1", "pgtest2"):
            await here.stuck("F11", vm_name)
        here.start_operator(FEC_RESYNC_SECONDS="3600")
        here.create("pgtest1")
        await here.wait(lambda: here.appliance.journal.requests("revertSnapshot"), what="a revert was asked for")

        for _ in range(3):
            here.api.cut_connections()
        here.create("pgtest2")

        await here.cleaned("pgtest1", "pgtest2")
        assert here.executed_twice() == []
