"""From an Appliance resource to open doors: addresses, secrets and limits, read afresh for each run.

Secrets are read from the operator's own namespace only. What an administrator changes counts from the next run on; nothing is
restarted for it.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta

from pydantic import SecretStr

from failed_execution_cleanup.appliance.database import OMADatabase, OSSEAConfig
from failed_execution_cleanup.appliance.doors import Doors
from failed_execution_cleanup.appliance.errors import BadCredentials, Untrusted
from failed_execution_cleanup.appliance.ossea import OSSEAClient
from failed_execution_cleanup.appliance.rate_limit import RateLimit
from failed_execution_cleanup.appliance.volume_daemon import VolumeDaemonClient
from failed_execution_cleanup.controller.appliance_identity import Inconsistent
from failed_execution_cleanup.controller.claimed_appliances import ApplianceGone
from failed_execution_cleanup.controller.kubernetes_api import APPLIANCES, Forbidden, KubernetesApi, NotFound
from failed_execution_cleanup.recovery.goals import Settings
from failed_execution_cleanup.resources.appliance import Appliance, ApplianceSpec, ForceStop, SecretKeyReference

_GIB = 1024**3


class SecretMissing(BadCredentials):
    """A Secret, or a key in it, does not exist in the operator's namespace."""


@dataclass(slots=True)
class _Shared:
    """What all runs on one appliance share, whatever its addresses become."""

    per_second: int
    ossea_rate: RateLimit
    daemon_rate: RateLimit
    parallel: int
    reverts: asyncio.Semaphore


