"""Closed-loop rollouts through the harness, side by side with a bare loop over the same simulator.

    python benchmarks/rollouts.py [--benchmark metaworld|simpler_env] [--episodes 16] [--steps 150]

Both play the same episodes with the same actions, and render where a decision is made. What the harness costs a step is
told in processor seconds of all of its processes between the first and the last finished episode, so that starting them
does not count; episodes per minute are wall time between the same two. The two take turns, and the best of each is
told: whatever else a machine does can only add to it.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

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
    """Processor seconds per step of the episodes in this process, the making of the environment apart."""
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
    return spent / (config.episodes_per_task * config.max_steps)


class Reading(NamedTuple):
    """A moment at which some episodes were finished, and what all processes had used by then."""

    finished: int
    seconds: float
    processor_seconds: float


def harness(config: RolloutConfig, processes: int) -> tuple[float, float]:
    """Processor seconds of all processes per step, and episodes per minute, between the first and the last episode."""
    spec = PolicySpec(
        factory="benchmarks.rollouts:Waverer",
        arguments={"size": len(SUITES[config.benchmark].action)},
        policy_type="specialist",
        identity="waverer",
    )
    readings: list[Reading] = []

    def read(finished: int, _: int) -> None:
        if finished and (used := _used()):
            readings.append(Reading(finished, time.monotonic(), used))

    with tempfile.TemporaryDirectory() as scratch:
        output, timings, work = (Path(scratch) / name for name in ("output", "timings", "work"))
        output.mkdir()
        timings.mkdir()
        crew = Crew(players=processes, servers=processes)
        run_rollouts(config, spec, output, timings, work=work, crew=crew, progress=read)
    first, last = readings[0], readings[-1]
    episodes = last.finished - first.finished
    spent = (last.processor_seconds - first.processor_seconds) / (episodes * config.max_steps)
    return spent, 60 * episodes / (last.seconds - first.seconds)


def _used() -> float:
    """Processor seconds of this process's children that live."""
    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children(recursive=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--benchmark", choices=TASKS, default="metaworld")
    parser.add_argument("--episodes", type=int, default=16)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--turns", type=int, default=3, help="of the bare loop and the harness with one player")
    parser.add_argument("--shared-turns", type=int, default=1, help="of the harness with two players")
    options = parser.parse_args()
    fields: dict[str, Any] = {"benchmark": options.benchmark, "tasks": (TASKS[options.benchmark],)}
    fields |= {"max_steps": options.steps // EXECUTE * EXECUTE, "execute": EXECUTE, "success_mode": "latched"}
    config = RolloutConfig(**fields, episodes_per_task=options.episodes, first_seed=500)
    turns = []
    for _ in range(options.turns):
        turns.append((bare(config), *harness(config, 1)))
        sys.stderr.write("{:.2f} ms bare, {:.2f} ms\n".format(*(1e3 * each for each in turns[-1][:2])))
    loops, throughs, rates = zip(*turns, strict=True)
    loop, through = min(loops), min(throughs)
    found = {
        "benchmark": options.benchmark,
        "steps": options.episodes * config.max_steps,
        "bare_ms_per_step": round(1e3 * loop, 2),
        "harness_ms_per_step": round(1e3 * through, 2),
        "overhead": round(through / loop - 1, 3),
        "overhead_by_turn": [round(each[1] / each[0] - 1, 3) for each in turns],
        "episodes_per_minute_1_shard": round(max(rates), 1),
        "episodes_per_minute_2_shards": round(max(harness(config, 2)[1] for _ in range(options.shared_turns)), 1),
    }
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
