"""`fec run` and `fec diagnose`: for whoever runs the operator itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import typer

from failed_execution_cleanup.commands.output import complain
from failed_execution_cleanup.commands.settings_told import settings_of
from failed_execution_cleanup.controller.diagnose import Subject, as_text, collect
from failed_execution_cleanup.controller.kubernetes_api import Forbidden, KubernetesError
from failed_execution_cleanup.controller.logs import configure_logging
from failed_execution_cleanup.controller.operator import run_operator
from failed_execution_cleanup.controller.settings import OperatorSettings
from failed_execution_cleanup.exit_codes import ExitCode

app = typer.Typer(rich_markup_mode=None)


@app.command()
def run(
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig to use instead of the pod's service account or $KUBECONFIG.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="The operator's own namespace, for its Lease and Secrets (FEC_NAMESPACE).")
    ] = None,
) -> None:
    """Run the operator until SIGTERM; all other settings are environment variables FEC_…."""
    settings = _settings(kubeconfig=kubeconfig, namespace=namespace)
    configure_logging(settings.log_format, settings.log_level)
    try:
        code = asyncio.run(run_operator(settings))
    except KubernetesError as error:
        code = _failed(error)
    sys.exit(code)


@app.command()
def diagnose(
    vm: Annotated[str, typer.Argument(help="Name of the VM, as in spec.vmName.")],
    appliance: Annotated[str, typer.Option(help="Name of the Appliance resource.")] = "default",
    vcenter_host: Annotated[str | None, typer.Option(help="vCenter of the VM, where its name is not unique.")] = None,
    namespace: Annotated[
        list[str] | None,
        typer.Option(help="Namespace of its cleanups; may be repeated. FEC_WATCH_NAMESPACES, else all."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File to write: JSON if its name ends so, else YAML. Else standard output."
        ),
    ] = None,
    operator_url: Annotated[
        str | None,
        typer.Option(help="Health server of a running operator; this machine's by FEC_HEALTH_PORT if not given."),
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig to use instead of the pod's service account or $KUBECONFIG.")
    ] = None,
) -> None:
    """Write a support bundle about a VM: what is observed, decided and remembered, and why. Only reads; holds no secret.

    Secrets and Lease are looked for in the operator's own namespace, FEC_NAMESPACE. What cannot be had is listed under `problems`.
    """
    settings = _settings()
    subject = Subject(
        vm_name=vm,
        appliance=appliance,
        vcenter_host=vcenter_host,
        namespaces=tuple(namespace or settings.watch_namespaces),
        operator_url=operator_url or f"http://127.0.0.1:{settings.health_port}",
    )
    configure_logging("human", "WARNING")
    try:
        bundle = asyncio.run(collect(kubeconfig or settings.kubeconfig, settings, subject))
    except KubernetesError as error:
        raise typer.Exit(_failed(error)) from None
    text = as_text(bundle, as_json=output is not None and output.suffix == ".json")
    if output is None:
        typer.echo(text, nl=False)
        return
    output.touch(mode=0o600)
    output.write_text(text)
    typer.echo(f"{output}: {len(bundle['problems'])} problem(s); read it before you hand it on.", err=True)


def _settings(**given: Path | str | None) -> OperatorSettings:
    return settings_of(OperatorSettings, given, named=lambda field: f"FEC_{field.upper()}")


def _failed(error: KubernetesError) -> ExitCode:
    complain(str(error))
    return ExitCode.FORBIDDEN if isinstance(error, Forbidden) and error.status == 403 else ExitCode.UNREACHABLE
