"""What each step is, as a function of its number alone."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dualvla_core.training.config import TrainingConfig
from dualvla_core.training.schedule import derived_seed, domain_of, global_batch, learning_rate, steps_before


def test_every_third_step_is_multimodal() -> None:
    config = TrainingConfig(multimodal_every=3)
    assert [domain_of(config, step)[0] for step in range(7)] == list("rrmrrmr")
    assert [steps_before(config, step) for step in range(7)] == [0, 1, 0, 2, 3, 1, 4]


def test_without_questions_every_step_is_robot_data() -> None:
    assert {domain_of(TrainingConfig(), step) for step in range(20)} == {"robot"}
    with pytest.raises(ValidationError, match="leaves no robot step"):
        TrainingConfig(multimodal_every=1)


@given(every=st.sampled_from([0, 2, 3, 8]), step=st.integers(0, 200))
def test_steps_before_counts_the_steps_of_the_domain(every: int, step: int) -> None:
    config = TrainingConfig(multimodal_every=every)
    domain = domain_of(config, step)
    assert steps_before(config, step) == sum(domain_of(config, earlier) == domain for earlier in range(step))


@settings(deadline=None)
@given(
    samples=st.integers(1, 40), batch=st.integers(1, 50), every=st.sampled_from([0, 2, 3]), seed=st.integers(0, 2**40)
)
def test_each_epoch_visits_every_sample_once(samples: int, batch: int, every: int, seed: int) -> None:
    config = TrainingConfig(robot_batch=batch, multimodal_every=every, seed=seed)
    steps = [step for step in range(4 * (3 * samples // batch + 2)) if domain_of(config, step) == "robot"]
    visited = np.concatenate([global_batch(config, step, samples) for step in steps])
    for epoch in range(3):
        assert sorted(visited[epoch * samples : (epoch + 1) * samples]) == list(range(samples))


def test_the_order_depends_on_seed_epoch_and_domain() -> None:
    def order(step: int, **changes: int) -> list[int]:
        config = TrainingConfig(robot_batch=50, multimodal_batch=50, multimodal_every=2, **changes)
        return list(global_batch(config, step, 50))

    first, multimodal, second = order(0), order(1), order(2)
    assert first != sorted(first)
    assert first == order(0)
    assert len({tuple(each) for each in (first, multimodal, second, order(0, seed=1))}) == 4
    assert order(4, seed=0) == list(global_batch(TrainingConfig(robot_batch=50), 2, 50))  # the third robot epoch


def test_learning_rate_by_hand() -> None:
    config = TrainingConfig(steps=7, warmup_steps=2, learning_rate=1.0, final_fraction=0.2)
    half = 0.2 + 0.8 * (1 + math.cos(math.pi / 4)) / 2
    assert [learning_rate(config, step) for step in (0, 1, 2, 3, 4, 6)] == pytest.approx([0.5, 1, 1, half, 0.6, 0.2])
    constant = config.model_copy(update={"schedule": "constant"})
    assert [learning_rate(constant, step) for step in (0, 1, 6)] == [0.5, 1, 1]


def test_a_single_step_after_the_warm_up_has_the_peak_rate() -> None:
    assert learning_rate(TrainingConfig(steps=1, warmup_steps=0, learning_rate=0.1), 0) == 0.1


def test_derived_seeds_differ_by_every_number() -> None:
    assert len({derived_seed(0, step, purpose) for step in range(50) for purpose in range(4)}) == 200
    assert derived_seed(1, 2) == derived_seed(1, 2) < 2**63
