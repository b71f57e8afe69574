"""Closed-loop rollouts through the harness, side by side with a bare loop over the same simulator.

    python benchmarks/rollouts.py [--benchmark metaworld|simpler_env] [--episodes 8] [--steps 150]

Both play the same episodes with the same actions, and render where a decision is made. What the harness costs a step is
told in processor seconds of all of its processes: two runs, one of twice as many episodes, are subtracted, so that
starting them does not count. Episodes per minute are wall time between the first and the last finished episode.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.policy import Decision, PolicyObservation
from dualvla_core.simulation.suites import SUITES
from infra.harness.job import Crew, PolicySpec
from infra.harness.supervisor import run_rollouts

TASKS = {"metaworld": "door-open", "simpler_env": "widowx_stack_cube"}
EXECUTE = 6


class Waverer:
    """Small random motions that cost next to nothing to decide; an episode's follow from its seed."""

    def __init__(self, size: int) -> None:
        self._size = size

    def reset(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def act(self, observation: PolicyObservation, instruction: str) -> Decision:  # noqa: ARG002
        return Decision(self._random.uniform(-0.02, 0.02, (EXECUTE, self._size)).astype(np.float32))


def bare(config: RolloutConfig) -> float:
    """Processor seconds of the episodes in this process, the making of the environment apart."""
    suite, policy = SUITES[config.benchmark], Waverer(len(SUITES[config.benchmark].action))
    environment = suite.make(config.tasks[0], config.image_size, config.wrist_image_size)
    environment.reset(config.first_seed)
    environment.observe()
    started = time.process_time()
    for seed in config.seeds:
        environment.reset(seed)
        policy.reset(seed)
        for _ in range(config.max_steps // EXECUTE):
            seen = environment.observe()
            for action in policy.act({"images": seen.images, "state": seen.state}, "").actions:
                environment.step(action)
        environment.observe()
    spent = time.process_time() - started
    environment.close()
    return spent


def harness(config: RolloutConfig, processes: int) -> tuple[float, float]:
    """Processor seconds of all processes, and episodes per minute between the first and the last."""
    spec = PolicySpec(
        factory="benchmarks.rollouts:Waverer",
        arguments={"size": len(SUITES[config.benchmark].action)},
        policy_type="specialist",
        identity="waverer",
    )
    told: list[tuple[float, int]] = []
    before = _children()
    with tempfile.TemporaryDirectory() as scratch:
        output, timings = Path(scratch) / "output", Path(scratch) / "timings"
        output.mkdir()
        timings.mkdir()
        run_rollouts(
            config,
            spec,
            output,
            timings,
            work=Path(scratch) / "work",
            crew=Crew(players=processes),
            progress=lambda done, _: told.append((time.monotonic(), done)),
        )
    (first_time, first), (last_time, last) = next(each for each in told if each[1]), told[-1]
    elapsed = last_time - first_time
    return _children() - before, 60 * (last - first) / elapsed if elapsed > 0 else float("nan")


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", choices=TASKS, default="metaworld")
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--steps", type=int, default=150)
    options = parser.parse_args()
    fields: dict[str, Any] = {"benchmark": options.benchmark, "tasks": (TASKS[options.benchmark],)}
    fields |= {"max_steps": options.steps // EXECUTE * EXECUTE, "execute": EXECUTE, "success_mode": "latched"}
    config = RolloutConfig(**fields, episodes_per_task=options.episodes, first_seed=500)
    double = config.model_copy(update={"episodes_per_task": 2 * options.episodes})
    steps = options.episodes * config.max_steps
    loop = bare(config) / steps
    once, _ = harness(config, 1)
    twice, one_shard = harness(double, 1)
    _, two_shards = harness(double, 2)
    through = (twice - once) / steps
    found = {
        "benchmark": options.benchmark,
        "steps": steps,
        "bare_ms_per_step": round(1e3 * loop, 2),
        "harness_ms_per_step": round(1e3 * through, 2),
        "overhead": round(through / loop - 1, 3),
        "episodes_per_minute_1_shard": round(one_shard, 1),
        "episodes_per_minute_2_shards": round(two_shards, 1),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
