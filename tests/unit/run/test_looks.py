"""What a run looks at before it goes on: OSSEA once for all, and not again where nothing but rows of ours changed."""

from __future__ import annotations

import asyncio
import contextlib
from itertools import pairwise
from pathlib import Path

import pytest

from failed_execution_cleanup.appliance.database import ContextLock, StoredClaim
from failed_execution_cleanup.recovery.decide import Done
from failed_execution_cleanup.recovery.world import Records, World
from failed_execution_cleanup.run.surroundings import Surroundings
from tests.unit.run.engine import VM, engine

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look, every note of what a request brought and every close, in order."""
    seen: list[str] = []
    observe, read = Surroundings.observe, Surroundings.read
    mark, clear, close = ContextLock.mark_reverted, ContextLock.clear_snapshot, ContextLock.close_incident

    async def observed(self: Surroundings, lock: ContextLock) -> World:
        seen.append("all")
        return await observe(self, lock)

    async def rows(self: Surroundings, lock: ContextLock) -> Records:
        seen.append("rows")
        return await read(self, lock)

    async def marked(self: ContextLock, claim: StoredClaim, volume_id: str, snapshot_id: str | None) -> None:
        seen.append("note")
        await mark(self, claim, volume_id, snapshot_id)

    async def cleared(self: ContextLock, claim: StoredClaim, volume_id: str, snapshot_id: str | None) -> None:
        seen.append("note")
        await clear(self, claim, volume_id, snapshot_id)

    async def closed(self: ContextLock, *given: object) -> None:
        seen.append("close")
        await close(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(Surroundings, "observe", observed)
    monkeypatch.setattr(Surroundings, "read", rows)
    monkeypatch.setattr(ContextLock, "mark_reverted", marked)
    monkeypatch.setattr(ContextLock, "clear_snapshot", cleared)
    monkeypatch.setattr(ContextLock, "close_incident", closed)
    return seen


async def test_a_note_of_what_a_request_brought_is_followed_by_a_look_at_rows_alone(
    tmp_path: Path, looks: list[str]
) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        assert isinstance(await run.run(), Done)
        assert run.left_over() == []
    after_notes = [later for earlier, later in pairwise(looks) if earlier == "note"]
    assert after_notes == ["rows", "rows"]


async def test_an_incident_is_closed_and_its_end_told_on_a_full_look(tmp_path: Path, looks: list[str]) -> None:
    async with engine(tmp_path, "F11", disks=2) as run:
        assert isinstance(await run.run(), Done)
    closing = looks.index("close")
    assert looks[closing - 1] == "all"
    assert looks[-1] == "all"


async def test_activity_of_others_beside_our_rows_makes_a_full_look(
    tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replication that starts right after a note: the next thing done is to look at everything."""
    clear = ContextLock.clear_snapshot
    begun: list[int] = []

    async def cleared(self: ContextLock, claim: StoredClaim, volume_id: str, snapshot_id: str | None) -> None:
        await clear(self, claim, volume_id, snapshot_id)
        if not begun:
            begun.append(len(looks))
            await run.appliance.add_running_replication(VM)

    monkeypatch.setattr(ContextLock, "clear_snapshot", cleared)
    async with engine(tmp_path, "F11", disks=1) as run:
        with contextlib.suppress(TimeoutError):  # it waits for the replication, which never ends here
            await run.run(seconds=8)
    assert looks[begun[0] : begun[0] + 2] == ["rows", "all"]


async def test_many_runs_side_by_side_share_what_ossea_lists(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        run.appliance.journal.reads.clear()
        await asyncio.gather(*(run.doors.ossea.skyline() for _ in range(20)))
        assert run.appliance.journal.reads["listVirtualMachines"] == 1
        assert run.appliance.journal.reads["listSnapshots"] == 1
