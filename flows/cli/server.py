"""`dualvla ui`: the embedded Prefect server, kept running to look at past runs."""

from __future__ import annotations

import typer

from infra.prefect.server import configure_prefect, start_server
from infra.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(ui)


def ui() -> None:
    """Start the Prefect UI and keep it running until Ctrl-C; runs that start meanwhile report to it."""
    settings = Settings()
    configure_prefect(settings)
    process, server = start_server(settings)
    typer.echo(f"Prefect UI: {server.ui_url}   (Ctrl-C stops it)")
    try:
        process.wait()
    except KeyboardInterrupt:
        process.terminate()
        process.wait()
