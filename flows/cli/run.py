"""`dualvla run`, `curate` and `demo`: execute the pipeline, or say what it would execute."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from dualvla_core.errors import ConfigError
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli.configuration import Overrides, Preset, configure
from infra.prefect.server import configure_prefect, prefect_server
from infra.settings import Settings

if TYPE_CHECKING:
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner

    from tasks.stage import RunContext

Dataset = Annotated[
    Path | None, typer.Option(help="Folder of a LeRobot dataset; without it, demonstrations are recorded.")
]
Embodiment = Annotated[str | None, typer.Option(help="Shipped embodiment or path of a YAML; otherwise by robot type.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print hit or miss per stage, and why; execute nothing.")]
Force = Annotated[list[str], typer.Option(help="Execute a stage although its result is committed; repeatable.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(curate)
    app.command(name="run")(run_pipeline)
    app.command()(demo)


def run_pipeline(
    preset: Preset = "demo",
    dataset: Dataset = None,
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Run every stage there is, from demonstrations to the report."""
    execute(preset, dataset, embodiment, overrides, dry_run, force)


def curate(
    dataset: Dataset = None,
    preset: Preset = "paper",
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Curate a dataset: event boundaries, key-frames, pruned shards and a report."""
    execute(preset, dataset, embodiment, overrides, dry_run, force)


def demo(dry_run: DryRun = False) -> None:
    """The main job on this machine, from nothing: simulated demonstrations, curated end to end."""
    execute("demo", None, None, [], dry_run, [])


def execute(
    preset: str, dataset: Path | None, embodiment: str | None, overrides: list[str], dry_run: bool, force: list[str]
) -> None:
    """Resolve the configuration, then run or plan the flow; the last line printed is the report's path."""
    options: dict[str, Any] = {}
    if dataset is not None:
        options = {"name": dataset.resolve().name, "dataset": {"path": str(dataset.resolve())}}
    if embodiment is not None:
        options.setdefault("dataset", {})["embodiment"] = embodiment
    config = configure(preset, overrides, options).config
    settings = Settings()
    configure_prefect(settings)
    if dry_run:
        plan(config, settings, force)
        return
    with prefect_server(settings) as server:
        typer.echo(f"Watch this run at {server.ui_url} (afterwards: dualvla ui).")
        page = run_flow(config, settings, force)
    typer.echo(str(page))


def plan(config: PipelineConfig, settings: Settings, force: list[str]) -> None:
    """Print what a run would do, without a server and without executing anything."""
    from rich.console import Console  # noqa: PLC0415 - what only one command needs is imported there

    from flows.cli.console import plan_table  # noqa: PLC0415
    from flows.curate import curate as curate_flow  # noqa: PLC0415
    from tasks.stage import PlanLine, dry_run_plan  # noqa: PLC0415

    lines: list[PlanLine] = []
    token = dry_run_plan.set(lines)
    try:
        curate_flow.fn(config, run_context(settings, force))
    finally:
        dry_run_plan.reset(token)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(plan_table(lines))
    typer.echo(f"{sum(line.hit for line in lines)} hits, {sum(not line.hit for line in lines)} misses")


def run_flow(config: PipelineConfig, settings: Settings, force: list[str]) -> Path:
    """Run the flow with a console listening; returns the path of the report's page."""
    from prefect.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415

    from flows.cli.console import RunConsole, describe  # noqa: PLC0415
    from flows.curate import curate as curate_flow  # noqa: PLC0415
    from tasks.progress import listener  # noqa: PLC0415
    from tasks.publish_report import export_report  # noqa: PLC0415
    from tasks.stage import Missing  # noqa: PLC0415

    run = run_context(settings, force)
    workers = cast("TaskRunner[PrefectFuture[Any]]", ThreadPoolTaskRunner(max_workers=config.execution.workers))
    with RunConsole() as console:
        token = listener.set(console)
        try:
            report = curate_flow.with_options(task_runner=workers, flow_run_name=f"curate {config.name}")(config, run)
        finally:
            listener.reset(token)
    assert not isinstance(report, Missing), "only dry runs miss"
    executed = sum(count.executed for count in console.counts.values())
    for stage, count in console.counts.items():
        typer.echo(f"  {stage:<26} {describe(count)}")
    typer.echo(f"Executed {executed} pieces of work." if executed else "Nothing was executed: every result was cached.")
    return export_report(run, report, settings.root / "reports" / config.name)


def run_context(settings: Settings, force: list[str]) -> RunContext:
    """How and where this machine executes; `ConfigError` for a stage to force that does not exist."""
    from flows.curate import STAGES  # noqa: PLC0415
    from tasks.stage import RunContext  # noqa: PLC0415

    names = [stage.name for stage in STAGES]
    unknown = sorted(set(force) - set(names))
    if unknown:
        raise ConfigError(f"There is no stage {unknown[0]!r} to force; the stages are {', '.join(names)}.")
    return RunContext(
        store_uri=settings.store_uri,
        s3_endpoint=settings.s3_endpoint,
        cache=str(settings.cache),
        force=tuple(sorted(force)),
    )
