"""Serves a policy to the processes that play episodes; run as ``python -m infra.harness.policy_server JOB READY``.

It ends when its standard input does, so that it never outlives the supervisor.
"""
# mypy: disable-error-code="import-untyped", allow-subclassing-any

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from vla_eval.model_servers.base import SessionContext
from vla_eval.model_servers.predict import PredictModelServer
from vla_eval.model_servers.serve import serve_async

from dualvla_core.evaluation.policy import Policy, PolicyObservation, act_together, committed
from infra.harness.job import ServerJob, ServerReady
from infra.harness.parent import end_with_parent

HOST = "127.0.0.1"


class PolicyServer(PredictModelServer):
    """One policy per session: what a policy remembers of its episode is never mixed with another's.

    An answer holds the ``execute`` actions to carry out, the reasoning and the time the decision took: a whole chunk a
    message, because rendering and sending the images in between would cost more than the simulation. With a batch of
    more than one, whoever asks while a decision is taken shares the next one.
    """

    def __init__(self, job: ServerJob) -> None:
        super().__init__(max_batch_size=job.batch)
        self._job = job
        self._idle = [job.policy.load() for _ in range(job.sessions)]
        self._policies: dict[str, Policy] = {}

    async def on_observation(self, obs: dict[str, Any], ctx: SessionContext) -> None:
        """Answer; at once and here where decisions are taken one by one: handing them to a thread costs more."""
        if self.max_batch_size > 1:
            await super().on_observation(obs, ctx)
        else:
            await ctx.send_action(self.predict(obs, ctx))

    def predict_batch(
        self, obs_batch: Sequence[dict[str, Any]], ctx_batch: Sequence[SessionContext]
    ) -> list[dict[str, Any]]:
        """Decide for an observation of each session; a fault is told to all, whose episodes are then played again.

        What a session drew for a decision that failed cannot be undone, so deciding once more would not be the same.
        """
        policies = [self._playing(obs, ctx) for obs, ctx in zip(obs_batch, ctx_batch, strict=True)]
        seen = [PolicyObservation(images=obs["images"], state=obs["state"]) for obs in obs_batch]
        started = time.perf_counter()
        decided = act_together(policies, seen, [obs["task_description"] for obs in obs_batch])
        decisions = [committed(each, self._job.execute) for each in decided]
        latency = time.perf_counter() - started
        return [{"actions": each.actions, "reasoning": each.reasoning, "latency_s": latency} for each in decisions]

    def _playing(self, obs: dict[str, Any], ctx: SessionContext) -> Policy:
        """The policy of a session, at the beginning of an episode if this is one."""
        if ctx.session_id not in self._policies:
            self._policies[ctx.session_id] = self._idle.pop() if self._idle else self._job.policy.load()
        policy = self._policies[ctx.session_id]
        # Not in on_episode_start: an error raised there would leave its answer to be taken for an action later on.
        if ctx.is_first:
            policy.reset(obs["seed"])
        return policy


def _announce(ready: Path, answer: ServerReady) -> None:
    draft = ready.with_suffix(".tmp")
    draft.write_text(answer.model_dump_json(), encoding="utf-8")
    draft.replace(ready)


async def _serve(server: PolicyServer, ready: Path) -> None:
    async with anyio.create_task_group() as tasks:
        port = await tasks.start(serve_async, server, HOST, 0)
        _announce(ready, ServerReady(port=port))


def main(job: Path, ready: Path) -> int:
    """Load the policies, write `ServerReady` and serve until standard input ends."""
    end_with_parent()
    try:
        server = PolicyServer(ServerJob.model_validate_json(job.read_text(encoding="utf-8")))
    except Exception as error:  # the supervisor repeats it, whatever it is; the traceback goes to the log
        _announce(ready, ServerReady(error=f"{type(error).__name__}: {error}"))
        raise
    anyio.run(_serve, server, ready)
    return 0


if __name__ == "__main__":
    sys.exit(main(*map(Path, sys.argv[1:])))
