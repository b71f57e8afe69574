"""`dualvla runs` and `dualvla resume`: what was run, and how to go on."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Column, Table

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli import events, experiment, export, judge, play
from flows.cli.run import PIPELINES, Command, execute_pipeline
from flows.cli.store import settled_store
from flows.cli.tables import print_wide
from infra.manifest import ArtifactRef
from infra.run_record import RunRecord, describe_state, find_run, runs, uses
from infra.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Look at past runs; the store remembers them, Prefect need not.")
Run = Annotated[str, typer.Argument(metavar="RUN", help="A run's id or a part of it, or `last`.")]


def register(root: typer.Typer) -> None:
    """Add the commands."""
    root.add_typer(app, name="runs")
    root.command()(resume)


@app.command()
def ls() -> None:
    """List the runs of this store, the newest last."""
    store = settled_store(Settings()).objects
    table = Table("run", "state", "started", "on", "report")
    for record in runs(store):
        report = str(record.report) if record.report else ""
        table.add_row(record.id, describe_state(store, record), record.started, record.host, report)
    print_wide(table)


@app.command()
def show(run: Run = "last") -> None:
    """Say what a run made, what it found, why; copy its report to this machine."""
    settings = Settings()
    store = settled_store(settings)
    record = find_run(store.objects, run)
    state = describe_state(store.objects, record)
    typer.echo(f"{record.id}: {state}" + (f" ({record.message})" if record.message else ""))
    table = Table("stage", "artifact", "how", Column("why", overflow="fold"))
    for use in sorted(uses(store.objects, record.id), key=lambda use: (use.ref.stage, use.ref.key)):
        table.add_row(use.ref.stage, use.ref.key, "executed" if use.executed else "found", use.reason)
    print_wide(table)
    if record.report is not None:
        typer.echo(f"Report: {store.folder(record.report) / 'report.html'}")
    elif state in {"died", "failed"}:
        typer.echo(f"Go on with: dualvla resume {record.id}")


def resume(run: Run = "last") -> None:
    """Run the same configuration again: only what is not committed is executed, on this or any other machine."""
    record = find_run(settled_store(Settings()).objects, run)
    command = RESUMED.get(record.flow)
    if command is None:
        raise ConfigError(f"{record.id} is a run of the unknown flow {record.flow!r}; use the version that began it.")
    execute_pipeline(command, config_of(record), resumes=record)


def tell_promoted(_run: object, config: PipelineConfig, _settings: Settings, promoted: ArtifactRef) -> None:
    """The current model, last."""
    typer.echo(f"current/{config.name}\n{promoted}")


RESUMED = {
    **PIPELINES,
    **events.PIPELINES,
    **experiment.PIPELINES,
    **export.PIPELINES,
    **judge.PIPELINES,
    **play.PIPELINES,
    "promote": Command("flows.promote", "promote", tell_promoted),
}
"""Every flow that is recorded, by name."""


def config_of(record: RunRecord) -> PipelineConfig:
    """The configuration of a recorded run; `ConfigError` if this version cannot read it."""
    values: dict[str, Any] = record.config
    try:
        return PipelineConfig.model_validate(values)
    except ValueError as error:
        raise ConfigError(
            f"The configuration of {record.id} does not fit this version ({error}); start it anew with `dualvla run`."
        ) from error