@dataclass(slots=True)
class Appliances:
    """Opens appliances by name."""

    api: KubernetesApi
    namespace: str
    http_timeout_seconds: float
    _shared: dict[str, _Shared] = field(default_factory=dict)

    async def read(self, name: str) -> Appliance:
        """The resource.

        Raises:
            ApplianceGone: there is none of that name (yet).
            KubernetesError: the API server could not be asked.
        """
        try:
            return Appliance.model_validate(await self.api.get(APPLIANCES, None, name))
        except NotFound:
            raise ApplianceGone(f"there is no Appliance {name!r}.") from None

    @contextlib.asynccontextmanager
    async def doors(self, appliance: Appliance) -> AsyncIterator[Doors]:
        """Open all doors for one run.

        Raises:
            ApplianceError: a secret is missing, the database cannot be read, or its OSSEA keys cannot be used.
            KubernetesError: the API server could not be asked.
        """
        async with contextlib.AsyncExitStack() as stack:
            database = await stack.enter_async_context(self.database(appliance))
            ossea = await stack.enter_async_context(self.ossea(appliance, database))
            daemon = await stack.enter_async_context(self.daemon(appliance))
            yield Doors(database, daemon, ossea, self._shared_of(appliance).reverts)

    def daemon(self, appliance: Appliance) -> VolumeDaemonClient:
        """A client of the Volume Daemon; nothing is sent."""
        return VolumeDaemonClient(
            appliance.spec.volume_daemon.url,
            limiter=self._shared_of(appliance).daemon_rate,
            timeout_seconds=self.http_timeout_seconds,
        )

    @contextlib.asynccontextmanager
    async def database(self, appliance: Appliance) -> AsyncIterator[OMADatabase]:
        """Access to the OMA database; nothing connects yet.

        Raises:
            ApplianceError: the secret is missing or holds no usable URL.
        """
        spec = appliance.spec
        url = await self._text(spec.database.url_secret_ref)
        try:
            database = OMADatabase.open(SecretStr(url), timeout=self.http_timeout_seconds)
        except ValueError:
            raise BadCredentials(
                f"the database URL in Secret {self.namespace}/{spec.database.url_secret_ref.name} is not one of mysql+asyncmy://… or sqlite+aiosqlite:///….",
                system="Kubernetes",
                remedy="Correct the Secret.",
            ) from None
        try:
            yield database
        finally:
            await database.close()

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
        async with OSSEAClient(
            url,
            api_key,
            secret_key,
            limiter=self._shared_of(appliance).ossea_rate,
            timeout_seconds=self.http_timeout_seconds,
            verify=_verification(spec),
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
        encoded = await self._secret(spec.ossea.encryption_key_secret_ref)
        try:
            return config.decrypt(base64.b64decode(encoded.strip(), validate=True))
        except (binascii.Error, ValueError):
            raise BadCredentials(
                f"the encryption key in Secret {self.namespace}/{spec.ossea.encryption_key_secret_ref.name} is not the base64 of 32 bytes.",
                system="OMA database",
                remedy="Give the OMA's own MIGRATEKIT_CRED_ENCRYPTION_KEY.",
            ) from None

    async def _text(self, reference: SecretKeyReference) -> str:
        """A value that has to be text; a line break at its end does no harm."""
        try:
            return (await self._secret(reference)).decode().strip()
        except UnicodeDecodeError:
            raise BadCredentials(
                f"key {reference.key!r} of Secret {self.namespace}/{reference.name} is no text.",
                system="Kubernetes",
                remedy="Correct the Secret.",
            ) from None

    async def _secret(self, reference: SecretKeyReference) -> bytes:
        try:
            values = await self.api.read_secret(self.namespace, reference.name)
        except NotFound:
            values = {}
        except Forbidden:
            raise BadCredentials(
                f"the operator may not read Secret {self.namespace}/{reference.name}.",
                system="Kubernetes",
                remedy="Bind the operator's Role of manifests/base in that namespace, or correct FEC_NAMESPACE.",
            ) from None
        if reference.key not in values:
            raise SecretMissing(
                f"Secret {self.namespace}/{reference.name} with key {reference.key!r} does not exist.",
                system="Kubernetes",
                remedy="An administrator creates it.",
            )
        return values[reference.key].get_secret_value()

    def _shared_of(self, appliance: Appliance) -> _Shared:
        limits = appliance.spec.limits
        shared = self._shared.get(appliance.metadata.uid)
        if (
            shared is None
            or shared.per_second != limits.requests_per_second
            or shared.parallel != limits.reverts_in_parallel
        ):
            rate, parallel = limits.requests_per_second, limits.reverts_in_parallel
            shared = _Shared(
                per_second=rate,
                ossea_rate=RateLimit(rate, burst=rate),
                daemon_rate=RateLimit(rate, burst=rate),
                parallel=parallel,
                reverts=asyncio.Semaphore(parallel),
            )
            self._shared[appliance.metadata.uid] = shared
        return shared


def settings_of(spec: ApplianceSpec) -> Settings:
    """The counts and times of an Appliance, as the core wants them."""
    per_gib = spec.settle.revert_seconds_per_gib
    return Settings(
        stuck_after=timedelta(seconds=spec.detection.stuck_after_seconds),
        final_sync_stuck_after=timedelta(seconds=spec.detection.final_sync_stuck_after_seconds),
        operation_limit=timedelta(seconds=spec.settle.operation_seconds),
        quiet=timedelta(seconds=spec.settle.quiet_seconds),
        revert_quiet=timedelta(seconds=spec.settle.revert_quiet_seconds),
        revert_bytes_per_second=_GIB // per_gib if per_gib else 2**62,
        tries=spec.limits.tries,
        force_stop=spec.test_vm.force_stop is ForceStop.ALLOWED,
        stop_timeout=timedelta(seconds=spec.test_vm.stop_timeout_seconds),
        oma_vm_id=spec.oma_vm_id,
    )


def _verification(spec: ApplianceSpec) -> ssl.SSLContext | bool:
    if spec.ossea.insecure_skip_tls_verify:
        return False
    if spec.ossea.ca_bundle is None:
        return True
    try:
        return ssl.create_default_context(cadata=spec.ossea.ca_bundle)
    except ssl.SSLError:
        raise Untrusted(
            "spec.ossea.caBundle of the Appliance holds no readable certificate.",
            system="Kubernetes",
            remedy="Give PEM certificates.",
        ) from None
