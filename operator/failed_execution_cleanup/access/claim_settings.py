"""Times that whoever works on an appliance must share with all others who do."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from failed_execution_cleanup.run.cleanup import Limits


class ClaimSettings(BaseSettings):
    """Environment variables `FEC_…` that decide when a claim may be taken over; the same in every process of an appliance."""

    model_config = SettingsConfigDict(env_prefix="FEC_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    http_timeout_seconds: float = Field(default=30.0, gt=0, le=300)
    """Longest time for one request to OSSEA or the Volume Daemon; a new owner of a claim waits it out."""

    claim_expiry_seconds: float = Field(default=15.0, ge=1, le=300)
    """Age of a claim's heartbeat after which its owner counts as dead; the same for all operators and consoles of an appliance."""

    @property
    def limits(self) -> Limits:
        """The same, as the engine wants it."""
        return Limits(http_seconds=self.http_timeout_seconds, expiry_seconds=self.claim_expiry_seconds)
