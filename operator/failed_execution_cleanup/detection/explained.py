"""What a newer replication explains: it writes the context's status, so a status alone is then nobody's failure."""

from __future__ import annotations

from datetime import datetime

from failed_execution_cleanup.recovery.incident import as_utc
from failed_execution_cleanup.recovery.world import Records


def replicated_since(records: Records, since: datetime) -> bool:
    """Whether a replication of the context began after an instant."""
    return any(
        row.created_at is not None and as_utc(row.created_at, records.clock) > since for row in records.replications
    )
