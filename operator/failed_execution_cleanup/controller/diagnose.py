"""The support bundle: everything a maintainer would ask for about one VM, in one document, without a secret.

    who asks        versions, settings
    the cluster     Appliance, cleanups of the VM with their Events, leader, health and recent calls of the operator
    the appliance   an observation now, what it means for each cleanup, the claims and their memory

Only reads are made, with the rights of the kubeconfig and the operator's own way to the appliance. What cannot be had is told as a
problem and hides nothing else: a bundle is made on bad days.
"""

from __future__ import annotations

import json
import platform
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import httpx
import yaml
from pydantic import SecretBytes, TypeAdapter, ValidationError

from failed_execution_cleanup import __version__
from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.access.goals import settings_of
from failed_execution_cleanup.access.secrets import SecretSource
from failed_execution_cleanup.appliance.calls import CallListener, RecentCalls
from failed_execution_cleanup.appliance.database import OMADatabase, OSSEAConfig
from failed_execution_cleanup.appliance.errors import ApplianceError
from failed_execution_cleanup.appliance.observe import observe
from failed_execution_cleanup.controller.appliances import NamespaceSecrets
from failed_execution_cleanup.controller.http_pages import shown_calls
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    CLEANUPS,
    Body,
    CustomResource,
    KubernetesApi,
    KubernetesError,
)
from failed_execution_cleanup.controller.operator import LEASE_NAME
from failed_execution_cleanup.controller.plain_data import plain_cloud, plain_decision, plain_records
from failed_execution_cleanup.controller.redaction import Redactor
from failed_execution_cleanup.controller.reporter import order_of
from failed_execution_cleanup.controller.settings import OperatorSettings
from failed_execution_cleanup.recovery.decide import decide
from failed_execution_cleanup.recovery.goals import Wish
from failed_execution_cleanup.recovery.incident import newest_job_id
from failed_execution_cleanup.recovery.world import OwnClaimRow, World
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceSpec, SecretKeyReference
from failed_execution_cleanup.resources.cleanup import FailedExecutionCleanup
from failed_execution_cleanup.run.claim import load_memory
from failed_execution_cleanup.run.cleanup import Limits
from failed_execution_cleanup.run.surroundings import wish_of

__all__ = ["Diagnosis", "Subject", "as_text", "collect"]

_EVENTS: Final = CustomResource("events.k8s.io", "v1", "events", "Event", namespaced=True)
_LIBRARIES: Final = ("kopf", "kubernetes", "httpx", "sqlalchemy", "asyncmy", "aiosqlite", "pydantic")
_OPERATOR_SECONDS: Final = 5.0
_CLAIM: Final = TypeAdapter(OwnClaimRow)
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


@dataclass(frozen=True, slots=True)
class Subject:
    """What the bundle is about.

    Attributes:
        namespaces: where its cleanups may be; everywhere if empty.
        operator_url: health server of a running operator.
    """

    vm_name: str
    appliance: str
    vcenter_host: str | None = None
    namespaces: tuple[str, ...] = ()
    operator_url: str = ""


async def collect(kubeconfig: Path | None, settings: OperatorSettings, subject: Subject) -> dict[str, Any]:
    """Collect one bundle.

    Args:
        kubeconfig: explicit file; else as `KubernetesApi.connect` finds one.
        settings: those of the operator; its namespace is where Secrets and Lease are.
        subject: what the bundle is about.

    Raises:
        KubernetesError: there is no usable configuration.
    """
    async with await KubernetesApi.connect(kubeconfig) as api:
        return await Diagnosis(api, settings, subject).collect()


def as_text(bundle: Mapping[str, Any], *, as_json: bool) -> str:
    """The bundle as one JSON or YAML document."""
    if as_json:
        return json.dumps(bundle, ensure_ascii=False, indent=2) + "\n"
    return str(yaml.safe_dump(bundle, sort_keys=False, allow_unicode=True, width=140))


