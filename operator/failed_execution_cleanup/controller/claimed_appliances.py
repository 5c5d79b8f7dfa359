"""The finalizer of an Appliance: it stays while claims on it are open, so that no run loses its addresses and secrets in the middle.

Put on before a claim is taken, taken off when the last one was released. What a process that died left behind is told by the appliance's
own database, so it is taken off by whoever looks next.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from failed_execution_cleanup.appliance.errors import ApplianceError, NotExecuted
from failed_execution_cleanup.controller.kubernetes_api import (
    APPLIANCES,
    Body,
    Conflict,
    FinalizerApi,
    KubernetesError,
    NotFound,
)
from failed_execution_cleanup.resources.identifiers import FINALIZER

logger = logging.getLogger(__name__)

ATTEMPTS: Final = 5
"""Writes tried in a row when somebody else keeps changing the object."""


class ApplianceGone(NotExecuted):
    """There is no Appliance of that name, or it is being deleted."""

    def __init__(self, message: str) -> None:
        super().__init__(
            message,
            system="Kubernetes",
            remedy="An administrator creates it, or applianceRef in a new resource is corrected.",
        )


class ClaimsDatabase(Protocol):
    """The one question asked of an appliance; `OMADatabase` answers it."""

    async def open_claims(self) -> tuple[str, ...]:
        """Ids of the claims that somebody holds, or held when he died."""
        ...


@dataclass(slots=True)
class ClaimedAppliances:
    """Holds Appliances back from deletion; one per process, usable by many tasks at once."""

    api: FinalizerApi
    _held: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    _turns: dict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    @asynccontextmanager
    async def held(self, name: str) -> AsyncIterator[None]:
        """While the block lasts this process does not take the finalizer off; `ensure` puts it on."""
        self._held[name] += 1
        try:
            yield
        finally:
            self._held[name] -= 1

    async def ensure(self, name: str, *, resuming: bool) -> None:
        """Put the finalizer on, before a claim is taken.

        Args:
            name: the Appliance.
            resuming: a claim is taken over: allowed also while the Appliance is being deleted.

        Raises:
            ApplianceGone: the Appliance is gone, or being deleted.
            KubernetesError: the API server failed.
        """
        async with self._turns[name]:
            for attempt in range(ATTEMPTS):
                try:
                    body = await self.api.get(APPLIANCES, None, name)
                except NotFound:
                    raise ApplianceGone(f"there is no Appliance {name!r}.") from None
                metadata = body["metadata"]
                present: list[str] = metadata.get("finalizers") or []
                if "deletionTimestamp" in metadata and not (resuming and FINALIZER in present):
                    raise ApplianceGone(f"Appliance {name!r} is being deleted: nothing is begun on it.")
                if FINALIZER in present or await self._set(body, [*present, FINALIZER], last=attempt == ATTEMPTS - 1):
                    return

    async def let_go(self, name: str, database: ClaimsDatabase) -> bool:
        """Take the finalizer off unless claims are open; returns whether it is off.

        Raises:
            ApplianceError: the database could not be asked; the finalizer stays.
            KubernetesError: the API server failed.
        """
        async with self._turns[name]:
            if self._held[name] or await database.open_claims():
                return False
            for attempt in range(ATTEMPTS):
                try:
                    body = await self.api.get(APPLIANCES, None, name)
                except NotFound:
                    return True
                present: list[str] = body["metadata"].get("finalizers") or []
                rest = [finalizer for finalizer in present if finalizer != FINALIZER]
                if rest == present or await self._set(body, rest, last=attempt == ATTEMPTS - 1):
                    return True
            return False

    async def try_to_let_go(self, name: str, database: ClaimsDatabase) -> None:
        """`let_go` after a run; what fails is made up for by the next look at the Appliance."""
        try:
            await self.let_go(name, database)
        except (ApplianceError, KubernetesError) as error:
            logger.warning("Finalizer of the Appliance stays", extra={"appliance": name, "cause": str(error)})

    async def _set(self, body: Body, finalizers: list[str], *, last: bool) -> bool:
        """Write the list; False when the Appliance was changed meanwhile.

        Raises:
            Conflict: it was changed again, and this was the last attempt.
        """
        metadata = body["metadata"]
        try:
            await self.api.set_finalizers(
                APPLIANCES, None, metadata["name"], finalizers, resource_version=metadata["resourceVersion"]
            )
        except Conflict:
            if last:
                raise
            return False
        return True
