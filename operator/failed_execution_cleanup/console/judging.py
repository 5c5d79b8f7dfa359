"""The counts and times of an Appliance as the operator judges with them."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from failed_execution_cleanup.access.goals import settings_of
from failed_execution_cleanup.recovery.goals import Settings
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.run.cleanup import Limits


def settings_for(appliance: Appliance, limits: Limits) -> Settings:
    """Settings of an Appliance, with the time after which the owner of a claim counts as dead.

    Args:
        appliance: the resource.
        limits: times shared with every owner of claims.
    """
    return replace(settings_of(appliance.spec), owner_alive=timedelta(seconds=limits.owner_alive_seconds))
