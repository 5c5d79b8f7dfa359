"""What a person or a program asks of the operator, as writes on the two resources: used by the command line and the console.

    Order ─► CleanupClient.place ─► FailedExecutionCleanup ─► follow ─► ending

Nothing here decides what may be done to an appliance: that is the operator's, and the API server's by its roles and policies.
"""

from failed_execution_cleanup.client.cleanups import CleanupClient, Placed
from failed_execution_cleanup.client.ending import Ending, EndingState, ending, is_current
from failed_execution_cleanup.client.errors import (
    AmbiguousTarget,
    ClientError,
    ClusterUnreachable,
    NoSuchAppliance,
    NoSuchCleanup,
    NotAccepted,
    NotAllowed,
    NotEnded,
    NotPossible,
)
from failed_execution_cleanup.client.order import Order
from failed_execution_cleanup.client.stuck import StuckVM, stuck_of

__all__ = [
    "AmbiguousTarget",
    "CleanupClient",
    "ClientError",
    "ClusterUnreachable",
    "Ending",
    "EndingState",
    "NoSuchAppliance",
    "NoSuchCleanup",
    "NotAccepted",
    "NotAllowed",
    "NotEnded",
    "NotPossible",
    "Order",
    "Placed",
    "StuckVM",
    "ending",
    "is_current",
    "stuck_of",
]
