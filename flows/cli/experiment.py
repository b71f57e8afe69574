"""`dualvla experiment`: variants of the method, measured over training seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from dualvla_core.errors import ConfigError
from dualvla_core.experiments.config import ExperimentName
from flows.cli.configuration import Overrides, configure, shipped
from flows.cli.run import Command, DryRun, execute_pipeline, require_training
from infra.settings import Settings

if TYPE_CHECKING:
    from dualvla_core.pipeline_config import PipelineConfig
    from infra.manifest import ArtifactRef
    from tasks.stage import RunContext

NAMES = get_args(ExperimentName)

Name = Annotated[str, typer.Argument(metavar="|".join(NAMES), help="Which experiment.")]
Scale = Annotated[
    str, typer.Option("--preset", help="Scale: cpu, gpu, any other preset, or the path of a YAML file with its keys.")
]
Seeds = Annotated[int | None, typer.Option(min=1, help="Training seeds of every variant; otherwise the preset's.")]


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(experiment)


def experiment(
    name: Name,
    preset: Scale = "cpu",
    seeds: Seeds = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    dry_run: DryRun = False,
) -> None:
    """Train and measure the variants of an experiment; run again to go on, or with more seeds to add to it."""
    if name not in NAMES:
        raise ConfigError(f"There is no experiment {name!r}; expected one of {', '.join(NAMES)}.")
    scale = f"experiment-{preset}"
    options: dict[str, Any] = {} if seeds is None else {"experiment": {"seeds": seeds}}
    config = configure(scale if scale in shipped("preset") else preset, overrides, options).config
    execute_pipeline(PIPELINES[f"experiment-{name}"], config, dry_run=dry_run)


def _tell(run: RunContext, config: PipelineConfig, settings: Settings, report: ArtifactRef) -> None:
    """Copy the report to where people look for it, print its section and rates, and its path as the last line."""
    from dualvla_core.experiments.page import PAGE, SECTION  # noqa: PLC0415
    from flows.experiments.rates import decision_rates, told  # noqa: PLC0415
    from tasks.publish_report import export_artifact  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    store = open_artifacts(run)
    name = store.manifest(report).summary["experiment"]
    folder = export_artifact(run, report, settings.root / "reports" / f"{config.name}-{name}")
    typer.echo((folder / SECTION).read_text(encoding="utf-8"))
    typer.echo(told(decision_rates(store, report)))
    typer.echo(str(folder / PAGE))


PIPELINES = {
    f"experiment-{name}": Command(f"flows.experiments.{name}", name, _tell, require_training) for name in NAMES
}
"""The experiments' flows, by name."""
