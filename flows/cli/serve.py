"""`dualvla serve`: a checkpoint behind a websocket, for robots and simulators that speak openpi-client's protocol."""

from __future__ import annotations

import asyncio
import logging
from typing import Annotated, Literal

import typer

from infra.settings import Settings


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(serve)


def serve(  # noqa: PLR0913, PLR0917 - one parameter per option
    checkpoint: Annotated[str, typer.Argument(help="Folder of a checkpoint, or its name on the hub: owner/name.")],
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 = a free one.")] = 8000,
    device: Annotated[str, typer.Option(help="Where the policy computes: cpu, cuda, cuda:1.")] = "cpu",
    embodiment: Annotated[str | None, typer.Option(help="Refuse a checkpoint that drives another robot.")] = None,
    reasoning: Annotated[
        Literal["adaptive", "always", "never"],
        typer.Option(help="adaptive = the policy opens an episode with a text, then decides by its first token."),
    ] = "adaptive",
    reason_every: Annotated[int, typer.Option(min=1, help="Decisions from one reasoning to the next.")] = 1,
    execute: Annotated[int, typer.Option(min=1, help="Actions the robot carries out per decision.")] = 1,
    ensemble: Annotated[float | None, typer.Option(min=0, help="Temporal ensembling: weights exp(-m i).")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Robots decided for together at most.")] = 16,
) -> None:
    """Serve a policy; DUALVLA_SERVE_TOKEN, if set, is what clients must show as their API key."""
    from dualvla_core.models.dualvla import DualVLA  # noqa: PLC0415 - what only one command needs is imported there
    from dualvla_core.models.inference import InferenceConfig  # noqa: PLC0415
    from infra.serving.policy_server import PolicyServer, ServerLimits, serve_policy  # noqa: PLC0415

    logging.basicConfig(format="%(message)s")
    config = InferenceConfig(reasoning=reasoning, reason_every=reason_every, execute=execute, ensemble=ensemble)
    model = DualVLA.from_pretrained(checkpoint, embodiment=embodiment).to(device)
    secret = Settings().serve_token
    token = None if secret is None else secret.get_secret_value()
    try:
        asyncio.run(serve_policy(PolicyServer(model, config, ServerLimits(batch=batch), token), host, port))
    except KeyboardInterrupt:
        typer.echo("Stopped.")
