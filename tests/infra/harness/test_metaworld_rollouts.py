"""The harness on the simulator itself: the scripted expert succeeds through it, random motion does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from dualvla_core.errors import DependencyError
from dualvla_core.evaluation.config import RolloutConfig
from dualvla_core.evaluation.trajectory import read_trajectories
from dualvla_core.simulation.metaworld import MetaWorldEnvironment
from infra.harness.job import PolicySpec
from infra.harness.supervisor import run_rollouts

MakeSpec = Callable[..., PolicySpec]


@pytest.fixture(scope="module", autouse=True)
def simulator() -> None:
    try:
        MetaWorldEnvironment("reach", 32, 32).close()
    except DependencyError as error:
        pytest.skip(str(error))


def test_actions_arrive_as_they_were_meant(spec: MakeSpec, tmp_path: Path) -> None:
    config = RolloutConfig(tasks=("reach", "drawer-close"), episodes_per_task=1, image_size=48, wrist_image_size=48)
    output = tmp_path / "output"
    output.mkdir()
    summary = run_rollouts(config, spec("ExpertPolicy", chunk=6), output, tmp_path, work=tmp_path / "work")
    assert summary["success_rate"] == 1
    for played in read_trajectories(output):
        environment = MetaWorldEnvironment(played.task, 48, 48)
        environment.reset(played.seed)
        first = environment.observe()
        for state, action in zip(played.states, played.actions, strict=False):
            assert np.array_equal(environment.state, state)
            environment.step(action)
        last = environment.observe()
        environment.close()
        assert environment.success
        assert np.array_equal(last.state, played.states[-1])
        for moment, frame in ((first, played.frames[0]), (last, played.frames[-1])):
            seen = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_COLOR_RGB)
            assert seen is not None
            assert np.abs(seen.astype(int) - moment.images["third_person"]).mean() < 6


@pytest.mark.slow
def test_the_expert_succeeds_and_random_motion_does_not(spec: MakeSpec, tmp_path: Path) -> None:
    rates = {}
    for name in ("ExpertPolicy", "RandomPolicy"):
        output = tmp_path / name
        output.mkdir()
        config = RolloutConfig(episodes_per_task=5)
        work = tmp_path / f"{name}_work"
        rates[name] = run_rollouts(config, spec(name, chunk=6), output, tmp_path, work=work)["success_rate"]
    assert float(rates["ExpertPolicy"]) >= 0.9
    assert float(rates["RandomPolicy"]) <= 0.1
