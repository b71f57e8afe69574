"""`dualvla export`: the pruned dataset for other trainers."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.run import Command, Dataset, DryRun, Embodiment, Force, dataset_options, execute_pipeline
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.manifest import ArtifactRef
    from tasks.stage import RunContext

Format = Annotated[
    Literal["lerobot", "keep_ranges"],
    typer.Option("--format", help="lerobot: a v3.0 dataset with language columns; keep_ranges: JSON for the original."),
]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    output: Annotated[Path, typer.Argument(help="Folder to write; it must not exist yet, or be empty.")],
    export_format: Format = "lerobot",
    dataset: Dataset = None,
    preset: Preset = "paper",
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Curate a dataset and write it, pruned, for other trainers; what is curated already is found."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output} exists already; give a new or empty folder to export into.")

    def copy_out(run: RunContext, _config: PipelineConfig, _settings: Settings, exported: ArtifactRef) -> None:
        shutil.copytree(exported_folder(run, exported), output, dirs_exist_ok=True)
        typer.echo(str(output))

    options = dataset_options(dataset, embodiment) | {"export": {"format": export_format}}
    config = configure(preset, overrides, options).config
    execute_pipeline(Command("flows.export", "export", copy_out), config, dry_run=dry_run, force=force)


def exported_folder(run: RunContext, exported: ArtifactRef) -> Path:
    """Where an export lies in the store, or in its copy on this machine."""
    from tasks.stage import open_artifacts  # noqa: PLC0415 - loads Prefect

    return open_artifacts(run).folder(exported)


def tell_export(run: RunContext, _config: PipelineConfig, _settings: Settings, exported: ArtifactRef) -> None:
    """Where a resumed export lies: the folder it was meant for may be on another machine."""
    typer.echo(str(exported_folder(run, exported)))


PIPELINES = {"export": Command("flows.export", "export", tell_export)}
"""The flow of exports, by name."""
