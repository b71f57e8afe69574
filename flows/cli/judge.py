"""`dualvla judge`: score rollouts again, probe a judge, measure its agreement with people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dualvla_core.errors import ConfigError
from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.run import Force, run_context, run_flow
from infra.prefect.server import configure_prefect, prefect_server
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.manifest import ArtifactRef
    from tasks.stage import RunContext

app = typer.Typer(no_args_is_help=True, help="Judge trajectories, and judge the judge.")

Rollouts = Annotated[
    list[str], typer.Option(help="Artifact STAGE/KEY of rollouts; repeatable. Without it, all in the store.")
]


@app.command()
def score(
    preset: Preset = "demo",
    rollouts: Rollouts = [],  # noqa: B006 - typer reads the default
    overrides: Overrides = [],  # noqa: B006
    force: Force = [],  # noqa: B006
) -> None:
    """Score rollouts that are in the store, and write a report with a page per attempt."""
    run = context(force)  # Prefect reads its settings when it is first imported
    from flows.judge import score as flow  # noqa: PLC0415

    execute_judging(flow, run, (preset, overrides), named_rollouts(run, rollouts), page="scores.html")


@app.command()
def probe(
    preset: Preset = "demo",
    overrides: Overrides = [],  # noqa: B006
    episodes: Annotated[int, typer.Option(help="Expert episodes per task.")] = 4,
    first_seed: Annotated[int, typer.Option(help="Seed of each task's first expert episode.")] = 90000,
    force: Force = [],  # noqa: B006
) -> None:
    """Plant defects in expert episodes and see which the configured judge notices (needs the extra `simulation`)."""
    run = context(force)
    from dualvla_core.vla_score.config import ProbeConfig  # noqa: PLC0415
    from dualvla_core.vla_score.experts import ExpertsConfig  # noqa: PLC0415
    from flows.judge import probe as flow  # noqa: PLC0415

    experts = ExpertsConfig(episodes_per_task=episodes, first_seed=first_seed)
    execute_judging(flow, run, (preset, overrides), experts, ProbeConfig(), page="probe.html")


@app.command()
def agreement(
    scores: Annotated[str, typer.Argument(help="Artifact score_trajectories/KEY of the judge's verdicts.")],
    human: Annotated[Path | None, typer.Option(help="CSV of people's grades, see docs/vla-score.md.")] = None,
    other: Annotated[str | None, typer.Option(help="Artifact of another judge's scores of the same rollouts.")] = None,
    preset: Preset = "demo",
    overrides: Overrides = [],  # noqa: B006
    force: Force = [],  # noqa: B006
) -> None:
    """Measure how far a judge agrees with people, which validates it, or with another judge, which does not."""
    if (human is None) == (other is None):
        raise ConfigError("Agreement is with people or with another judge; give exactly one of --human and --other.")
    run = context(force)
    from flows.judge import Ratings  # noqa: PLC0415
    from flows.judge import agreement as flow  # noqa: PLC0415
    from infra.judge import named_artifact  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    store = open_artifacts(run)
    second = named_artifact(store, other, ("score_trajectories",)) if other is not None else None
    ratings = Ratings(human=existing(human) if human is not None else None, other=second)
    first = named_artifact(store, scores, ("score_trajectories",))
    execute_judging(flow, run, (preset, overrides), first, ratings, page="agreement.html")


def context(force: list[str]) -> RunContext:
    """The run context of this machine, with Prefect made ready."""
    settings = Settings()
    configure_prefect(settings)
    return run_context(settings, force)


def existing(path: Path) -> str:
    """The absolute path of a file. Raises `ConfigError` when there is none."""
    if not path.is_file():
        raise ConfigError(f"There is no file {path}; name the CSV to read.")
    return str(path.resolve())


def named_rollouts(run: RunContext, names: list[str]) -> tuple[ArtifactRef, ...]:
    """The rollouts named, or all that are in the store. Raises `ConfigError` when there are none."""
    from infra.judge import named_artifact  # noqa: PLC0415
    from tasks.run_rollouts import run_rollouts  # noqa: PLC0415
    from tasks.stage import open_artifacts  # noqa: PLC0415

    store = open_artifacts(run)
    if names:
        return tuple(named_artifact(store, name, ("run_rollouts",)) for name in names)
    found = [each for each in store.manifests("run_rollouts") if each.request.version == run_rollouts.version]
    if not found:
        raise ConfigError("There are no rollouts in the store; play some with `dualvla train`.")
    return tuple(each.ref for each in found)


def execute_judging(pipeline: Any, run: RunContext, told: tuple[str, list[str]], *args: Any, page: str) -> None:
    """Run a flow of `flows.judge` and copy what it made to where people look for it; its page's path is printed."""
    from tasks.stage import open_artifacts  # noqa: PLC0415

    settings, config = Settings(), configure(*told).config
    with prefect_server(settings) as server:
        typer.echo(f"Watch this run at {server.ui_url} (afterwards: dualvla ui).")
        result: ArtifactRef = run_flow(pipeline, config, run, *args)
    store = open_artifacts(run)
    folder = settings.root / "reports" / pipeline.name
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(store.folder(result), folder)
    for name, value in store.manifest(result).summary.items():
        typer.echo(f"  {name:<26} {value}")
    typer.echo(f"{result}")
    typer.echo(str(folder / page))
