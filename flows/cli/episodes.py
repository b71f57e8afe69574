"""`dualvla episodes`: what is done to single demonstrations."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Demonstrations, one by one.")


@app.callback()
def episodes() -> None:
    """Demonstrations, one by one."""


@app.command()
def withdraw(
    digest: Annotated[str, typer.Argument(help="The episode's digest, or its beginning.")],
    reason: Annotated[str, typer.Option(help="Why; every later report shows it.")],
) -> None:
    """Keep an episode out of every later collection, and list what was made with it before."""
    from infra.artifact_store import ArtifactStore  # noqa: PLC0415 - what only one command needs is imported there
    from infra.object_store import open_store  # noqa: PLC0415
    from tasks.withdrawal import containing  # noqa: PLC0415
    from tasks.withdrawal import withdraw as withdraw_episode  # noqa: PLC0415

    settings = Settings()
    store = ArtifactStore(open_store(settings.store_uri, settings.s3_endpoint), settings.cache)
    whole = withdraw_episode(store, digest, reason)
    found = containing(store, whole)
    table = Table("artifact", "kind", "made with it")
    for each in found:
        kind = "checkpoint" if each.is_checkpoint else "artifact"
        table.add_row(str(each.manifest.ref), kind, store.run_record(each.manifest)["started"])
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)
    checkpoints = sum(each.is_checkpoint for each in found)
    typer.echo(
        f"{whole} is withdrawn. {len(found)} artifacts contain it, {checkpoints} of them checkpoints; they stay as "
        "they are: run curate or train again to make them without it."
    )
