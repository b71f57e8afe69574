"""`dualvla curate`, `run` and `demo`: execute the pipeline, or say what it would execute."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from dualvla_core.errors import ConfigError, DependencyError, UserError
from dualvla_core.pipeline_config import PipelineConfig
from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.tables import print_wide
from infra.hub import is_hub_name
from infra.prefect.server import answers, configure_prefect, prefect_server
from infra.run_record import RunRecord, uses
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.manifest import ArtifactRef
    from tasks.stage import RunContext

Dataset = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER|OWNER/NAME|s3://...",
        help="Demonstrations (LeRobot v2 or v3, RLDS, HDF5), by folder, hub name or s3:// address; without, some are "
        "recorded.",
    ),
]
Embodiment = Annotated[str | None, typer.Option(help="Shipped embodiment or path of a YAML; otherwise by robot type.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print hit or miss per stage, and why; execute nothing.")]
Force = Annotated[list[str], typer.Option(help="Execute a stage although its result is committed; repeatable.")]


@dataclass(frozen=True)
class Command:
    """A flow as the command line runs and resumes it; it is imported once Prefect has a server."""

    module: str
    name: str
    tell: Callable[[RunContext, PipelineConfig, Settings, Any], None]
    """Prints what the flow came to, its result."""
    require: Callable[[], None] = lambda: None
    """Raises `DependencyError` where an extra is missing."""

    def load(self) -> Any:
        """Import the flow."""
        return getattr(import_module(self.module), self.name)


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
    execute(preset, dataset, embodiment, overrides, dry_run, force)


def run_pipeline(
    dataset: Dataset = None,
    preset: Preset = "paper",
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Curate, train specialist, generalist and DualVLA student, measure each, and report (needs the extra `train`)."""
    execute(preset, dataset, embodiment, overrides, dry_run, force, flow="train")


def demo(
    quick: Annotated[
        bool, typer.Option("--quick", help="Few demonstrations and steps: what it does, not what it learns.")
    ] = False,
    dry_run: DryRun = False,
) -> None:
    """The main job on this machine, from nothing: simulated demonstrations, three trainings, measures, report."""
    execute("quick" if quick else "demo", None, None, [], dry_run, [], flow="train")


def execute(
    preset: str,
    dataset: str | None,
    embodiment: str | None,
    overrides: list[str],
    dry_run: bool,
    force: list[str],
    *,
    flow: str = "curate",
) -> None:
    """Resolve the configuration, then run or plan the flow; what it came to is printed last."""
    config = configure(preset, overrides, dataset_options(dataset, embodiment)).config
    execute_pipeline(PIPELINES[flow], config, dry_run=dry_run, force=force)


def execute_pipeline(
    command: Command,
    config: PipelineConfig,
    *args: Any,
    dry_run: bool = False,
    force: Sequence[str] = (),
    resumes: RunRecord | None = None,
) -> None:
    """Run or plan a flow with what it is given beside the configuration, and print what it came to.

    One that ``resumes`` another is given what that one was given.
    """
    settings = Settings()
    configure_prefect(settings)
    command.require()
    if dry_run:
        plan(command.load(), config, run_context(settings, force), *args)
        return
    with prefect_server(settings, command.load) as server:
        pipeline, run = command.load(), run_context(settings, force)
        typer.echo(f"Watch this run at {server.ui_url} (afterwards: dualvla ui).")
        if resumes is not None:
            run, args = run.model_copy(update={"resumes": resumes.id}), tuple(given(pipeline, resumes))
        try:
            result = run_flow(pipeline, config, run, *args)
        except UserError:
            raise
        except Exception as error:
            if answers(server):
                raise
            raise DependencyError(
                f"The Prefect server at {server.api_url} stopped answering; start it again and `dualvla resume last`: "
                "what is committed is kept."
            ) from error
    command.tell(run, config, settings, result)


def require_training() -> None:
    """Raise `DependencyError` where the extra that training needs is not installed."""
    if find_spec("torch") is None or find_spec("deepspeed") is None:
        raise DependencyError(
            "Training needs torch and deepspeed, which are not installed: "
            "install the extra with `pip install 'dualvla[train]'`."
        )


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


