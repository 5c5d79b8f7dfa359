"""What a failed failover, rollback or cleanup leaves behind: a function per row of the table in appliance facts 3.4."""

from appliance_simulator import appliance_leftovers, cleanup_leftovers, failover_leftovers, rollback_leftovers
from appliance_simulator.leftover_registry import LEFTOVERS, Leftover

TABLE = (failover_leftovers, rollback_leftovers, cleanup_leftovers, appliance_leftovers)
"""The modules whose import fills `LEFTOVERS`."""

__all__ = ["LEFTOVERS", "TABLE", "Leftover"]
