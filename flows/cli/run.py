"""`dualvla curate`, `run` and `demo`: execute the pipeline, or say what it would execute."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dualvla_core.errors import ConfigError, DependencyError
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli.configuration import Overrides, Preset, configure
from infra.prefect.server import configure_prefect, prefect_server
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.manifest import ArtifactRef
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


def curate(
    dataset: Dataset = None,
    preset: Preset = "paper",
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Curate a dataset: event boundaries, key-frames, pruned shards and a report."""
    execute(preset, dataset, embodiment, overrides, dry_run, force, training=False)


def run_pipeline(
    dataset: Dataset = None,
    preset: Preset = "paper",
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Curate, train specialist, generalist and DualVLA student, measure each, and report (needs the extra `train`)."""
    execute(preset, dataset, embodiment, overrides, dry_run, force, training=True)


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few demonstrations and steps: what it does, not what it learns.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """The main job on this machine, from nothing: simulated demonstrations, three trainings, measures, report."""
    execute("quick" if quick else "demo", None, None, [], dry_run, [], training=True)


def execute(
    preset: str,
    dataset: Path | None,
    embodiment: str | None,
    overrides: list[str],
    dry_run: bool,
    force: list[str],
    *,
    training: bool,
) -> None:
    """Resolve the configuration, then run or plan the flow; what it came to is printed last."""
    config = configure(preset, overrides, dataset_options(dataset, embodiment)).config
    execute_pipeline(lambda: pipeline_of(training), tell, config, dry_run, force)


def dataset_options(dataset: Path | None, embodiment: str | None) -> dict[str, Any]:
    """The configuration values that the options on the dataset stand for."""
    options: dict[str, Any] = {}
    if dataset is not None:
        options = {"name": dataset.resolve().name, "dataset": {"path": str(dataset.resolve())}}
    if embodiment is not None:
        options.setdefault("dataset", {})["embodiment"] = embodiment
    return options


def execute_pipeline(
    load: Callable[[], Any],
    tell: Callable[[RunContext, PipelineConfig, Settings, Any], None],
    config: PipelineConfig,
    dry_run: bool,
    force: list[str],
) -> None:
    """Run or plan the flow that ``load`` imports; ``tell`` prints what it came to."""
    settings = Settings()
    configure_prefect(settings)
    if dry_run:
        plan(load(), config, run_context(settings, force))
        return
    with prefect_server(settings) as server:
        # only now: Prefect reads its server's address when it is imported, and would start a second one without it
        pipeline, run = load(), run_context(settings, force)
        typer.echo(f"Watch this run at {server.ui_url} (afterwards: dualvla ui).")
        result = run_flow(pipeline, config, run)
    tell(run, config, settings, result)


def pipeline_of(training: bool) -> Any:
    """The flow of a command; `DependencyError` where the extra it needs is not installed."""
    from flows.curate import curate as curate_flow  # noqa: PLC0415 - what only one command needs is imported there

    if not training:
        return curate_flow
    if find_spec("torch") is None or find_spec("deepspeed") is None:
        raise DependencyError(
            "Training needs torch and deepspeed, which are not installed: "
            "install the extra with `pip install 'dualvla[train]'`."
        )
    from flows.train import train as train_flow  # noqa: PLC0415

    return train_flow


def tell(run: RunContext, config: PipelineConfig, settings: Settings, report: ArtifactRef) -> None:
    """Copy the report to where people look for it; print its measures and, as the last line, its path."""
    from tasks.publish_report import export_report  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    summary = open_artifacts(run).manifest(report).summary
    for name, value in summary.items():
        policy, _, measure = name.partition(".")
        if measure and not measure.endswith(("_low", "_high")):
            ends = [f"{summary[name + end]:.3f}" for end in ("_low", "_high") if name + end in summary]
            typer.echo(f"  {policy:<12} {measure:<16} {value:.3f}" + (f"  [{', '.join(ends)}]" if ends else ""))
    typer.echo(str(export_report(run, report, settings.root / "reports" / config.name)))


def plan(pipeline: Any, config: PipelineConfig, run: RunContext) -> None:
    """Print what a run would do, without a server and without executing anything."""
    from rich.console import Console  # noqa: PLC0415

    from flows.cli.console import plan_table  # noqa: PLC0415
    from tasks.stage import PlanLine, dry_run_plan  # noqa: PLC0415

    lines: list[PlanLine] = []
    token = dry_run_plan.set(lines)
    try:
        pipeline.fn(config, run)
    finally:
        dry_run_plan.reset(token)
    console = Console()
    (console if console.is_terminal else Console(width=140)).print(plan_table(lines))
    typer.echo(f"{sum(line.hit for line in lines)} hits, {sum(not line.hit for line in lines)} misses")


def run_flow(pipeline: Any, config: PipelineConfig, run: RunContext, *args: Any) -> Any:
    """Run a flow with a console listening, and say per stage what was executed; returns the flow's result."""
    from prefect.task_runners import ThreadPoolTaskRunner  # noqa: PLC0415

    from flows.cli.console import RunConsole, describe  # noqa: PLC0415
    from tasks.progress import listener  # noqa: PLC0415
    from tasks.stage import Missing  # noqa: PLC0415

    workers = ThreadPoolTaskRunner[Any](max_workers=config.execution.workers)
    with RunConsole() as console:
        token = listener.set(console)
        try:
            named = pipeline.with_options(task_runner=workers, flow_run_name=f"{pipeline.name} {config.name}")
            result = named(config, run, *args)
        finally:
            listener.reset(token)
    assert not isinstance(result, Missing), "only dry runs miss"
    executed = sum(count.executed for count in console.counts.values())
    for stage, count in console.counts.items():
        typer.echo(f"  {stage:<26} {describe(count)}")
    typer.echo(f"Executed {executed} pieces of work." if executed else "Nothing was executed: every result was cached.")
    return result


def run_context(settings: Settings, force: list[str]) -> RunContext:
    """How and where this machine executes; `ConfigError` for a stage to force that does not exist."""
    from flows import curate, events, export, judge, train  # noqa: PLC0415
    from tasks.stage import RunContext  # noqa: PLC0415

    flows = (curate, events, train, export, judge)
    names = [stage.name for each in flows for stage in each.STAGES]
    unknown = sorted(set(force) - set(names))
    if unknown:
        raise ConfigError(f"There is no stage {unknown[0]!r} to force; the stages are {', '.join(names)}.")
    return RunContext(
        store_uri=settings.store_uri,
        s3_endpoint=settings.s3_endpoint,
        cache=str(settings.cache),
        force=tuple(sorted(force)),
    )
