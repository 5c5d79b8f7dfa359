"""`fec`: the command line."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import Annotated

import kopf
import typer

from failed_execution_cleanup import __version__
from failed_execution_cleanup.controller.kubernetes_api import KubernetesError
from failed_execution_cleanup.controller.operator import run_operator
from failed_execution_cleanup.controller.settings import OperatorSettings

app = typer.Typer(
    name="fec",
    help="Repairs half-dead disaster-recovery failovers without losing replicated data.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def fec(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Repairs half-dead disaster-recovery failovers without losing replicated data."""


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
    given = {"kubeconfig": kubeconfig, "namespace": namespace}
    settings = OperatorSettings.model_validate(
        OperatorSettings().model_dump() | {name: value for name, value in given.items() if value is not None}
    )
    log_format = kopf.LogFormat.JSON if settings.log_format == "json" else kopf.LogFormat.FULL
    kopf.configure(debug=settings.log_level == "DEBUG", log_format=log_format, log_prefix=False)
    logging.getLogger().setLevel(settings.log_level)
    for noisy in ("httpx", "httpcore", "aiosqlite", "asyncio", "kopf.objects", "kopf.activities"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        code = asyncio.run(run_operator(settings))
    except KubernetesError as error:
        typer.echo(f"fec: {error}", err=True)
        code = 2
    sys.exit(code)


def main() -> None:
    """Entry point of the `fec` script and of `python -m failed_execution_cleanup`."""
    app()