PIPELINES = {
    "curate": Command("flows.curate", "curate", tell),
    "train": Command("flows.train", "train", tell, require_training),
}
"""The flows of the pipeline, by name."""


def plan(pipeline: Any, config: PipelineConfig, run: RunContext, *args: Any) -> None:
    """Print what a run would do, without a server and without executing anything."""
    from flows.cli.console import plan_table  # noqa: PLC0415
    from tasks.stage import PlanLine, dry_run_plan  # noqa: PLC0415

    lines: list[PlanLine] = []
    token = dry_run_plan.set(lines)
    try:
        pipeline.fn(config, run, *args)
    finally:
        dry_run_plan.reset(token)
    print_wide(plan_table(lines))
    typer.echo(f"{sum(line.hit for line in lines)} hits, {sum(not line.hit for line in lines)} misses")


def run_flow(pipeline: Any, config: PipelineConfig, run: RunContext, *args: Any) -> Any:
    """Run a flow with a console listening, and say per stage what was executed; returns the flow's result."""
    from prefect import tags  # noqa: PLC0415

    from flows.cli.console import RunConsole, describe  # noqa: PLC0415
    from flows.recorded import counts, recorded  # noqa: PLC0415
    from tasks.progress import listener  # noqa: PLC0415
    from tasks.stage import Missing, open_artifacts  # noqa: PLC0415

    with RunConsole() as console, tags("dualvla", f"data:{config.name}"):
        token = listener.set(console)
        try:
            with recorded(pipeline.name, config, run, described(pipeline, args)) as context:
                result = pipeline(config, context, *args)
        finally:
            listener.reset(token)
    assert not isinstance(result, Missing), "only dry runs miss"
    used = counts(list(uses(open_artifacts(context).objects, context.id)))
    for stage, (executed, reused) in used.items():
        typer.echo(f"  {stage:<26} {describe(executed, reused)}")
    made = sum(executed for executed, _ in used.values())
    typer.echo(f"Executed {made} pieces of work." if made else "Nothing was executed: every result was cached.")
    return result


def described(pipeline: Any, args: Sequence[Any]) -> dict[str, Any]:
    """What a flow is given beside configuration and context, by name, as JSON."""
    names = list(signature(pipeline.fn).parameters)[2:]
    return {name: to_jsonable_python(value) for name, value in zip(names, args, strict=True)}


def given(pipeline: Any, record: RunRecord) -> list[Any]:
    """The arguments that `described` wrote down; `ConfigError` if this version cannot read them."""
    types = get_type_hints(pipeline.fn)
    try:
        return [TypeAdapter(types[name]).validate_python(value) for name, value in record.arguments.items()]
    except (KeyError, ValueError) as error:
        raise ConfigError(
            f"What {record.id} was given does not fit this version ({error}); start it anew with its command."
        ) from error


def run_context(settings: Settings, force: Sequence[str]) -> RunContext:
    """How and where this machine executes; `ConfigError` for a stage to force that does not exist."""
    from flows import curate, events, export, judge, promote, train  # noqa: PLC0415
    from flows.experiments import experiment as experiments  # noqa: PLC0415
    from flows.recorded import here  # noqa: PLC0415

    flows = (curate, events, train, promote, export, judge, experiments)
    names = [stage.name for each in flows for stage in each.STAGES]
    unknown = sorted(set(force) - set(names))
    if unknown:
        raise ConfigError(f"There is no stage {unknown[0]!r} to force; the stages are {', '.join(names)}.")
    return here(settings).model_copy(update={"force": tuple(sorted(force))})


def dataset_options(dataset: str | None, embodiment: str | None) -> dict[str, Any]:
    """The options of a command as configuration values; the path of a folder here becomes absolute."""
    options: dict[str, Any] = {}
    if dataset is not None:
        folder = Path(dataset).expanduser()
        elsewhere = "://" in dataset or (is_hub_name(dataset) and not folder.exists())
        path = dataset.rstrip("/") if elsewhere else str(folder.resolve())
        options = {"name": path.rpartition("/")[2], "dataset": {"path": path}}
    if embodiment is not None:
        options.setdefault("dataset", {})["embodiment"] = embodiment
    return options
