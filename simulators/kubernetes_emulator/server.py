"""The emulator as a server on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from appliance_simulator.connections import Connections, serve
from kubernetes_emulator.disturbances import Disturbances
from kubernetes_emulator.http_api import HttpApi
from kubernetes_emulator.kinds import DEFINITIONS
from kubernetes_emulator.objects import Objects
from kubernetes_emulator.store import Store


@dataclass(frozen=True, slots=True)
class Emulator:
    """A running emulator.

    Attributes:
        url: `http://127.0.0.1:<port>`.
        objects: what it serves.
        disturbances: what goes wrong, and what was written.
    """

    url: str
    objects: Objects = field(repr=False)
    disturbances: Disturbances = field(repr=False)
    _connections: Connections = field(repr=False)

    def cut_connections(self) -> None:
        """Close every connection, as a restart of the server does; watches and requests end without a word."""
        self._connections.cut()

    def kubeconfig(self) -> dict[str, Any]:
        """Return a kubeconfig for it; there are no credentials."""
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "emulator", "cluster": {"server": self.url}}],
            "users": [{"name": "anybody", "user": {}}],
            "contexts": [{"name": "emulator", "context": {"cluster": "emulator", "user": "anybody"}}],
            "current-context": "emulator",
        }


@contextlib.asynccontextmanager
async def emulator(
    port: int = 0, *, crds: Path | None = None, history: int = 10_000, bookmark_seconds: float = 60.0
) -> AsyncIterator[Emulator]:
    """Serve on 127.0.0.1 until the block ends; open watches end with it.

    Args:
        port: TCP port; 0 takes a free one.
        crds: directory with custom resource definitions, as YAML files, to begin with.
        history: changes remembered per kind; a watch that continues from before them gets 410.
        bookmark_seconds: how often a watch that wants bookmarks gets one.

    Raises:
        OSError: the port is taken, or the directory cannot be read.
    """
    objects = Objects(Store(history))
    if crds is not None:
        _define(objects, crds)
    connections, disturbances = Connections(), Disturbances()
    async with serve(HttpApi(objects, bookmark_seconds, disturbances).application(), port, connections) as url:
        try:
            yield Emulator(url, objects, disturbances, connections)
        finally:
            # Watches end by themselves when they see that their client is gone; cancelled, they would complain.
            connections.cut()
            await asyncio.gather(*connections.state.tasks, return_exceptions=True)


def _define(objects: Objects, directory: Path) -> None:
    for path in sorted(directory.glob("*.yaml")):
        for definition in yaml.safe_load_all(path.read_text(encoding="utf-8")):
            objects.create(DEFINITIONS, None, definition)
