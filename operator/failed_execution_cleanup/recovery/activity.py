"""What others do in the database: compared between two reads, it tells whether anybody but us was at work (rule 7)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from .memory import Memory
from .world import OperationRow, Records

_SLACK = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Activity:
    """Foreign rows of a context, reduced to what changes when somebody works on it. Compare with `==`."""

    failovers: tuple[tuple[int, str, str | None], ...]
    tracking: tuple[tuple[str, str | None, int, int, datetime | None], ...]
    replications: tuple[tuple[str, str], ...]
    current_job: str | None
    syncs: datetime | None
    operations: tuple[tuple[str, str], ...]


def activity(records: Records, memory: Memory) -> Activity:
    """Foreign activity; effects of requests in our memory never count (rule 5)."""
    return Activity(
        failovers=tuple((row.row_id, row.status, row.destination_vm_id) for row in records.failovers),
        tracking=tuple(
            (row.id, row.status, len(row.steps), row.newest_log_id, row.newest_activity) for row in records.tracking
        ),
        replications=tuple((row.id, row.status) for row in records.replications),
        current_job=records.context.current_job_id,
        syncs=max((row.created_at for row in records.syncs), default=None),
        operations=tuple(sorted((row.id, row.status) for row in records.operations if not is_ours(row, memory))),
    )


def is_ours(operation: OperationRow, memory: Memory) -> bool:
    """Whether a daemon operation is one we asked for.

    The daemon writes its row before we learn its id, so an operation of the right type that began after a request was written
    ahead, and while no id is known for that request, counts as ours.
    """
    for request in memory.requests:
        if request.external_id == operation.id:
            return True
        if (
            request.external_id is None
            and request.volume_id == operation.volume_id
            and request.kind.value == operation.type
            and request.sent_at <= operation.created_at + _SLACK
            and (request.settled_at is None or operation.created_at <= request.settled_at + _SLACK)
        ):
            return True
    return False
