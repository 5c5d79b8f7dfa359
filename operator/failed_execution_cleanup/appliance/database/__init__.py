"""The OMA database: what is read of a context, the lock and the claim, and the few writes to rows of the product.

Start at `OMADatabase.open`. Everything that writes needs a `ContextLock` and, but for taking it, a `StoredClaim`.
"""

from failed_execution_cleanup.appliance.database.claims import ClaimOutcome, StoredClaim, claim_id
from failed_execution_cleanup.appliance.database.configs import OSSEAConfig
from failed_execution_cleanup.appliance.database.failures import (
    ClaimLost,
    LockHeld,
    LockLost,
    RowsChanged,
    UnexpectedRow,
)
from failed_execution_cleanup.appliance.database.job_log import Level, StepOutcome
from failed_execution_cleanup.appliance.database.oma_database import ContextLock, OMADatabase
from failed_execution_cleanup.appliance.database.overview import (
    ContextOutline,
    NewestFailover,
    Overview,
    VolumeOutline,
)
from failed_execution_cleanup.appliance.database.record_sets import ContextRecords, RecordSet

__all__ = [
    "ClaimLost",
    "ClaimOutcome",
    "ContextLock",
    "ContextOutline",
    "ContextRecords",
    "Level",
    "LockHeld",
    "LockLost",
    "NewestFailover",
    "OMADatabase",
    "OSSEAConfig",
    "Overview",
    "RecordSet",
    "RowsChanged",
    "StepOutcome",
    "StoredClaim",
    "UnexpectedRow",
    "VolumeOutline",
    "claim_id",
]
