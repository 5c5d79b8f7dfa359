"""The finalizer of an Appliance: on before a claim, off when none is open, and never taken off by a look at the wrong moment."""
# ruff: noqa: ARG002 - the fakes take what the real ones take

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from failed_execution_cleanup.appliance.errors import DatabaseUnavailable
from failed_execution_cleanup.controller.claimed_appliances import ATTEMPTS, ApplianceGone, ClaimedAppliances
from failed_execution_cleanup.controller.kubernetes_api import Body, Conflict, CustomResource, NotFound
from failed_execution_cleanup.resources.identifiers import FINALIZER

NAME = "default"
OTHER = "example.com/other"


@dataclass
class Cluster:
    """One Appliance, or none; `conflicts` writes fail first."""

    finalizers: list[str] = field(default_factory=list)
    deleting: bool = False
    exists: bool = True
    conflicts: int = 0
    writes: int = 0

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        if not self.exists:
            raise NotFound(f"{name} is gone", status=404)
        metadata: Body = {"name": name, "resourceVersion": str(self.writes), "finalizers": copy.copy(self.finalizers)}
        return {"metadata": metadata | ({"deletionTimestamp": "2026-01-01T00:00:00Z"} if self.deleting else {})}

    async def set_finalizers(
        self,
        resource: CustomResource,
        namespace: str | None,
        name: str,
        finalizers: Sequence[str],
        *,
        resource_version: str,
    ) -> Body:
        if self.conflicts:
            self.conflicts -= 1
            raise Conflict(f"{name} was changed", status=409)
        self.writes += 1
        self.finalizers = [*finalizers]
        return {}


@dataclass
class Database:
    claims: tuple[str, ...] = ()
    error: DatabaseUnavailable | None = None

    async def open_claims(self) -> tuple[str, ...]:
        if self.error is not None:
            raise self.error
        return self.claims


async def test_the_finalizer_is_put_on_once_beside_those_of_others() -> None:
    cluster = Cluster([OTHER])
    claimed = ClaimedAppliances(cluster)
    await claimed.ensure(NAME, resuming=False)
    await claimed.ensure(NAME, resuming=False)
    assert (cluster.finalizers, cluster.writes) == ([OTHER, FINALIZER], 1)


async def test_it_is_taken_off_when_no_claim_is_open() -> None:
    cluster = Cluster([OTHER, FINALIZER])
    assert await ClaimedAppliances(cluster).let_go(NAME, Database())
    assert cluster.finalizers == [OTHER]


async def test_it_stays_while_the_database_knows_an_open_claim() -> None:
    cluster = Cluster([FINALIZER])
    assert not await ClaimedAppliances(cluster).let_go(NAME, Database(("claim",)))
    assert cluster.finalizers == [FINALIZER]


async def test_it_stays_while_another_task_of_this_process_is_at_work() -> None:
    cluster = Cluster([FINALIZER])
    claimed = ClaimedAppliances(cluster)
    async with claimed.held(NAME):
        assert not await claimed.let_go(NAME, Database())
    assert cluster.finalizers == [FINALIZER]
    assert await claimed.let_go(NAME, Database())


async def test_it_stays_while_nobody_can_ask_the_database() -> None:
    cluster = Cluster([FINALIZER])
    down = Database(error=DatabaseUnavailable("down.", system="OMA database", remedy="Start it."))
    await ClaimedAppliances(cluster).try_to_let_go(NAME, down)
    assert cluster.finalizers == [FINALIZER]


@pytest.mark.parametrize(
    ("present", "resuming", "allowed"),
    [([FINALIZER], True, True), ([FINALIZER], False, False), ([], True, False), ([], False, False)],
)
async def test_nothing_new_is_begun_on_an_appliance_that_is_being_deleted(
    present: list[str], resuming: bool, allowed: bool
) -> None:
    claimed = ClaimedAppliances(Cluster(present, deleting=True))
    if allowed:
        await claimed.ensure(NAME, resuming=resuming)
    else:
        with pytest.raises(ApplianceGone, match="being deleted"):
            await claimed.ensure(NAME, resuming=resuming)


async def test_an_appliance_that_is_gone_needs_no_finalizer_and_takes_no_claim() -> None:
    claimed = ClaimedAppliances(Cluster(exists=False))
    assert await claimed.let_go(NAME, Database())
    with pytest.raises(ApplianceGone, match="no Appliance"):
        await claimed.ensure(NAME, resuming=True)


async def test_a_write_is_tried_again_when_others_change_the_object_and_fails_loudly_in_the_end() -> None:
    cluster = Cluster(conflicts=ATTEMPTS - 1)
    await ClaimedAppliances(cluster).ensure(NAME, resuming=False)
    assert cluster.finalizers == [FINALIZER]
    with pytest.raises(Conflict):
        await ClaimedAppliances(Cluster(conflicts=ATTEMPTS)).ensure(NAME, resuming=False)
