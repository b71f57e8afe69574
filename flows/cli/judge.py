"""`dualvla judge`: score rollouts again, probe a judge, measure its agreement with people."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated, Any

import typer

from dualvla_core.errors import ConfigError
from dualvla_core.vla_score.config import ProbeConfig
from dualvla_core.vla_score.experts import ExpertsConfig
from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.run import Command, Force, execute_pipeline
from infra.artifact_store import ArtifactStore
from infra.judge import named_artifact
from infra.manifest import ArtifactRef
from infra.object_store import open_store
from infra.settings import Settings

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
    execute_judging("judge-score", (preset, overrides, force), named_rollouts(rollouts))


@app.command()
def probe(
    preset: Preset = "demo",
    overrides: Overrides = [],  # noqa: B006
    episodes: Annotated[int, typer.Option(help="Expert episodes per task.")] = 4,
    first_seed: Annotated[int, typer.Option(help="Seed of each task's first expert episode.")] = 90000,
    force: Force = [],  # noqa: B006
) -> None:
    """Plant defects in expert episodes and see which the configured judge notices (needs the extra `simulation`)."""
    experts = ExpertsConfig(episodes_per_task=episodes, first_seed=first_seed)
    execute_judging("judge-probe", (preset, overrides, force), experts, ProbeConfig())


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
    file, store = existing(human) if human is not None else None, artifacts()
    first = named_artifact(store, scores, ("score_trajectories",))
    second = named_artifact(store, other, ("score_trajectories",)) if other is not None else None
    execute_judging("judge-agreement", (preset, overrides, force), first, file, second)


def artifacts() -> ArtifactStore:
    """This machine's artifacts, without Prefect."""
    settings = Settings()
    return ArtifactStore(open_store(settings.store_uri, settings.s3_endpoint), settings.cache)


def existing(path: Path) -> str:
    """The absolute path of a file. Raises `ConfigError` when there is none."""
    if not path.is_file():
        raise ConfigError(f"There is no file {path}; name the CSV to read.")
    return str(path.resolve())


def named_rollouts(names: list[str]) -> tuple[ArtifactRef, ...]:
    """The rollouts named, or all of the newest version in the store. Raises `ConfigError` when there are none."""
    store = artifacts()
    if names:
        return tuple(named_artifact(store, name, ("run_rollouts",)) for name in names)
    found = list(store.manifests("run_rollouts"))
    if not found:
        raise ConfigError("There are no rollouts in the store; play some with `dualvla run`.")
    newest = max(each.request.version for each in found)
    return tuple(each.ref for each in found if each.request.version == newest)


def execute_judging(flow: str, told: tuple[str, list[str], list[str]], *args: Any) -> None:
    """Run a flow of `flows.judge` with what it is given beside the configuration."""
    preset, overrides, force = told
    execute_pipeline(PIPELINES[flow], configure(preset, overrides).config, *args, force=force)


def tell_page(flow: str, page: str, settings: Settings, result: ArtifactRef) -> None:
    """Copy what a flow made to where people look for it; its page's path is printed last."""
    store, folder = artifacts(), settings.root / "reports" / flow
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(store.folder(result), folder)
    for quantity, value in store.manifest(result).summary.items():
        typer.echo(f"  {quantity:<26} {value}")
    typer.echo(f"{result}")
    typer.echo(str(folder / page))


def _pipeline(flow: str, name: str, page: str) -> tuple[str, Command]:
    return flow, Command("flows.judge", name, lambda _run, _config, *found: tell_page(flow, page, *found))


PIPELINES = dict(
    (
        _pipeline("judge-score", "score", "scores.html"),
        _pipeline("judge-probe", "probe", "probe.html"),
        _pipeline("judge-agreement", "agreement", "agreement.html"),
        _pipeline("kb-build", "build_knowledge", "review.html"),
        _pipeline("kb-review", "review_knowledge", "review.html"),
    )
)
"""The flows of judging, by name."""
