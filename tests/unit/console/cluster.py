"""A cluster in memory for the console: the two resources, tokens, rights and Secrets; and who asked for what, with whose token."""
# ruff: noqa: ARG002 - it takes the arguments of the real client

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final, Self, cast

import httpx
from pydantic import SecretBytes, SecretStr

from failed_execution_cleanup.access.claim_settings import ClaimSettings
from failed_execution_cleanup.console.application import create_application
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.controller.kubernetes_api import Body, CustomResource, Forbidden, KubernetesApi, Page
from tests.unit.client.cluster import Cluster, appliance_body
from tests.unit.run.engine import Engine

TOKENS: Final = {"token-of-alice": "alice", "token-of-bob": "bob", "token-of-eve": "eve"}
RIGHTS: Final[Mapping[str, frozenset[str]]] = {
    "alice": frozenset({"get appliances/plan", "use appliances", "list failedexecutioncleanups"}),
    "bob": frozenset({"get appliances/plan"}),
    "eve": frozenset(),
}
"""What users may do, as `verb resource`, in all namespaces and on all objects."""
SETTINGS: Final = ConsoleSettings(
    review_seconds=60, survey_seconds=60, claims=ClaimSettings(http_timeout_seconds=5.0, claim_expiry_seconds=15.0)
)


@dataclass
class ConsoleCluster(Cluster):
    """`Cluster`, and what the console needs beyond it.

    Attributes:
        reviews: every question about a token or a right, in order.
        bearers: whose tokens were used for calls in their own name.
        trouble: raised by every review, if set.
    """

    rights: dict[str, frozenset[str]] = field(default_factory=lambda: dict(RIGHTS))
    secrets: dict[str, str] = field(default_factory=dict)
    reviews: list[tuple[str, Body]] = field(default_factory=list)
    bearers: list[str] = field(default_factory=list)
    trouble: Exception | None = None

    async def review(self, api_version: str, kind: str, spec: Body) -> Body:
        self.reviews.append((kind, spec))
        if self.trouble is not None:
            raise self.trouble
        if kind == "TokenReview":
            name = TOKENS.get(spec["token"])
            if name is None:
                return {"authenticated": False, "error": "unknown"}
            return {"authenticated": True, "user": {"username": name, "groups": ["people"], "extra": {"by": ["test"]}}}
        asked = spec["resourceAttributes"]
        resource = "/".join(filter(None, (asked["resource"], asked.get("subresource"))))
        return {"allowed": f"{asked['verb']} {resource}" in self.rights[spec["user"]]}

    async def list(self, resource: CustomResource, namespace: str | None = None) -> AsyncIterator[Body]:
        page: Page = await self.page(resource, namespace)
        for body in page.items:
            yield body

    async def read_secret(self, namespace: str, name: str) -> Mapping[str, SecretBytes]:
        return {"url": SecretBytes(self.secrets[name].encode())}

    def as_bearer(self, token: SecretStr) -> Bearer:
        self.bearers.append(TOKENS[token.get_secret_value()])
        return Bearer(self)


@dataclass
class Bearer:
    """The cluster in somebody's name."""

    cluster: ConsoleCluster

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing is open."""

    def __getattr__(self, name: str) -> Any:
        if self.cluster.bearers[-1] == "eve":
            raise Forbidden(f'User "eve" cannot {name}', status=403)
        return getattr(self.cluster, name)


def services(cluster: ConsoleCluster, settings: ConsoleSettings = SETTINGS) -> Services:
    """The console's services on a cluster."""
    return Services.on(cast(KubernetesApi, cluster), settings)


@asynccontextmanager
async def client(running: Services, token: str | None = "token-of-alice") -> AsyncIterator[httpx.AsyncClient]:  # noqa: S107
    """An HTTP client of the application."""
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    transport = httpx.ASGITransport(create_application(running), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://console/api/v1", headers=headers) as opened:
        yield opened


def with_appliance(cluster: ConsoleCluster, run: Engine, name: str = "default", **spec: Any) -> None:
    """Put the Appliance of a simulator into the cluster."""
    body = appliance_body(name)
    body["spec"] |= {"volumeDaemon": {"url": run.appliance.daemon_url}, "allowedNamespaces": ["dr"], **spec}
    cluster.secrets["oma-database"] = run.appliance.database_url
    cluster.put(body)