@dataclass(slots=True)
class Diagnosis:
    """Collects one bundle. Made for a single `collect`."""

    api: KubernetesApi
    settings: OperatorSettings
    subject: Subject
    _redactor: Redactor = field(default_factory=Redactor)
    _problems: list[dict[str, str]] = field(default_factory=list)
    _calls: RecentCalls = field(default_factory=RecentCalls)

    async def collect(self) -> dict[str, Any]:
        """Return the bundle as plain data: strings, numbers, lists and dicts only."""
        subject = self.subject
        bundle: dict[str, Any] = {
            "about": {
                "vmName": subject.vm_name,
                "vcenterHost": subject.vcenter_host,
                "appliance": subject.appliance,
                "madeAt": datetime.now(UTC).isoformat(timespec="seconds"),
            },
            "versions": await self._versions(),
            "settings": json.loads(self.settings.model_dump_json()),
        }
        body = await self._appliance()
        cleanups = await self._cleanups()
        bundle["operator"] = await self._operator()
        bundle["appliance"] = _shown(body) if body is not None else None
        bundle["cleanups"] = [{**_shown(cleanup), "events": await self._events(cleanup)} for cleanup in cleanups]
        if body is not None:
            bundle |= await self._incident(Appliance.model_validate(body), cleanups)
        bundle["callsOfThisDiagnosis"] = shown_calls(self._calls)
        bundle["problems"] = self._problems
        redacted: dict[str, Any] = self._redactor.redact(bundle)
        return redacted

    # --- the cluster --------------------------------------------------------------------------------------------

    async def _versions(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "failed-execution-cleanup": __version__,
            **{name: version(name) for name in _LIBRARIES},
        }
        found |= {"python": platform.python_version(), "platform": platform.platform(), "kubernetesApiServer": None}
        async with self._part("Kubernetes API server"):
            found["kubernetesApiServer"] = await self.api.server_version()
        return found

    async def _appliance(self) -> Body | None:
        async with self._part(f"Appliance {self.subject.appliance}"):
            return await self.api.get(APPLIANCES, None, self.subject.appliance)
        return None

    async def _cleanups(self) -> list[Body]:
        found: list[Body] = []
        for namespace in self.subject.namespaces or (None,):
            async with self._part("cleanups"):
                found += [body async for body in self.api.list(CLEANUPS, namespace) if self._is_about(body)]
        return found

    def _is_about(self, body: Body) -> bool:
        spec = body["spec"]
        host = self.subject.vcenter_host
        return (
            spec["vmName"] == self.subject.vm_name
            and spec["applianceRef"]["name"] == self.subject.appliance
            and (host is None or spec.get("vcenterHost") in (None, host))
        )

    async def _events(self, cleanup: Body) -> list[Body]:
        metadata = cleanup["metadata"]
        async with self._part(f"Events of cleanup {metadata['namespace']}/{metadata['name']}"):
            return [
                {key: event.get(key) for key in ("eventTime", "type", "reason", "action", "note", "series")}
                async for event in self.api.list(_EVENTS, metadata["namespace"])
                if event.get("regarding", {}).get("uid") == metadata["uid"]
            ]
        return []

    async def _operator(self) -> dict[str, Any]:
        told: dict[str, Any] = {}
        async with self._part("Lease"):
            lease = await self.api.read_lease(self.settings.namespace, LEASE_NAME)
            renewed = lease.renewed_at.isoformat() if lease.renewed_at is not None else None
            told["leader"] = {"holder": lease.holder, "renewedAt": renewed, "transitions": lease.transitions}
        if self.subject.operator_url:
            pages = {"liveness": "/healthz", "readiness": "/readyz", "calls": "/debug/calls"}
            async with httpx.AsyncClient(trust_env=False, timeout=_OPERATOR_SECONDS) as http:
                for name, path in pages.items():
                    try:
                        told[name] = (await http.get(self.subject.operator_url + path)).json()
                    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
                        cause = f"{type(error).__name__}; run it in the operator's pod, or forward its port."
                        self._problem(f"{path} of the operator", cause)
        return told

    # --- the appliance ------------------------------------------------------------------------------------------

    async def _incident(self, appliance: Appliance, cleanups: list[Body]) -> dict[str, Any]:
        found: dict[str, Any] = {"volumeDaemon": None, "observation": None, "claims": [], "decisions": []}
        secrets = _KnownSecrets(NamespaceSecrets(self.api, self.settings.namespace), self._redactor)
        opener = _KnownDoors(secrets, self.settings.http_timeout_seconds, _Heard(self._calls), self._redactor)
        async with self._part("Volume Daemon"), opener.daemon(appliance) as daemon:
            health = await daemon.health()
            found["volumeDaemon"] = {"status": health.status, "database": health.database_health}
        async with self._part("observation"), opener.database(appliance) as database:
            contexts = await database.find_contexts(self.subject.vm_name, self.subject.vcenter_host)
            if len(contexts) != 1:
                hosts = ", ".join(context.vcenter_host for context in contexts) or "none"
                self._problem("observation", f"{len(contexts)} VMs have that name (vCenters: {hosts}).")
                return found
            context_id = contexts[0].context_id
            records = await database.read(context_id)
            memories = await _memories(database, context_id)
            found["observation"] = {"records": plain_records(records)}
            found["claims"] = [
                {**_CLAIM.dump_python(claim, mode="json"), "memory": json.loads(memories.get(claim.job_id, "null"))}
                for claim in records.claims
            ]
            async with opener.ossea(appliance, database) as ossea:
                world = await observe(ossea, lambda: database.read(context_id))
            found["observation"] = {"records": plain_records(world.records), "cloud": plain_cloud(world)}
            found["decisions"] = self._decisions(appliance, cleanups, world, memories)
        return found

    def _decisions(
        self, appliance: Appliance, cleanups: list[Body], world: World, memories: Mapping[str, str]
    ) -> list[dict[str, Any]]:
        limits = Limits(self.settings.http_timeout_seconds, self.settings.claim_expiry_seconds)
        alive = timedelta(seconds=limits.owner_alive_seconds)
        settings = replace(settings_of(appliance.spec), owner_alive=alive)
        allowed = frozenset(waiver.value for waiver in appliance.spec.waivers)
        wishes = {"a new cleanup": Wish(settings=settings)}
        if cleanups:
            wishes = {
                f"{body['metadata']['namespace']}/{body['metadata']['name']}": wish_of(order, order.job_id, settings)
                for body in cleanups
                for order in [order_of(FailedExecutionCleanup.model_validate(body), allowed)]
            }
        decisions: list[dict[str, Any]] = []
        for name, wish in wishes.items():
            job_id = wish.job_id or newest_job_id(world.records) or ""
            try:
                memory = load_memory(memories.get(job_id), job_id)
            except ValidationError:
                self._problem(f"memory of job {job_id}", "it cannot be read.")
                continue
            decisions.append({"for": name, **plain_decision(world, decide(world, wish, memory))})
        return decisions

    # --- trouble ------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _part(self, part: str) -> AsyncIterator[None]:
        """Tell what a part could not do, and go on with the next."""
        try:
            yield
        except (ApplianceError, KubernetesError) as error:
            self._problem(part, str(error))

    def _problem(self, part: str, cause: str) -> None:
        self._problems.append({"part": part, "cause": cause})


