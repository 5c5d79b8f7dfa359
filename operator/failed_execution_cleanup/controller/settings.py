"""Settings of the operator's process, from the environment. What belongs to an appliance is in its Appliance resource."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from uuid import uuid4

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.controller.logs import LogFormat, LogLevel
from failed_execution_cleanup.controller.reason_link import DOCS_URL


def _identity() -> str:
    """Unique for every process that ever runs: a pod name may come again, a claim's owner must not."""
    return f"{os.environ.get('POD_NAME', socket.gethostname())}_{uuid4().hex[:12]}"


class OperatorSettings(ClaimSettings):
    """Environment variables `FEC_…`; all are optional."""

    model_config = SettingsConfigDict(env_prefix="FEC_", frozen=True, extra="ignore", use_attribute_docstrings=True)

    namespace: str = "failed-execution-cleanup"
    """The operator's own namespace: its Lease, and the only one Secrets are read from."""

    watch_namespaces: tuple[str, ...] = ()
    """Namespaces with cleanups; empty: all."""

    appliances: tuple[str, ...] = ()
    """Appliances whose status this operator keeps; empty: all. For several operators in one cluster."""

    kubeconfig: Path | None = None
    """Explicit kubeconfig; without it the pod's service account, then $KUBECONFIG, then ~/.kube/config."""

    identity: str = Field(default_factory=_identity)
    """Identity in the Lease and in claims; must be unique for every process that ever runs."""

    workers: int = Field(default=32, ge=1, le=1000)
    """Cleanups looked at side by side, over all appliances."""

    health_host: str = "127.0.0.1"
    """Address of /healthz, /readyz and /metrics."""

    health_port: int = Field(default=8080, ge=0, le=65535)
    """Port of /healthz, /readyz and /metrics; 0 takes a free one."""

    lease_seconds: int = Field(default=15, ge=3, le=300)
    """How long an unrenewed leadership lasts."""

    resync_seconds: float = Field(default=300.0, ge=1, le=86400)
    """Pause between two lists of all cleanups, which find what a lost event would have told."""

    docs_url: str = DOCS_URL
    """Address of the folder with the pages of the reasons; messages that a person must act on end with a link to it. Empty: no link."""

    log_format: LogFormat = "human"
    """`human`: text; `json`: one object a line."""

    log_level: LogLevel = "INFO"
    """Least severity of this software's own records: DEBUG, INFO, WARNING or ERROR; libraries log warnings and errors only."""
