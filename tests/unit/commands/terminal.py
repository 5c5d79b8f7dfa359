"""`fec` in this process, on a cluster in memory whose operator plays what it is told."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from failed_execution_cleanup.cli import app
from failed_execution_cleanup.client import CleanupClient
from failed_execution_cleanup.commands.connection import Target
from failed_execution_cleanup.controller.kubernetes_api import CLEANUPS, Body, CustomResource, Selection, WatchEvent
from tests.unit.client.cluster import EVERYTHING, NAMESPACE, Cluster


@dataclass
class Acted(Cluster):
    """A cluster in which each watch of a cleanup is followed by the operator's next status.

    Attributes:
        script: what the operator writes, in order; `observedGeneration` and `lastHandledRequest` are always the latest.
        interrupt: press Ctrl-C once the script is over.
    """

    script: list[Body] = field(default_factory=list)
    interrupt: bool = False

    async def watch(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        resource_version: str,
        selection: Selection = EVERYTHING,
    ) -> AsyncGenerator[WatchEvent]:
        name = selection.fields.partition("=")[2]
        if self.script:
            self.play(name, self.script.pop(0))
            self.cut = True
        elif self.interrupt:
            raise KeyboardInterrupt
        async for change in super().watch(resource, namespace, resource_version=resource_version, selection=selection):
            yield change

    def play(self, name: str, status: Body) -> None:
        """Write a status as the operator would that saw everything."""
        metadata = self.stored(name)["metadata"]
        token = metadata.get("annotations", {}).get("failover.ossea.io/requestedAt")
        seen = {"observedGeneration": metadata["generation"], **({"lastHandledRequest": token} if token else {})}
        self.status(name, {**status, **seen})


@dataclass
class Terminal:
    """Runs `fec`."""

    cluster: Acted

    def run(self, *arguments: str, answer: str | None = None) -> Result:
        return CliRunner().invoke(app, list(arguments), input=answer)

    def document(self, *arguments: str) -> Any:
        """What a command writes for programs."""
        return json.loads(self.run(*arguments, "-o", "json").stdout)


@pytest.fixture
def cluster() -> Acted:
    return Acted()


@pytest.fixture
def fec(cluster: Acted, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    @asynccontextmanager
    async def connected(target: Target) -> AsyncIterator[CleanupClient]:
        yield CleanupClient(cluster, target.namespace or NAMESPACE)

    monkeypatch.setattr(Target, "connected", connected)
    return Terminal(cluster)


def cleanups(cluster: Cluster) -> list[Body]:
    """All cleanups there are."""
    return [cluster.stored(name) for name in cluster.names if cluster.stored(name)["kind"] == CLEANUPS.kind]
