"""The claim: one `job_tracking` row per cleanup, with its owner, its fencing number and its memory.

Its id follows from context and failover job, so two owners can never insert two of them. Every later write first takes
the row's lock (`SELECT … FOR UPDATE`; on SQLite the database's write lock), compares number and owner with what the
writer believes, and only then writes, all in one transaction: nobody can come between compare and set, and no text of
JSON needs to be compared in SQL.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from failed_execution_cleanup.appliance.database.clock import LocalNow, UTCNow
from failed_execution_cleanup.appliance.database.envelope import (
    JOB_TYPE,
    OPERATION,
    Envelope,
    Stored,
    damaged,
    parse,
    render,
)
from failed_execution_cleanup.appliance.database.failures import ClaimLost
from failed_execution_cleanup.appliance.database.session import LockedSession
from failed_execution_cleanup.appliance.database.statements import CLAIM, LOCKED_CLAIM
from failed_execution_cleanup.appliance.database.tables import job_steps, job_tracking

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Row
    from sqlalchemy.ext.asyncio import AsyncConnection

_NAMESPACE: Final = uuid.UUID("5f1d7c1e-6f0a-4b53-9a4e-0c1f6c1a7b90")
_SYSTEM: Final = "system"

ClaimOutcome = Literal["completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class StoredClaim:
    """A claim as it was stored when this copy was made.

    Attributes:
        id: `job_tracking.id`; follows from context and failover job.
        context_id: the context it is for.
        job_id: `failover_jobs.job_id` it is bound to.
        number: fencing number: 1 at first, raised by every take-over.
        owner: identity of the process that holds it; None when released.
        heartbeat_age: seconds since the owner's last heartbeat by the database's clock; None when released.
        finished: the cleanup ended clean.
        status: `job_tracking.status`.
        started_at: when it was last taken, in the server's local digits.
        memory: text of a JSON object; None when nothing was ever saved.
    """

    id: str
    context_id: str
    job_id: str
    number: int
    owner: str | None
    heartbeat_age: float | None
    finished: bool
    status: str | None
    started_at: datetime | None
    memory: str | None


def claim_id(context_id: str, job_id: str) -> str:
    """The id of the one claim row of a context and a failover job."""
    return str(uuid.uuid5(_NAMESPACE, f"{context_id}/{job_id}"))


class ClaimRows(LockedSession):
    """Taking, keeping and releasing the claim of a failover job of the locked context."""

    async def load_claim(self, job_id: str) -> StoredClaim | None:
        """Read the claim of a failover job; None when there never was one.

        Raises:
            UnexpectedRow: the row was changed by hand.
        """
        async with self.transaction(write=False) as connection:
            row = await _select(connection, claim_id(self.context_id, job_id))
        return None if row is None else _claim(row, _stored(row))

    async def take_claim(self, job_id: str, owner: str, *, previous: StoredClaim | None) -> StoredClaim:
        """Become the owner: insert the row with number 1, or raise the number of the one that was read.

        Steps a former owner left `running` in its job log are closed. Whether the former owner is dead is for the
        caller to know.

        Args:
            job_id: failover job the cleanup is bound to.
            owner: identity of this process.
            previous: what `load_claim` returned.

        Raises:
            ClaimLost: somebody else inserted or raised it since it was read.
        """
        row_id = claim_id(self.context_id, job_id)
        async with self.transaction(write=True) as connection:
            if previous is None:
                await _insert(
                    connection,
                    row_id,
                    self.context_id,
                    Envelope(job=job_id, number=1, owner=owner, heartbeat=await _utc(connection), finished=False),
                )
            else:
                row, stored = await _locked(connection, previous)
                taken = Envelope(
                    job=job_id,
                    number=previous.number + 1,
                    owner=owner,
                    heartbeat=row.utc,
                    finished=stored.envelope.finished,
                )
                await _interrupt_steps(connection, row_id)
                await _update(
                    connection,
                    row_id,
                    {
                        "status": "running",
                        "metadata": render(taken, stored.memory),
                        "started_at": LocalNow(),
                        "completed_at": None,
                        "canceled_at": None,
                        "error_message": None,
                    },
                )
            return await _read_back(connection, row_id)

    async def save_claim(self, claim: StoredClaim, memory: str | None) -> StoredClaim:
        """Store the memory, and a heartbeat with it.

        Args:
            claim: the claim as this owner knows it.
            memory: text of a JSON object; None removes what is stored.

        Raises:
            ClaimLost: it is not this owner's any more.
            ValueError: the memory is no JSON object.
        """
        async with self.transaction(write=True) as connection:
            return await _beat(connection, claim, lambda _: memory)

    async def heartbeat(self, claim: StoredClaim) -> StoredClaim:
        """Say that the owner is alive; the stored memory stays, also where this copy of the claim is older.

        Raises:
            ClaimLost: it is not this owner's any more.
        """
        async with self.transaction(write=True) as connection:
            return await _beat(connection, claim, lambda stored: stored.memory)

    async def release_claim(
        self, claim: StoredClaim, status: ClaimOutcome, error: str | None, *, finished: bool, memory: str | None
    ) -> None:
        """Give the claim up and close its row and the steps left `running`.

        Args:
            claim: the claim as this owner knows it.
            status: what the product's job list shows.
            error: why it stopped, for people.
            finished: the cleanup ended clean.
            memory: text of a JSON object for the next owner; None removes what is stored.

        Raises:
            ClaimLost: it is not this owner's any more.
            ValueError: the memory is no JSON object.
        """
        async with self.transaction(write=True) as connection:
            _, stored = await _locked(connection, claim)
            free = stored.envelope.model_copy(update={"owner": None, "heartbeat": None, "finished": finished})
            await _interrupt_steps(connection, claim.id)
            await _update(
                connection,
                claim.id,
                {
                    "status": status,
                    "metadata": render(free, memory),
                    "completed_at": LocalNow(),
                    "canceled_at": LocalNow() if status == "cancelled" else None,
                    "error_message": error,
                },
            )

    async def _verify_claim(self, connection: AsyncConnection, claim: StoredClaim) -> Row[Any]:
        """Lock the claim's row for the rest of a writing transaction and make sure it is still this owner's.

        Raises:
            ClaimLost: it is not.
        """
        self._require_context(claim.context_id)
        row, _ = await _locked(connection, claim)
        return row


async def read_open_claims(connection: AsyncConnection) -> tuple[str, ...]:
    """Ids of all claims that have an owner, alive or dead, whatever their context.

    Raises:
        UnexpectedRow: a row was changed by hand.
    """
    column = job_tracking.c
    ours = select(column.id, column.metadata.label("content")).where(
        column.job_type == JOB_TYPE, column.operation == OPERATION, column.status == "running"
    )
    claims = {row.id: parse(row.id, row.content) for row in await connection.execute(ours.order_by(column.id))}
    return tuple(
        row_id for row_id, stored in claims.items() if stored is not None and stored.envelope.owner is not None
    )


async def _insert(connection: AsyncConnection, row_id: str, context_id: str, envelope: Envelope) -> None:
    values: dict[str, Any] = {
        "id": row_id,
        "job_type": JOB_TYPE,
        "operation": OPERATION,
        "status": "running",
        "metadata": render(envelope, None),
        "owner": _SYSTEM,
        "context_id": context_id,
        "job_category": _SYSTEM,
    }
    values |= dict.fromkeys(("started_at", "created_at", "updated_at"), LocalNow())
    try:
        await connection.execute(insert(job_tracking).values(values))
    except IntegrityError:
        raise ClaimLost(row_id) from None


async def _update(connection: AsyncConnection, row_id: str, values: dict[str, Any]) -> None:
    changed = await connection.execute(
        update(job_tracking).where(job_tracking.c.id == row_id).values(values | {"updated_at": LocalNow()})
    )
    if changed.rowcount != 1:
        raise ClaimLost(row_id)


async def _interrupt_steps(connection: AsyncConnection, row_id: str) -> None:
    column = job_steps.c
    await connection.execute(
        update(job_steps)
        .where(column.job_id == row_id, column.status == "running")
        .values(status="failed", completed_at=LocalNow(), error_message="interrupted")
    )


async def _utc(connection: AsyncConnection) -> datetime:
    return (await connection.execute(select(UTCNow()))).scalar_one()


async def _select(connection: AsyncConnection, row_id: str, *, lock: bool = False) -> Row[Any] | None:
    statement = LOCKED_CLAIM if lock else CLAIM
    return (await connection.execute(statement, {"row_id": row_id})).one_or_none()


async def _locked(connection: AsyncConnection, claim: StoredClaim) -> tuple[Row[Any], Stored]:
    row = await _select(connection, claim.id, lock=True)
    if row is None:
        raise ClaimLost(claim.id)
    stored = _stored(row)
    if (stored.envelope.number, stored.envelope.owner) != (claim.number, claim.owner):
        raise ClaimLost(claim.id)
    return row, stored


async def _beat(connection: AsyncConnection, claim: StoredClaim, memory: Callable[[Stored], str | None]) -> StoredClaim:
    """Store a memory and a heartbeat of now; the row is locked, so it is known without reading it again."""
    row, stored = await _locked(connection, claim)
    kept = memory(stored)
    beat = stored.envelope.model_copy(update={"heartbeat": row.utc})
    await _update(connection, claim.id, {"metadata": render(beat, kept)})
    return replace(_claim(row, stored), heartbeat_age=0.0, memory=kept)


async def _read_back(connection: AsyncConnection, row_id: str) -> StoredClaim:
    row = await _select(connection, row_id, lock=True)
    if row is None:
        raise ClaimLost(row_id)
    return _claim(row, _stored(row))


def _stored(row: Row[Any]) -> Stored:
    stored = parse(row.id, row.content)
    if stored is None:
        raise damaged(row.id, row.content)
    return stored


def _claim(row: Row[Any], stored: Stored) -> StoredClaim:
    envelope = stored.envelope
    return StoredClaim(
        id=row.id,
        context_id=row.context_id,
        job_id=envelope.job,
        number=envelope.number,
        owner=envelope.owner,
        heartbeat_age=None if envelope.heartbeat is None else (row.utc - envelope.heartbeat).total_seconds(),
        finished=envelope.finished,
        status=row.status,
        started_at=row.started_at,
        memory=stored.memory,
    )
