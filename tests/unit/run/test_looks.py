"""What a run looks at before it goes on: OSSEA once for all, and not again where nothing but rows of ours changed."""

from __future__ import annotations

import asyncio
import contextlib
import math
import uuid
from collections.abc import Collection
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from failed_execution_cleanup.appliance.database import ContextLock, StoredClaim
from failed_execution_cleanup.appliance.observe import look_again, observe
from failed_execution_cleanup.recovery.actions import Kind
from failed_execution_cleanup.recovery.decide import Act, Decision, Done, Wait, decide
from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.memory import Memory
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.recovery.world import Cloud, Records, World
from failed_execution_cleanup.run import worker
from failed_execution_cleanup.run.surroundings import Surroundings
from tests.unit.run.engine import QUICK, VM, engine

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(60)]


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every look, every decision to close, every note of what a request brought and every close, in order."""
    seen: list[str] = []

    def decided(world: World, wish: Wish, memory: Memory) -> Decision:
        decision = decide(world, wish, memory)
        if isinstance(decision, Act) and any(action.kind is Kind.CLOSE_INCIDENT for action in decision.actions):
            seen.append("decided to close")
        return decision

    monkeypatch.setattr(worker, "decide", decided)
    monkeypatch.setattr(worker, "_LOOK_SECONDS", math.inf)  # or a busy machine would make a look old
    everything, again, read = Surroundings.observe, Surroundings.look_again, Surroundings.read
    mark, clear, close = ContextLock.mark_reverted, ContextLock.clear_snapshot, ContextLock.close_incident

    async def observed(self: Surroundings, lock: ContextLock) -> World:
        seen.append("all")
        return await everything(self, lock)

    async def some(self: Surroundings, cloud: Cloud, volume_ids: Collection[str]) -> Cloud | None:
        seen.extend(["volume"] * len(volume_ids))
        return await again(self, cloud, volume_ids)

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
    monkeypatch.setattr(Surroundings, "look_again", some)
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
    before = looks[: looks.index("close")]
    decided = max(i for i, what in enumerate(before) if what == "decided to close")
    assert looks[decided - 1] == "all"
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


async def test_what_begins_while_the_claim_is_taken_is_seen_before_anything_is_written(
    tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first decision under a claim rests on the look before it; its own read (rule 7) sees what began meanwhile."""
    take, mark = ContextLock.take_claim, ContextLock.mark_cleanup_required
    marked: list[str] = []

    async def taken(self: ContextLock, job_id: str, owner: str, *, previous: StoredClaim | None) -> StoredClaim:
        claim = await take(self, job_id, owner, previous=previous)
        if not begun:
            begun.append(len(looks))
            await run.appliance.add_running_replication(VM)
        return claim

    async def marks(self: ContextLock, claim: StoredClaim, context_id: str, observed_status: str) -> None:
        marked.append(observed_status)
        await mark(self, claim, context_id, observed_status)

    begun: list[int] = []
    monkeypatch.setattr(ContextLock, "take_claim", taken)
    monkeypatch.setattr(ContextLock, "mark_cleanup_required", marks)
    async with engine(tmp_path, "F11", disks=1) as run:
        decision = await run.run(seconds=8)
        assert run.memory.requests == ()
    assert isinstance(decision, Wait)
    assert decision.reason is Reason.REPLICATION_ACTIVE
    assert marked == []
    assert looks[: begun[0] + 1] == ["all", "all"]


async def test_what_a_request_changed_is_looked_at_alone_and_the_end_rests_on_everything(
    tmp_path: Path, looks: list[str]
) -> None:
    async with engine(tmp_path, "F11", disks=1, settings=replace(QUICK, quiet=timedelta(0))) as run:
        assert isinstance(await run.run(), Done)
    assert [looks.count("volume"), looks.count("all")] == [4, 3]  # detach, revert, delete, attach; begin, close, end


async def test_an_old_look_is_not_brought_up_to_date_but_made_again(
    tmp_path: Path, looks: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "_LOOK_SECONDS", 0.0)
    async with engine(tmp_path, "F11", disks=1) as run:
        assert isinstance(await run.run(), Done)
    assert "volume" not in looks


async def test_a_request_without_effect_is_followed_by_a_look_at_everything(tmp_path: Path, looks: list[str]) -> None:
    quick = replace(QUICK, quiet=timedelta(0), revert_quiet=timedelta(0))
    async with engine(tmp_path, "F11", disks=1, settings=quick) as run:
        run.appliance.faults.arm("job_fails", "revertSnapshot", times=1)
        assert isinstance(await run.run(), Done)
    assert [looks.count("volume"), looks.count("all")] == [4, 4]


async def test_a_volume_is_seen_again_where_it_is_now(tmp_path: Path) -> None:
    async with engine(tmp_path, "F24", disks=2) as run:
        cloud, ossea = run.appliance.cloud, run.doors.ossea
        async with run.doors.database.lock(run.built.vm.context_id, idle_seconds=30) as lock:
            seen = (await observe(ossea, lock.read)).cloud
        moved, kept = cloud.volumes.keys() & seen.snapshots.keys()
        cloud.volumes[moved].virtualmachineid = None

        again = await look_again(ossea, seen, [moved])

        assert again is not None
        assert again.volumes[moved].vm_id is None
        assert again.volumes[kept] is seen.volumes[kept]
        assert again.snapshots[moved] == seen.snapshots[moved]
        assert await look_again(ossea, seen, [moved, str(uuid.uuid4())]) is None


async def test_many_runs_side_by_side_share_what_ossea_lists(tmp_path: Path) -> None:
    async with engine(tmp_path, "F11", disks=1) as run:
        run.appliance.journal.reads.clear()
        await asyncio.gather(*(run.doors.ossea.skyline() for _ in range(20)))
        assert run.appliance.journal.reads["listVirtualMachines"] == 1
        assert run.appliance.journal.reads["listSnapshots"] == 1
