"""The console on the appliance itself, without Kubernetes: one Appliance from a file, and cleanups run by this process as break-glass does.

Cards, plans and the product's contract work; what is about resources is not there (501). The claim in the appliance's database keeps an
operator and this process apart, and lets each go on where the other ended.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from failed_execution_cleanup.access.doors import DoorOpener
from failed_execution_cleanup.client import Ending, EndingState
from failed_execution_cleanup.console.identity import Caller
from failed_execution_cleanup.console.services import Services
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.console.token_file import TokenFile
from failed_execution_cleanup.controller.kubernetes_api import APPLIANCES, Body, CustomResource
from failed_execution_cleanup.local.appliance_file import read_appliance_file
from failed_execution_cleanup.local.secrets import LocalSecrets
from failed_execution_cleanup.local.session import Session
from failed_execution_cleanup.recovery.decide import Act, Done, Refuse, Stopped, Wait
from failed_execution_cleanup.recovery.reasons import SUCCESSES
from failed_execution_cleanup.resources.appliance import Appliance
from failed_execution_cleanup.resources.reasons import Reason
from failed_execution_cleanup.run.cleanup import Limits
from failed_execution_cleanup.run.order import Order, Progress

__all__ = ["LocalRuns", "standalone"]

logger = logging.getLogger(__name__)

_PATIENCE_SECONDS: Final = 4 * 3600.0
"""How long a run waits for what clears itself, as a resource's deadline does."""


def standalone(
    appliance_file: Path, token_file: Path, secrets_directory: Path | None, settings: ConsoleSettings
) -> Services:
    """Put the services together without a cluster.

    Raises:
        UnusableFileError: the Appliance's file cannot be used.
        UnusableTokenFile: the token file cannot be used.
    """
    file = read_appliance_file(appliance_file)
    claims = settings.claims
    opener = DoorOpener(LocalSecrets(file, secrets_directory, os.environ), claims.http_timeout_seconds)
    return Services.without_a_cluster(
        _OneAppliance(file.appliance),
        TokenFile.read(token_file),
        opener,
        LocalRuns(opener, claims.limits),
        settings,
    )


@dataclass(frozen=True, slots=True)
class _OneAppliance:
    """Stands for the API server where there is none: one Appliance, no cleanups, and whoever has a token may do everything."""

    appliance: Appliance

    async def list(self, resource: CustomResource, namespace: str | None = None) -> AsyncIterator[Body]:
        """Yield the Appliance."""
        del namespace
        if resource == APPLIANCES:
            yield self.appliance.to_kubernetes()

    async def review(self, api_version: str, kind: str, spec: Body) -> Body:
        """Allow it: the token file is the list of those who may."""
        del api_version, kind, spec
        return {"allowed": True}


@dataclass(slots=True)
class _Run:
    """A session under way."""

    session: Session
    task: asyncio.Task[Progress]


@dataclass(slots=True)
class LocalRuns:
    """Cleanups of this process, one at a time for each VM; they go on whoever waits for them."""

    opener: DoorOpener
    limits: Limits
    _runs: dict[str, _Run] = field(default_factory=dict)

    async def cleaned(
        self, appliance: Appliance, context_id: str, order: Order, caller: Caller, seconds: float, gone: asyncio.Event
    ) -> Ending | None:
        """Clean a VM up, or wait for the run that is under way.

        Args:
            appliance: the appliance.
            context_id: the VM's.
            order: what is asked for, if no run is under way.
            caller: who asks.
            seconds: the longest wait.
            gone: set when nobody waits any more.

        Returns:
            How it ended; None if the time was over or `gone` was set before.
        """
        run = self._runs.get(context_id) or self._begun(appliance, context_id, order, caller)
        left = asyncio.create_task(gone.wait())
        try:
            await asyncio.wait({run.task, left}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            with suppress(asyncio.CancelledError):
                await left
        return ending_of(run.task.result()) if run.task.done() else None

    async def leave(self, seconds: float) -> None:
        """Hand all claims over; what is in flight gets a few seconds."""
        for run in self._runs.values():
            run.session.leave()
        if self._runs:
            await asyncio.wait([run.task for run in self._runs.values()], timeout=seconds)

    def _begun(self, appliance: Appliance, context_id: str, order: Order, caller: Caller) -> _Run:
        identity = f"console/{caller.user.name}@{socket.gethostname()}/{uuid.uuid4().hex[:12]}"
        note = f"console: {caller.user.name}" + (f": {order.note}" if order.note else "")
        ordered = replace(order, asker=identity, requested_at=identity, note=note)
        session = Session(self.opener, appliance, ordered, identity, self.limits, _unheard)
        task = asyncio.create_task(session.cleanup(patience=_PATIENCE_SECONDS), name=f"cleanup of {order.vm_name}")
        run = self._runs[context_id] = _Run(session, task)
        task.add_done_callback(lambda _: self._runs.pop(context_id, None))
        logger.info("Cleanup begun", extra={"user": caller.user.name, "vm": order.vm_name, "job": order.job_id})
        return run


def ending_of(progress: Progress) -> Ending:
    """How a run ended, in the words of a resource."""
    match progress.decision:
        case Done(reason=reason, message=message):
            state = EndingState.CLEAN if reason in SUCCESSES else EndingState.NEEDS_PERSON
            return Ending(state, reason.value, message, Reason(reason.value).remedy)
        case Refuse(reason=guard, message=message):
            return Ending(EndingState.NEEDS_PERSON, guard.value, message, Reason(guard.value).remedy)
        case Wait(reason=waits, message=message):
            word = Reason(waits.value) if waits is not None else Reason.PROGRESSING
            return Ending(EndingState.WAITING, word.value, message, "Ask again: it goes on from where it is.")
        case Stopped(message=message):
            return Ending(EndingState.SUSPENDED, Reason.SUSPENDED.value, message, Reason.SUSPENDED.remedy)
        case Act():
            return Ending(EndingState.WORKING, Reason.PROGRESSING.value, "It was under way.", "Ask again.")


def _unheard(_: Progress) -> None:
    """The engine's own log tells how it goes."""
