"""A watch that does not tell the truth: the end is the right one, and nothing is ever sent on what it said (facts of Sieve)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from kubernetes_emulator.disturbances import Event, Untruthful
from tests.faults.installation import CLEANUPS, Installation, installed

pytestmark = pytest.mark.timeout(400)

LIES: Final[Mapping[str, Mapping[str, float]]] = {
    "lost": {"lost": 0.5},
    "doubled": {"doubled": 1.0},
    "swapped": {"swapped": 0.6},
    "stale": {"stale": 0.8},
    "all-at-once": {"lost": 0.3, "doubled": 0.3, "swapped": 0.3, "stale": 0.3},
}
SEED: Final = 20


@pytest.mark.parametrize("lies", LIES)
async def test_cleanups_end_well_whatever_the_watch_tells(tmp_path: Path, lies: str) -> None:
    mangler = Untruthful(SEED, **LIES[lies])
    async with installed(tmp_path) as here:
        here.api.disturbances.manglers[CLEANUPS] = mangler
        names = ["pgtest1", "pgtest2", "pgtest3"]
        for name in names:
            await here.stuck("F11", name)
        here.start_operator()
        for name in names:
            here.create(name)
        # A request to run again is a change like any other; it must arrive, and find nothing to do.
        await here.cleaned(*names)
        sent = len(here.appliance.journal.requests())
        here.patch("pgtest2", {"metadata": {"annotations": {"failover.ossea.io/requestedAt": "again"}}})
        await here.wait(
            lambda: here.get("pgtest2")["status"].get("lastHandledRequest") == "again", what="the request was handled"
        )
        await here.cleaned(*names)

        assert len(here.appliance.journal.requests()) == sent
        assert here.executed_twice() == []
        happened = {what for what, count in mangler.done.items() if count}
        assert set(LIES[lies]) <= happened, f"seed {SEED} does not make it happen: {mangler.done}"


class Silent:
    """A watch that tells nothing of some objects from some moment on."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __call__(self, event: Event) -> list[Event]:
        return [] if event["object"]["metadata"]["name"] in self.names else [event]


async def test_suspension_that_the_watch_never_told_is_seen_at_the_next_status_write(tmp_path: Path) -> None:
    silent = Silent()
    async with installed(tmp_path) as here:
        here.api.disturbances.manglers[CLEANUPS] = silent
        here.appliance.latencies.set("revertSnapshot", 3.0)
        await here.stuck("F11", "pgtest1")
        here.start_operator(FEC_RESYNC_SECONDS="3600")
        here.create("pgtest1")
        await here.wait(lambda: here.appliance.journal.requests("revertSnapshot"), what="a revert was asked for")
        silent.names.add("pgtest1")

        here.patch("pgtest1", {"spec": {"suspend": True}})

        await here.wait(lambda: here.ready("pgtest1")[1] == "Suspended", what="it is suspended")
        # Reverted volumes come home (rule 19); their snapshots stay, as nothing is deleted after the suspension.
        assert here.appliance.journal.requests("deleteSnapshot") == []
        assert set(here.appliance.contents("pgtest1").values()) == {"replica:1"}
        assert set(here.appliance.holders("pgtest1").values()) == {here.appliance.oma_vm_id}


async def test_object_of_the_same_name_is_another_one(tmp_path: Path) -> None:
    silent = Silent()
    async with installed(tmp_path) as here:
        here.api.disturbances.manglers[CLEANUPS] = silent
        here.appliance.latencies.set("revertSnapshot", 3.0)
        for vm_name in ("pgtest1", "pgtest2"):
            await here.stuck("F11", vm_name)
        here.start_operator()
        here.create("cleanup", "pgtest1")
        await here.wait(lambda: here.appliance.journal.requests("revertSnapshot"), what="a revert was asked for")
        silent.names.add("cleanup")

        here.delete("cleanup")
        here.strip_finalizers("cleanup")
        here.create("cleanup", "pgtest2")
        here.appliance.latencies.set("revertSnapshot", 0.3)

        await here.cleaned("cleanup")
        status = here.get("cleanup")["status"]
        assert status["failedJob"]["id"] == here.built["pgtest2"].failover_job_id
        # The first one's object is gone: what it had in flight is brought home, and that is all (rule 19).
        assert set(here.appliance.contents("pgtest1").values()) == {"replica:1"}
        assert set(here.appliance.holders("pgtest1").values()) == {here.appliance.oma_vm_id}
        assert here.executed_twice() == []


async def test_old_object_told_after_its_successor_does_not_bring_its_wishes_back(tmp_path: Path) -> None:
    stale = Replaying()
    async with installed(tmp_path) as here:
        here.api.disturbances.manglers[CLEANUPS] = stale
        await here.stuck("F11", "pgtest1")
        here.start_operator()
        here.create("pgtest1")
        here.patch("pgtest1", {"spec": {"suspend": True}})
        await here.wait(lambda: here.ready("pgtest1")[1] == "Suspended", what="it is suspended")
        sent = here.sent_about("pgtest1")

        # Each further event brings the very first one, in which nothing was suspended.
        for number in range(5):
            here.patch("pgtest1", {"metadata": {"labels": {"touched": str(number)}}})
            await asyncio.sleep(0.3)

        assert stale.replayed >= 5
        assert here.ready("pgtest1")[1] == "Suspended"
        assert here.sent_about("pgtest1") == sent
        here.patch("pgtest1", {"spec": {"suspend": False}})
        await here.cleaned("pgtest1")


class Replaying:
    """A watch that tells the first event of an object again after each later one."""

    def __init__(self) -> None:
        self.first: dict[str, Event] = {}
        self.replayed = 0

    def __call__(self, event: Event) -> list[Event]:
        first = self.first.setdefault(event["object"]["metadata"]["name"], event)
        self.replayed += first is not event
        return [event] if first is event else [event, {**first, "type": "MODIFIED"}]


async def _in_mid_run(here: Installation) -> dict[str, object]:
    """The status of a cleanup while it reverts."""
    here.appliance.latencies.set("revertSnapshot", 3.0)
    here.create("pgtest1")
    await here.wait(lambda: here.get("pgtest1").get("status", {}).get("phases"), what="the phases are told")
    await here.wait(lambda: here.appliance.journal.requests("revertSnapshot"), what="a revert was asked for")
    status: dict[str, object] = here.get("pgtest1")["status"]
    here.appliance.latencies.set("revertSnapshot", 0.3)
    return status


@pytest.mark.parametrize("put_back", ["an older one", "none"])
async def test_status_put_back_after_the_end_is_told_anew_without_a_request(tmp_path: Path, put_back: str) -> None:
    async with installed(tmp_path) as here:
        await here.stuck("F11", "pgtest1")
        here.start_operator()
        older = await _in_mid_run(here)
        await here.cleaned("pgtest1")
        sent, told = here.sent_about("pgtest1"), here.get("pgtest1")["status"]

        here.replace_status("pgtest1", older if put_back == "an older one" else {})

        await here.cleaned("pgtest1")
        assert here.sent_about("pgtest1") == sent
        assert here.get("pgtest1")["status"]["failedJob"]["id"] == told["failedJob"]["id"]


async def test_status_put_back_in_mid_run_changes_nothing(tmp_path: Path) -> None:
    async with installed(tmp_path) as here:
        await here.stuck("F11", "pgtest1")
        here.start_operator()
        older = await _in_mid_run(here)
        await here.wait(lambda: here.appliance.journal.requests("deleteSnapshot"), what="a delete was asked for")

        here.replace_status("pgtest1", older)

        await here.cleaned("pgtest1")
        assert here.executed_twice() == []