class _KnownSecrets:
    """A source of secrets that lets the redactor know each of them."""

    def __init__(self, source: SecretSource, redactor: Redactor) -> None:
        self._source = source
        self._redactor = redactor
        self.system = source.system

    def place(self, name: str) -> str:
        return self._source.place(name)

    async def read(self, reference: SecretKeyReference) -> SecretBytes:
        value = await self._source.read(reference)
        self._redactor.know(value.get_secret_value())
        return value


class _KnownDoors(DoorOpener):
    """Opens doors, and lets the redactor know the keys that the appliance's own table holds."""

    def __init__(self, secrets: SecretSource, http_timeout_seconds: float, heard: _Heard, redactor: Redactor) -> None:
        super().__init__(secrets, http_timeout_seconds, heard)
        self._redactor = redactor

    async def _config(self, spec: ApplianceSpec, database: OMADatabase) -> OSSEAConfig:
        config = await super()._config(spec, database)
        self._redactor.know(config.api_key.get_secret_value())
        self._redactor.know(config.secret_key.get_secret_value())
        return config


@dataclass(frozen=True, slots=True)
class _Heard:
    """Remembers the calls of this diagnosis."""

    calls: RecentCalls

    def called(self, appliance: str) -> CallListener:  # noqa: ARG002 - there is only one
        return self.calls

    def throttled(self, appliance: str, system: str) -> Callable[[float], None]:  # noqa: ARG002 - nobody counts
        return lambda _seconds: None


async def _memories(database: OMADatabase, context_id: str) -> Mapping[str, str]:
    """Text of the memory of each claim on a context, by failover job."""
    found = (await database.read_many([context_id])).contexts.get(context_id)
    return {} if found is None else found.memories


def _shown(body: Body) -> Body:
    """An object without what the API server keeps for itself."""
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    annotations = {key: value for key, value in metadata.get("annotations", {}).items() if key != _LAST_APPLIED}
    return {**body, "metadata": {**metadata, "annotations": annotations}}
