"""The cluster's Appliances: read by name, their doors opened with Secrets of the operator's own namespace."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydantic import SecretBytes

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.access.secrets import SecretMissing
from failed_execution_cleanup.appliance.calls import DoorsListener
from failed_execution_cleanup.appliance.errors import BadCredentials
from failed_execution_cleanup.controller.kubernetes_api import APPLIANCES, Body, Forbidden, KubernetesApi, NotFound
from failed_execution_cleanup.resources.appliance import Appliance, SecretKeyReference

_KUBERNETES: Final = "Kubernetes"


class Appliances(DoorOpener):
    """Reads and opens appliances by name.

    Attributes:
        namespace: the operator's own.
    """

    def __init__(
        self,
        api: KubernetesApi,
        namespace: str,
        http_timeout_seconds: float,
        listener: DoorsListener | None = None,
    ) -> None:
        """Prepare; nothing is read.

        Args:
            api: where Appliances and Secrets are.
            namespace: the only one Secrets are read from.
            http_timeout_seconds: longest time for one request to an appliance.
            listener: hears every request, and every wait for a turn.
        """
        super().__init__(NamespaceSecrets(api, namespace), http_timeout_seconds, listener)
        self.namespace = namespace
        self._api = api
        self._latest: dict[str, tuple[Body, Appliance]] = {}

    async def read_all(self) -> Mapping[str, Appliance]:
        """All of them as they are now, by name.

        Whoever reads a version that was read before shares it, for an Appliance may tell of a hundred stuck failovers.

        Raises:
            KubernetesError: the API server could not be asked.
        """
        read: dict[str, tuple[Body, Appliance]] = {}
        async for body in self._api.list(APPLIANCES):
            name = body["metadata"]["name"]
            stored, appliance = self._latest.get(name, (None, None))
            read[name] = (body, Appliance.model_validate(body) if appliance is None or stored != body else appliance)
        self._latest = read
        return {name: appliance for name, (_, appliance) in read.items()}


class NamespaceSecrets:
    """Implements `access.secrets.SecretSource` on the Secrets of one namespace."""

    system: str = _KUBERNETES

    def __init__(self, api: KubernetesApi, namespace: str) -> None:
        self._api = api
        self._namespace = namespace

    def place(self, name: str) -> str:
        """The Secret with its namespace."""
        return f"Secret {self._namespace}/{name}"

    async def read(self, reference: SecretKeyReference) -> SecretBytes:
        """The value of one key, read afresh.

        Raises:
            SecretMissing: there is no such Secret, or no such key in it.
            BadCredentials: the operator may not read it.
            KubernetesError: the API server could not be asked.
        """
        try:
            values = await self._api.read_secret(self._namespace, reference.name)
        except NotFound:
            values = {}
        except Forbidden:
            raise BadCredentials(
                f"the operator may not read {self.place(reference.name)}.",
                system=_KUBERNETES,
                remedy="Bind the operator's Role of manifests/base in that namespace, or correct FEC_NAMESPACE.",
            ) from None
        if reference.key not in values:
            raise SecretMissing(
                f"{self.place(reference.name)} with key {reference.key!r} does not exist.",
                system=_KUBERNETES,
                remedy="An administrator creates it.",
            )
        return values[reference.key]
