"""Settings of the console's process, from the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AliasChoices, Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.controller.logs import LogFormat, LogLevel
from failed_execution_cleanup.controller.reason_link import DOCS_URL

Port = Annotated[int, Field(ge=0, le=65535)]


class ConsoleSettings(BaseSettings):
    """Environment variables `FEC_CONSOLE_…`; those the operator has too keep its names `FEC_…`. All are optional."""

    model_config = SettingsConfigDict(
        env_prefix="FEC_CONSOLE_", frozen=True, extra="ignore", populate_by_name=True, use_attribute_docstrings=True
    )

    host: str = "127.0.0.1"
    """Address the console listens on."""

    port: Port = 8443
    """Port the console listens on; 0 takes a free one."""

    tls_certificate: Path | None = None
    """Certificate chain (PEM) to serve HTTPS with. Without it the console serves HTTP: only behind something that ends TLS."""

    tls_key: Path | None = None
    """Private key (PEM) of the certificate."""

    health_host: str = "127.0.0.1"
    """Address of /healthz, /readyz and /metrics."""

    health_port: Port = 8081
    """Port of /healthz, /readyz and /metrics; 0 takes a free one."""

    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks whose X-Forwarded-For and X-Forwarded-Proto are believed; without them all callers of a proxy look alike."""

    wait_seconds: float = Field(default=900.0, ge=0, le=86400)
    """Longest time a request waits for the end of a cleanup; it goes on afterwards all the same."""

    survey_seconds: float = Field(default=5.0, ge=0.1, le=300)
    """Age up to which what was read of an appliance is shown again."""

    review_seconds: float = Field(default=10.0, ge=0.1, le=300)
    """Age up to which a caller's identity and rights are believed without asking again."""

    requests_per_minute: int = Field(default=600, ge=1, le=1_000_000)
    """Requests a user may make in a minute."""

    failed_logins_per_minute: int = Field(default=20, ge=1, le=1_000_000)
    """Refused tokens after which an address is not listened to for the rest of a minute; tokens known to be good still are."""

    streams_per_user: int = Field(default=20, ge=1, le=10_000)
    """Event streams and waiting requests a user may have open."""

    connections: int = Field(default=1000, ge=1, le=100_000)
    """Connections and requests at the same time; more are answered 503."""

    body_bytes: int = Field(default=65_536, ge=1024, le=16_777_216)
    """Longest body of a request."""

    url_bytes: int = Field(default=8_192, ge=256, le=65_536)
    """Longest path with query of a request."""

    header_bytes: int = Field(default=32_768, ge=4096, le=1_048_576)
    """Longest request line with headers."""

    body_seconds: float = Field(default=10.0, gt=0, le=300)
    """Longest time for a caller to send a body."""

    shutdown_seconds: int = Field(default=10, ge=0, le=300)
    """Longest time for open requests to end after SIGTERM."""

    namespace: str = Field(
        default="failed-execution-cleanup", validation_alias=AliasChoices("namespace", "FEC_NAMESPACE")
    )
    """The operator's own namespace: the only one Secrets are read from."""

    kubeconfig: Path | None = Field(default=None, validation_alias=AliasChoices("kubeconfig", "FEC_KUBECONFIG"))
    """Explicit kubeconfig; without it the pod's service account, then $KUBECONFIG, then ~/.kube/config."""

    docs_url: str = Field(default=DOCS_URL, validation_alias=AliasChoices("docs_url", "FEC_DOCS_URL"))
    """Address of the folder with the pages of the reasons. Empty: no link."""

    log_format: LogFormat = Field(default="human", validation_alias=AliasChoices("log_format", "FEC_LOG_FORMAT"))
    """`human`: text; `json`: one object a line."""

    log_level: LogLevel = Field(default="INFO", validation_alias=AliasChoices("log_level", "FEC_LOG_LEVEL"))
    """Least severity of this software's own records."""

    claims: ClaimSettings = Field(default_factory=ClaimSettings)
    """Times shared with the operator: FEC_HTTP_TIMEOUT_SECONDS and FEC_CLAIM_EXPIRY_SECONDS."""

    @model_validator(mode="after")
    def _certificate_and_key_together(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("FEC_CONSOLE_TLS_CERTIFICATE and FEC_CONSOLE_TLS_KEY belong together: set both or none")
        return self
