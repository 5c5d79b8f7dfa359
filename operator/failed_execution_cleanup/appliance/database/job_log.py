"""Our own job in the OMA's job log, written as the product's joblog writes (appliance facts 5)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import func, insert, select, update

from failed_execution_cleanup.appliance.database.claims import ClaimRows
from failed_execution_cleanup.appliance.database.clock import LocalNow
from failed_execution_cleanup.appliance.database.failures import RowsChanged
from failed_execution_cleanup.appliance.database.tables import job_steps, log_events

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy.ext.asyncio import AsyncConnection

    from failed_execution_cleanup.appliance.database.claims import StoredClaim

StepOutcome = Literal["completed", "failed", "skipped"]
Level = Literal["DEBUG", "INFO", "WARN", "ERROR"]

_NAME_LENGTH: Final = 200
_TEXT_LENGTH: Final = 4000


class JobLogRows(ClaimRows):
    """Writes to `job_steps` and `log_events` of the claim's row. All raise `ClaimLost` as other writes do."""

    async def start_step(self, claim: StoredClaim, name: str) -> int:
        """Begin a step and return its id."""
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            return await _insert_step(connection, claim.id, name, {"status": "running", "started_at": LocalNow()})

    async def end_step(self, claim: StoredClaim, step_id: int, status: StepOutcome, error: str | None = None) -> None:
        """End a step of this claim.

        Raises:
            RowsChanged: the step is not running.
        """
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            column = job_steps.c
            changed = await connection.execute(
                update(job_steps)
                .where(column.id == step_id, column.job_id == claim.id, column.status == "running")
                .values(status=status, completed_at=LocalNow(), error_message=error and error[:_TEXT_LENGTH])
            )
            if changed.rowcount != 1:
                raise RowsChanged("job_steps", "id", str(step_id), expected="a running step of this cleanup")

    async def skip_step(self, claim: StoredClaim, name: str, reason: str) -> None:
        """Record a step that had nothing to do; the reason goes to the log."""
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            ended = {"status": "skipped", "started_at": LocalNow(), "completed_at": LocalNow()}
            step_id = await _insert_step(connection, claim.id, name, ended)
            await _insert_event(connection, claim.id, "INFO", reason, {"step": name}, step_id)

    async def log(
        self,
        claim: StoredClaim,
        level: Level,
        message: str,
        attrs: Mapping[str, object] | None = None,
        step_id: int | None = None,
    ) -> None:
        """Write a message; `attrs` must be JSON and hold no secrets."""
        async with self.transaction(write=True) as connection:
            await self._verify_claim(connection, claim)
            await _insert_event(connection, claim.id, level, message, attrs or {}, step_id)


async def _insert_step(connection: AsyncConnection, job_id: str, name: str, values: dict[str, Any]) -> int:
    # The claim's row is locked, so nobody else numbers steps of this job.
    newest = await connection.scalar(select(func.max(job_steps.c.seq)).where(job_steps.c.job_id == job_id))
    inserted = await connection.execute(
        insert(job_steps).values({"job_id": job_id, "name": name[:_NAME_LENGTH], "seq": (newest or 0) + 1, **values})
    )
    return int(inserted.lastrowid)


async def _insert_event(
    connection: AsyncConnection,
    job_id: str,
    level: str,
    message: str,
    attrs: Mapping[str, object],
    step_id: int | None,
) -> None:
    await connection.execute(
        insert(log_events).values(
            job_id=job_id,
            step_id=step_id,
            level=level,
            message=message[:_TEXT_LENGTH],
            attrs=json.dumps(dict(attrs)),
            ts=LocalNow(),
        )
    )
