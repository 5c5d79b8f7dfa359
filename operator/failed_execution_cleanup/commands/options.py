"""Options that several commands share."""

from __future__ import annotations

import asyncio
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from failed_execution_cleanup.client import ClientError
from failed_execution_cleanup.commands.connection import Target
from failed_execution_cleanup.controller.kubernetes_api import KubernetesError

_COMPLETION_SECONDS: Final = 2.0
"""A shell waits for this; names that come later are not worth it."""


class Output(StrEnum):
    """Form of what is shown."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


class ReportForm(StrEnum):
    """Form of a report."""

    MARKDOWN = "md"
    JSON = "json"
    HTML = "html"


def _target(context: typer.Context) -> Target:
    given: dict[str, Any] = context.params
    return Target(given.get("kubeconfig"), given.get("context"), given.get("namespace"))


def _within_seconds(context: typer.Context, *, stuck_only: bool, vms: bool, names: bool) -> list[str]:
    """Names from the cluster; none where it does not answer soon, because a shell has no place for an error."""

    async def asked() -> list[str]:
        async with asyncio.timeout(_COMPLETION_SECONDS), _target(context).connected() as client:
            found = [vm.job.vm_name for vm in await client.stuck()] if vms else []
            if not stuck_only:
                cleanups = await client.list_cleanups()
                found += [cleanup.spec.vm_name for cleanup in cleanups] if vms else []
                found += [cleanup.metadata.name for cleanup in cleanups] if names else []
            return sorted(set(found))

    try:
        return asyncio.run(asked())
    except (ClientError, KubernetesError, OSError, ValueError):
        return []


def stuck_vms(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a stuck VM."""
    return [
        name for name in _within_seconds(context, stuck_only=True, vms=True, names=False) if name.startswith(incomplete)
    ]


def vms_and_names(context: typer.Context, incomplete: str) -> list[str]:
    """Complete the name of a cleanup or of a VM that has one."""
    found = _within_seconds(context, stuck_only=False, vms=True, names=True)
    return [name for name in found if name.startswith(incomplete)]


VM = Annotated[
    str,
    typer.Argument(
        metavar="VM", help="Name of the VM exactly as in vCenter; spaces and capitals count.", autocompletion=stuck_vms
    ),
]
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the cleanup, or of its VM.", autocompletion=vms_and_names)
]
Appliance = Annotated[
    str | None,
    typer.Option("--appliance", "-a", help="Appliance of the VM. Default: the only one, or the one that lists it."),
]
VCenter = Annotated[str | None, typer.Option("--vcenter-host", help="vCenter, where several VMs have that name.")]
Job = Annotated[
    str | None, typer.Option("--job", help="Failover job to clean up after. Default: the stuck one, else the newest.")
]
Note = Annotated[str | None, typer.Option("--note", help="Free text for people, such as a ticket.")]
Form = Annotated[Output, typer.Option("--output", "-o", help="Form of what is shown.")]
Namespace = Annotated[
    str | None, typer.Option("--namespace", "-n", help="Namespace of the cleanups. Default: that of the context.")
]
Kubeconfig = Annotated[
    Path | None, typer.Option("--kubeconfig", help="Kubeconfig to use. Default: $KUBECONFIG, else ~/.kube/config.")
]
Context = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig. Default: its current one.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow it to its end.")]
Timeout = Annotated[
    float | None, typer.Option("--timeout", min=1, metavar="SECONDS", help="Longest time to follow. Default: no limit.")
]
