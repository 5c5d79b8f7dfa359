"""`fec serve`: the console as a command."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from failed_execution_cleanup.commands.settings_told import settings_of
from failed_execution_cleanup.console.pages.rendering import HtmxMissing
from failed_execution_cleanup.console.serve import CannotListen, serve
from failed_execution_cleanup.console.settings import ConsoleSettings
from failed_execution_cleanup.console.standalone import standalone
from failed_execution_cleanup.console.token_file import UnusableTokenFile
from failed_execution_cleanup.controller.kubernetes_api import KubernetesError
from failed_execution_cleanup.controller.logs import configure_logging
from failed_execution_cleanup.exit_codes import ExitCode
from failed_execution_cleanup.local.appliance_file import UnusableFileError

app = typer.Typer(name="serve", pretty_exceptions_enable=False, add_completion=False, rich_markup_mode=None)


@app.command("serve")
def serve_console(
    host: Annotated[str | None, typer.Option(help="Address to listen on (FEC_CONSOLE_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (FEC_CONSOLE_PORT); 0 takes a free one.")] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="Kubeconfig to use instead of the pod's service account or $KUBECONFIG.")
    ] = None,
    namespace: Annotated[
        str | None, typer.Option(help="The operator's own namespace, for its Secrets (FEC_NAMESPACE).")
    ] = None,
    appliance_file: Annotated[
        Path | None,
        typer.Option(
            help="Without Kubernetes, on the appliance itself: YAML file with the Appliance, as for fec local."
        ),
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option(help="Who may log in then: lines NAME:SHA256-OF-TOKEN; mode 0600.")
    ] = None,
    secrets_dir: Annotated[
        Path | None, typer.Option(help="Directory with the Appliance's Secrets as files NAME/KEY, as for fec local.")
    ] = None,
) -> None:
    """Serve the console, REST and live progress, until SIGTERM; all other settings are environment variables FEC_CONSOLE_…."""
    if (appliance_file is None) != (token_file is None):
        typer.echo("fec: --appliance-file and --token-file belong together.", err=True)
        raise typer.Exit(ExitCode.USAGE)
    given = {"host": host, "port": port, "kubeconfig": kubeconfig, "namespace": namespace}
    settings = settings_of(ConsoleSettings, given)
    configure_logging(settings.log_format, settings.log_level)
    try:
        alone = None
        if appliance_file is not None and token_file is not None:
            alone = standalone(appliance_file, token_file, secrets_dir, settings)
        asyncio.run(serve(settings, alone))
    except (CannotListen, HtmxMissing, UnusableFileError, UnusableTokenFile) as error:
        typer.echo(f"fec: {error}", err=True)
        raise typer.Exit(ExitCode.USAGE) from None
    except KubernetesError as error:
        typer.echo(f"fec: {error}", err=True)
        raise typer.Exit(ExitCode.UNREACHABLE) from None
