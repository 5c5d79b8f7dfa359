"""What an appliance shows of all its VMs: a constant number of calls, shared by everybody who asks within a few seconds.

Suspicion and verdict are the scan's own (`detection`), so that a card never says anything else than the operator would.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from async_lru import alru_cache
from pydantic import ValidationError

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.appliance.database import ContextOutline, OMADatabase
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.observe_many import Observed, Sight, observe_many
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.console.judging import settings_for
from failed_execution_cleanup.controller.kubernetes_api import KubernetesError
from failed_execution_cleanup.detection.stuck import StuckFailover, Unsettled, stuck_failover
from failed_execution_cleanup.detection.suspicion import maybe_stuck
from failed_execution_cleanup.recovery import guards
from failed_execution_cleanup.recovery.goals import Settings, Wish
from failed_execution_cleanup.recovery.incident import Incident, as_utc, newest_job_id, resolve
from failed_execution_cleanup.recovery.reasons import Reason
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run.cleanup import Limits

__all__ = ["FailoverSeen", "Survey", "Surveys", "survey"]

logger = logging.getLogger(__name__)

_BREATH: Final = 20
"""Worlds judged before others get their turn on the loop."""

_REMEMBERED: Final = 256


@dataclass(frozen=True, slots=True)
class FailoverSeen:
    """A failover that hangs, or is at work.

    Attributes:
        operation: words for people, such as `test failover`.
        stuck: it hangs; else it, its rollback or a cleanup is at work.
        since: its last sign of life, in whole seconds as in the Appliance's status.
        last_step: name of the last step it began, as the product spells it.
        blocked_by: what would keep a cleanup from running now; None if nothing would.
    """

    job_id: str
    operation: str
    live: bool
    stuck: bool
    since: datetime
    last_step: str | None
    blocked_by: Reason | None = None


@dataclass(frozen=True, slots=True)
class Survey:
    """One appliance at one moment.

    Attributes:
        contexts: every protected VM.
        failovers: by context, where one hangs or is at work.
        unreadable: contexts whose rows cannot be understood, and why.
        problem: why nothing of it is known; empty if something is.
    """

    appliance: str
    taken_at: datetime
    contexts: tuple[ContextOutline, ...] = ()
    failovers: Mapping[str, FailoverSeen] = field(default_factory=dict)
    unreadable: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""


async def survey(appliance: str, database: OMADatabase, ossea: OSSEAClient, settings: Settings) -> Survey:
    """Look at all VMs of an appliance; only reads.

    Args:
        appliance: its name.
        database: its database.
        ossea: its cloud.
        settings: its counts and times.

    Raises:
        ApplianceError: a part could not be read.
    """
    overview = await database.overview(volumes=False)
    suspects = maybe_stuck(overview, await ossea.skyline())
    sight = Sight({}, {})
    if suspects:
        sight = await observe_many(ossea, lambda: database.read_many(suspects))
    seen: dict[str, FailoverSeen] = {}
    unreadable = {context_id: str(error) for context_id, error in sight.unreadable.items()}
    for number, (context_id, observed) in enumerate(sight.contexts.items()):
        if number % _BREATH == 0:
            await asyncio.sleep(0)
        try:
            failover = failover_of(observed, settings)
        except ValidationError:
            unreadable[context_id] = "the memory of a claim cannot be read."
            continue
        if failover is not None:
            seen[context_id] = failover
    return Survey(appliance, datetime.now(UTC), overview.contexts, seen, unreadable)


def failover_of(observed: Observed, settings: Settings) -> FailoverSeen | None:
    """The failover of one context, if it hangs or is at work.

    Raises:
        ValidationError: the memory of a claim cannot be read.
    """
    verdict = stuck_failover(observed, settings)
    if isinstance(verdict, StuckFailover):
        return FailoverSeen(
            job_id=verdict.job_id,
            operation=verdict.operation,
            live=verdict.live,
            stuck=True,
            since=verdict.since.replace(microsecond=0),
            last_step=verdict.last_step,
            blocked_by=verdict.reason,
        )
    records = observed.world.records
    job_id = newest_job_id(records)
    incident = resolve(records, job_id) if job_id is not None else None
    if incident is None or not (verdict is Unsettled.UNSETTLED or _alive(incident, observed, settings)):
        return None
    return FailoverSeen(
        job_id=incident.job_id,
        operation=incident.operation,
        live=incident.live,
        stuck=False,
        since=as_utc(incident.newest_activity, records.clock).replace(microsecond=0),
        last_step=incident.last_step,
    )


def _alive(incident: Incident, observed: Observed, settings: Settings) -> bool:
    wish = Wish(job_id=incident.job_id, settings=settings)
    return any(block.object == incident.job_id for block in guards.alive(incident, observed.world, wish))


class Surveys:
    """Surveys of appliances, each shared by all who ask for it at the same time or soon after."""

    def __init__(self, opener: DoorOpener, limits: Limits, *, seconds: float) -> None:
        """Prepare; nothing is read.

        Args:
            opener: opens appliances with the console's own rights.
            limits: times shared with every owner of claims.
            seconds: how old a survey may be.
        """
        self._opener = opener
        self._limits = limits
        self._of = alru_cache(maxsize=_REMEMBERED, ttl=seconds, key=_identity)(self._survey)

    async def of(self, appliance: Appliance) -> Survey:
        """The newest survey; one that failed says why in `problem`, and is not tried again at once either."""
        return await self._of(appliance)

    async def _survey(self, appliance: Appliance) -> Survey:
        name = appliance.metadata.name
        try:
            async with self._opener.database(appliance) as database, self._opener.ossea(appliance, database) as ossea:
                return await survey(name, database, ossea, settings_for(appliance, self._limits))
        except (ApplianceError, KubernetesError) as error:
            logger.warning("Appliance not surveyed", extra={"appliance": name, "cause": str(error)})
            return Survey(name, datetime.now(UTC), problem=str(error))


def _identity(appliance: Appliance) -> tuple[str, str, int]:
    """What makes a survey of an Appliance out of date before its time."""
    return appliance.metadata.name, appliance.metadata.uid, appliance.metadata.generation
