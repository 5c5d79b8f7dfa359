"""Two Appliances that mean one appliance: the younger is refused, by creation time and then by uid, and looked at when another goes."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from failed_execution_cleanup.access.doors import Inconsistent
from failed_execution_cleanup.controller.appliance_identity import require_eldest
from failed_execution_cleanup.controller.kubernetes_api import Body
from failed_execution_cleanup.controller.watching import Watching
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run.queue import WorkQueue

OMA = "0a1b2c3d-0000-4000-8000-000000000001"
OTHER = "0a1b2c3d-0000-4000-8000-000000000002"


def body(name: str, *, created: str = "2026-10-01T10:00:00Z", uid: str = "", oma_vm_id: str | None = OMA) -> Body:
    return {
        "metadata": {"name": name, "uid": uid or name, "creationTimestamp": created, "generation": 1},
        "spec": {
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": "http://oma.example.com:8090"},
        },
        "status": {} if oma_vm_id is None else {"omaVMID": oma_vm_id},
    }


US = body("us", created="2026-10-02T10:00:00Z", uid="m")


@pytest.mark.parametrize(
    ("others", "refused_for"),
    [
        ([], None),
        ([body("older")], "older"),
        ([body("younger", created="2026-10-03T10:00:00Z")], None),
        ([body("twin", created="2026-10-02T10:00:00Z", uid="a")], "twin"),
        ([body("twin", created="2026-10-02T10:00:00Z", uid="z")], None),
        ([body("older", oma_vm_id=OTHER)], None),
        ([body("never-reached", oma_vm_id=None)], None),
        ([body("older"), body("oldest", created="2026-09-01T10:00:00Z")], "oldest"),
    ],
    ids=[
        "alone", "older", "younger", "same second lower uid", "same second higher uid", "another appliance", "unknown",
        "oldest is named",
    ],
)  # fmt: skip
def test_only_the_eldest_of_one_appliance_is_used(others: list[Body], refused_for: str | None) -> None:
    every = known(*others, US)
    if refused_for is None:
        require_eldest(every[-1], every, OMA)
        return
    with pytest.raises(Inconsistent) as refusal:
        require_eldest(every[-1], every, OMA)
    assert "Appliance us " in str(refusal.value)
    assert f"older Appliance {refused_for} " in str(refusal.value)
    assert OMA in str(refusal.value)
    assert "administrator" in refusal.value.remedy


def test_an_empty_id_is_nobodys() -> None:
    every = known(body("older", oma_vm_id=None), US)
    require_eldest(every[-1], every, "")


def test_what_the_database_says_now_counts_and_not_the_own_status() -> None:
    every = known(body("older"), US)
    require_eldest(every[-1], every, OTHER)


async def test_the_others_are_looked_at_when_an_appliance_is_gone() -> None:
    names: WorkQueue[str] = WorkQueue()
    watching = Watching(WorkQueue(), names)
    for name in ("us", "older"):
        await watching._on_appliance(type=None, body=body(name))
    assert await taken(names) == ["us", "older"]

    await watching._on_appliance(type="DELETED", body=body("older"))
    assert await taken(names) == ["us"]


def known(*bodies: Body) -> list[Appliance]:
    """All Appliances there are."""
    return [Appliance.model_validate(each) for each in bodies]


async def taken(queue: WorkQueue[str]) -> list[str]:
    """All keys that can be taken now."""
    keys: list[str] = []
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.01):
                keys.append(await queue.get())
            queue.done(keys[-1])
    return keys
