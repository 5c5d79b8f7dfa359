"""Cleanups in a few words: what a card or a line of a list tells of each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Protocol

from async_lru import alru_cache

from failed_execution_cleanup.client import EndingState, ending
from failed_execution_cleanup.controller.kubernetes_api import CLEANUPS, Body, CustomResource
from failed_execution_cleanup.recovery.goals import Waiver
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup

__all__ = ["AT_WORK", "CleanupLists", "ListApi", "Outline", "outline", "outline_of"]


AT_WORK: Final = frozenset({EndingState.WORKING, EndingState.WAITING})
"""States that go on by themselves."""

_BREATH: Final = 50
"""Cleanups read before others get their turn on the loop."""


@dataclass(frozen=True, slots=True)
class Outline:
    """One cleanup.

    Attributes:
        job_id: failover job it is bound to, by its spec or its status.
        reason: that of its condition Ready; `Queued` before anybody looked.
        remedy: what a person does next; empty where nothing is to be done.
        phase_summary: phases done of all, such as `3/5`.
        waived: stops that people took responsibility for.
        requested_by: who asked; None where the resource does not say.
        note: why.
        completed_at: when its latest run ended.
    """

    name: str
    namespace: str
    appliance: str
    vm_name: str
    vcenter_host: str | None
    job_id: str | None
    state: EndingState
    reason: str
    message: str
    remedy: str
    phase_summary: str | None
    queue_position: int | None
    created_at: datetime
    waived: frozenset[Waiver] = frozenset()
    requested_by: str | None = None
    note: str | None = None
    completed_at: datetime | None = None

    def is_of(self, vm_name: str, vcenter_host: str) -> bool:
        """Whether it is of this VM, as far as its spec tells."""
        return self.vm_name == vm_name and self.vcenter_host in (None, vcenter_host)


def newest_first(seen: Outline) -> tuple[float, str, str]:
    """Where a cleanup stands in a list. Unique, so that a page can begin after it."""
    return -seen.created_at.timestamp(), seen.namespace, seen.name


def outline(body: Body) -> Outline:
    """The outline of a stored cleanup."""
    return outline_of(FailedExecutionCleanup.model_validate(body))


def outline_of(cleanup: FailedExecutionCleanup) -> Outline:
    """The outline of a cleanup."""
    spec, status, metadata = cleanup.spec, cleanup.status, cleanup.metadata
    end = ending(cleanup)
    return Outline(
        name=metadata.name,
        namespace=metadata.namespace or "",
        appliance=spec.appliance_ref.name,
        vm_name=spec.vm_name,
        vcenter_host=spec.vcenter_host,
        job_id=spec.failover_job_id or (status.failed_job.id if status.failed_job is not None else None),
        state=end.state,
        reason=end.reason,
        message=end.message,
        remedy=end.remedy,
        phase_summary=status.phase_summary,
        queue_position=status.queue_position,
        created_at=metadata.creation_timestamp or datetime.min.replace(tzinfo=UTC),
        waived=frozenset(Waiver(grant.reason.value, grant.object) for grant in spec.waive),
        requested_by=spec.requested_by,
        note=spec.note,
        completed_at=status.completed_at,
    )


class ListApi(Protocol):
    """What lists need of `KubernetesApi`."""

    def list(self, resource: CustomResource, namespace: str | None = None) -> AsyncIterator[Body]:
        """Yield all objects of a kind."""
        ...


class CleanupLists:
    """All cleanups, listed once for all who ask at the same time or soon after. Rights are the callers' matter."""

    def __init__(self, api: ListApi, *, seconds: float) -> None:
        """Prepare; nothing is read.

        Args:
            api: with the console's own right to list cleanups.
            seconds: how old a list may be.
        """
        self._api = api
        self._all = alru_cache(maxsize=1, ttl=seconds)(self._list)

    async def all(self) -> tuple[Outline, ...]:
        """Every cleanup of the cluster.

        Raises:
            KubernetesError: the API server could not be asked.
        """
        return await self._all()

    def forget(self) -> None:
        """Read afresh when somebody asks next: something was changed just now."""
        self._all.cache_clear()

    async def _list(self) -> tuple[Outline, ...]:
        found: list[Outline] = []
        async for body in self._api.list(CLEANUPS):
            if len(found) % _BREATH == 0:
                await asyncio.sleep(0)
            found.append(outline(body))
        return tuple(found)
