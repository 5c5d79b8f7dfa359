"""The two resources in memory: what the client needs of an API server, without HTTP; and bodies to put there."""
# ruff: noqa: ARG002 - it takes the arguments of the protocol

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from typing import Any

from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Body,
    Conflict,
    CustomResource,
    KubernetesError,
    NotFound,
    Page,
    Selection,
    WatchEvent,
)

NAMESPACE = "dr"
EVERYTHING = Selection()


def condition(type_: str, status: str, reason: str, message: str = "") -> dict[str, Any]:
    return {
        "type": type_,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-31T10:00:00Z",
        "observedGeneration": 1,
    }


def ready(reason: str, status: str = "False", message: str = "", **fields: Any) -> dict[str, Any]:
    """A status with this verdict, for generation 1."""
    return {"observedGeneration": 1, "conditions": [condition("Ready", status, reason, message)], **fields}


def cleanup_body(
    name: str = "pgtest1-0a1b2c3d",
    *,
    status: Mapping[str, Any] | None = None,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Body:
    return {
        "apiVersion": CLEANUPS.api_version,
        "kind": CLEANUPS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE, "annotations": dict(annotations or {})},
        "spec": {"vmName": "pgtest1", "applianceRef": {"name": "default"}, **spec},
        "status": {"observedGeneration": -1, **(status or {})},
    }


def stuck(vm_name: str, job_id: str, vcenter_host: str = "vc01") -> dict[str, Any]:
    return {
        "jobID": job_id,
        "vmName": vm_name,
        "vcenterHost": vcenter_host,
        "type": "test",
        "stuckSince": "2026-01-31T10:00:00Z",
        "lastStep": "virtio-driver-injection",
    }


def appliance_body(name: str = "default", *jobs: Mapping[str, Any]) -> Body:
    return {
        "apiVersion": APPLIANCES.api_version,
        "kind": APPLIANCES.kind,
        "metadata": {"name": name},
        "spec": {
            "database": {"urlSecretRef": {"name": "oma-database", "key": "url"}},
            "volumeDaemon": {"url": "http://oma.example.com:8090"},
        },
        "status": {"stuck": list(jobs), "stuckVMs": len(jobs), "lastScanTime": "2026-01-31T10:00:00Z"},
    }


@dataclass
class Cluster:
    """Implements `ResourceApi`.

    Attributes:
        failures: raised by the next calls of that name, one after the other.
        patches: what was written, in order.
        meanwhile: changes somebody else makes right after the client's next reads.
    """

    user: str = "alice"
    failures: dict[str, list[KubernetesError]] = field(default_factory=dict)
    patches: list[Body] = field(default_factory=list)
    meanwhile: list[Body] = field(default_factory=list)
    _objects: dict[tuple[str, str], Body] = field(default_factory=dict)
    _version: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)
    _history: list[tuple[int, WatchEvent]] = field(default_factory=list)
    cut: bool = False

    def put(self, body: Body) -> Body:
        """Store an object as somebody else would."""
        kind, metadata = body["kind"], body["metadata"]
        before = self._objects.get((kind, metadata["name"]))
        self._version += 1
        stored = copy.deepcopy(body)
        stored["metadata"].setdefault("uid", f"uid-{self._version}")
        stored["metadata"].setdefault("generation", 1)
        stored["metadata"].setdefault("creationTimestamp", f"2026-01-31T10:00:{self._version % 60:02}Z")
        stored["metadata"]["resourceVersion"] = str(self._version)
        self._objects[kind, metadata["name"]] = stored
        self._tell("MODIFIED" if before else "ADDED", stored)
        return stored

    def status(self, name: str, status: Body) -> None:
        """Write a status, as the operator does."""
        self.put({**self._objects[CLEANUPS.kind, name], "status": status})

    def remove(self, name: str) -> None:
        self._version += 1
        self._tell("DELETED", self._objects.pop((CLEANUPS.kind, name)))

    def stored(self, name: str) -> Body:
        return self._objects[CLEANUPS.kind, name]

    @property
    def names(self) -> list[str]:
        """Names of all cleanups."""
        return sorted(name for kind, name in self._objects if kind == CLEANUPS.kind)

    async def get(self, resource: CustomResource, namespace: str | None, name: str) -> Body:
        self._fail("get")
        if (resource.kind, name) not in self._objects:
            raise NotFound(f"{resource.kind} {name} not found", status=404)
        read = copy.deepcopy(self._objects[resource.kind, name])
        if self.meanwhile:
            self.put({**read, **self.meanwhile.pop(0)})
        return read

    async def page(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        selection: Selection = EVERYTHING,
        limit: int = 500,
        continue_token: str = "",
    ) -> Page:
        self._fail(f"page {resource.plural}")
        every = [copy.deepcopy(body) for (kind, _), body in self._objects.items() if kind == resource.kind]
        return Page(tuple(body for body in every if _selected(body, selection.fields)), "", str(self._version))

    async def create(self, resource: CustomResource, namespace: str | None, body: Body) -> Body:
        self._fail("create")
        if (resource.kind, body["metadata"]["name"]) in self._objects:
            raise Conflict("already exists", status=409)
        return copy.deepcopy(self.put({"status": {"observedGeneration": -1}, **body}))

    async def patch(
        self, resource: CustomResource, namespace: str | None, name: str, patch: Body, *, resource_version: str
    ) -> Body:
        self._fail("patch")
        present = self._objects[resource.kind, name]
        if present["metadata"]["resourceVersion"] != resource_version:
            raise Conflict("moved on", status=409)
        self.patches.append(patch)
        merged = _merged(present, patch)
        if merged["spec"] != present["spec"]:
            merged["metadata"]["generation"] += 1
        return copy.deepcopy(self.put(merged))

    async def delete(
        self, resource: CustomResource, namespace: str | None, name: str, *, uid: str, resource_version: str
    ) -> None:
        metadata = self._objects[resource.kind, name]["metadata"]
        if (metadata["uid"], metadata["resourceVersion"]) != (uid, resource_version):
            raise Conflict("moved on", status=409)
        self.remove(name)

    async def watch(
        self,
        resource: CustomResource,
        namespace: str | None = None,
        *,
        resource_version: str,
        selection: Selection = EVERYTHING,
    ) -> AsyncGenerator[WatchEvent]:
        self._fail("watch")
        seen = int(resource_version)
        while True:
            for version, change in list(self._history):
                if version > seen and _selected(change.object, selection.fields):
                    seen = version
                    yield change
            if self.cut:
                self.cut = False
                return
            self._fail("watch")
            await self._changed.wait()

    async def user_name(self) -> str:
        self._fail("user_name")
        return self.user

    def wake(self) -> None:
        """Let watches look again."""
        self._changed.set()
        self._changed = asyncio.Event()

    def _tell(self, type_: str, body: Body) -> None:
        self._history.append((self._version, WatchEvent(type_, copy.deepcopy(body))))
        self.wake()

    def _fail(self, call: str) -> None:
        if self.failures.get(call):
            raise self.failures[call].pop(0)


def _selected(body: Body, fields: str) -> bool:
    for wanted in filter(None, re.split(r"(?<!\\),", fields)):
        path, _, value = wanted.partition("=")
        found: Any = body
        for key in path.split("."):
            found = found.get(key, {})
        if found != re.sub(r"\\(.)", r"\1", value):
            return False
    return True


def _merged(present: Body, patch: Mapping[str, Any]) -> Body:
    """RFC 7386."""
    result = dict(present)
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, Mapping):
            result[key] = _merged(result.get(key) or {}, value)
        else:
            result[key] = value
    return result
