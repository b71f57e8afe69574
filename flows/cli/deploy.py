"""`dualvla deploy`, `worker` and `notify`: the pipeline as a service of a Prefect server."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from dualvla_core.errors import ConfigError
from flows.cli.configuration import Overrides, Preset, configure
from flows.cli.run import Dataset, Embodiment, dataset_options
from infra.prefect.server import require_server
from infra.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(deploy)
    app.command()(worker)
    app.command()(notify)


def deploy(  # noqa: PLR0913, PLR0917 - each is an option of the command line
    preset: Preset = "demo",
    dataset: Dataset = None,
    embodiment: Embodiment = None,
    overrides: Overrides = [],  # noqa: B006 - typer reads the default
    pool: Annotated[str, typer.Option(help="Work pool that runs everything.")] = "dualvla",
    pool_type: Annotated[str, typer.Option(help="What its workers start: process or docker.")] = "process",
    image: Annotated[str | None, typer.Option(help="Image of a Docker pool.")] = None,
    train_cron: Annotated[str | None, typer.Option(help="When training starts by itself: '0 2 * * *'.")] = None,
    timezone: Annotated[str, typer.Option(help="Time zone of the schedule.")] = "UTC",
    train_after: Annotated[int | None, typer.Option(help="New episodes that start a training.")] = None,
    watch_every: Annotated[int | None, typer.Option(help="Look at the dataset's place so often, s.")] = None,
    notify_url: Annotated[str | None, typer.Option(help="Post failures to this web address.")] = None,
    notify_block: Annotated[str | None, typer.Option(help="Tell failures through this block, SLUG/NAME.")] = None,
    limit: Annotated[list[str], typer.Option(help="Most tasks at once: gpu=2.")] = [],  # noqa: B006
) -> None:
    """Create deployments, schedules, event triggers, limits and automations on the Prefect server."""
    config = configure(preset, overrides, dataset_options(dataset, embodiment)).config
    server = require_server(Settings())
    from flows.deploy import DeployOptions  # noqa: PLC0415 - Prefect is imported once it has a server
    from flows.deploy import deploy as deploy_all  # noqa: PLC0415

    try:
        options = DeployOptions.model_validate(
            {
                "pool": pool,
                "pool_type": pool_type,
                "image": image,
                "train_cron": train_cron,
                "timezone": timezone,
                "train_after": train_after,
                "watch_every_s": watch_every,
                "notify_url": notify_url,
                "notify_block": notify_block,
                "limits": dict(parse_limit(text) for text in limit),
            }
        )
    except ValueError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(f"`dualvla deploy` cannot use what it was given: {' '.join(str(error).split())}.") from error
    for name in deploy_all(config, options):
        typer.echo(f"deployed {name}")
    typer.echo(f"Look at them at {server.ui_url}/deployments; `dualvla worker --pool {pool}` runs them.")


def worker(
    pool: Annotated[str, typer.Option(help="Work pool to take runs from.")] = "dualvla",
    limit: Annotated[int | None, typer.Option(min=1, help="Most runs at once on this machine.")] = None,
) -> None:
    """Run what is scheduled, on this machine, until Ctrl-C."""
    require_server(Settings())
    command = ["-m", "prefect", "worker", "start", "--pool", pool, *(["--limit", str(limit)] if limit else [])]
    os.execv(sys.executable, [sys.executable, *command])


def notify(
    dataset: Annotated[str, typer.Option(help="Folder or s3:// address of the dataset that has grown.")],
) -> None:
    """Say that demonstrations have arrived: they are curated within two minutes, many arrivals in one run."""
    server = require_server(Settings())
    from flows.arrivals import announce  # noqa: PLC0415 - Prefect is imported once it has a server
    from infra.prefect.server import drain  # noqa: PLC0415

    announce(dataset_options(dataset, None)["dataset"]["path"])
    drain()
    typer.echo(f"Told {server.ui_url} that demonstrations have arrived in {dataset}.")


def parse_limit(text: str) -> tuple[str, int]:
    """A limit such as gpu=2; `ConfigError` where it is none."""
    from tasks.stage import LIMITS  # noqa: PLC0415

    tag, _, most = text.partition("=")
    if tag not in LIMITS or not most.isdigit() or int(most) < 1:
        raise ConfigError(
            f"The limit {text!r} was given; expected TAG=NUMBER, such as gpu=2, of {', '.join(sorted(LIMITS))}."
        )
    return tag, int(most)
