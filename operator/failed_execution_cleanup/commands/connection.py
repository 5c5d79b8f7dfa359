"""From the command line to a client of the cluster, and from its errors to an exit code."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

import typer

from failed_execution_cleanup.client import CleanupClient, ClientError, ClusterUnreachable, NotAllowed, NotEnded
from failed_execution_cleanup.commands.output import complain
from failed_execution_cleanup.controller.kubernetes_api import KubernetesApi, KubernetesError, context_namespace
from failed_execution_cleanup.exit_codes import ExitCode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster and namespace a command is about; None: as the kubeconfig says."""

    kubeconfig: Path | None = None
    context: str | None = None
    namespace: str | None = None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[CleanupClient]:
        """A client, as long as the block lasts.

        Raises:
            KubernetesError: there is no usable configuration.
        """
        namespace = self.namespace or context_namespace(self.kubeconfig, self.context)
        async with await KubernetesApi.connect(self.kubeconfig, context=self.context) as api:
            yield CleanupClient(api, namespace)

    def ask(self, work: Callable[[CleanupClient], Awaitable[T]]) -> T:
        """Do something with the cluster; what cannot be done ends the command with a sentence and its exit code."""

        async def asked() -> T:
            async with self.connected() as client:
                return await work(client)

        try:
            return asyncio.run(asked())
        except ClientError as error:
            give_up(error)
        except KubernetesError as error:
            complain(str(error), "Check kubeconfig and context.")
            raise typer.Exit(ExitCode.UNREACHABLE) from None


def give_up(error: ClientError) -> NoReturn:
    """Say what cannot be done and what to do, and end with the exit code."""
    complain(str(error), error.remedy)
    raise typer.Exit(_code(error)) from None


def _code(error: ClientError) -> ExitCode:
    match error:
        case NotAllowed(role=None) | ClusterUnreachable():
            return ExitCode.UNREACHABLE
        case NotAllowed():
            return ExitCode.FORBIDDEN
        case NotEnded():
            return ExitCode.WAITING
        case _:
            return ExitCode.USAGE
