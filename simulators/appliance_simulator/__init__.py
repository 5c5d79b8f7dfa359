"""A pretend appliance for tests and the demo: OSSEA (CloudStack), Volume Daemon and OMA database.

It behaves as the real parts do where a careful client can see it, and it knows what every volume contains. It shares no
code with the product and is never shipped.
"""

from appliance_simulator.appliance import Built, SimulatedAppliance, simulator
from appliance_simulator.cloud import UNDEFINED, CloudError
from appliance_simulator.database import create_schema
from appliance_simulator.faults import Fault, FaultKind
from appliance_simulator.journal import Door, Effect, Journal, Request
from appliance_simulator.leftovers import LEFTOVERS

__all__ = [
    "LEFTOVERS",
    "UNDEFINED",
    "Built",
    "CloudError",
    "Door",
    "Effect",
    "Fault",
    "FaultKind",
    "Journal",
    "Request",
    "SimulatedAppliance",
    "create_schema",
    "simulator",
]
