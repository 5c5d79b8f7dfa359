"""Opens the doors of an Appliance: addresses, secrets and limits, read afresh for each run.

What an administrator changes counts from the next run on; nothing is restarted for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from pydantic import SecretStr

from failed_execution_cleanup.access.secrets import SecretSource
from failed_execution_cleanup.appliance.calls import CallListener, DoorsListener
from failed_execution_cleanup.appliance.database import OMADatabase, OSSEAConfig
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import BadCredentials, Refused, Untrusted
from failed_execution_cleanup.appliance.ossea import OSSEAClient, OSSEAReads
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.appliance.shared_read import SharedRead
from failed_execution_cleanup.appliance.volume_daemon import Operation, VolumeDaemonClient
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceSpec, SecretKeyReference

K = TypeVar("K")
V = TypeVar("V")


class Inconsistent(Refused):
    """Resource, table and cloud do not mean the same one appliance."""


@dataclass(slots=True)
class _Shared:
    """What all runs on one appliance share, whatever its addresses become.

    Attributes:
        ossea_reads: by address and key, because another account may see other things.
        operations: by address.
        databases: by URL; each keeps the statements that were compiled for it, which takes longer than to run them.
    """

    per_second: int
    ossea_rate: RateLimit
    daemon_rate: RateLimit
    parallel: int
    reverts: asyncio.Semaphore
    ossea_reads: dict[tuple[str, str], OSSEAReads] = field(default_factory=dict)
    operations: dict[str, SharedRead[tuple[Operation, ...]]] = field(default_factory=dict)
    databases: dict[str, OMADatabase] = field(default_factory=dict, repr=False)


class DoorOpener:
    """Opens the doors of appliances; one per process, because the limits of an appliance hold for all its runs together."""

    def __init__(
        self, secrets: SecretSource, http_timeout_seconds: float, listener: DoorsListener | None = None
    ) -> None:
        """Prepare; nothing is read.

        Args:
            secrets: where the Appliance's secret references are looked up.
            http_timeout_seconds: longest time for one request, and for one transaction.
            listener: hears every request, and every wait for a turn.
        """
        self._secrets = secrets
        self._http_timeout_seconds = http_timeout_seconds
        self._listener = listener
        self._shared: dict[str, _Shared] = {}

    @contextlib.asynccontextmanager
    async def doors(self, appliance: Appliance) -> AsyncIterator[Doors]:
        """Open all doors for one run.

        Raises:
            ApplianceError: a secret is missing, the database cannot be read, or its OSSEA keys cannot be used.
            KubernetesError: where the secrets come from the API server, and it could not be asked.
        """
        async with contextlib.AsyncExitStack() as stack:
            database = await stack.enter_async_context(self.database(appliance))
            ossea = await stack.enter_async_context(self.ossea(appliance, database))
            daemon = await stack.enter_async_context(self.daemon(appliance))
            yield Doors(database, daemon, ossea, self._shared_of(appliance).reverts)

    def daemon(self, appliance: Appliance) -> VolumeDaemonClient:
        """A client of the Volume Daemon; nothing is sent."""
        shared, url = self._shared_of(appliance), appliance.spec.volume_daemon.url
        return VolumeDaemonClient(
            url,
            limiter=shared.daemon_rate,
            timeout_seconds=self._http_timeout_seconds,
            recent=_only(shared.operations, url, SharedRead),
            heard=self._heard(appliance),
        )

    @contextlib.asynccontextmanager
    async def database(self, appliance: Appliance) -> AsyncIterator[OMADatabase]:
        """Access to the OMA database; nothing connects yet, and the last of those who share it closes its connections.

        Raises:
            ApplianceError: the secret is missing or holds no usable URL.
        """
        reference = appliance.spec.database.url_secret_ref
        url = await self._text(reference)
        try:
            shared = _only(
                self._shared_of(appliance).databases,
                url,
                lambda: OMADatabase.open(SecretStr(url), timeout=self._http_timeout_seconds),
            )
        except ValueError:
            raise BadCredentials(
                f"the database URL in {self._secrets.place(reference.name)} is not one of mysql+asyncmy://… or sqlite+aiosqlite:///….",
                system=self._secrets.system,
                remedy="Correct the Secret.",
            ) from None
        async with shared as database:
            yield database

    @contextlib.asynccontextmanager
    async def ossea(self, appliance: Appliance, database: OMADatabase) -> AsyncIterator[OSSEAClient]:
        """A client of OSSEA by the Appliance's address and keys, or by those of the one active `ossea_configs` row.

        Raises:
            ApplianceError: a secret is missing, or the row or its keys cannot be used.
        """
        spec = appliance.spec
        url, api_key, secret_key = spec.ossea.url, None, None
        if spec.ossea.credentials_secret_ref is not None:
            name = spec.ossea.credentials_secret_ref.name
            api_key = await self._text(SecretKeyReference(name=name, key="apiKey"))
            secret_key = await self._text(SecretKeyReference(name=name, key="secretKey"))
        if url is None or api_key is None or secret_key is None:
            config = await self._config(spec, database)
            url = url or config.api_url
            api_key = api_key or config.api_key.get_secret_value()
            secret_key = secret_key or config.secret_key.get_secret_value()
        shared = self._shared_of(appliance)
        async with OSSEAClient(
            url,
            api_key,
            secret_key,
            limiter=shared.ossea_rate,
            shared=_only(shared.ossea_reads, (url, api_key), OSSEAReads),
            timeout_seconds=self._http_timeout_seconds,
            verify=self._verification(spec),
            heard=self._heard(appliance),
        ) as client:
            yield client

    async def _config(self, spec: ApplianceSpec, database: OMADatabase) -> OSSEAConfig:
        """The one active row; the daemon reads it afresh for each operation, and so do we."""
        configs = await database.active_configs()
        if len(configs) != 1:
            raise Inconsistent(
                f"ossea_configs has {len(configs)} active rows where exactly one is needed.",
                system="OMA database",
                remedy="Set is_active on the right one.",
            )
        config = configs[0]
        if not config.encrypted:
            return config
        if spec.ossea.encryption_key_secret_ref is None:
            raise BadCredentials(
                f"the keys of ossea_configs row {config.id} are encrypted.",
                system="OMA database",
                remedy="Name the Secret with the OMA's MIGRATEKIT_CRED_ENCRYPTION_KEY in ossea.encryptionKeySecretRef.",
            )
        encoded = await self._secrets.read(spec.ossea.encryption_key_secret_ref)
        try:
            return config.decrypt(base64.b64decode(encoded.get_secret_value().strip(), validate=True))
        except (binascii.Error, ValueError):
            place = self._secrets.place(spec.ossea.encryption_key_secret_ref.name)
            raise BadCredentials(
                f"the encryption key in {place} is not the base64 of 32 bytes.",
                system="OMA database",
                remedy="Give the OMA's own MIGRATEKIT_CRED_ENCRYPTION_KEY.",
            ) from None

    async def _text(self, reference: SecretKeyReference) -> str:
        """A value that has to be text; a line break at its end does no harm."""
        value = await self._secrets.read(reference)
        try:
            return value.get_secret_value().decode().strip()
        except UnicodeDecodeError:
            raise BadCredentials(
                f"key {reference.key!r} of {self._secrets.place(reference.name)} is no text.",
                system=self._secrets.system,
                remedy="Correct the Secret.",
            ) from None

    def _verification(self, spec: ApplianceSpec) -> ssl.SSLContext | bool:
        if spec.ossea.insecure_skip_tls_verify:
            return False
        if spec.ossea.ca_bundle is None:
            return True
        try:
            return ssl.create_default_context(cadata=spec.ossea.ca_bundle)
        except ssl.SSLError:
            raise Untrusted(
                "spec.ossea.caBundle of the Appliance holds no readable certificate.",
                system=self._secrets.system,
                remedy="Give PEM certificates.",
            ) from None

    def _heard(self, appliance: Appliance) -> CallListener | None:
        return None if self._listener is None else self._listener.called(appliance.metadata.name)

    def _rate(self, appliance: Appliance, system: str) -> RateLimit:
        rate = appliance.spec.limits.requests_per_second
        waited = None if self._listener is None else self._listener.throttled(appliance.metadata.name, system)
        return RateLimit(rate, burst=rate, waited=waited)

    def _shared_of(self, appliance: Appliance) -> _Shared:
        limits = appliance.spec.limits
        shared = self._shared.get(appliance.metadata.uid)
        if (
            shared is None
            or shared.per_second != limits.requests_per_second
            or shared.parallel != limits.reverts_in_parallel
        ):
            shared = _Shared(
                per_second=limits.requests_per_second,
                ossea_rate=self._rate(appliance, "OSSEA"),
                daemon_rate=self._rate(appliance, "Volume Daemon"),
                parallel=limits.reverts_in_parallel,
                reverts=asyncio.Semaphore(limits.reverts_in_parallel),
            )
            self._shared[appliance.metadata.uid] = shared
        return shared


def _only(kept: dict[K, V], key: K, make: Callable[[], V]) -> V:
    """What is kept for the key; what was kept for another one is given up."""
    if key not in kept:
        kept.clear()
        kept[key] = make()
    return kept[key]
