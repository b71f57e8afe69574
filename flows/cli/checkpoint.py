"""`dualvla checkpoint`: what is done to a trained policy: merging its adapters, publishing it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from dualvla_core.errors import ConfigError
from flows.cli.store import find_artifact, settled_store
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Merge and publish trained policies.")
Checkpoint = Annotated[str, typer.Argument(help="Folder of a checkpoint, or STAGE/KEY of a training's artifact.")]


@app.command()
def merge(
    checkpoint: Checkpoint,
    output: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet, or be empty.")],
) -> None:
    """Add a LoRA adapter to the weights it adapts: the same policy, without the adapter's cost."""
    from dualvla_core.models.adaptation import merge_adapters  # noqa: PLC0415 - what only one command needs
    from dualvla_core.models.dualvla import DualVLA  # noqa: PLC0415

    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} exists already; give a new or empty folder to write into.")
    folder, _ = _located(checkpoint)
    policy = DualVLA.from_pretrained(folder)
    policy.config = merge_adapters(policy.backbone, policy.config)
    policy.save_pretrained(output)
    typer.echo(str(output))


@app.command()
def push(
    checkpoint: Checkpoint,
    repository: Annotated[str, typer.Argument(help="Where to, on the hub: owner/name.")],
    private: Annotated[bool, typer.Option("--private", help="Let nobody else see a repository this makes.")] = False,
) -> None:
    """Publish a checkpoint on the Hugging Face hub, with a model card that says what it was made from."""
    from dualvla_core.models.card import model_card  # noqa: PLC0415
    from infra.hub import push_checkpoint  # noqa: PLC0415

    folder, lineage = _located(checkpoint)
    typer.echo(push_checkpoint(folder, repository, model_card(folder, lineage), private=private))


def _located(checkpoint: str) -> tuple[Path, list[str]]:
    """The folder of a checkpoint, and a line for each artifact it was made from, where it is one itself."""
    if Path(checkpoint).is_dir():
        return Path(checkpoint), []
    from infra.lineage import ancestors  # noqa: PLC0415

    store = settled_store(Settings())
    manifest = find_artifact(store, checkpoint)
    made = [
        f"`{each.ref}` (version {each.request.version}, payload `{each.digest}`)"
        for each in ancestors(store, [manifest.ref])
    ]
    return store.folder(manifest.ref), made
