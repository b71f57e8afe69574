"""The harness on SimplerEnv itself: episodes of the benchmark's own ids, and what is recorded of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.protocol import read_protocol
from dualvla_core.evaluation.trajectory import read_trajectories
from infra.harness.job import Crew, PolicySpec
from infra.harness.supervisor import run_rollouts

MakeSpec = Callable[..., PolicySpec]


def test_episodes_of_the_benchmark_are_played_to_their_last_step(
    simpler_env: None, spec: MakeSpec, tmp_path: Path
) -> None:
    config = RolloutConfig(
        benchmark="simpler_env",
        tasks=("widowx_stack_cube",),
        first_seed=0,
        episodes_per_task=2,
        max_steps=7,
        success_mode="final",
        execute=3,
        image_size=48,
    )
    output = tmp_path / "output"
    output.mkdir()
    random = spec("RandomPolicy", chunk=3, size=7, scale=0.03)
    summary = run_rollouts(config, random, output, tmp_path, work=tmp_path / "work", crew=Crew(players=1))
    assert (summary["episodes"], summary["success_rate"]) == (2, 0)
    protocol = read_protocol(output)
    assert (protocol.success_mode, protocol.max_steps) == ("final", 7)
    assert protocol.stand_in_assets in (True, False)
    assert "mani_skill 3.0.1" in protocol.simulator
    for played in read_trajectories(output):
        assert played.instruction == "stack the green block on the yellow block"
        assert played.states.shape == (8, 8)
        assert played.actions.shape == (7, 7)
        assert np.abs(np.diff(played.states[:, :3], axis=0)).max() > 0.002  # the arm obeys
        assert set(played.objects) == {"gripper", "green block", "yellow block"}
        assert [frame.step for frame in played.frames] == [0, 3, 6, 7]
