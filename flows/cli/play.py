"""`dualvla play`: closed-loop rollouts of a trained policy under a protocol."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from pydantic import ValidationError

from dualvla_core.errors import ArtifactError, ConfigError
from dualvla_core.evaluation.config import ProtocolConfig
from dualvla_core.evaluation.paper_tables import TASK_COLUMNS
from dualvla_core.pipeline_config import ExecutionConfig, PipelineConfig
from dualvla_core.report.results.measures import read_policy_type
from flows.cli.configuration import read_values
from flows.cli.results import print_results
from flows.cli.run import Command, DryRun, Force, execute_pipeline
from flows.cli.store import find_artifact, settled_store
from infra.manifest import ArtifactRef, Manifest
from infra.settings import Settings

if TYPE_CHECKING:
    from tasks.stage import RunContext

TRAINED = ("train_specialist", "train_generalist", "distill_student")


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(play)


def play(
    policy: Annotated[str, typer.Argument(help="A trained policy: STAGE/KEY, or a part of it.")],
    protocol: Annotated[str, typer.Option(help="A shipped protocol, or the path of a YAML file like it.")] = "simpler",
    task: Annotated[list[str], typer.Option(help="Only this task of it; repeatable.")] = [],  # noqa: B006
    processes: Annotated[int, typer.Option(min=1, help="Simulators that play at once.")] = 2,
    batch: Annotated[int, typer.Option(min=1, help="Most of them that one pass of the policy decides for.")] = 1,
    dry_run: DryRun = False,
    force: Force = [],  # noqa: B006
) -> None:
    """Play a policy in closed loop, and print its success and its line of the paper's table."""
    store = settled_store(Settings())
    manifest = find_artifact(store, policy)
    if manifest.request.stage not in TRAINED:
        raise ArtifactError(f"{manifest.ref} is no trained policy; give an artifact of {', '.join(TRAINED)}.")
    kind, wanted = read_policy_type(store.folder(manifest.ref)), read_protocol(protocol, task)
    execution = ExecutionConfig(rollout_processes=processes, rollout_batch=batch)
    config = PipelineConfig(name=Path(protocol).stem, execution=execution)
    execute_pipeline(PIPELINES["play"], config, manifest.ref, kind, wanted, dry_run=dry_run, force=force)


def read_protocol(name: str, tasks: list[str]) -> ProtocolConfig:
    """The trials of a protocol, or those among them of ``tasks``. Raises `ConfigError` where it has none such."""
    try:
        found = ProtocolConfig.model_validate(read_values("protocol", name))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigError(f"The protocol {name!r} cannot be read: {where}: {first['msg']}.") from error
    known = [task for each in found.trials for task in each.tasks]
    unknown = [task for task in tasks if task not in known]
    if unknown:
        raise ConfigError(f"The protocol {name!r} has no task {unknown[0]!r}; it has {', '.join(known)}.")
    return found.of_tasks(tasks) if tasks else found


def tell_played(
    run: RunContext, _config: PipelineConfig, _settings: Settings, rollouts: tuple[ArtifactRef, ...]
) -> None:
    """Success by task with its interval, the line of the paper's table for tasks that are in it, the artifacts last."""
    from tasks.stage import open_artifacts  # noqa: PLC0415 - loads Prefect

    store = open_artifacts(run)
    played = [store.manifest(each) for each in rollouts]
    for each in played:
        typer.echo("\n".join(_success(each)))
    columns = [each for each in played if TASK_COLUMNS.keys() & set(each.request.params["tasks"])]
    if columns:
        print_results(store, columns)
    for each in played:
        typer.echo(str(each.ref))


def _success(played: Manifest) -> list[str]:
    lines = []
    for task in played.request.params["tasks"]:
        rate, low, high = (played.summary[f"{task}.success_{end}"] for end in ("rate", "low", "high"))
        episodes = played.request.params["episodes_per_task"]
        lines.append(f"  {task:<26} {rate:.1%} of {episodes} episodes succeed [{low:.1%}, {high:.1%}]")
    return lines


PIPELINES = {"play": Command("flows.play", "play", tell_played)}
"""The flow of playing, by name."""
