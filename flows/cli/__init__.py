"""The command line: one module per noun; importing it loads neither Prefect nor any stage."""

from __future__ import annotations

import logging
import sys

import typer

from dualvla_core.errors import UserError
from flows.cli import (
    artifacts,
    benchmarks,
    checkpoint,
    compare,
    config,
    deploy,
    doctor,
    episodes,
    estimate,
    events,
    experiment,
    export,
    inspect,
    judge,
    kb,
    play,
    results,
    run,
    runs,
    serve,
    server,
)

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="From raw robot demonstrations to a vision-language-action model that reasons and acts.",
)
run.register(app)
runs.register(app)
inspect.register(app)
export.register(app)
deploy.register(app)
server.register(app)
serve.register(app)
compare.register(app)
experiment.register(app)
results.register(app)
play.register(app)
doctor.register(app)
estimate.register(app)
app.add_typer(artifacts.app, name="artifacts")
app.add_typer(checkpoint.app, name="checkpoint")
app.add_typer(config.app, name="config")
app.add_typer(judge.app, name="judge")
app.add_typer(kb.app, name="kb")
app.add_typer(benchmarks.app, name="benchmarks")
app.add_typer(episodes.app, name="episodes")
app.add_typer(events.app, name="events")


def main() -> None:
    """Run the command line; a user's mistake is one sentence on standard error and exit status 1."""
    logging.raiseExceptions = False  # handlers that fail (Prefect's, when its server dies) would write to stderr
    try:
        app()
    except UserError as error:
        sys.stderr.write(f"dualvla: {error}\n")
        sys.exit(1)
