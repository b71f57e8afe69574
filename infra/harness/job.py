"""What the processes of a rollout job are told."""

from __future__ import annotations

import importlib
from typing import cast

from pydantic import Field, JsonValue

from dualvla_core.evaluation.policy import Policy, PolicyError, PolicyType
from dualvla_core.params import Params


class PolicySpec(Params):
    """A policy by import path: how another process makes it.

    One policy is made per process that plays episodes; where weights are large, the factory shares them between the
    policies it returns.
    """

    factory: str = Field(description="Callable that returns a Policy, as package.module:name.")
    arguments: dict[str, JsonValue] = Field(default={}, description="Keyword arguments of the factory.")
    policy_type: PolicyType = Field(description="Recorded with every episode; decides the branch of the VLA Score.")
    identity: str = Field(description="What names the policy on every machine, such as its checkpoint's digest.")

    def load(self) -> Policy:
        """Make the policy. Raises `PolicyError` when there is no such factory."""
        module, _, name = self.factory.partition(":")
        try:
            factory = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError, ValueError) as error:
            raise PolicyError(
                f"The policy {self.factory!r} cannot be imported ({error}); expected package.module:name."
            ) from error
        return cast("Policy", factory(**self.arguments))


class Crew(Params):
    """Who plays the episodes of a job; it changes no outcome, but for rounding where decisions are batched."""

    players: int = Field(default=2, ge=1, description="Processes that play at once, each with a simulator.")
    servers: int = Field(
        default=1,
        ge=1,
        description="Processes that serve the policy to them, each with weights of its own: one for all players of a "
        "GPU; one per player on CPUs, where a decision takes longer than simulating it.",
    )
    batch: int = Field(default=1, ge=1, description="Most players a server decides for in one pass.")
    rounds: int = Field(default=3, ge=1, description="Rounds of playing what is missing, the first included.")


class ServerJob(Params):
    """What the policy server is told."""

    policy: PolicySpec = Field(description="The policy to serve.")
    execute: int = Field(description="Actions carried out per decision (control steps).")
    sessions: int = Field(description="Processes that will play episodes at once.")
    batch: int = Field(default=1, description="Most of them to decide for in one pass.")


class ServerReady(Params):
    """What the policy server answers once it has loaded its policies, or failed to."""

    port: int | None = Field(default=None, description="The port it listens on, on 127.0.0.1.")
    error: str | None = Field(default=None, description="Why the policy could not be loaded.")
