"""One scan of one appliance, and what it found."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from pydantic import ValidationError

from failed_execution_cleanup.appliance.database import OMADatabase, Overview
from failed_execution_cleanup.appliance.errors import Refused
from failed_execution_cleanup.appliance.observe_many import Sight, observe_many
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.skyline import Skyline
from failed_execution_cleanup.detection.drift import Drift, FinishedCleanup, drift_of
from failed_execution_cleanup.detection.stuck import StuckFailover, Unsettled, stuck_failover
from failed_execution_cleanup.detection.suspicion import maybe_drifted, maybe_stuck
from failed_execution_cleanup.recovery.goals import Settings

logger = logging.getLogger(__name__)

_BREATH: Final = 20
"""Worlds judged before others get their turn on the loop."""


@dataclass(frozen=True, slots=True)
class ScanResult:
    """What one scan found: the one place for status, Events, metrics and what is done about it.

    Attributes:
        stuck: failovers that hang, longest first.
        drift: what drifted, by context; None where all holds again.
        unsettled: contexts without a verdict, because others were at work: what was told of them before stands.
        unreadable: contexts whose rows cannot be understood, and why.
        contexts: how many contexts the appliance has.
        observed: how many of them were looked at closely.
        seconds: how long it took.
    """

    stuck: tuple[StuckFailover, ...] = ()
    drift: Mapping[FinishedCleanup, Drift | None] = field(default_factory=dict)
    unsettled: frozenset[str] = frozenset()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    contexts: int = 0
    observed: int = 0
    seconds: float = 0.0


async def scan(
    database: OMADatabase, ossea: OSSEAClient, settings: Settings, finished: Collection[FinishedCleanup]
) -> ScanResult:
    """Scan an appliance; only reads.

    Args:
        database: the appliance's database.
        ossea: its cloud.
        settings: its counts and times.
        finished: cleanups that ended clean.

    Raises:
        ApplianceError: a part could not be read; nothing is known then.
    """
    began = asyncio.get_running_loop().time()
    overview = await database.overview(volumes=bool(finished))
    skyline = await ossea.skyline()
    _require_oma(overview, skyline)
    suspects = maybe_stuck(overview, skyline)
    drifted = maybe_drifted(finished, overview, skyline, suspects)
    wanted = suspects | drifted
    sight = Sight({}, {})
    if wanted:
        sight = await observe_many(ossea, lambda: database.read_many(wanted))
    judged = _Judged(sight, settings)
    await judged.judge(suspects, [cleanup for cleanup in finished if cleanup.context_id in drifted])
    holds = {cleanup: None for cleanup in finished if cleanup.context_id not in drifted}
    return ScanResult(
        stuck=tuple(sorted(judged.stuck, key=lambda job: (job.since, job.job_id))),
        drift={**holds, **judged.drift},
        unsettled=frozenset(judged.unsettled),
        unreadable=judged.unreadable,
        contexts=len(overview.statuses),
        observed=len(sight.contexts),
        seconds=asyncio.get_running_loop().time() - began,
    )


def _require_oma(overview: Overview, skyline: Skyline) -> None:
    """Where home is must be known, or everything looks displaced.

    Raises:
        Refused: the configuration is not one, or names a VM that is not there.
    """
    if len(overview.oma_vm_ids) != 1 or overview.oma_vm_ids[0] not in skyline.vms:
        named = ", ".join(overview.oma_vm_ids) or "none"
        raise Refused(
            f"exactly one active row of ossea_configs must name the appliance's own VM; named: {named}.",
            system="OMA database",
            remedy="Set is_active on the right one, or correct oma_vm_id.",
        )


class _Judged:
    """The verdicts on all that was observed."""

    def __init__(self, sight: Sight, settings: Settings) -> None:
        self._sight = sight
        self._settings = settings
        self.stuck: list[StuckFailover] = []
        self.drift: dict[FinishedCleanup, Drift | None] = {}
        self.unsettled: set[str] = set()
        self.unreadable = {context_id: str(error) for context_id, error in sight.unreadable.items()}

    async def judge(self, suspects: Collection[str], finished: Collection[FinishedCleanup]) -> None:
        """Judge everything, with a breath for others now and then."""
        for number, context_id in enumerate(sorted(suspects)):
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            self._judge_suspect(context_id)
        for number, cleanup in enumerate(finished):
            if number % _BREATH == 0:
                await asyncio.sleep(0)
            self._judge_finished(cleanup)

    def _judge_suspect(self, context_id: str) -> None:
        seen = self._sight.contexts.get(context_id)
        if seen is None:
            return
        try:
            verdict = stuck_failover(seen, self._settings)
        except ValidationError:
            self._damaged(context_id)
            return
        if isinstance(verdict, Unsettled):
            self.unsettled.add(context_id)
        elif verdict is not None:
            self.stuck.append(verdict)

    def _judge_finished(self, cleanup: FinishedCleanup) -> None:
        seen = self._sight.contexts.get(cleanup.context_id)
        if seen is None:
            return  # the context is gone, or unreadable
        try:
            verdict = drift_of(seen, cleanup, self._settings)
        except ValidationError:
            self._damaged(cleanup.context_id)
            return
        if isinstance(verdict, Unsettled):
            self.unsettled.add(cleanup.context_id)
        else:
            self.drift[cleanup] = verdict

    def _damaged(self, context_id: str) -> None:
        self.unreadable[context_id] = f"the memory of a claim on context {context_id} cannot be read."
